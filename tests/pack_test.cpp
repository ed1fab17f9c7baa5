// Packs: what was packed comes back, bit for bit, and whatever is damaged is an error that names the place.
#include "data/pack.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <regex>

#include "data/csv.h"
#include "engine/safetensors.h"
#include "tests/support/hostile_pack.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
namespace fs = std::filesystem;

class PackTest : public ::testing::Test {
 protected:
  PackTest() { write_tiny_data(dir / "data", {.images = 24, .side = 17, .channels = 3}); }

  /// Shards of four images of 867 bytes.
  PackSummary pack(PackOptions options = {}) {
    options.out = out;
    options.shard_bytes = 4 * 867;
    options.note = [this](const std::string& line) { notes.push_back(line); };
    return write_pack(open_dataset(dir / "data"), options);
  }

  void flip(const fs::path& file, size_t at) const {
    std::string bytes = read_file(file);
    ASSERT_LT(at, bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    dir.write(file, bytes);
  }

  /// What opening the pack and verifying it says; "" where all is well.
  std::string flaw() const {
    return message_of<Error>([&] { open_pack(out).samples.front().pack->verify(2, {}); });
  }

  TempDir dir;
  const fs::path out = dir / "pack";
  std::vector<std::string> notes;
};

void expect_same_dataset(const Dataset& a, const Dataset& b) {
  EXPECT_EQ(a.layout, b.layout);
  EXPECT_EQ(a.columns, b.columns);
  EXPECT_EQ(a.label_column, b.label_column);
  EXPECT_EQ(a.group_column, b.group_column);
  EXPECT_EQ(a.named_samples, b.named_samples);
  ASSERT_EQ(a.samples.size(), b.samples.size());
  ASSERT_EQ(a.incomplete.size(), b.incomplete.size());
  ASSERT_EQ(a.missing.size(), b.missing.size());
  for (size_t i = 0; i < a.samples.size(); ++i) {
    EXPECT_EQ(a.samples[i].name, b.samples[i].name);
    EXPECT_EQ(a.samples[i].values, b.samples[i].values);
  }
  for (size_t i = 0; i < a.incomplete.size(); ++i) {
    EXPECT_EQ(a.incomplete[i].name, b.incomplete[i].name);
    EXPECT_EQ(a.incomplete[i].values, b.incomplete[i].values);
  }
  for (size_t i = 0; i < a.missing.size(); ++i) {
    EXPECT_EQ(a.missing[i].sample, b.missing[i].sample);
    EXPECT_EQ(a.missing[i].file, b.missing[i].file);
    EXPECT_EQ(a.missing[i].reason, b.missing[i].reason);
  }
}

TEST_F(PackTest, GivesTheDatasetThatWasPacked) {
  fs::remove(dir / "data/i7.png");
  pack({.max_missing = 0.1});
  const Dataset source = open_dataset(dir / "data"), packed = open_dataset(out);
  EXPECT_TRUE(packed.packed);
  expect_same_dataset(source, packed);
  for (size_t i = 0; i < source.samples.size(); ++i) {
    const Image a = read_sample(source.samples[i]), b = read_sample(packed.samples[i]);
    EXPECT_EQ(a.pixels, b.pixels);
    EXPECT_EQ(read_sample_info(packed.samples[i]).width, a.width);
    EXPECT_EQ(read_sample_info(packed.samples[i]).channels, 3);
  }
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, ShardsAreSafetensorsOfImagesByName) {
  const PackSummary summary = pack();
  EXPECT_EQ(summary.images, 24);
  EXPECT_EQ(summary.shards, 6U);
  EXPECT_THAT(listing(out),
              ElementsAre("index.csv", "missing.csv", "pack.json", "shard-00000.safetensors",
                          "shard-00001.safetensors", "shard-00002.safetensors", "shard-00003.safetensors",
                          "shard-00004.safetensors", "shard-00005.safetensors", "tables"));
  const SafetensorsFile shard = read_safetensors(out / "shard-00001.safetensors");
  ASSERT_THAT(shard.tensors, SizeIs(4));
  const Tensor* image = shard.find("i4.png");
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->shape(), Shape({17, 17, 3}));
  EXPECT_EQ(image->to_vector<uint8_t>(), tiny_image({.side = 17, .channels = 3}, 4).pixels);
  const CsvTable index = read_csv(out / "index.csv");
  const std::vector<uint8_t> pixels = image->to_vector<uint8_t>();
  EXPECT_EQ(index.rows[4][index.require_column("crc32")],
            fmt::format("{:08x}", crc32_z(0, pixels.data(), pixels.size())));
}

