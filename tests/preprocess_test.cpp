#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/ops.h"
#include "engine/philox.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::random_bytes;
using test::worst_difference;

Tensor random_floats(const Shape& shape, uint64_t seed) {
  Philox random(seed);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& v : values) v = random.normal();
  return Tensor::from(values, shape);
}

PreprocessOptions unit() {
  PreprocessOptions options;
  options.normalization = Normalization::unit;
  return options;
}

PreprocessOptions shrunk(int64_t shrink) {
  PreprocessOptions options;
  options.shrink = shrink;
  return options;
}

PreprocessOptions of_type(DType dtype) {
  PreprocessOptions options;
  options.dtype = dtype;
  return options;
}

/// An image [rows, columns, channels] in f64.
struct Plane {
  int64_t rows, columns, channels;
  std::vector<double> values = std::vector<double>(static_cast<size_t>(rows * columns * channels));

  double& at(int64_t y, int64_t x, int64_t c) { return values[(y * columns + x) * channels + c]; }
};

/// The documented order, a step at a time, in f64.
Plane reference(const Tensor& images, int64_t n, const View& view, const PreprocessOptions& options) {
  const int64_t height = images.dim(1), width = images.dim(2), channels = images.dim(3);
  const auto raw = [&](int64_t y, int64_t x, int64_t c) {
    return images.data<uint8_t>()[((n * height + y) * width + x) * channels + c];
  };
  // Fusion.
  const int64_t fused = options.fusion == Fusion::colormap ? 3
                        : options.fusion == Fusion::linear ? options.linear_weight.dim(0)
                                                           : channels;
  Plane full{height, width, fused};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t k = 0; k < fused; ++k) {
        double& value = full.at(y, x, k);
        if (options.fusion == Fusion::none) value = raw(y, x, k);
        if (options.fusion == Fusion::linear) value = options.linear_bias.data<float>()[k];
        for (int64_t c = 0; c < channels; ++c) {
          if (options.fusion == Fusion::colormap)
            value += options.colormap.shares().data<uint8_t>()[(c * 256 + raw(y, x, c)) * 3 + k];
          if (options.fusion == Fusion::linear)
            value +=
                static_cast<double>(options.linear_weight.data<float>()[k * channels + c]) * raw(y, x, c);
        }
        if (options.fusion == Fusion::colormap) value = std::min(value, 255.0);
      }
    }
  }
  // Shrink and crop.
  const int64_t s = options.shrink;
  Plane crop{options.crop_height > 0 ? options.crop_height : height / s,
             options.crop_width > 0 ? options.crop_width : width / s, fused};
  for (int64_t y = 0; y < crop.rows; ++y) {
    for (int64_t x = 0; x < crop.columns; ++x) {
      for (int64_t k = 0; k < fused; ++k) {
        for (int64_t i = 0; i < s * s; ++i)
          crop.at(y, x, k) += full.at((view.top + y) * s + i / s, (view.left + x) * s + i % s, k);
        crop.at(y, x, k) /= static_cast<double>(s * s);
      }
    }
  }
  // Mirror, then quarter turns: one is rot90(a)[i][j] = a[j][columns - 1 - i].
  Plane image = crop;
  if (view.mirror) {
    for (int64_t y = 0; y < crop.rows; ++y)
      for (int64_t x = 0; x < crop.columns; ++x)
        for (int64_t k = 0; k < fused; ++k) image.at(y, x, k) = crop.at(y, crop.columns - 1 - x, k);
  }
  for (int32_t turn = 0; turn < view.quarter_turns; ++turn) {
    Plane turned{image.columns, image.rows, fused};
    for (int64_t y = 0; y < turned.rows; ++y)
      for (int64_t x = 0; x < turned.columns; ++x)
        for (int64_t k = 0; k < fused; ++k) turned.at(y, x, k) = image.at(x, image.columns - 1 - y, k);
    image = turned;
  }
  // Normalisation, gain, offset.
  const auto pixels = static_cast<double>(image.rows * image.columns);
  for (int64_t k = 0; k < fused; ++k) {
    double mean = 0.0, variance = 0.0;
    for (int64_t i = k; i < static_cast<int64_t>(image.values.size()); i += fused)
      mean += image.values[i] / pixels;
    for (int64_t i = k; i < static_cast<int64_t>(image.values.size()); i += fused)
      variance += (image.values[i] - mean) * (image.values[i] - mean) / pixels;
    for (int64_t i = k; i < static_cast<int64_t>(image.values.size()); i += fused) {
      double& v = image.values[i];
      v = options.normalization == Normalization::unit ? v / 255.0
                                                       : (v - mean) / (std::sqrt(variance) + 1e-3);
      v = v * view.gain[k] + view.offset[k];
    }
  }
  return image;
}

