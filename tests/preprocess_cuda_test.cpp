// Preprocessing on Device::cuda is the CPU's, whatever is fused, shrunk, cropped, mirrored and turned, on tiles and
// edges of all kinds; the CPU's is tested against plain loops in preprocess_test.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "data/colormap.h"
#include "engine/backend.h"
#include "engine/ops.h"
#include "kernels/image_statistics.h"
#include "kernels/preprocess.h"
#include "tests/support/schedules.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

using test::normal;
using test::random_bytes;
using test::tensor_of;
using test::under_schedules;
using test::values_of;
using test::worst_difference;

/// `count` views at random places; all turns, mirrored or not, come within eight.
std::vector<View> random_views(int64_t count, int64_t tops, int64_t lefts, bool square) {
  Philox random(17);
  std::vector<View> views(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    View& view = views[i];
    view.top = random.below(static_cast<uint64_t>(tops));
    view.left = random.below(static_cast<uint64_t>(lefts));
    view.mirror = i % 2 == 1;
    view.quarter_turns = static_cast<int32_t>(square ? i / 2 % 4 : i / 2 % 2 * 2);
    for (float& gain : view.gain) gain = random.uniform(0.75f, 1.25f);
    for (float& offset : view.offset) offset = random.uniform(-0.125f, 0.125f);
  }
  return views;
}

PreprocessOptions on_cuda(PreprocessOptions options) {
  if (options.colormap.defined()) options.colormap = options.colormap.to(Device::cuda);
  if (options.linear_weight.defined()) options.linear_weight = options.linear_weight.to(Device::cuda);
  if (options.linear_bias.defined()) options.linear_bias = options.linear_bias.to(Device::cuda);
  return options;
}

/// Whole numbers lead to the same constants, but for their last bit; a product and a sum round. A linear fusion adds
/// rounded products of order 500, divided by a deviation of order 70 / shrink. Rounding to 16 bits comes on top.
double tolerance(const PreprocessOptions& options) {
  const double linear = 1e-6 * static_cast<double>(1 + options.shrink);
  const double exact = options.fusion == Fusion::linear ? linear : 2.5e-7;
  return options.dtype == DType::f32 ? exact : 2.0 * test::rounding(options.dtype);
}

void expect_as_on_cpu(const Tensor& images, const std::vector<View>& views,
                      const PreprocessOptions& options) {
  const auto expected = values_of(preprocess(images, views, options));
  const Tensor images_on_cuda = images.to(Device::cuda);
  const PreprocessOptions options_on_cuda = on_cuda(options);
  std::vector<double> first;
  under_schedules([&](const std::string& schedule) {
    const Tensor y = preprocess(images_on_cuda, views, options_on_cuda).to(Device::cpu);
    ASSERT_EQ(y.dtype(), options.dtype);
    const auto values = values_of(y);
    EXPECT_LE(worst_difference(values, expected), tolerance(options));
    if (first.empty()) first = values;
    EXPECT_EQ(values, first) << "depends on the order of threads: " << schedule;
  });
}

void set_fusion(PreprocessOptions& options, Fusion fusion, int64_t channels, int64_t fused = 3) {
  options.fusion = fusion;
  if (fusion == Fusion::colormap) options.colormap = ColourTable(random_bytes({channels, 256, 3}, 3, 80));
  if (fusion == Fusion::linear) {
    options.linear_weight = normal({fused, channels}, 4);
    options.linear_bias = normal({fused}, 5);
  }
}

class PreprocessCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  }
};

class PreprocessCudaFusion : public PreprocessCuda,
                             public testing::WithParamInterface<std::tuple<Fusion, int64_t, int64_t>> {};