TEST_F(PackTest, IsTheSameWhateverTheThreads) {
  pack({.workers = 1});
  const Words names = listing(out);
  std::map<std::string, std::string> bytes;
  for (const std::string& name : names) {
    if (fs::is_regular_file(out / name)) bytes[name] = read_file(out / name);
  }
  fs::remove_all(out);
  pack({.workers = 7});
  EXPECT_EQ(listing(out), names);
  for (const auto& [name, content] : bytes) EXPECT_EQ(read_file(out / name), content) << name;
}

TEST_F(PackTest, UnreadableImagesKeepTheirPlaceAndReason) {
  dir.write("data/i5.png", "text");
  dir.write("data/i23.png", "");
  EXPECT_THAT(message_of<Error>([&] { pack({.max_missing = 0.05}); }),
              AllOf(HasSubstr("2 of 24 images are missing or unreadable, more than --max-missing 0.05"),
                    HasSubstr("i5.png: is not a PNG")));
  EXPECT_FALSE(fs::exists(out / "pack.json"));
  const PackSummary summary = pack({.max_missing = 0.1});
  EXPECT_EQ(summary.unreadable, 2);
  EXPECT_EQ(summary.resumed, 24) << "the shards of the first call are used";
  const Dataset packed = open_pack(out);
  EXPECT_EQ(packed.samples[5].name, "i5.png");
  EXPECT_THAT(message_of<Error>([&] { read_stored(packed.samples[5]); }),
              AllOf(HasSubstr("i5.png: is not a PNG"), HasSubstr("when it was packed")));
  EXPECT_EQ(read_sample(packed.samples[6]).pixels, tiny_image({.side = 17, .channels = 3}, 6).pixels);
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, GoesOnFromTheShardsThatAreWhole) {
  pack();
  std::map<std::string, std::string> bytes;
  for (const std::string& name : listing(out)) {
    if (fs::is_regular_file(out / name)) bytes[name] = read_file(out / name);
  }
  for (const char* name : {"pack.json", "index.csv", "shard-00004.safetensors", "shard-00005.safetensors"})
    fs::remove(out / name);
  dir.write("pack/shard-00004.safetensors.tmp.77", "half");
  dir.write("pack/tables/labels.csv.tmp.77", "half");
  dir.write("pack/tables/train/labels.csv.tmp.77", "half");
  dir.write("elsewhere/labels.csv.tmp.77", "mine");
  fs::create_directory_symlink(dir / "elsewhere", out / "tables/linked");
  EXPECT_THAT(message_of<Error>([&] { open_dataset(out); }), HasSubstr("not finished; run 'cytograd pack'"));
  EXPECT_EQ(pack().resumed, 16);
  for (const auto& [name, content] : bytes) EXPECT_EQ(read_file(out / name), content) << name;
  for (const char* left :
       {"shard-00004.safetensors.tmp.77", "tables/labels.csv.tmp.77", "tables/train/labels.csv.tmp.77"})
    EXPECT_FALSE(fs::exists(out / left)) << left;
  EXPECT_TRUE(fs::exists(dir / "elsewhere/labels.csv.tmp.77"));
  EXPECT_THAT(notes, IsEmpty());
}

TEST_F(PackTest, ADamagedShardIsPackedAgain) {
  pack();
  const std::string whole = read_file(out / "shard-00002.safetensors");
  fs::remove(out / "pack.json");
  for (const size_t at : {size_t{3}, size_t{100}, whole.size() - 5}) {
    flip(out / "shard-00002.safetensors", at);
    const PackSummary summary = pack();
    EXPECT_EQ(read_file(out / "shard-00002.safetensors"), whole) << at;
    EXPECT_LE(summary.resumed, 8);
    EXPECT_EQ(flaw(), "");
    fs::remove(out / "pack.json");
  }
  EXPECT_THAT(notes, SizeIs(3));
}

