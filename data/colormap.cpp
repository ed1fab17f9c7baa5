#include "data/colormap.h"

#include <algorithm>

#include "data/csv.h"
#include "engine/check.h"
#include "engine/op_options.h"
#include "engine/parse_number.h"

namespace cytograd {
namespace {

constexpr int64_t kMostChannels = PreprocessOptions::kMaxChannels;

int64_t whole_number(const CsvTable& table, size_t row, std::string_view column, int64_t low, int64_t high) {
  const std::string& text = table.rows[row][table.require_column(column)];
  const auto value = parse_number<int64_t>(text);
  if (!value || *value < low || *value > high)
    fail("{}: {} is '{}', not a whole number from {} to {}", table.place(row), column, text, low, high);
  return *value;
}

void read_colour(const CsvTable& table, size_t row, ColormapChannel& channel) {
  const std::string& text = table.rows[row][table.require_column("colour")];
  const bool is_hash = text.size() == 7 && text[0] == '#';
  const auto rgb = is_hash ? parse_number<uint32_t>(text.substr(1), 16) : std::nullopt;
  if (!rgb) fail("{}: colour is '{}'; expected #RRGGBB, such as #FF8000", table.place(row), text);
  channel.red = static_cast<uint8_t>(*rgb >> 16);
  channel.green = static_cast<uint8_t>(*rgb >> 8 & 0xff);
  channel.blue = static_cast<uint8_t>(*rgb & 0xff);
}

uint64_t share(const ColormapChannel& channel, int64_t value) {
  const double low = static_cast<double>(channel.low) / 255.0,
               high = static_cast<double>(channel.high) / 255.0;
  const double v = static_cast<double>(value) / 255.0;
  const double x = std::clamp((v - low) / (high - low), 0.0, 1.0);
  const auto part = [&](uint8_t colour) { return static_cast<uint64_t>(x * static_cast<double>(colour)); };
  return part(channel.red) | part(channel.green) << 16 | part(channel.blue) << 32;
}

}  // namespace

Colormap::Colormap(std::vector<ColormapChannel> channels) : channels_(std::move(channels)) {
  if (channels_.empty()) fail("the colormap names no channel");
  for (const ColormapChannel& channel : channels_) {
    if (channel.channel < 1 || channel.channel > kMostChannels)
      fail("the colormap's channel {} is not between 1 and {}", channel.channel, kMostChannels);
    if (channel.low < 0 || channel.high > 255 || channel.low >= channel.high)
      fail(
          "the colormap's channel {} goes from {} to {}; it needs levels from 0 to 255, the first below the "
          "second",
          channel.channel, channel.low, channel.high);
    count_ = std::max(count_, channel.channel);
  }
  shares_.resize(static_cast<size_t>(count_) * 256);
  std::vector<bool> named(static_cast<size_t>(count_));
  for (const ColormapChannel& channel : channels_) {
    const auto c = static_cast<size_t>(channel.channel - 1);
    if (named[c]) fail("the colormap names channel {} twice", channel.channel);
    named[c] = true;
    for (size_t v = 0; v < 256; ++v) shares_[c * 256 + v] = share(channel, static_cast<int64_t>(v));
  }
}

Colormap Colormap::rxrx1() {
  return Colormap({{.channel = 1, .red = 19, .green = 0, .blue = 249, .high = 51},
                   {.channel = 2, .red = 42, .green = 255, .blue = 31, .high = 107},
                   {.channel = 3, .red = 255, .green = 0, .blue = 25, .high = 64},
                   {.channel = 4, .red = 45, .green = 255, .blue = 252, .high = 191},
                   {.channel = 5, .red = 250, .green = 0, .blue = 253, .high = 89},
                   {.channel = 6, .red = 254, .green = 255, .blue = 40, .high = 191}});
}

Tensor Colormap::table() const {
  std::vector<uint8_t> values;
  for (const uint64_t rgb : shares_) {
    for (int k = 0; k < 3; ++k) values.push_back(static_cast<uint8_t>(rgb >> 16 * k & 0xff));
  }
  return Tensor::from(values, {count_, 256, 3});
}

void Colormap::require_channels(int64_t channels) const {
  if (channels == count_) return;
  fail(
      "the colormap is for {} channels and the image has {}; give a colormap of its own (--colormap) or use "
      "another fusion",
      count_, channels);
}

Image Colormap::operator()(const Image& planes) const {
  require_channels(planes.channels);
  const auto count = static_cast<size_t>(planes.height * planes.width);
  CHECK(planes.pixels.size() == count * static_cast<size_t>(count_), "{} bytes for {} pixels",
        planes.pixels.size(), count);
  Image rgb{planes.height, planes.width, 3, std::vector<uint8_t>(count * 3)};
  const uint8_t* in = planes.pixels.data();
  uint8_t* out = rgb.pixels.data();
  for (size_t i = 0; i < count; ++i, in += count_, out += 3) {
    uint64_t sum = 0;
    for (int64_t c = 0; c < count_; ++c) sum += shares_[static_cast<size_t>(c * 256 + in[c])];
    for (int k = 0; k < 3; ++k)
      out[k] = static_cast<uint8_t>(std::min<uint64_t>(sum >> 16 * k & 0xffff, 255));
  }
  return rgb;
}

std::string Colormap::csv() const {
  std::string text = "channel,colour,low,high\n";
  for (const ColormapChannel& channel : channels_)
    text += fmt::format("{},#{:02X}{:02X}{:02X},{},{}\n", channel.channel, channel.red, channel.green,
                        channel.blue, channel.low, channel.high);
  return text;
}

Colormap read_colormap(const std::filesystem::path& file) {
  const CsvTable table = read_csv(file);
  table.require_columns({"channel", "colour", "low", "high"});
  std::vector<ColormapChannel> channels;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    ColormapChannel channel;
    channel.channel = whole_number(table, row, "channel", 1, kMostChannels);
    read_colour(table, row, channel);
    channel.low = whole_number(table, row, "low", 0, 254);
    channel.high = whole_number(table, row, "high", 1, 255);
    channels.push_back(channel);
  }
  try {
    return Colormap(std::move(channels));
  } catch (const Error& error) {
    fail("{}: {}", file.string(), error.what());
  }
}

}  // namespace cytograd
