#include "engine/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace cytograd {
namespace {

using Json = nlohmann::json;

struct DTypeName {
  DType dtype;
  std::string_view name;
};
constexpr std::array<DTypeName, 6> kDTypes{{{DType::u8, "U8"},
                                            {DType::i32, "I32"},
                                            {DType::i64, "I64"},
                                            {DType::f32, "F32"},
                                            {DType::bf16, "BF16"},
                                            {DType::f16, "F16"}}};

/// Takes the parser's events (it calls them without recursion, so nesting costs no stack) and accepts nothing
/// but {"__metadata__": {string: string}, name: {"dtype": string, "shape": [n...], "data_offsets": [n, n]}}.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}

  SafetensorsHeader take() {
    header_.entries.reserve(items_.size());
    std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
      return std::pair(a.offsets[0], a.offsets[1]) < std::pair(b.offsets[0], b.offsets[1]);
    });
    uint64_t end = 0;
    for (Item& item : items_) {
      if (item.offsets[0] != end)
        fail("{}: tensor '{}' begins at offset {}, where {} is due", file_,
             detail::printable(item.entry.name), item.offsets[0], end);
      end = item.offsets[1];
      header_.entries.push_back(std::move(item.entry));
    }
    return std::move(header_);
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::start) {
      place_ = Place::names;
    } else if (place_ == Place::names && name_ == "__metadata__") {
      place_ = Place::metadata;
    } else if (place_ == Place::names) {
      place_ = Place::tensor;
      item_ = Item{};
      item_.entry.name = name_;
      dims_.clear();
      seen_ = {};
    } else {
      refuse("an object");
    }
    keys_at(place_).clear();
    return true;
  }

  bool key(string_t& key) override {
    if (!keys_at(place_).insert(key).second)
      fail("{}: header: '{}' occurs twice", file_, detail::printable(key));
    (place_ == Place::names ? name_ : field_) = key;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) finish_tensor();
    place_ = place_ == Place::names ? Place::end : Place::names;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[field_] = value;
    } else if (place_ == Place::tensor && field_ == "dtype") {
      const auto* found = std::find_if(kDTypes.begin(), kDTypes.end(),
                                       [&](const DTypeName& known) { return known.name == value; });
      if (found == kDTypes.end())
        fail("{}: tensor '{}' has the unsupported type '{}'; supported: U8, I32, I64, F32, BF16, F16", file_,
             detail::printable(name_), detail::printable(value));
      item_.entry.dtype = found->dtype;
      seen_[0] = true;
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || (field_ != "shape" && field_ != "data_offsets")) refuse("an array");
    place_ = field_ == "shape" ? Place::shape : Place::offsets;
    offsets_read_ = 0;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (dims_.size() == Shape::kMaxRank)
        fail("{}: tensor '{}' has more than {} axes", file_, detail::printable(name_), Shape::kMaxRank);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) too_large();
      dims_.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::offsets && offsets_read_ < 2) {
      item_.offsets[offsets_read_++] = value;
    } else {
      refuse("a number");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && offsets_read_ != 2) refuse("an array of other than two offsets");
    seen_[place_ == Place::shape ? 1 : 2] = true;
    place_ = Place::tensor;
    return true;
  }

  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("true or false"); }
  bool number_integer(number_integer_t) override { refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { refuse("a fraction or a huge number"); }
  bool binary(binary_t&) override { refuse("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    fail("{}: header: not JSON at byte {}", file_, position + sizeof(uint64_t));
  }

 private:
  enum class Place { start, names, metadata, tensor, shape, offsets, end };
  struct Item {
    SafetensorsEntry entry;
    std::array<uint64_t, 2> offsets{};
  };

  std::set<std::string>& keys_at(Place place) { return place == Place::names ? names_ : fields_; }

  [[noreturn]] void refuse(std::string_view what) const {
    if (name_.empty()) fail("{}: header: {} where none is allowed", file_, what);
    fail("{}: header: '{}' has {} where none is allowed", file_, detail::printable(name_), what);
  }

  [[noreturn]] void too_large() const {
    fail("{}: tensor '{}' has a shape too large for any file", file_, detail::printable(name_));
  }

  void finish_tensor() {
    constexpr std::array<std::string_view, 3> kFields{"dtype", "shape", "data_offsets"};
    for (size_t i = 0; i < kFields.size(); ++i) {
      if (!seen_[i]) fail("{}: tensor '{}' has no {}", file_, detail::printable(name_), kFields[i]);
    }
    // Zero extents do not excuse the others: their product must be representable wherever it is formed.
    int64_t bytes = static_cast<int64_t>(size_of(item_.entry.dtype));
    int64_t product = bytes;
    for (const int64_t dim : dims_) {
      if (__builtin_mul_overflow(product, std::max<int64_t>(dim, 1), &product)) too_large();
      bytes *= dim == 0 ? 0 : 1;
    }
    if (bytes != 0) bytes = product;
    item_.entry.shape = Shape(dims_);
    const auto [begin, end] = item_.offsets;
    if (end < begin || end - begin != static_cast<uint64_t>(bytes))
      fail("{}: tensor '{}' of {} bytes has the offsets {} to {}", file_, detail::printable(name_), bytes,
           begin, end);
    item_.entry.offset = begin;
    items_.push_back(std::move(item_));
  }

  const std::string& file_;
  SafetensorsHeader header_;
  std::vector<Item> items_;
  Place place_ = Place::start;
  std::string name_;
  std::string field_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
  Item item_;
  std::vector<int64_t> dims_;
  size_t offsets_read_ = 0;
  std::array<bool, 3> seen_{};
};

std::string json_string(std::string_view text) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    fail("'{}' is not UTF-8, as all text in a safetensors file is", detail::printable(text));
  }
}

}  // namespace

SafetensorsHeader detail::parse_safetensors_header(std::string_view json, const std::string& file) {
  if (!json.starts_with('{')) fail("{}: not a safetensors file: the header is no JSON object", file);
  HeaderReader reader(file);
  Json::sax_parse(json, &reader);  // what does not fit throws
  return reader.take();
}

std::string detail::printable(std::string_view name) {
  constexpr size_t kMax = 100;
  std::string text(name.substr(0, kMax));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; },
      '?');
  if (name.size() > kMax) text += "...";
  return text;
}

std::string safetensors_prefix(std::span<const SafetensorsEntry> entries,
                               const SafetensorsMetadata& metadata) {
  std::string json = "{";
  std::set<std::string_view> names;
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) json += json_string(key) + ":" + json_string(value) + ",";
    json.back() = '}';
    json += ",";
  }
  uint64_t offset = 0;
  for (const SafetensorsEntry& entry : entries) {
    CHECK(names.insert(entry.name).second && entry.name != "__metadata__", "tensor '{}'", entry.name);
    const auto* type = std::find_if(kDTypes.begin(), kDTypes.end(),
                                    [&](const DTypeName& known) { return known.dtype == entry.dtype; });
    json +=
        fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)", json_string(entry.name),
                    type->name, fmt::join(entry.shape.dims(), ","), offset, offset + entry.bytes());
    offset += entry.bytes();
  }
  if (json.back() == ',') json.pop_back();
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');  // the tensors begin at a multiple of 8
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + json;
}

}  // namespace cytograd