TEST_F(PackTest, AWholePackIsLeftAsItIs) {
  pack();
  const auto time = fs::last_write_time(out / "shard-00000.safetensors");
  const PackSummary again = pack();
  EXPECT_TRUE(again.was_whole);
  EXPECT_EQ(again.images, 24);
  EXPECT_EQ(fs::last_write_time(out / "shard-00000.safetensors"), time);
}

TEST_F(PackTest, AWholePackThatWasDamagedIsPackedAgain) {
  pack();
  for (const std::string& name :
       Words{"pack.json", "index.csv", "tables/labels.csv", "shard-00002.safetensors"}) {
    const std::string whole = read_file(out / name);
    flip(out / name, whole.size() - 2);
    notes.clear();
    EXPECT_FALSE(pack().was_whole) << name;
    EXPECT_EQ(read_file(out / name), whole);
    EXPECT_THAT(notes, ::testing::Contains(HasSubstr("packing again: " + (out / name).string())));
    EXPECT_EQ(flaw(), "");
  }
}

TEST_F(PackTest, WhatCanBeReadSinceIsPacked) {
  const std::string whole = read_file(dir / "data/i5.png");
  dir.write("data/i5.png", "text");
  EXPECT_EQ(pack({.max_missing = 0.1}).unreadable, 1);
  EXPECT_EQ(pack({.max_missing = 0.1}).unreadable, 1) << "and a whole pack says so again";
  EXPECT_THAT(message_of<Error>([&] { pack({.max_missing = 0.0}); }),
              AllOf(HasSubstr("i5.png"), HasSubstr("more than --max-missing 0 allows")));
  EXPECT_EQ(flaw(), "") << "it stays";
  dir.write("data/i5.png", whole);
  EXPECT_EQ(pack().unreadable, 0);
  EXPECT_EQ(read_sample(open_pack(out).samples[5]).pixels, tiny_image({.side = 17, .channels = 3}, 5).pixels);
  EXPECT_EQ(flaw(), "");
  // Nor does a pack that was never finished keep its verdict.
  fs::remove_all(out);
  dir.write("data/i5.png", "text");
  EXPECT_THAT(message_of<Error>([&] { pack({.max_missing = 0.0}); }), HasSubstr("i5.png"));
  dir.write("data/i5.png", whole);
  EXPECT_EQ(pack({.max_missing = 0.0}).unreadable, 0);
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, AnotherDatasetIsNotMixedIn) {
  pack();
  write_png(dir / "data/i24.png", tiny_image({.side = 17, .channels = 3}, 24));
  std::ofstream(dir / "data/labels.csv", std::ios::app) << "i24.png,c0,g0\n";
  EXPECT_THAT(message_of<Error>([&] { pack(); }), HasSubstr("the pack of another dataset"));
  fs::remove(out / "pack.json");
  EXPECT_THAT(message_of<Error>([&] { pack(); }),
              AllOf(HasSubstr("shard-00000.safetensors"), HasSubstr("another dataset")));
}