void expect_reference(const Tensor& images, std::span<const View> views, const PreprocessOptions& options,
                      double tolerance) {
  const Tensor y = preprocess(images, views, options);
  ASSERT_EQ(y.dtype(), DType::f32);
  for (int64_t n = 0; n < images.dim(0); ++n) {
    const Plane expected = reference(images, n, views[n], options);
    ASSERT_EQ(y.shape(), Shape({images.dim(0), expected.rows, expected.columns, expected.channels}));
    const float* values = y.data<float>() + n * static_cast<int64_t>(expected.values.size());
    const std::vector<double> actual(values, values + expected.values.size());
    ASSERT_LE(worst_difference(actual, expected.values), tolerance)
        << "image " << n << " turns " << views[n].quarter_turns << " mirror " << views[n].mirror;
  }
}

std::vector<View> all_views(int64_t top, int64_t left, bool square) {
  std::vector<View> views;
  for (int32_t turns = 0; turns < 4; ++turns) {
    for (const bool mirror : {false, true}) {
      if (!square && turns % 2 == 1) continue;
      View view{.top = top, .left = left, .mirror = mirror, .quarter_turns = turns};
      for (size_t c = 0; c < view.gain.size(); ++c) {
        view.gain[c] = 0.5f + 0.25f * static_cast<float>(c) + 0.05f * static_cast<float>(turns);
        view.offset[c] = -0.3f * static_cast<float>(c) + 0.1f * static_cast<float>(turns);
      }
      views.push_back(view);
    }
  }
  return views;
}

// Results of order 1 to 10 from whole numbers: the subtraction is exact, a product and a sum round.
constexpr double kTolerance = 4e-7;
// A linear fusion adds up to eight rounded products of order 500 before the mean is taken off: a few units of
// 500 * 2^-24 over a standard deviation of order 70 / shrink.
constexpr double kLinearTolerance = 1e-6;

class PreprocessOptionsTest : public testing::TestWithParam<std::tuple<Fusion, int64_t, int64_t>> {};