// Tiles are 64, 32, 16 or 8 pixels wide, by what fits shared memory; beyond shrink 8 to 24, by channels, nothing does.
TEST_P(PreprocessCudaFusion, IsAsOnTheCpu) {
  const auto [fusion, channels, shrink] = GetParam();
  for (const Normalization normalization : {Normalization::unit, Normalization::image}) {
    for (const bool square : {true, false}) {
      PreprocessOptions options;
      set_fusion(options, fusion, channels, 1 + channels % 4);
      options.shrink = shrink;
      options.normalization = normalization;
      const int64_t rows = shrink <= 4 ? 37 : 9, columns = shrink <= 4 ? 71 : 13;
      options.crop_height = square ? rows - 2 : rows - 1;
      options.crop_width = square ? rows - 2 : columns - 3;
      const auto views = random_views(square ? 8 : 4, rows - options.crop_height + 1,
                                      columns - options.crop_width + 1, square);
      const Tensor images = random_bytes({static_cast<int64_t>(views.size()), rows * shrink + shrink - 1,
                                          columns * shrink + shrink / 2, channels},
                                         6);
      expect_as_on_cpu(images, views, options);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fusions, PreprocessCudaFusion,
                         testing::Combine(testing::Values(Fusion::none, Fusion::colormap, Fusion::linear),
                                          testing::Values(1, 6, 8), testing::Values(1, 2, 3, 12)));

TEST_F(PreprocessCuda, EveryNumberOfChannels) {
  for (int64_t channels = 1; channels <= 8; ++channels) {
    PreprocessOptions options;
    const Tensor images = random_bytes({2, 21, 19, channels}, 7);
    expect_as_on_cpu(images, random_views(2, 1, 1, false), options);
    set_fusion(options, Fusion::linear, channels, 9 - channels);
    expect_as_on_cpu(images, random_views(2, 1, 1, false), options);
  }
}

// Rows of whole and of broken 16 bytes, in the images and in the result; pixels of six channels that start at whole
// words in some rows of an image and between them in others.
TEST_F(PreprocessCuda, TypesAndRowsOfAllLengths) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const int64_t channels : {2, 6}) {
      for (const int64_t size : {64, 63, 62, 57}) {
        PreprocessOptions options;
        options.dtype = dtype;
        options.normalization = Normalization::unit;
        options.crop_height = options.crop_width = size;
        expect_as_on_cpu(random_bytes({8, 66, 65, channels}, 8), random_views(8, 67 - size, 66 - size, true),
                         options);
      }
    }
  }
}

// Several tiles either way, the last of a row and of a column narrower than the threads of a run.
TEST_F(PreprocessCuda, SixChannelsInManyTiles) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t shrink : {1, 2}) {
      for (const int64_t fused : {0, 3, 2}) {
        PreprocessOptions options;
        if (fused > 0) set_fusion(options, Fusion::linear, 6, fused);
        options.dtype = dtype;
        options.shrink = shrink;
        options.crop_height = options.crop_width = 139;
        expect_as_on_cpu(random_bytes({8, 141 * shrink, 143 * shrink + 1, 6}, 15),
                         random_views(8, 3, 5, true), options);
      }
    }
  }
}

// Colours that are ramps need no table: values from 0 to 255, most of whose sums are above 255, and faint ones. Where
// shrink is 3, pixels are at odd addresses or a byte is off the ramp, the table serves.
TEST_F(PreprocessCuda, ColourRampsInManyTiles) {
  const Tensor shares = Colormap::rxrx1().table();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t shrink : {1, 2, 3}) {
      for (const uint64_t below : {256, 40}) {
        for (const Normalization normalization : {Normalization::unit, Normalization::image}) {
          PreprocessOptions options;
          options.fusion = Fusion::colormap;
          options.colormap = ColourTable(shares);
          ASSERT_EQ(options.colormap.ramps().size(), 6u);
          options.dtype = dtype;
          options.shrink = shrink;
          options.normalization = normalization;
          options.crop_height = options.crop_width = 75;
          expect_as_on_cpu(random_bytes({8, 77 * shrink, 79 * shrink + 1, 6}, 19, below),
                           random_views(8, 3, 5, true), options);
        }
      }
    }
  }
}