TEST_F(PackTest, OtherImagesByTheSameNamesAreNotMixedIn) {
  pack();
  for (const bool finished : {true, false}) {
    if (!finished) fs::remove(out / "pack.json");
    for (const char* name : {"i8.png", "i11.png"}) {  // the first and the last of a shard
      const std::string own = read_file(dir / "data" / name);
      write_png(dir / "data" / name, tiny_image({.side = 17, .channels = 3}, 99));
      EXPECT_THAT(message_of<Error>([&] { pack(); }),
                  AllOf(HasSubstr("shard-00002.safetensors: holds image"), HasSubstr(name)));
      dir.write(fs::path("data") / name, "text");
      EXPECT_EQ(pack().images, 24) << "what is broken since was packed before";
      if (!finished) fs::remove(out / "pack.json");
      dir.write(fs::path("data") / name, own);
    }
  }
  EXPECT_EQ(pack().resumed, 24);
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, TablesOfAFinishedPackAreThoseOfTheDataset) {
  const TempDir two;
  write_tiny_data(two / "data", {.images = 8, .channels = 2});
  const auto pack_two = [&] {
    return write_pack(
        open_dataset(two / "data"),
        {.out = out, .max_missing = 1.0, .note = [&](const std::string& line) { notes.push_back(line); }});
  };
  const std::string first = read_file(two / "data/i3_w1.png");
  fs::remove(two / "data/i3_w1.png");
  pack_two();
  EXPECT_TRUE(pack_two().was_whole);
  const Dataset spelled = open_dataset(two / "data/../data/");
  EXPECT_TRUE(write_pack(spelled, {.out = out, .max_missing = 1.0}).was_whole);
  two.write("data/i3_w1.png", first);
  fs::remove(two / "data/i3_w2.png");  // incomplete as before, but another file is missing
  EXPECT_EQ(pack_two().resumed, 7);
  EXPECT_THAT(read_file(out / "missing.csv"), AllOf(HasSubstr("i3_w2.png"), Not(HasSubstr("i3_w1.png,"))));
  const std::string labels = read_file(two / "data/labels.csv");
  const size_t line = labels.find('\n') + 1, next = labels.find('\n', line) + 1;
  two.write("data/labels.csv",
            labels.substr(0, line) + labels.substr(next) + labels.substr(line, next - line));
  EXPECT_EQ(pack_two().resumed, 7);
  EXPECT_EQ(read_file(out / "tables/labels.csv"), read_file(two / "data/labels.csv"));
  EXPECT_TRUE(pack_two().was_whole);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("packing again: " + (out / "missing.csv").string()),
                                 HasSubstr("packing again: " + (out / "tables/labels.csv").string())));
}

