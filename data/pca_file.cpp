#include "data/pca_file.h"

#include <nlohmann/json.hpp>

#include "data/json_values.h"
#include "data/text_file.h"
#include "engine/check.h"
#include "engine/file_status.h"
#include "engine/op_options.h"

namespace cytograd {
namespace {

using Json = nlohmann::ordered_json;  // whose objects are searched from their beginning
using ReadJson = nlohmann::json;

constexpr const char* kFormat = "cytograd pca";

Json fit_json(const PcaFit& fit) {
  const std::vector<int64_t> values = fit.sums.values();
  const auto channels = static_cast<size_t>(fit.sums.channels());
  Json products = Json::array();
  for (size_t i = 1; i <= channels; ++i)
    products.push_back(
        std::vector<int64_t>(values.begin() + static_cast<std::ptrdiff_t>(i * channels),
                             values.begin() + static_cast<std::ptrdiff_t>((i + 1) * channels)));
  Json ranges = Json::array();
  for (const ValueRange& range : fit.ranges) ranges.push_back({range.low, range.high});
  return {
      {"pixels", fit.sums.pixels()},
      {"sums", std::vector<int64_t>(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(channels))},
      {"products", products},
      {"mean", fit.pca.mean},
      {"components", fit.pca.components},
      {"explained_variance", fit.pca.explained_variance},
      {"explained_variance_ratio", fit.pca.explained_variance_ratio},
      {"ranges", ranges}};
}

void require_size(size_t size, size_t due) {
  if (size != due) fail("a list has {} numbers where {} are due", size, due);
}

std::vector<int64_t> whole_numbers(const ReadJson& json, std::string_view name) {
  std::vector<int64_t> values;
  for (const ReadJson& value : json) values.push_back(whole_number(value, name, 0, INT64_MAX));
  return values;
}

std::vector<double> list(const ReadJson& json, size_t size) {
  auto values = json.get<std::vector<double>>();
  require_size(values.size(), size);
  return values;
}

PcaFit fit_of(const ReadJson& json) {
  const std::vector<int64_t> sums = whole_numbers(json.at("sums"), "sums");
  const size_t channels = sums.size();
  if (channels < 1 || channels > size_t{PreprocessOptions::kMaxChannels})
    fail("there are {} channels", channels);
  std::vector<int64_t> products;
  if (json.at("products").size() != channels) fail("products has {} rows", json.at("products").size());
  for (const ReadJson& row : json.at("products")) {
    const std::vector<int64_t> values = whole_numbers(row, "products");
    require_size(values.size(), channels);
    products.insert(products.end(), values.begin(), values.end());
  }
  PcaFit fit{.sums = ChannelSums(whole_number(json.at("pixels"), "pixels", 0, INT64_MAX), sums, products),
             .pca = {}};
  fit.pca.mean = list(json.at("mean"), channels);
  for (const ReadJson& row : json.at("components")) fit.pca.components.push_back(list(row, channels));
  const size_t count = fit.pca.components.size();
  if (count < 1 || count > channels) fail("there are {} components of {} channels", count, channels);
  fit.pca.explained_variance = list(json.at("explained_variance"), count);
  fit.pca.explained_variance_ratio = list(json.at("explained_variance_ratio"), count);
  for (const ReadJson& range : json.at("ranges")) {
    const auto ends = list(range, 2);
    if (!(ends[1] > ends[0])) fail("a range goes from {} to {}", ends[0], ends[1]);
    fit.ranges.push_back({ends[0], ends[1]});
  }
  if (!fit.ranges.empty() && fit.ranges.size() != count) fail("there are {} ranges", fit.ranges.size());
  return fit;
}

}  // namespace

void require_pca_keys(const std::vector<std::string>& keys, const std::string& place) {
  for (const std::string& key : keys) {
    if (!is_utf8(key)) fail("{}: '{}' is not UTF-8 text, as names in pca.json are; rename it", place, key);
  }
}

std::string format_pca(const PcaFile& file) {
  Json::object_t fits;
  for (const auto& [key, fit] : file.fits) fits.emplace_back(key, fit_json(fit));
  const Json json{{"format", kFormat},
                  {"scope", file.scope},
                  {"fingerprint", file.fingerprint},
                  {"fits", std::move(fits)}};
  return json.dump(1) + "\n";
}

PcaFile read_pca(const std::filesystem::path& file) {
  if (!file_exists(file)) fail("{}: no such file", file.string());
  const std::string text = read_text_file(file);
  PcaFile result;
  try {
    const ReadJson json = ReadJson::parse(text);
    if (json.at("format").get<std::string>() != kFormat) fail("it is of another format");
    result.scope = json.at("scope").get<std::string>();
    result.fingerprint = json.at("fingerprint").get<std::string>();
    if (json.at("fits").empty()) fail("there is no fit");
    for (const auto& [key, fit] : json.at("fits").items()) result.fits[key] = fit_of(fit);
  } catch (const Json::parse_error& error) {
    fail("{}: is not JSON at byte {}", file.string(), error.byte);
  } catch (const Json::exception& error) {
    fail("{}: holds no principal components: {}", file.string(), error.what());
  } catch (const Error& error) {
    fail("{}: holds no principal components: {}", file.string(), error.what());
  }
  return result;
}

}  // namespace cytograd