// Each value of each channel, alone and with all others at their most.
TEST_F(PreprocessCuda, EveryShareOfTheRamps) {
  PreprocessOptions options;
  options.fusion = Fusion::colormap;
  options.colormap = ColourTable(Colormap::rxrx1().table());
  options.normalization = Normalization::unit;
  Tensor images = Tensor::empty({12, 16, 16, 6}, DType::u8);
  for (int64_t i = 0; i < images.elements(); ++i) {
    const int64_t image = i / (256 * 6), value = i / 6 % 256, channel = i % 6;
    images.data<uint8_t>()[i] = static_cast<uint8_t>(channel == image % 6 ? value : image < 6 ? 0 : 255);
  }
  std::vector<View> views(12);
  for (View& view : views) view.gain.fill(255.0f);
  const auto expected = values_of(preprocess(images, views, options));
  EXPECT_EQ(values_of(preprocess(images.to(Device::cuda), views, on_cuda(options)).to(Device::cpu)),
            expected);
}

// More tiles than the grid has blocks, in one image and in many; more tiles of an image than parts of its statistics.
TEST_F(PreprocessCuda, BlocksTakeTilesInTurns) {
  for (const Fusion fusion : {Fusion::none, Fusion::colormap, Fusion::linear}) {
    PreprocessOptions options;
    set_fusion(options, fusion, 4);
    expect_as_on_cpu(random_bytes({1, 200, 230, 4}, 9), random_views(1, 1, 1, false), options);
    expect_as_on_cpu(random_bytes({70, 9, 9, 4}, 10), random_views(70, 1, 1, true), options);
  }
  expect_as_on_cpu(random_bytes({1, 400, 390, 3}, 11), random_views(1, 1, 1, false), {});
}

// One bright pixel in a flat bright image: nothing cancels.
TEST_F(PreprocessCuda, AlmostFlatImages) {
  for (const int64_t shrink : {1, 2, 30}) {
    Tensor images = Tensor::from(std::vector<uint8_t>(128 * 128, 254), {1, 128, 128, 1});
    images.data<uint8_t>()[1000] = 255;
    PreprocessOptions options;
    options.shrink = shrink;
    expect_as_on_cpu(images, std::vector<View>(1), options);
  }
}

// A flat image is its offset, whatever it is fused to: nothing that is rounded by the values' size is left.
TEST_F(PreprocessCuda, FlatImages) {
  for (const int64_t channels : {5, 6}) {
    for (const int64_t shrink : {1, 2}) {
      PreprocessOptions options;
      set_fusion(options, Fusion::linear, channels);
      options.linear_bias = tensor_of({1000.0, 0.25, -30.0}, {3});
      options.shrink = shrink;
      Tensor images = Tensor::empty({3, 40, 42, channels}, DType::u8);
      for (int64_t i = 0; i < images.elements(); ++i)
        images.data<uint8_t>()[i] = static_cast<uint8_t>(255 - i % channels * 37);
      auto views = random_views(3, 1, 1, false);
      for (View& view : views) view.offset = {0.125f, -0.5f, 0.0f};
      const auto y = values_of(preprocess(images.to(Device::cuda), views, on_cuda(options)).to(Device::cpu));
      for (size_t i = 0; i < y.size(); ++i)
        ASSERT_NEAR(y[i], static_cast<double>(views[0].offset[i % 3]), 1e-6) << channels << ", " << i;
    }
  }
}

// Faint structure on bright channels: against f64, by how far values are from their mean and not by their size.
TEST_F(PreprocessCuda, SixFaintChannelsAreRoundedByTheirContrast) {
  constexpr int64_t kSide = 48, kPixels = kSide * kSide;
  PreprocessOptions options;
  set_fusion(options, Fusion::linear, 6);
  Tensor images = random_bytes({1, kSide, kSide, 6}, 18, 2);
  for (int64_t i = 0; i < images.elements(); ++i) {
    uint8_t& byte = images.data<uint8_t>()[i];
    byte = static_cast<uint8_t>(byte + 250 - i % 6 * 10);
  }
  const auto y =
      values_of(preprocess(images.to(Device::cuda), std::vector<View>(1), on_cuda(options)).to(Device::cpu));
  const auto weight = values_of(options.linear_weight), bias = values_of(options.linear_bias);
  for (size_t k = 0; k < 3; ++k) {
    std::vector<double> v(kPixels, bias[k]);
    double mean = 0.0, square = 0.0;
    for (size_t p = 0; p < v.size(); ++p) {
      for (size_t c = 0; c < 6; ++c) v[p] += weight[6 * k + c] * images.data<uint8_t>()[6 * p + c];
      mean += v[p] / kPixels;
    }
    for (const double each : v) square += (each - mean) * (each - mean) / kPixels;
    for (size_t p = 0; p < v.size(); ++p)
      ASSERT_NEAR(y[3 * p + k], (v[p] - mean) / (std::sqrt(square) + 1e-3), 2e-6) << k << ", " << p;
  }
}