TEST_F(PackTest, ShardsOfAPackThatHadMoreAreRemoved) {
  pack();
  fs::copy_file(out / "shard-00005.safetensors", out / "shard-00009.safetensors");
  fs::remove(out / "pack.json");
  pack();
  EXPECT_FALSE(fs::exists(out / "shard-00009.safetensors"));
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, AShardThatGoesWhileOthersArePackedIsAnError) {
  const auto lose = [&](int64_t images) {
    if (images == 20) fs::remove(out / "shard-00001.safetensors");
  };
  EXPECT_THAT(message_of<Error>([&] { pack({.progress = lose}); }),
              HasSubstr("shard-00001.safetensors: was removed or changed while others were packed"));
  EXPECT_FALSE(fs::exists(out / "pack.json"));
  EXPECT_EQ(pack().images, 24);
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, ShardsThatClaimWhatNoImageHasArePackedAgain) {
  dir.write("data/i5.png", "text");
  const PackOptions lenient{.max_missing = 0.1};
  pack(lenient);
  for (const auto& [said, instead] : {std::pair{R"("shape":\[17,17,3\])", R"("shape":[17,3,17])"},
                                      std::pair{R"("shape":\[17,17,3\])", R"("shape":[0,171,3])"},
                                      std::pair{R"(\\"i5.png\\":\\"[^"]*\\")", R"(\"i5.png\":\"\")"}}) {
    const std::string shard = "pack/shard-00001.safetensors", whole = read_file(dir / shard);
    std::string changed = std::regex_replace(whole, std::regex(said), instead);
    ASSERT_NE(changed, whole) << said;
    changed.insert(changed.find(R"(\"has_16_bits)"), whole.size() - changed.size(), ' ');  // of equal length
    dir.write(shard, changed);
    fs::remove(out / "pack.json");
    notes.clear();
    EXPECT_EQ(pack(lenient).unreadable, 1);
    EXPECT_EQ(read_file(dir / shard), whole) << said;
    EXPECT_THAT(notes, ::testing::Contains(HasSubstr("packing again: " + (dir / shard).string())));
    EXPECT_EQ(flaw(), "");
  }
}

TEST_F(PackTest, AnImageThatTurnsUpAndAColumnOfAnotherNameMakeAnotherDataset) {
  const std::string last = read_file(dir / "data/i23.png"), labels = read_file(dir / "data/labels.csv");
  fs::remove(dir / "data/i23.png");
  pack({.max_missing = 1.0});
  EXPECT_TRUE(pack({.max_missing = 1.0}).was_whole);
  dir.write("data/i23.png", last);
  EXPECT_THAT(message_of<Error>([&] { pack(); }), HasSubstr("of one that has changed since"));
  fs::remove_all(out);
  const auto with_column = [&](const std::string& name) {
    const std::string table = std::regex_replace(labels, std::regex("\n"), ",1\n");
    dir.write("data/labels.csv", std::regex_replace(table, std::regex("group,1"), "group," + name));
  };
  with_column("dose");
  pack();
  EXPECT_TRUE(pack().was_whole);
  with_column("time");
  EXPECT_THAT(message_of<Error>([&] { pack(); }), HasSubstr("of one that has changed since"));
}

TEST_F(PackTest, AnotherLabelOrWhiteMakesAnotherPack) {
  pack();
  const std::string labels = read_file(dir / "data/labels.csv");
  dir.write("data/labels.csv", std::regex_replace(labels, std::regex("i5.png,c1"), "i5.png,c0"));
  EXPECT_THAT(message_of<Error>([&] { pack(); }), HasSubstr("of one that has changed since"));
  dir.write("data/labels.csv", labels);
  EXPECT_THAT(message_of<Error>([&] { pack({.read = {.white = 4095}}); }), HasSubstr("of another --white"));
}

TEST_F(PackTest, AFinishedPackIsNoneOnceAShardOfItIsReplaced) {
  pack();
  flip(out / "shard-00001.safetensors", 1000);
  dir.write("data/i5.png", "text");
  EXPECT_THAT(message_of<Error>([&] { pack({.max_missing = 0.0}); }), HasSubstr("i5.png"));
  EXPECT_THAT(message_of<Error>([&] { open_pack(out); }), HasSubstr("holds a pack that is not finished"));
  EXPECT_EQ(pack({.max_missing = 1.0}).unreadable, 1);
}

// So many could not be mapped at once, which would show when hours of packing are over.
TEST_F(PackTest, MoreShardsThanAReaderCanMapAreRefusedBeforehand) {
  Dataset dataset = open_dataset(dir / "data");
  const Sample sample = dataset.samples.front();
  for (size_t i = dataset.samples.size(); i < 30'001; ++i) {
    dataset.samples.push_back(sample);
    dataset.samples.back().name = std::to_string(i);
  }
  dataset.named_samples = 30'001;
  const auto each_its_own = [&] { write_pack(dataset, {.out = out, .shard_bytes = 867}); };
  EXPECT_THAT(message_of<Error>(each_its_own), HasSubstr("would be 30001 shards, more than the 30000"));
  EXPECT_FALSE(fs::exists(out)) << "nothing is left of it";
}

TEST_F(PackTest, AFolderOfOtherFilesIsNotWrittenInto) {
  dir.write("pack/notes.txt", "mine");
  EXPECT_THAT(message_of<Error>([&] { pack(); }), AllOf(HasSubstr("holds other files, such as notes.txt")));
  EXPECT_THAT(listing(out), ElementsAre("notes.txt"));
  fs::rename(out / "notes.txt", out / "index.csv");  // called as a pack's, but there is no pack
  EXPECT_THAT(message_of<Error>([&] { pack(); }), AllOf(HasSubstr("holds other files, such as index.csv")));
  EXPECT_EQ(read_file(out / "index.csv"), "mine");
  fs::rename(out / "index.csv", out / "pack.json");
  for (const char* mine : {"mine", R"({"format": "mine"})"}) {
    dir.write("pack/pack.json", mine);
    EXPECT_THAT(message_of<Error>([&] { pack(); }), HasSubstr("holds other files, such as pack.json"));
    EXPECT_EQ(read_file(out / "pack.json"), mine);
  }
}

TEST_F(PackTest, TheSecondProcessStops) {
  fs::create_directory(out);
  const int held = open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  EXPECT_THAT(message_of<Error>([&] { pack(); }), HasSubstr("another process is packing into this folder"));
  close(held);
  EXPECT_THAT(listing(out), IsEmpty());
  EXPECT_EQ(pack().images, 24);
}

// Every byte of a pack is covered by a checksum: one changed bit anywhere is found, with the file's name.
TEST_F(PackTest, EveryChangedByteIsFound) {
  pack();
  for (const std::string& name : Words{"pack.json", "index.csv", "missing.csv", "tables/labels.csv",
                                       "shard-00000.safetensors", "shard-00005.safetensors"}) {
    const std::string whole = read_file(out / name);
    const size_t places = name == "pack.json" ? whole.size() : 40;
    for (size_t i = 0; i < places; ++i) {
      const size_t at = i * (whole.size() - 1) / (places - 1);
      flip(out / name, at);
      const std::string message = flaw();
      EXPECT_THAT(message, HasSubstr(out.string())) << name << " at " << at;
      EXPECT_THAT(message,
                  AnyOf(HasSubstr("byte"), HasSubstr("not the description"), HasSubstr("is of version")))
          << name << " at " << at;
      dir.write(out / name, whole);
    }
  }
  EXPECT_EQ(flaw(), "");
}

TEST_F(PackTest, ADamagedImageNamesItsBytesWhenItIsRead) {
  pack();
  const SafetensorsHeader header = read_safetensors_header(out / "shard-00003.safetensors");
  const SafetensorsEntry& entry = header.entries[1];
  flip(out / "shard-00003.safetensors", entry.offset + 10);
  const Dataset packed = open_pack(out);
  EXPECT_EQ(read_sample(packed.samples[12]).pixels, tiny_image({.side = 17, .channels = 3}, 12).pixels);
  EXPECT_THAT(message_of<UnskippableError>([&] { read_stored(packed.samples[13]); }),
              AllOf(HasSubstr("shard-00003.safetensors: image 'i13.png'"),
                    HasSubstr(fmt::format("bytes {} to {}", entry.offset, entry.offset + 867))));
}

TEST_F(PackTest, AShardThatIsCutShortOrGoneIsAnError) {
  pack();
  const fs::path shard = out / "shard-00001.safetensors";
  const uint64_t bytes = fs::file_size(shard);
  fs::resize_file(shard, bytes - 1);
  EXPECT_THAT(flaw(),
              HasSubstr(fmt::format("shard-00001.safetensors: has {} bytes, but {}", bytes - 1, bytes)));
  fs::remove(shard);
  EXPECT_THAT(flaw(), AllOf(HasSubstr("shard-00001.safetensors"), HasSubstr("No such file")));
}

/// Another pack.json or index.csv, whose checksums are made to fit: what an attacker would do.
class HostileIndex : public PackTest {
 protected:
  std::string with_description(const std::string& pattern, const std::string& with) {
    change_description(dir, out, pattern, with);
    return flaw();
  }

  std::string with_index(const std::function<std::string(std::string)>& change) {
    change_index(dir, out, change);
    return flaw();
  }

  std::string replaced(const std::string& pattern, const std::string& with) {
    return with_index([&](const std::string& text) {
      return std::regex_replace(text, std::regex(pattern), with, std::regex_constants::format_first_only);
    });
  }
};

TEST_F(HostileIndex, IsReadWithCare) {
  pack();
  EXPECT_EQ(with_index([](const std::string& text) { return text; }), "") << "the checksums fit";
  const std::string index = read_file(out / "index.csv");
  const std::vector<std::pair<std::string, std::string>> changes{
      {"i3.png,0,", "i3.png,9,"},                       // no such shard
      {"i3.png,0,", "i3.png,-1,"},                      // no number
      {"(i3.png,0),[0-9]+,", "$1,0,"},                  // in the header
      {"(i3.png,0),[0-9]+,", "$1,99999999999999999,"},  // behind the end
      {"(i3.png,0,[0-9]+),17,", "$1,268435456,"},       // huge
      {"(i3.png,0,[0-9]+),17,", "$1,18,"},              // reaches behind the end
      {"(i3.png,0,[0-9]+),17,", "$1,0,"},               // empty
      {"(i3.png,0,[0-9]+,17,17),3,", "$1,9,"},          // too many channels
      {"i3.png,0,", "i2.png,0,"},                       // twice
      {",packed,", ",there,"},
      {",state,", ",states,"},
  };
  for (const auto& [pattern, with] : changes) {
    dir.write(out / "index.csv", index);
    EXPECT_THAT(replaced(pattern, with), HasSubstr("index.csv")) << pattern << " " << with;
  }
}

TEST_F(HostileIndex, NumbersOfItsDescriptionAreWholeAndFit) {
  pack();
  const std::string json = read_file(out / "pack.json");
  const std::pair<std::string, std::string> changes[] = {
      {R"("white": \d+)", R"("white": -5)"},
      {R"("white": \d+)", R"("white": 65536)"},
      {R"("white": \d+)", R"("white": 1099511631871)"},
      {R"("white": \d+)", R"("white": 1e+99)"},
      {R"("white": \d+)", R"("white": true)"},
      {R"("header_bytes": \d+)", R"("header_bytes": 1e+30)"},
      {R"("header_bytes": \d+)", R"("header_bytes": 18446744073709551615)"},
      {R"("header_crc32": "[^"]+")", R"("header_crc32": "-1")"}};
  for (const auto& [pattern, with] : changes) {
    dir.write(out / "pack.json", std::regex_replace(json, std::regex(R"("white": null)"), R"("white": 255)"));
    const std::string found = with_description(pattern, with);
    EXPECT_THAT(found, HasSubstr("pack.json: ")) << with;
    EXPECT_THAT(found, AnyOf(HasSubstr("is not a whole number from "),
                             HasSubstr("crc32 is '-1', not eight hexadecimal digits")))
        << with;
  }
}

TEST_F(HostileIndex, AnotherVersionIsNotRead) {
  pack();
  EXPECT_THAT(with_description(R"("version": 1)", R"("version": 2)"),
              HasSubstr("pack.json: is of version 2, and this program reads version 1"));
}

TEST_F(HostileIndex, NoFileOutsideOfThePackIsRead) {
  pack();
  const std::string json = read_file(out / "pack.json");
  fs::copy(out / "index.csv", dir / "index.csv");
  const std::string absolute = (dir / "index.csv").string();
  for (const std::string& file :
       {std::string("../index.csv"), std::string("tables/../../index.csv"), absolute}) {
    dir.write(out / "pack.json", json);
    EXPECT_THAT(with_description(R"("file": "index.csv")", "\"file\": \"" + file + "\""),
                AllOf(HasSubstr("pack.json: '"), HasSubstr("is no file of the pack")))
        << file;
  }
  dir.write(out / "pack.json", json);
  EXPECT_THAT(with_description(R"("file": "shard-00000)", R"("file": "../pack/shard-00000)"),
              AllOf(HasSubstr("pack.json: '../pack/shard-00000.safetensors' is no shard")));
}

TEST_F(PackTest, TheReferenceOfAFolderThatIsNoPackIsAnError) {
  dir.write("pack/pack.json", "[1, 2");
  EXPECT_THAT(flaw(), AllOf(HasSubstr("pack.json: is not JSON at byte 6")));
  dir.write("pack/pack.json",
            R"({"crc32":"0","a":)" + std::string(200'000, '[') + std::string(200'000, ']') + "}");
  EXPECT_THAT(flaw(), HasSubstr("pack.json: is not the description of a pack; it is nested too deep"));
  dir.write("pack/pack.json", "{}");
  EXPECT_THAT(flaw(), HasSubstr("pack.json: is not the description of a pack"));
}

TEST(PackOnRealImages, GivesTheirPixels) {
  CYTOGRAD_NEEDS_SAMPLES();
  const TempDir dir;
  Dataset dataset = open_dataset(samples_folder() / "rxrx1");
  const PackSummary summary = write_pack(dataset, {.out = dir / "pack", .max_missing = 1.0});
  EXPECT_EQ(summary.images, 18);
  const Dataset packed = open_pack(dir / "pack");
  expect_same_dataset(dataset, packed);
  for (size_t i = 0; i < 18; ++i)
    EXPECT_EQ(read_sample(packed.samples[i]).pixels, read_planes(dataset.samples[i].files).pixels);
}

}  // namespace
}  // namespace cytograd::test
