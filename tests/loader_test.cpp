#include "data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "tests/support/tiny_data.h"

namespace cytograd {
namespace {

using test::message_of;
using test::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Indices = std::vector<int64_t>;

/// Images on disk; every pixel of image i is i, but for the top left one, which is 200.
struct Images {
  explicit Images(int count, int64_t height = 6, int64_t width = 6) {
    for (int i = 0; i < count; ++i) {
      Image image{height, width, 1,
                  std::vector<uint8_t>(static_cast<size_t>(height * width), static_cast<uint8_t>(i))};
      image.pixels[0] = 200;
      const std::filesystem::path file = dir / fmt::format("i{}.png", i);
      write_png(file, image);
      dataset.samples.push_back({file.filename(), {file}, {}});
      samples.push_back(i);
      labels.push_back(10 * i);
    }
  }

  ImageStore& store(const ImageStoreOptions& options = {}) {
    store_ = std::make_unique<ImageStore>(dataset, options);
    return *store_;
  }

  TempDir dir;
  Dataset dataset;
  Indices samples;
  Indices labels;

 private:
  std::unique_ptr<ImageStore> store_;
};

struct Epoch {
  Indices samples;
  Indices labels;
  Indices sizes;  // of batches
  std::vector<View> views;
  std::vector<std::vector<uint8_t>> pixels;
  std::vector<UnreadableImage> unreadable;
};

Epoch load(Images& images, const LoaderOptions& options, int64_t epoch = 1) {
  Loader loader(images.store({.crop_side = options.crop * options.shrink}), images.samples, images.labels,
                options, epoch);
  Epoch all;
  while (const auto batch = loader.next()) {
    all.samples.insert(all.samples.end(), batch->samples.begin(), batch->samples.end());
    const auto labels = batch->labels.to_vector<int64_t>();
    all.labels.insert(all.labels.end(), labels.begin(), labels.end());
    all.sizes.push_back(batch->images.dim(0));
    all.views.insert(all.views.end(), batch->views.begin(), batch->views.end());
    const auto bytes = batch->images.to_vector<uint8_t>();
    const size_t each = bytes.size() / batch->samples.size();
    for (size_t at = 0; at < bytes.size(); at += each) {
      all.pixels.emplace_back(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                              bytes.begin() + static_cast<std::ptrdiff_t>(at + each));
    }
  }
  all.unreadable = loader.unreadable();
  return all;
}

/// What was drawn for each sample, whatever the order.
std::vector<std::string> drawn(const Epoch& epoch) {
  std::vector<std::string> draws;
  for (size_t i = 0; i < epoch.samples.size(); ++i) {
    const View& view = epoch.views[i];
    const auto corner =
        std::find(epoch.pixels[i].begin(), epoch.pixels[i].end(), 200) - epoch.pixels[i].begin();
    draws.push_back(fmt::format("{:03} {} {} {} {} {}", epoch.samples[i], view.mirror, view.quarter_turns,
                                view.gain[0], view.offset[0], corner));
  }
  std::sort(draws.begin(), draws.end());
  return draws;
}

constexpr Augmentation kAll{.mirror = true, .quarter_turns = true, .brightness = 0.3f};

TEST(Loader, EveryImageComesOnceAnEpochWithItsLabelAndPixels) {
  Images images(11);
  for (const bool shuffle : {false, true}) {
    const Epoch epoch = load(images, {.batch = 4, .shuffle = shuffle});
    EXPECT_EQ(std::set(epoch.samples.begin(), epoch.samples.end()).size(), 11U);
    EXPECT_THAT(epoch.sizes, ElementsAre(4, 4, 3));
    for (size_t i = 0; i < epoch.samples.size(); ++i) {
      EXPECT_EQ(epoch.labels[i], 10 * epoch.samples[i]);
      EXPECT_EQ(epoch.pixels[i][7], epoch.samples[i]);
    }
  }
  EXPECT_EQ(load(images, {.batch = 4}).samples, images.samples);
}

/// The domain of image i is i % 3, or what `sizes` says: so many of domain 0, so many of 1, ...
Indices domains_of_sizes(const Indices& sizes) {
  Indices domains;
  for (size_t d = 0; d < sizes.size(); ++d)
    domains.insert(domains.end(), static_cast<size_t>(sizes[d]), static_cast<int64_t>(d));
  return domains;
}

TEST(Loader, ABatchIsOfOneDomain) {
  Images images(30);
  Indices domains;
  for (int64_t i = 0; i < 30; ++i) domains.push_back(i % 3);
  const LoaderOptions options{.batch = 5, .shuffle = true, .seed = 1, .domains = domains};
  const Epoch epoch = load(images, options);
  EXPECT_EQ(std::set(epoch.samples.begin(), epoch.samples.end()).size(), 30U);
  Indices order;
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(epoch.samples[i] % 3, epoch.samples[i / 5 * 5] % 3) << i;
    EXPECT_EQ(epoch.labels[i], 10 * epoch.samples[i]);
    if (i % 5 == 0) order.push_back(epoch.samples[i] % 3);
  }
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end())) << "batches of the domains come mixed";
  LoaderOptions other = options;
  other.workers = 5;
  EXPECT_EQ(load(images, other).samples, epoch.samples);
  EXPECT_NE(load(images, options, 2).samples, epoch.samples);
}