// One block takes 1,040 tiles of 32 x 32 boxes, four a thread: 32 bits hold the squares of 1,032 tiles.
TEST_F(PreprocessCuda, SumsOfProductsThatPass32Bits) {
  constexpr int64_t kRows = 1040 * 32, kColumns = 32;
  const ImageView view{};
  const Tensor images = Tensor::full({1, 2 * kRows, 2 * kColumns, 6}, 255.0f, DType::u8).to(Device::cuda);
  const Tensor weight = normal({1, 6}, 1).to(Device::cuda), bias = normal({1}, 2).to(Device::cuda);
  const Tensor views = Tensor::from(std::span(reinterpret_cast<const uint8_t*>(&view), sizeof(view)),
                                    {static_cast<int64_t>(sizeof(view))}, Device::cuda);
  const FusedImages source{.images = images.data<uint8_t>(),
                           .count = 1,
                           .height = 2 * kRows,
                           .width = 2 * kColumns,
                           .channels = 6,
                           .fused = 1,
                           .views = static_cast<const ImageView*>(views.raw()),
                           .weight = weight.data<float>(),
                           .bias = bias.data<float>(),
                           .shrink = 2,
                           .fusion = FusionKind::linear,
                           .rows = kRows,
                           .columns = kColumns};
  ASSERT_EQ(statistics_channels(source), 1 + 6);
  std::array<ChannelMoments, 1 + 6> moments{};
  Tensor result = Tensor::zeros({sizeof(moments)}, DType::u8, Device::cuda);
  backend(Device::cuda).synchronize();
  launch_image_statistics(source, 1, static_cast<ChannelMoments*>(result.raw()), nullptr);
  device::synchronize(nullptr);
  std::memcpy(moments.data(), result.to_vector<uint8_t>().data(), sizeof(moments));
  constexpr double kBoxes = kRows * kColumns, kBox = 4 * 255;
  for (size_t c = 1; c < moments.size(); ++c) {
    EXPECT_EQ(moments[c].sum, kBoxes * kBox) << c;
    EXPECT_EQ(moments[c].square, kBoxes * kBox * kBox) << c;
  }
}

// The last pixel's last byte is the last that may be read, with and without shared memory between.
TEST_F(PreprocessCuda, ReadsNothingBeyondTheImages) {
  for (const Fusion fusion : {Fusion::none, Fusion::colormap, Fusion::linear}) {
    for (const int64_t shrink : {1, 2, 12}) {
      PreprocessOptions options;
      set_fusion(options, fusion, 7);
      options.shrink = shrink;
      expect_as_on_cpu(random_bytes({1, 3 * shrink, 3 * shrink, 7}, 14), std::vector<View>(1), options);
    }
  }
}

// Crops that end with the last row of the last image, but not with its last column: the row after it would be read by
// 16 bytes, in rows that lie alike and in rows that do not.
TEST_F(PreprocessCuda, ReadsNothingBelowTheImages) {
  for (const int64_t width : {66, 67}) {
    PreprocessOptions options;
    options.crop_height = 64;
    options.crop_width = 60;
    expect_as_on_cpu(random_bytes({1, 64, width, 5}, 16), std::vector<View>(1), options);
  }
}

TEST_F(PreprocessCuda, RefusesBoxesWhoseSquaresMayNotFit) {
  PreprocessOptions options;
  options.shrink = 4096;
  const auto of_boxes = [&](int64_t boxes) {
    return preprocess(Tensor::zeros({1, 4096, boxes * 4096, 1}, DType::u8, Device::cuda),
                      std::vector<View>(1), options);
  };
  EXPECT_EQ(of_boxes(1).shape(), Shape({1, 1, 1, 1}));
  EXPECT_THROW(of_boxes(2), CheckError);
}

