#include "engine/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "engine/checkpoint.h"
#include "engine/philox.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  void write_bytes(const std::string& bytes) const {
    fs::remove(path_);  // a file system may flush one that is truncated: slow, thousands of times
    std::ofstream stream(path_, std::ios::binary);
    stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string bytes() const { return test::read_file(path_); }
  /// A file of this header and so many bytes of data.
  void write_header(const std::string& json, size_t data) const {
    const uint64_t length = json.size();
    std::string all(reinterpret_cast<const char*>(&length), sizeof(length));
    write_bytes(all + json + std::string(data, '\0'));
  }
  /// What reading the file complains of; "" where it does not.
  std::string complaint() const {
    try {
      read_safetensors(path_);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
  void expect_refused(const std::string& json, size_t data, const std::string& why) const {
    write_header(json, data);
    const std::string message = complaint();
    EXPECT_THAT(message, HasSubstr(why)) << json;
    EXPECT_THAT(message, HasSubstr(path_.filename().string())) << json;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }

  const test::TempDir dir_;
  const fs::path path_ = dir_ / "file.safetensors";
};

std::vector<NamedTensor> samples() {
  return {
      {"bytes", Tensor::from(std::vector<uint8_t>{1, 2, 255}, {3})},
      {"conv.weight", Tensor::from(std::vector<float>{1.5f, -2.0f, 0.0f, 1e-40f, 3e38f, 7.0f}, {1, 2, 3, 1})},
      {"half", Tensor::from(std::vector<f16>{f16(1.0f)}, {1, 1, 1, 1, 1})},
      {"brain \"quoted\" \xC3\xA4", Tensor::from(std::vector<bf16>{bf16(1.0f), bf16(-3.0f)}, {2})},
      {"step", Tensor::from(std::vector<int64_t>{-5}, {})},
      {"none", Tensor::from(std::vector<float>{}, {0, 4})},
      {"labels", Tensor::from(std::vector<int32_t>{-1, 7}, {2})}};
}

TEST_F(SafetensorsTest, ReadsWhatItWrote) {
  const auto tensors = samples();
  const SafetensorsMetadata metadata{{"format", "pt"}, {"note", "a \"b\"\n\xE2\x82\xAC"}};
  write_safetensors(path_, tensors, metadata);
  const SafetensorsFile file = read_safetensors(path_);
  EXPECT_EQ(file.metadata, metadata);
  ASSERT_EQ(file.tensors.size(), tensors.size());
  EXPECT_EQ(file.tensors.front().name, "step");  // eight bytes an element
  EXPECT_EQ(file.tensors.back().name, "bytes");
  for (const NamedTensor& item : tensors) {
    const Tensor* found = file.find(item.name);
    ASSERT_NE(found, nullptr) << item.name;
    EXPECT_EQ(found->dtype(), item.tensor.dtype());
    EXPECT_EQ(found->shape(), item.tensor.shape());
    EXPECT_EQ(std::memcmp(found->raw(), item.tensor.raw(), item.tensor.bytes()), 0) << item.name;
  }
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST_F(SafetensorsTest, TensorsAreAlignedToTheirElements) {
  write_safetensors(path_, samples());
  const SafetensorsHeader header = read_safetensors_header(path_);
  EXPECT_EQ(header.entries.front().offset % 8, 0u);
  for (const SafetensorsEntry& entry : header.entries)
    EXPECT_EQ(entry.offset % size_of(entry.dtype), 0u) << entry.name;
  EXPECT_EQ(header.file_bytes, fs::file_size(path_));
}

TEST_F(SafetensorsTest, AStreamedFileIsTheSame) {
  const std::vector<SafetensorsEntry> entries{{"a", DType::u8, {2, 2}}, {"b", DType::u8, {1}}};
  write_bytes(safetensors_prefix(entries, {}) + "\1\2\3\4\5");
  EXPECT_EQ(read_safetensors(path_).find("b")->to_vector<uint8_t>(), std::vector<uint8_t>{5});
}

TEST_F(SafetensorsTest, AnEmptyFileOfTensorsIsValid) {
  write_safetensors(path_, {});
  EXPECT_TRUE(read_safetensors(path_).tensors.empty());
}

TEST_F(SafetensorsTest, TheHeaderMayNameTensorsInAnyOrder) {
  write_header(
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"a":{"shape":[2],"data_offsets":[0,2],"dtype":"U8"}}  )",
      3);
  const SafetensorsFile file = read_safetensors(path_);
  EXPECT_EQ(file.tensors.front().name, "a");
}

