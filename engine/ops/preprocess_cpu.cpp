// Each image goes through three passes, in cache where it fits: rows of fused and shrunk pixels with the sums
// of each channel, the constants of the normalisation, and rows of the result. 8-bit pixels and box sums stay
// integers until the last pass, so statistics are exact and v - mean loses nothing.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "engine/backend_cpu.h"
#include "engine/ops/preprocess_rows_cpu.h"
#include "engine/ops/streamed_cpu.h"
#include "engine/parallel.h"

namespace cytograd {
namespace {

using detail::kMaxChannels;

constexpr int64_t kBlockRows = 16;     // rows a task reads, sums or writes
constexpr int64_t kPeriodPixels = 64;  // per-channel constants repeat, so that a row is one flat loop
constexpr int64_t kMaxPeriod = kPeriodPixels * kMaxChannels;
constexpr int64_t kMaxColumns = int64_t{1} << 18;  // 16 rows' squares of 8 bits fit 32 bits a lane

struct Moments {
  std::array<double, kMaxChannels> sum{};
  std::array<double, kMaxChannels> square{};
};

/// y = (v - centre) * scale + shift, one period of channels.
struct Affine {
  std::array<float, kMaxPeriod> centre;
  std::array<float, kMaxPeriod> scale;
  std::array<float, kMaxPeriod> shift;
};

/// Sums and sums of squares by channel, exact for integers.
template <typename T>
Moments block_moments(const T* first, int64_t stride, int64_t rows, int64_t count, int64_t channels) {
  using Sum = std::conditional_t<std::is_same_v<T, uint8_t>, uint32_t,
                                 std::conditional_t<std::is_same_v<T, uint16_t>, uint64_t, double>>;
  const int64_t period = kPeriodPixels * channels;
  std::array<Sum, kMaxPeriod> sum;
  std::array<Sum, kMaxPeriod> square;
  std::fill_n(sum.begin(), period, Sum{});
  std::fill_n(square.begin(), period, Sum{});
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t begin = 0; begin < count; begin += period) {
      const T* v = first + row * stride + begin;
      const int64_t n = std::min(period, count - begin);
      for (int64_t i = 0; i < n; ++i) {
        const Sum value = static_cast<Sum>(v[i]);
        sum[i] += value;
        square[i] += value * value;
      }
    }
  }
  Moments moments;
  for (int64_t i = 0; i < period; i += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      moments.sum[c] += static_cast<double>(sum[i + c]);
      moments.square[c] += static_cast<double>(square[i + c]);
    }
  }
  return moments;
}

template <bool kStreamed, typename T, typename Y>
void write_row(const T* v, int64_t count, int64_t period, const Affine& affine, Y* y) {
  for (int64_t begin = 0; begin < count; begin += period) {
    const int64_t n = std::min(period, count - begin);
    write<kStreamed, kMaxPeriod>(y + begin, n, [&](Y* room) {
      for (int64_t i = 0; i < n; ++i) {
        const auto value = static_cast<float>(v[begin + i]);
        store_rounded(room[i], (value - affine.centre[i]) * affine.scale[i] + affine.shift[i]);
      }
    });
  }
}

/// One call's work, with pixels of type T between the passes.
template <typename T>
class Preprocessor {
 public:
  Preprocessor(const Tensor& images, std::span<const View> views, const PreprocessOptions& options,
               const detail::PreprocessGeometry& geometry, Tensor& y)
      : images_(images),
        views_(views),
        options_(options),
        geometry_(geometry),
        y_(y),
        source_(geometry, options),
        in_place_(std::is_same_v<T, uint8_t> && options.fusion == Fusion::none),
        streamed_(is_streamed(static_cast<int64_t>(y.bytes()))),
        blocks_((geometry.rows + kBlockRows - 1) / kBlockRows) {}