TEST_P(PreprocessOptionsTest, IsTheReference) {
  const auto [fusion, channels, shrink] = GetParam();
  for (const Normalization normalization : {Normalization::unit, Normalization::image}) {
    for (const bool square : {true, false}) {
      PreprocessOptions options;
      options.fusion = fusion;
      options.shrink = shrink;
      options.normalization = normalization;
      // Larger than a block of rows and a period of columns; large factors share all code but the sums.
      const int64_t rows = shrink <= 4 ? 37 : 9, columns = shrink <= 4 ? 71 : 11;
      const int64_t height = rows * shrink + (shrink - 1), width = columns * shrink + shrink / 2;
      options.crop_height = square ? rows - 4 : rows - 2;
      options.crop_width = square ? rows - 4 : columns - 2;
      if (fusion == Fusion::colormap) {
        Tensor shares = random_bytes({channels, 256, 3}, 3);
        for (int64_t i = 0; i < shares.elements(); ++i) shares.data<uint8_t>()[i] /= 4;
        options.colormap = ColourTable(shares);
      }
      if (fusion == Fusion::linear) {
        const int64_t fused = 1 + channels % 4;
        options.linear_weight = random_floats({fused, channels}, 4);
        options.linear_bias = random_floats({fused}, 5);
      }
      const double tolerance =
          fusion == Fusion::linear ? kLinearTolerance * static_cast<double>(1 + shrink) : kTolerance;
      const auto views = all_views(2, 1, square);
      const Tensor images = random_bytes({static_cast<int64_t>(views.size()), height, width, channels}, 6);
      expect_reference(images, views, options, tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fusions, PreprocessOptionsTest,
                         testing::Combine(testing::Values(Fusion::none, Fusion::colormap, Fusion::linear),
                                          testing::Values(1, 3, 6, 8), testing::Values(1, 2, 3, 4, 16, 17)));

TEST(Preprocess, TurnsAreThoseOfNumpy) {
  // numpy.rot90([[0, 1], [2, 3]], k) for k = 0 to 3, and of the mirrored image [[1, 0], [3, 2]].
  const Tensor image = Tensor::from(std::vector<uint8_t>{0, 1, 2, 3}, {1, 2, 2, 1});
  const std::vector<std::vector<float>> expected{{0, 1, 2, 3}, {1, 3, 0, 2}, {3, 2, 1, 0}, {2, 0, 3, 1},
                                                 {1, 0, 3, 2}, {0, 2, 1, 3}, {2, 3, 0, 1}, {3, 1, 2, 0}};
  for (int32_t i = 0; i < 8; ++i) {
    View view{.mirror = i >= 4, .quarter_turns = i % 4};
    view.gain.fill(255.0f);
    const Tensor y = preprocess(image, std::vector<View>{view}, unit());
    EXPECT_EQ(y.to_vector<float>(), expected[static_cast<size_t>(i)]) << i;
  }
}

TEST(Preprocess, AConstantImageIsZero) {
  for (const int64_t shrink : {int64_t{1}, int64_t{3}, int64_t{20}}) {
    const Tensor images = Tensor::from(std::vector<uint8_t>(2 * 60 * 60 * 2, 201), {2, 60, 60, 2});
    const Tensor y = preprocess(images, std::vector<View>(2), shrunk(shrink));
    for (const float v : y.to_vector<float>()) ASSERT_EQ(v, 0.0f);
  }
}

// One bright pixel in a flat bright image: the mean must come off without cancellation.
TEST(Preprocess, KeepsItsPrecisionOnAlmostFlatImages) {
  Tensor images = Tensor::from(std::vector<uint8_t>(256 * 256, 254), {1, 256, 256, 1});
  images.data<uint8_t>()[1000] = 255;
  for (const int64_t shrink : {int64_t{1}, int64_t{2}}) {
    expect_reference(images, std::vector<View>(1), shrunk(shrink), kTolerance);
  }
}

TEST(Preprocess, ColoursSaturateExactly) {
  Tensor table = Tensor::from(std::vector<uint8_t>(2 * 256 * 3, 200), {2, 256, 3});
  const Tensor images = random_bytes({1, 5, 7, 2}, 1);
  View view;
  view.gain.fill(255.0f);
  PreprocessOptions options = unit();
  options.fusion = Fusion::colormap;
  options.colormap = ColourTable(table);
  const Tensor y = preprocess(images, std::vector<View>{view}, options);
  for (const float v : y.to_vector<float>()) ASSERT_EQ(v, 255.0f);
}

TEST(Preprocess, HalfPrecisionIsTheRoundedResult) {
  const Tensor images = random_bytes({3, 40, 40, 6}, 2);
  const std::vector<View> views(3);
  const auto exact = preprocess(images, views, {}).to_vector<float>();
  const auto brain = preprocess(images, views, of_type(DType::bf16)).to_vector<bf16>();
  const auto half = preprocess(images, views, of_type(DType::f16)).to_vector<f16>();
  for (size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(brain[i].bits, bf16(exact[i]).bits);
    ASSERT_EQ(half[i].bits, f16(exact[i]).bits);
  }
}

TEST(Preprocess, DoesNotDependOnThreadsOrTheBatch) {
  PreprocessOptions options = shrunk(2);
  options.fusion = Fusion::linear;
  options.linear_weight = random_floats({3, 6}, 8);
  options.linear_bias = random_floats({3}, 9);
  const Tensor images = random_bytes({5, 150, 150, 6}, 10);
  auto views = all_views(0, 0, true);
  views.resize(5);
  const auto expected = [&] {
    const test::Threads one(1);
    return preprocess(images, views, options).to_vector<float>();
  }();
  for (const int n : {2, 3, 5, 8}) {
    const test::Threads threads(n);
    EXPECT_EQ(preprocess(images, views, options).to_vector<float>(), expected) << n << " threads";
  }
  const int64_t size = 150 * 150 * 6;
  const Tensor last = Tensor::from(std::span(images.data<uint8_t>() + 4 * size, size), {1, 150, 150, 6});
  const auto alone = preprocess(last, std::span(views).subspan(4), options).to_vector<float>();
  EXPECT_TRUE(
      std::equal(alone.begin(), alone.end(), expected.end() - static_cast<std::ptrdiff_t>(alone.size())));
}

}  // namespace
}  // namespace cytograd
