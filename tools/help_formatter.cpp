#include "tools/help_formatter.h"

#include <sstream>

namespace cytograd {
namespace {

constexpr size_t kColumn = 34;  // where descriptions begin
constexpr size_t kWidth = 100;

}  // namespace

HelpFormatter::HelpFormatter() { column_width(kColumn); }

std::string HelpFormatter::make_option_name(const CLI::Option* option, bool is_positional) const {
  std::string name = CLI::Formatter::make_option_name(option, is_positional);
  if (const size_t opposite = name.find("{false}"); opposite != std::string::npos) name.erase(opposite, 7);
  for (size_t comma = name.find(','); comma != std::string::npos; comma = name.find(',', comma + 2)) {
    name.insert(comma + 1, " ");
  }
  return name;
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  std::string text;
  if (!option->get_type_name().empty() && option->get_type_size() != 0) text += " " + option->get_type_name();
  if (option->get_required()) text += " (required)";
  if (!option->get_default_str().empty()) text += " [" + option->get_default_str() + "]";
  return text;
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::istringstream words(option->get_description());
  std::string text;
  size_t used = kColumn;
  for (std::string word; words >> word;) {
    const bool starts = text.empty();
    if (!starts && used + 1 + word.size() > kWidth) {
      text += '\n';
      used = kColumn;
    } else if (!starts) {
      text += ' ';
      ++used;
    }
    text += word;
    used += word.size();
  }
  return text;
}

}  // namespace cytograd