  void run() {
    // Whole images a thread where there are enough of them, else the rows of one after another.
    const int64_t count = images_.dim(0);
    const int64_t threads = cpu_threads();
    const bool by_image = count >= 2 * threads || count == threads;
    workers_ = std::min(threads, by_image ? count : blocks_);
    const int64_t slots = by_image ? workers_ : 1;
    const int64_t pixels = in_place_ ? 0 : geometry_.rows * geometry_.row_elements();
    pixels_ = Tensor::empty({slots, pixels * static_cast<int64_t>(sizeof(T))}, DType::u8);
    turned_ = Tensor::empty(
        {workers_, kBlockRows * geometry_.row_elements() * static_cast<int64_t>(sizeof(T))}, DType::u8);
    workspace_ =
        Tensor::empty({workers_, static_cast<int64_t>(source_.workspace_bytes() + 7) / 8}, DType::i64);
    moments_.resize(static_cast<size_t>(slots * blocks_));
    affine_.resize(static_cast<size_t>(slots));

    if (by_image) {
      parallel_for(workers_, 1, [&](int64_t first, int64_t last) {
        for (int64_t worker = first; worker < last; ++worker) {
          for (int64_t i = count * worker / workers_; i < count * (worker + 1) / workers_; ++i) {
            read(i, worker, worker, 0, blocks_);
            find_affine(i, worker);
            write(i, worker, worker, 0, blocks_);
          }
        }
      });
    } else {
      const auto by_blocks = [&](const auto& pass) {
        parallel_for(workers_, 1, [&](int64_t first, int64_t last) {
          for (int64_t worker = first; worker < last; ++worker)
            pass(worker, blocks_ * worker / workers_, blocks_ * (worker + 1) / workers_);
        });
      };
      for (int64_t i = 0; i < count; ++i) {
        by_blocks([&](int64_t worker, int64_t begin, int64_t end) { read(i, 0, worker, begin, end); });
        find_affine(i, 0);
        by_blocks([&](int64_t worker, int64_t begin, int64_t end) { write(i, 0, worker, begin, end); });
      }
    }
  }

 private:
  const uint8_t* image(int64_t i) const {
    return images_.data<uint8_t>() + i * images_.dim(1) * images_.dim(2) * images_.dim(3);
  }
  template <typename Element>
  static Element* part(Tensor& tensor, int64_t i) {
    return reinterpret_cast<Element*>(static_cast<std::byte*>(tensor.raw()) +
                                      i * tensor.dim(1) * static_cast<int64_t>(size_of(tensor.dtype())));
  }
  int64_t block_rows(int64_t block) const {
    return std::min(kBlockRows, geometry_.rows - block * kBlockRows);
  }

  // Where the pixels of image i lie after the first pass, and how far its rows are apart.
  const T* pixels(int64_t i, int64_t slot) {
    if (!in_place_) return part<T>(pixels_, slot);
    const View& view = views_[i];
    const uint8_t* first = image(i) + (view.top * geometry_.width + view.left) * geometry_.channels;
    return reinterpret_cast<const T*>(first);
  }
  int64_t stride() const {
    return in_place_ ? geometry_.width * geometry_.channels : geometry_.row_elements();
  }

