#include "tools/option_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <system_error>

namespace cytograd {

namespace {

/// The whole text as a decimal number: neither octal nor hexadecimal, and not clipped where the type cannot hold it.
template <typename T>
std::errc parse_decimal(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return error;
  return end == text.data() + text.size() ? std::errc() : std::errc::invalid_argument;
}

/// CLI11 would read "010" as eight, so it is given the digits of the number that was meant.
CLI::Option* take_checked(CLI::Option* option, const char* shown, const CLI::Validator& validator) {
  return option->type_name(shown)->transform(validator);
}

template <typename InRange>
CLI::Option* take_real(CLI::Option* option, const std::string& range, const InRange& in_range) {
  const auto check = [range, in_range](std::string& text) -> std::string {
    double value = 0.0;
    const std::errc error = parse_decimal(text, value);
    if (error == std::errc::result_out_of_range)
      return fmt::format("{} is too small or too large for a number of 64 bits", in_quotes(text));
    if (error == std::errc() && in_range(value)) return {};  // false for nan
    return fmt::format("{} is not a number {}", in_quotes(text), range);
  };
  return take_checked(option, "X", CLI::Validator(check, ""));
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr size_t kLongest = 80;
  if (text.size() <= kLongest) return fmt::format("'{}'", text);
  size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // not within a UTF-8 character
  return fmt::format("'{}...'", text.substr(0, end));
}

CLI::Option* take_whole(CLI::Option* option, int64_t low, int64_t high) {
  const auto check = [low, high](std::string& text) -> std::string {
    int64_t value = 0;
    if (parse_decimal(text, value) != std::errc() || value < low || value > high)
      return fmt::format("{} is not a whole number from {} to {}", in_quotes(text), low, high);
    text = std::to_string(value);
    return {};
  };
  return take_checked(option, "N", CLI::Validator(check, ""));
}

CLI::Option* take_number(CLI::Option* option, double low, double high) {
  return take_real(option, fmt::format("from {:g} to {:g}", low, high),
                   [low, high](double value) { return value >= low && value <= high; });
}

CLI::Option* take_number_between(CLI::Option* option, double low, double high) {
  return take_real(option, fmt::format("between {:g} and {:g}", low, high),
                   [low, high](double value) { return value > low && value < high; });
}

CLI::Option* take_path(CLI::Option* option, const std::string& shown) {
  const auto check = [](std::string& text) -> std::string {
    return text.empty() ? "'' names no file or folder" : "";
  };
  return option->type_name(shown)->check(CLI::Validator(check, ""));
}

CLI::Option* take_choice(CLI::Option* option, const std::vector<std::string>& values) {
  const auto check = [values](std::string& text) -> std::string {
    if (std::find(values.begin(), values.end(), text) != values.end()) return {};
    return fmt::format("{} is none of {}", in_quotes(text), fmt::join(values, ", "));
  };
  return option->type_name(fmt::format("{}", fmt::join(values, "|")))->check(CLI::Validator(check, ""));
}

CLI::Option* take_seed(CLI::Option* option) {
  const auto check = [](std::string& text) -> std::string {
    uint64_t value = 0;
    if (parse_decimal(text, value) != std::errc())
      return fmt::format("{} is not a whole number from 0 to {}", in_quotes(text), UINT64_MAX);
    text = std::to_string(value);
    return {};
  };
  return take_checked(option, "N", CLI::Validator(check, ""));
}

CLI::Option* add_where(CLI::App& command, std::vector<std::string>& where) {
  const auto check = [](std::string& text) -> std::string {
    const size_t equals = text.find('=');
    if (equals != std::string::npos && equals > 0) return {};
    return fmt::format("{} is not COLUMN=VALUE[,VALUE...]", in_quotes(text));
  };
  return command.add_option("--where", where, "Keep the images whose COLUMN has one of these values")
      ->type_name("COLUMN=VALUE[,VALUE]")
      ->take_all()
      ->allow_extra_args(false)  // what follows is no second filter but an INPUT
      ->default_str("")
      ->check(CLI::Validator(check, ""));
}

CLI::Option* add_max_missing(CLI::App& command, double& max_missing) {
  return take_number(command.add_option("--max-missing", max_missing,
                                        "Fraction of images that may be missing or unreadable"),
                     0.0, 1.0);
}

CLI::Option* add_white(CLI::App& command, int64_t& white) {
  return take_whole(command.add_option("--white", white, "16-bit level that becomes 255"), 1, 65535);
}

CLI::Option* add_adabn(CLI::App& command, std::string& adabn, const std::string& otherwise) {
  return take_choice(
      command.add_option(
          "--adabn", adabn,
          "In evaluation, batch norm statistics of the images of each plate, experiment or group, or of "
          "all that are given, in place of the training's; " +
              otherwise),
      {"auto", "none", "plate", "experiment", "group", "dataset"});
}

CLI::Option* add_device(CLI::App& command, std::string& device) {
  return take_choice(
      command.add_option("--device", device, "Where to compute; auto: a GPU where there is one"),
      {"auto", "cpu", "cuda"});
}

}  // namespace cytograd
