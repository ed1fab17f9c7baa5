#include "tools/option_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace cytograd {

CLI::Option* take_whole(CLI::Option* option, int64_t low, int64_t high) {
  const auto check = [low, high](std::string& text) -> std::string {
    int64_t value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= low && value <= high) return {};
    return fmt::format("'{}' is not a whole number from {} to {}", text, low, high);
  };
  return option->type_name("N")->check(CLI::Validator(check, ""));
}

CLI::Option* take_number(CLI::Option* option, double low, double high) {
  const auto check = [low, high](std::string& text) -> std::string {
    double value = 0.0;
    if (CLI::detail::lexical_cast(text, value) && value >= low && value <= high) return {};  // false for nan
    return fmt::format("'{}' is not a number from {:g} to {:g}", text, low, high);
  };
  return option->type_name("X")->check(CLI::Validator(check, ""));
}

CLI::Option* take_choice(CLI::Option* option, const std::vector<std::string>& values) {
  const auto check = [values](std::string& text) -> std::string {
    if (std::find(values.begin(), values.end(), text) != values.end()) return {};
    return fmt::format("'{}' is none of {}", text, fmt::join(values, ", "));
  };
  return option->type_name(fmt::format("{}", fmt::join(values, "|")))->check(CLI::Validator(check, ""));
}

CLI::Option* take_seed(CLI::Option* option) {
  const auto check = [](std::string& text) -> std::string {
    uint64_t value = 0;
    if (text.find('-') == std::string::npos && CLI::detail::lexical_cast(text, value)) return {};
    return fmt::format("'{}' is not a whole number from 0 to {}", text, UINT64_MAX);
  };
  return option->type_name("N")->check(CLI::Validator(check, ""));
}

CLI::Option* add_where(CLI::App& command, std::vector<std::string>& where) {
  const auto check = [](std::string& text) -> std::string {
    if (text.empty()) return {};  // how config.toml says that there is none
    const size_t equals = text.find('=');
    if (equals != std::string::npos && equals > 0) return {};
    return fmt::format("'{}' is not COLUMN=VALUE[,VALUE...]", text);
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

CLI::Option* add_device(CLI::App& command, std::string& device) {
  return take_choice(
      command.add_option("--device", device, "Where to compute; auto: a GPU where there is one"),
      {"auto", "cpu", "cuda"});
}

}  // namespace cytograd