// Full batches; the rest where it is half a batch, or all there is of its domain; never a single image in training.
TEST(Loader, TheRestOfADomainIsABatchWhereItIsHalfFull) {
  Images images(34);
  LoaderOptions options{.batch = 8, .domains = domains_of_sizes({17, 12, 4, 1})};
  EXPECT_THAT(load(images, options).sizes, ElementsAre(8, 8, 8, 4, 4, 1));
  EXPECT_EQ(epoch_batches(34, options), 6);
  options.drop_single = true;
  EXPECT_THAT(load(images, options).sizes, ElementsAre(8, 8, 8, 4, 4));
  EXPECT_EQ(epoch_batches(34, options), 5);
  options.shuffle = true;
  options.seed = 3;
  std::set<int64_t> seen;  // of domain 0, whose rest of one is another image each time
  for (int64_t epoch = 1; epoch < 8; ++epoch) {
    const Epoch drawn_images = load(images, options, epoch);
    EXPECT_EQ(drawn_images.samples.size(), 32U);
    seen.insert(drawn_images.samples.begin(), drawn_images.samples.end());
  }
  for (int64_t i = 0; i < 33; ++i) EXPECT_TRUE(seen.contains(i)) << i;
}

TEST(Loader, TheOrderDependsOnSeedAndEpochAlone) {
  Images images(30);
  const LoaderOptions options{.batch = 4, .workers = 1, .shuffle = true, .seed = 3};
  const Indices order = load(images, options).samples;
  LoaderOptions other = options;
  other.batch = 7;
  other.workers = 5;
  other.prefetch = 1;
  other.augmentation = kAll;
  EXPECT_EQ(load(images, other).samples, order);
  EXPECT_NE(load(images, options, 2).samples, order);
  other.seed = 4;
  EXPECT_NE(load(images, other).samples, order);
  EXPECT_NE(order, images.samples);
}

TEST(Loader, AugmentationDependsOnSeedEpochAndSampleAlone) {
  Images images(30);
  const LoaderOptions options{
      .batch = 4, .crop = 4, .workers = 1, .shuffle = true, .seed = 3, .augmentation = kAll};
  const std::vector<std::string> draws = drawn(load(images, options));
  LoaderOptions other = options;
  other.batch = 30;
  other.workers = 4;
  other.shuffle = false;
  EXPECT_EQ(drawn(load(images, other)), draws);
  EXPECT_NE(drawn(load(images, options, 2)), draws);
  other.seed = 4;
  EXPECT_NE(drawn(load(images, other)), draws);
  EXPECT_GT(std::set(draws.begin(), draws.end()).size(), 20U);
}

TEST(Loader, OneAugmentationDoesNotChangeAnothersDraws) {
  Images images(20);
  LoaderOptions options{.batch = 4, .crop = 4, .augmentation = kAll};
  const Epoch all = load(images, options);
  options.augmentation = Augmentation{.random_crop = false, .mirror = true};
  const Epoch mirrored = load(images, options);
  for (size_t i = 0; i < all.views.size(); ++i) {
    EXPECT_EQ(all.views[i].mirror, mirrored.views[i].mirror);
    EXPECT_EQ(mirrored.views[i].quarter_turns, 0);
    EXPECT_EQ(mirrored.views[i].gain[0], 1.0f);
  }
}

TEST(Loader, WithoutAugmentationTheCentreIsCut) {
  Images images(1, 5, 9);
  const Epoch epoch = load(images, {.batch = 1, .crop = 1, .shrink = 5});
  EXPECT_EQ(epoch.pixels[0].size(), 25U);
  EXPECT_EQ(epoch.pixels[0][0], 0);  // not the marked corner
  EXPECT_EQ(epoch.views[0].quarter_turns, 0);
}

/// Makes of the first image one whose pixels are 16 * row + column.
void number_pixels(const Images& images, int64_t height, int64_t width) {
  Image image{height, width, 1, {}};
  for (int64_t row = 0; row < height; ++row)
    for (int64_t column = 0; column < width; ++column)
      image.pixels.push_back(static_cast<uint8_t>(16 * row + column));
  write_png(images.dir / "i0.png", image);
}

TEST(Loader, TheCentreIsThatOfBothSides) {
  Images images(1);
  number_pixels(images, 8, 12);
  EXPECT_EQ(load(images, {.batch = 1, .crop = 3}).pixels[0][0], 16 * 2 + 4);
  EXPECT_EQ(load(images, {.batch = 1, .crop = 3, .shrink = 2}).pixels[0][0], 16 * 1 + 3);
}