TEST_F(SafetensorsTest, RefusesFilesThatAreNone) {
  fs::remove(path_);
  EXPECT_THAT(complaint(), HasSubstr("No such file"));
  write_bytes("");
  EXPECT_THAT(complaint(), HasSubstr("too short"));
  write_bytes("1234567");
  EXPECT_THAT(complaint(), HasSubstr("too short"));
  write_bytes(std::string(8, '\xff'));
  EXPECT_THAT(complaint(), HasSubstr("a header of 18446744073709551615 bytes"));
  write_bytes(std::string("\x10\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(complaint(), HasSubstr("truncated"));
  write_bytes(std::string(8, '\0'));
  EXPECT_THAT(complaint(), HasSubstr("no JSON object"));
  EXPECT_THROW(read_safetensors("/dev/null"), Error);
  EXPECT_THROW(read_safetensors(fs::temp_directory_path()), Error);
}

TEST_F(SafetensorsTest, RefusesMalformedHeaders) {
  const auto tensor = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"w\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  write_header(tensor("F32", "[2,3]", "[0,24]"), 24);
  EXPECT_EQ(complaint(), "");

  expect_refused("[]", 0, "no JSON object");
  expect_refused("{", 0, "not JSON");
  expect_refused("{}x", 0, "not JSON");
  expect_refused("{\"\xff\":1}", 0, "not JSON");
  expect_refused("{\"w\":1}", 0, "'w' has a number");
  expect_refused("{\"w\":null}", 0, "'w' has null");
  expect_refused("{\"w\":{}}", 0, "'w' has no dtype");
  expect_refused(R"({"w":{"dtype":"F32","shape":[1]}})", 4, "'w' has no data_offsets");
  expect_refused(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":{}}})", 4, "'w' has an object");
  expect_refused(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
                 "'dtype' occurs twice");
  expect_refused(
      R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
      2, "'w' occurs twice");
  expect_refused(R"({"__metadata__":{"a":1}})", 0, "'__metadata__' has a number");
  expect_refused(R"({"__metadata__":{"a":"1","a":"2"}})", 0, "'a' occurs twice");
  expect_refused(R"({"__metadata__":"a"})", 0, "'__metadata__' has a string");
  expect_refused(tensor("F64", "[1]", "[0,8]"), 8, "'w' has the unsupported type 'F64'");
  expect_refused(tensor("F32", "[-1]", "[0,4]"), 4, "a negative number");
  expect_refused(tensor("F32", "[1.0]", "[0,4]"), 4, "a fraction");
  expect_refused(tensor("F32", "[1e999]", "[0,4]"), 4, "header");
  expect_refused(tensor("F32", "[[1]]", "[0,4]"), 4, "an array");
  expect_refused(tensor("F32", "[1,1,1,1,1,1]", "[0,4]"), 4, "more than 5 axes");
  expect_refused(tensor("F32", "[4611686018427387904,4]", "[0,0]"), 0, "too large");
  expect_refused(tensor("F32", "[0,4611686018427387904,4]", "[0,0]"), 0, "too large");
  expect_refused(tensor("F32", "[18446744073709551615]", "[0,4]"), 4, "too large");
  expect_refused(tensor("F32", "[2]", "[0,4]"), 4, "'w' of 8 bytes has the offsets 0 to 4");
  expect_refused(tensor("F32", "[1]", "[4,0]"), 4, "offsets 4 to 0");
  expect_refused(tensor("F32", "[1]", "[0]"), 4, "two offsets");
  expect_refused(tensor("F32", "[1]", "[0,4,4]"), 4, "a number");
  expect_refused(tensor("F32", "[1]", "[4,8]"), 8, "begins at offset 4, where 0 is due");
  expect_refused(tensor("F32", "[1]", "[0,4]"), 3, "truncated: tensor 'w'");
  expect_refused(tensor("F32", "[1]", "[0,4]"), 5, "1 bytes behind the last tensor");
  expect_refused(tensor("F32", "[1]", "[18446744073709551612,0]"), 4, "offsets");
  expect_refused(tensor("U8", "[4611686018427387904]", "[0,4611686018427387904]"), 4, "truncated");
  const std::string a = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  expect_refused("{" + a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3,
                 "'b' begins at offset 1");
  expect_refused("{" + a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", 5,
                 "'b' begins at offset 3");
  expect_refused("{\"a\\nb\":1}", 0, "'a?b'");
}

TEST_F(SafetensorsTest, DeepNestingCostsNoStack) {
  expect_refused("{\"w\":" + std::string(5'000'000, '['), 0, "an array");
  expect_refused("{\"w\":{\"shape\":" + std::string(5'000'000, '['), 0, "an array");
  std::string objects;
  for (int i = 0; i < 500'000; ++i) objects += "{\"a\":";
  expect_refused(objects, 0, "an object");
}

// Anything may happen to a file; reading it must end in tensors or in an Error of one line.
TEST_F(SafetensorsTest, SurvivesMutations) {
  write_safetensors(path_, samples(), {{"format", "pt"}});
  const std::string good = bytes();
  Philox random(11);
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string bad = good;
    const uint32_t kind = random.below(8);
    if (kind == 0) {
      bad.resize(random.below(bad.size()));
    } else if (kind == 1) {
      bad.insert(random.below(bad.size()), random.below(20) + 1, static_cast<char>(random.bits()));
    } else {
      for (uint32_t i = random.below(4) + 1; i > 0; --i) {
        const size_t at = random.below(kind < 6 ? 600 : bad.size()) % bad.size();
        bad[at] = kind % 2 == 0 ? "0123456789{}[],:\"-e"[random.below(19)] : static_cast<char>(random.bits());
      }
    }
    write_bytes(bad);
    const std::string message = complaint();
    refused += message.empty() ? 0 : 1;
    ASSERT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_GT(refused, 2000);
}

TEST_F(SafetensorsTest, RefusesToWriteWhatCannotBeRead) {
  const Tensor x = Tensor::zeros({1});
  EXPECT_THROW(write_safetensors(path_, std::vector<NamedTensor>{{"a", x}, {"a", x}}), CheckError);
  EXPECT_THROW(write_safetensors(path_, std::vector<NamedTensor>{{"__metadata__", x}}), CheckError);
  EXPECT_THROW(write_safetensors(path_, std::vector<NamedTensor>{{"\xff", x}}), Error);
  EXPECT_THROW(write_safetensors(path_ / "absent", {}), Error);
  EXPECT_FALSE(fs::exists(path_));
  if (!fs::exists("/dev/full")) return;
  EXPECT_THROW(write_safetensors("/dev/full", std::vector<NamedTensor>{{"a", x}}), Error);
}

TEST(Checkpoint, ConvolutionsAreTransposedAndComeBack) {
  std::vector<float> values(2 * 3 * 4 * 5);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor torch = Tensor::from(values, {2, 3, 4, 5});  // [O, I, KH, KW]
  const Tensor ours = from_torch_layout(torch);
  ASSERT_EQ(ours.shape(), Shape({2, 4, 5, 3}));
  for (int64_t o = 0; o < 2; ++o)
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t y = 0; y < 4; ++y)
        for (int64_t x = 0; x < 5; ++x)
          ASSERT_EQ(ours.data<float>()[((o * 4 + y) * 5 + x) * 3 + i], values[((o * 3 + i) * 4 + y) * 5 + x]);
  EXPECT_EQ(to_torch_layout(ours).shape(), torch.shape());
  EXPECT_EQ(to_torch_layout(ours).to_vector<float>(), values);
  EXPECT_EQ(from_torch_layout(Tensor::from(values, {24, 5})).to_vector<float>(), values);
}

TEST(Checkpoint, AnInflatedStemGivesGreyImagesTheSameActivation) {
  const Tensor stem = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3, 1, 1});
  const Tensor six = inflate_stem(stem, 6);
  EXPECT_EQ(six.to_vector<float>(), (std::vector<float>{1, 1, 1, 1, 1, 1, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5}));
  EXPECT_EQ(inflate_stem(stem, 1).to_vector<float>(), (std::vector<float>{6, 15}));
  EXPECT_EQ(inflate_stem(stem, 3).to_vector<float>(), stem.to_vector<float>());
  EXPECT_THROW(inflate_stem(Tensor::zeros({2, 3}), 6), CheckError);
}

}  // namespace
}  // namespace cytograd