  void read(int64_t i, int64_t slot, int64_t worker, int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      if (!in_place_) {
        T* out = part<T>(pixels_, slot) + block * kBlockRows * geometry_.row_elements();
        for (int64_t row = 0; row < block_rows(block); ++row)
          source_.fill(image(i), views_[i], block * kBlockRows + row, part<std::byte>(workspace_, worker),
                       out + row * geometry_.row_elements());
      }
      if (options_.normalization == Normalization::image)
        moments_[slot * blocks_ + block] =
            block_moments(pixels(i, slot) + block * kBlockRows * stride(), stride(), block_rows(block),
                          geometry_.row_elements(), geometry_.fused);
    }
  }

  void find_affine(int64_t i, int64_t slot) {
    Affine& affine = affine_[slot];
    const auto pixels = static_cast<double>(geometry_.rows * geometry_.columns);
    // Sums over K x K stand for their means; a linear fusion has divided already.
    const double box =
        options_.fusion == Fusion::linear ? 1.0 : static_cast<double>(geometry_.shrink * geometry_.shrink);
    for (int64_t c = 0; c < geometry_.fused; ++c) {
      double mean = 0.0;
      double factor = 1.0 / (255.0 * box);
      if (options_.normalization == Normalization::image) {
        double square = 0.0;
        for (int64_t block = 0; block < blocks_; ++block) {
          mean += moments_[slot * blocks_ + block].sum[c];
          square += moments_[slot * blocks_ + block].square[c];
        }
        mean /= pixels;
        const double variance = std::max(0.0, square / pixels - mean * mean);
        factor = 1.0 / (std::sqrt(variance) + 1e-3 * box);
      }
      // The centre is a whole number, so that the subtraction from whole numbers is exact.
      const double centre = std::is_integral_v<T> ? std::nearbyint(mean) : static_cast<float>(mean);
      const double scale = factor * views_[i].gain[c];
      affine.centre[c] = static_cast<float>(centre);
      affine.scale[c] = static_cast<float>(scale);
      affine.shift[c] = static_cast<float>((centre - mean) * scale + views_[i].offset[c]);
    }
    for (auto* values : {&affine.centre, &affine.scale, &affine.shift}) {
      for (int64_t j = geometry_.fused; j < kPeriodPixels * geometry_.fused; ++j)
        (*values)[j] = (*values)[j - geometry_.fused];
    }
  }

  /// With P the crop and A the mirrored crop: one turn is A[j][w - 1 - i], two A[h - 1 - i][w - 1 - j], three
  /// A[h - 1 - j][i].
  void write(int64_t i, int64_t slot, int64_t worker, int64_t begin, int64_t end) {
    const View& view = views_[i];
    const int64_t channels = geometry_.fused;
    const int64_t count = geometry_.row_elements();
    const T* first = pixels(i, slot);
    T* turned = part<T>(turned_, worker);
    const bool odd = view.quarter_turns % 2 == 1;
    const bool upward = view.quarter_turns >= 2;
    const bool backward = view.mirror != (odd ? view.quarter_turns == 1 : view.quarter_turns == 2);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block * kBlockRows;
      const int64_t rows = block_rows(block);
      if (odd) {
        // Down 16 columns at once: each row of the crop is read where it lies together.
        for (int64_t j = 0; j < geometry_.columns; ++j) {
          const T* line = first + (upward ? geometry_.rows - 1 - j : j) * stride();
          const T* pixel = line + (backward ? geometry_.columns - 1 - row : row) * channels;
          const int64_t step = backward ? -channels : channels;
          detail::with_channels(channels, [&](auto c) {
            for (int64_t r = 0; r < rows; ++r)
              std::memcpy(turned + r * count + j * c, pixel + r * step, c * sizeof(T));
          });
        }
      }
      for (int64_t r = 0; r < rows; ++r) {
        const T* line = turned + r * count;
        if (!odd) {
          line = first + (upward ? geometry_.rows - 1 - row - r : row + r) * stride();
          if (backward) {
            detail::gather_pixels(line + (geometry_.columns - 1) * channels, -channels, geometry_.columns,
                                  channels, turned);
            line = turned;
          }
        }
        const int64_t at = (i * geometry_.rows + row + r) * count;
        dispatch_float(y_.dtype(), [&]<typename Y>(TypeTag<Y>) {
          choose_streamed(streamed_, [&]<typename Streamed>(Streamed) {
            write_row<Streamed::value>(line, count, kPeriodPixels * channels, affine_[slot],
                                       y_.data<Y>() + at);
          });
        });
      }
    }
    stream_fence();
  }

  const Tensor& images_;
  std::span<const View> views_;
  const PreprocessOptions& options_;
  detail::PreprocessGeometry geometry_;
  Tensor& y_;
  detail::PreprocessRows source_;
  bool in_place_;  // the raw pixels are what the second pass reads
  bool streamed_;  // results
  int64_t blocks_;
  int64_t workers_ = 1;
  Tensor pixels_;                 // [slots, bytes]
  Tensor turned_;                 // [workers, bytes]
  Tensor workspace_;              // [workers, eights of bytes]
  std::vector<Moments> moments_;  // [slots, blocks]
  std::vector<Affine> affine_;    // [slots]
};

}  // namespace

void CpuBackend::preprocess(const Tensor& images, std::span<const View> views,
                            const PreprocessOptions& options, Tensor& y) {
  const detail::PreprocessGeometry geometry{.width = images.dim(2),
                                            .channels = images.dim(3),
                                            .fused = y.dim(3),
                                            .rows = options.crop_height,
                                            .columns = options.crop_width,
                                            .shrink = options.shrink};
  CHECK(geometry.columns <= kMaxColumns, "{} columns", geometry.columns);
  if (images.dim(0) == 0) return;
  if (options.fusion == Fusion::linear || geometry.shrink > detail::kIntegerShrink) {
    Preprocessor<float>(images, views, options, geometry, y).run();
  } else if (geometry.shrink > 1) {
    Preprocessor<uint16_t>(images, views, options, geometry, y).run();
  } else {
    Preprocessor<uint8_t>(images, views, options, geometry, y).run();
  }
}

}  // namespace cytograd
