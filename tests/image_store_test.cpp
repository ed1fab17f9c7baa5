#include "data/image_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/tiny_data.h"

namespace cytograd {
namespace {

using test::message_of;
using test::TempDir;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Grey images of 4 x 4 pixels, each of its own level.
class ImageStoreTest : public ::testing::Test {
 protected:
  ImageStoreTest() {
    for (int i = 0; i < 5; ++i) add(fmt::format("i{}.png", i), 4, 1, static_cast<uint8_t>(i));
  }

  void add(const std::string& name, int64_t side, int64_t channels, uint8_t level) {
    write_png(dir / name, {side, side, channels,
                           std::vector<uint8_t>(static_cast<size_t>(side * side * channels), level)});
    dataset.samples.push_back({name, {dir / name}, {}});
  }

  std::vector<int64_t> preload(ImageStore& store, int workers = 2) {
    std::vector<int64_t> samples;
    for (const UnreadableImage& image : store.preload(workers, {})) samples.push_back(image.sample);
    return samples;
  }

  TempDir dir;
  Dataset dataset;
};

TEST_F(ImageStoreTest, WhatFitsIsInMemoryAfterwards) {
  ImageStore store(dataset, {});
  EXPECT_THAT(preload(store), IsEmpty());
  EXPECT_TRUE(store.complete());
  std::filesystem::remove_all(dir.path());
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(store.get(i).pixels[3], i);
}

TEST_F(ImageStoreTest, WhatDoesNotFitComesFromDisk) {
  ImageStore store(dataset, {.cache_bytes = 40});
  EXPECT_THAT(preload(store, 1), IsEmpty());
  EXPECT_FALSE(store.complete());
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(store.get(i).pixels[3], i);
  std::filesystem::remove_all(dir.path());
  EXPECT_EQ(store.get(1).pixels[3], 1);
  EXPECT_THAT(message_of<Error>([&] { store.get(2); }), HasSubstr("i2.png: no such file"));
}

TEST_F(ImageStoreTest, UnreadableImagesAreReportedInOrderWithReasons) {
  dir.write("i1.png", "");
  dir.write("i4.png", "text");
  ImageStore store(dataset, {});
  const std::vector<UnreadableImage> unreadable = store.preload(3, {});
  ASSERT_EQ(unreadable.size(), 2U);
  EXPECT_EQ(unreadable[0].sample, 1);
  EXPECT_THAT(unreadable[0].reason, HasSubstr("i1.png: is empty"));
  EXPECT_EQ(unreadable[1].sample, 4);
  EXPECT_TRUE(store.complete());
  EXPECT_THROW(store.get(1), Error);
}

TEST_F(ImageStoreTest, TheFirstReadableImageIsTheMeasure) {
  dir.write("i0.png", "text");
  const ImageStore store(dataset, {});
  EXPECT_EQ(store.reference().height, 4);
  EXPECT_EQ(store.reference().channels, 1);
  for (int i = 0; i < 5; ++i) dir.write(fmt::format("i{}.png", i), "text");
  EXPECT_THAT(message_of<Error>([&] { ImageStore(dataset, {}); }),
              HasSubstr("no image can be read; the first: " + (dir / "i0.png").string()));
}

TEST_F(ImageStoreTest, AnImageThatDoesNotFitStopsThePreload) {
  add("large.png", 6, 1, 0);
  ImageStore whole(dataset, {});
  EXPECT_THAT(message_of<UnskippableError>([&] { whole.preload(2, {}); }),
              HasSubstr("large.png is 6 x 6 pixels but"));
  ImageStore cropped(dataset, {.crop_side = 4});
  EXPECT_THAT(preload(cropped), IsEmpty());
  ImageStore too_large(dataset, {.crop_side = 5});
  EXPECT_THAT(message_of<UnskippableError>([&] { too_large.preload(2, {}); }),
              HasSubstr("smaller than the crop of 5"));
}

TEST_F(ImageStoreTest, ACropFitsIntoBothSides) {
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{3, 6}, {6, 3}}) {
    write_png(dir / "i3.png", {height, width, 1, std::vector<uint8_t>(18)});
    ImageStore cropped(dataset, {.crop_side = 4});
    EXPECT_THAT(
        message_of<UnskippableError>([&] { cropped.preload(2, {}); }),
        HasSubstr(fmt::format("i3.png is {} x {} pixels, smaller than the crop of 4", width, height)));
  }
}

TEST_F(ImageStoreTest, GreyAndColourDoNotMix) {
  add("colour.png", 4, 3, 0);
  ImageStore store(dataset, {});
  EXPECT_THAT(message_of<UnskippableError>([&] { store.preload(2, {}); }),
              AllOf(HasSubstr("colour.png has 3 channels but"), HasSubstr("i0.png has 1")));
}

TEST_F(ImageStoreTest, SeveralFilesMakeOneImage) {
  dataset.samples = {{"well", {dir / "i1.png", dir / "i2.png", dir / "i3.png"}, {}}};
  ImageStore store(dataset, {});
  EXPECT_EQ(store.reference().channels, 3);
  const StoredImage image = store.get(0);
  EXPECT_EQ(image.bytes(), 48U);
  for (size_t c = 0; c < 3; ++c) EXPECT_EQ(image.pixels[3 + c], c + 1);
}

TEST_F(ImageStoreTest, ASampleThatIsNotThereIsAMistakeOfTheCaller) {
  ImageStore store(dataset, {});
  EXPECT_THROW(store.get(5), CheckError);
  EXPECT_THROW(store.get(-1), CheckError);
}

TEST(AvailableMemory, IsMoreThanNothing) { EXPECT_GT(available_memory(), size_t{1} << 20); }

TEST(AvailableMemory, OfAGroupIsWhatItsLimitLeaves) {
  const test::TempDir dir;
  EXPECT_EQ(available_in_group(dir / "absent"), SIZE_MAX);
  dir.write("memory.max", "max\n");
  EXPECT_EQ(available_in_group(dir.path()), SIZE_MAX);
  dir.write("memory.max", "1000\n");
  EXPECT_EQ(available_in_group(dir.path()), 1000);
  dir.write("memory.current", "700\n");
  EXPECT_EQ(available_in_group(dir.path()), 300);
  dir.write("memory.stat", "anon 400\nactive_file 50\ninactive_file 250\nslab 0\n");
  EXPECT_EQ(available_in_group(dir.path()), 550);
  dir.write("memory.current", "1200\n");
  dir.write("memory.stat", "inactive_file 0\n");
  EXPECT_EQ(available_in_group(dir.path()), 0);
}

}  // namespace
}  // namespace cytograd