TEST_F(PreprocessCuda, AnImageDoesNotDependOnTheBatch) {
  PreprocessOptions options;
  options.shrink = 2;
  set_fusion(options, Fusion::linear, 6);
  const PreprocessOptions there = on_cuda(options);
  const Tensor images = random_bytes({5, 150, 150, 6}, 12);
  const auto views = random_views(5, 1, 1, true);
  const auto all = values_of(preprocess(images.to(Device::cuda), views, there).to(Device::cpu));
  const int64_t size = 150 * 150 * 6;
  const Tensor last = Tensor::from(std::span(images.data<uint8_t>() + 4 * size, size), {1, 150, 150, 6});
  const auto alone =
      values_of(preprocess(last.to(Device::cuda), std::span(views).subspan(4), there).to(Device::cpu));
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.end() - static_cast<std::ptrdiff_t>(alone.size())));
}

TEST_F(PreprocessCuda, ABatchOfNone) {
  const Tensor none = Tensor::empty({0, 8, 8, 3}, DType::u8, Device::cuda);
  EXPECT_EQ(preprocess(none, {}, {}).shape(), Shape({0, 8, 8, 3}));
}

// Kernels take any address: what they store must not depend on it, and must end where the result ends.
class PreprocessCudaUnaligned : public PreprocessCuda, public testing::WithParamInterface<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Channels, PreprocessCudaUnaligned, testing::Values(3, 6));
TEST_P(PreprocessCudaUnaligned, ImagesAndResults) {
  constexpr int64_t kSide = 40;
  const int64_t channels = GetParam(), elements = 2 * kSide * kSide * channels;
  const Tensor images = random_bytes({2, kSide, kSide, channels}, 13);
  PreprocessOptions options;
  options.normalization = Normalization::unit;
  const auto expected = values_of(preprocess(images, std::vector<View>(2), options));
  std::vector<ImageView> views(2);
  for (ImageView& view : views) std::fill_n(view.gain, kMaxImageChannels, 1.0f);
  const device::StreamHandle stream;
  const auto to_device = [&](Tensor& destination, int64_t offset, const void* source, size_t bytes) {
    backend(Device::cuda).synchronize();  // its stream may have work for this memory
    device::copy(static_cast<std::byte*>(destination.raw()) + offset, source, bytes, stream.get());
    device::synchronize(stream.get());
  };
  for (int64_t images_offset = 0; images_offset < 16; images_offset += images_offset % 5 == 0 ? 2 : 3) {
    for (int64_t y_offset = 0; y_offset < 4; ++y_offset) {
      under_schedules([&](const std::string&) {
        Tensor x = Tensor::empty({images_offset + elements}, DType::u8, Device::cuda);
        to_device(x, images_offset, images.raw(), images.bytes());
        Tensor on_device =
            Tensor::empty({static_cast<int64_t>(2 * sizeof(ImageView))}, DType::u8, Device::cuda);
        to_device(on_device, 0, views.data(), 2 * sizeof(ImageView));
        Tensor y = Tensor::full({y_offset + elements + 1}, -7.0f, DType::f32, Device::cuda);
        backend(Device::cuda).synchronize();
        launch_preprocess({.images = {.images = x.data<uint8_t>() + images_offset,
                                      .count = 2,
                                      .height = kSide,
                                      .width = kSide,
                                      .channels = static_cast<int32_t>(channels),
                                      .fused = static_cast<int32_t>(channels),
                                      .views = static_cast<const ImageView*>(on_device.raw()),
                                      .rows = kSide,
                                      .columns = kSide},
                           .y = y.data<float>() + y_offset},
                          stream.get());
        device::synchronize(stream.get());
        const auto all = values_of(y.to(Device::cpu));
        const std::vector<double> inside(all.begin() + y_offset, all.end() - 1);
        EXPECT_LE(worst_difference(inside, expected), tolerance(options));
        for (int64_t i = 0; i < y_offset; ++i) EXPECT_EQ(all[i], -7.0);
        EXPECT_EQ(all.back(), -7.0);
      });
    }
  }
}

}  // namespace
}  // namespace cytograd