TEST(Loader, EveryPlaceTurnAndBrightnessIsDrawn) {
  Images images(1);
  number_pixels(images, 5, 6);
  std::set<int> corners;
  std::set<std::pair<bool, int32_t>> turns;
  float least = 1.0f, most = 1.0f, lowest = 0.0f, highest = 0.0f;
  for (int64_t epoch = 1; epoch <= 200; ++epoch) {
    const Epoch drawn = load(images, {.batch = 1, .crop = 3, .augmentation = kAll}, epoch);
    const View& view = drawn.views[0];
    corners.insert(drawn.pixels[0][0]);
    turns.emplace(view.mirror, view.quarter_turns);
    least = std::min(least, view.gain[0]);
    most = std::max(most, view.gain[0]);
    lowest = std::min(lowest, view.offset[0]);
    highest = std::max(highest, view.offset[0]);
  }
  EXPECT_THAT(corners, ElementsAre(0, 1, 2, 3, 16, 17, 18, 19, 32, 33, 34, 35));
  EXPECT_EQ(turns.size(), 8U);
  EXPECT_NEAR(least, std::exp(-0.3f), 0.02f);
  EXPECT_NEAR(most, std::exp(0.3f), 0.02f);
  EXPECT_NEAR(lowest, -0.3f, 0.02f);
  EXPECT_NEAR(highest, 0.3f, 0.02f);
}

TEST(Loader, WholeImagesThatAreNotSquareAreTurnedByHalvesOnly) {
  Images images(40, 4, 6);
  const Epoch epoch = load(images, {.batch = 8, .augmentation = kAll});
  std::set<int32_t> turns;
  for (const View& view : epoch.views) turns.insert(view.quarter_turns);
  EXPECT_THAT(turns, ElementsAre(0, 2));
}

TEST(Loader, ALastBatchOfOneImageIsDroppedOnDemand) {
  Images images(9);
  EXPECT_THAT(load(images, {.batch = 4}).sizes, ElementsAre(4, 4, 1));
  EXPECT_THAT(load(images, {.batch = 4, .drop_single = true}).sizes, ElementsAre(4, 4));
  EXPECT_EQ(epoch_batches(9, {.batch = 4, .drop_single = true}), 2);
  EXPECT_EQ(epoch_batches(1, {.batch = 4, .drop_single = true}), 1);
  LoaderOptions of_domains{.batch = 2, .drop_single = true, .domains = {0, 0, 0, 1, 1, 1, 1, 1, 1}};
  EXPECT_THAT(load(images, of_domains).sizes, testing::Each(2));
  EXPECT_EQ(epoch_batches(9, of_domains), 4);
}

TEST(Loader, UnreadableImagesAreLeftOutAndReported) {
  Images images(8);
  for (const int i : {1, 4, 5, 6, 7}) images.dir.write(fmt::format("i{}.png", i), "no picture");
  const Epoch epoch = load(images, {.batch = 2});
  EXPECT_THAT(epoch.samples, ElementsAre(0, 2, 3));
  EXPECT_THAT(epoch.labels, ElementsAre(0, 20, 30));
  EXPECT_THAT(epoch.sizes, ElementsAre(1, 2));
  ASSERT_EQ(epoch.unreadable.size(), 5U);
  EXPECT_EQ(epoch.unreadable[0].sample, 1);
  EXPECT_THAT(epoch.unreadable[0].reason, HasSubstr("i1.png: is not a PNG"));
}

TEST(Loader, AnImageOfAnotherSizeIsAnErrorOfTheCaller) {
  Images images(8);
  write_png(images.dir / "i5.png", {3, 3, 1, std::vector<uint8_t>(9)});
  EXPECT_THAT(message_of<UnskippableError>([&] { load(images, {.batch = 2, .workers = 3}); }),
              HasSubstr("i5.png is 3 x 3 pixels but"));
  EXPECT_THAT(message_of<UnskippableError>([&] { load(images, {.batch = 2, .crop = 4}); }),
              HasSubstr("smaller than the crop of 4"));
  EXPECT_EQ(load(images, {.batch = 2, .crop = 3}).samples.size(), 8U);
}

TEST(Loader, NothingToLoadIsAnError) {
  Images images(1);
  EXPECT_THAT(message_of<Error>([&] { Loader(images.store(), {}, {}, {}, 1); }),
              HasSubstr("no images to load"));
  EXPECT_THROW(Loader(images.store(), {0}, {1, 2}, {}, 1), CheckError);
}

TEST(Loader, WithoutLabelsTheyAreMinusOne) {
  Images images(2);
  Loader loader(images.store(), images.samples, {}, {.batch = 2}, 1);
  EXPECT_THAT(loader.next()->labels.to_vector<int64_t>(), ElementsAre(-1, -1));
  EXPECT_FALSE(loader.next());
  EXPECT_FALSE(loader.next());
}

TEST(Loader, ALoaderMayBeDroppedInTheMiddleOfAnEpoch) {
  Images images(40);
  for (int taken = 0; taken < 4; ++taken) {
    Loader loader(images.store(), images.samples, images.labels, {.batch = 2, .workers = 4, .prefetch = 2},
                  1);
    for (int i = 0; i < taken; ++i) ASSERT_TRUE(loader.next());
  }
}

}  // namespace
}  // namespace cytograd
