#include "tools/config_file.h"

#include <charconv>
#include <cstdint>

#include "engine/check.h"
#include "tools/option_values.h"

namespace cytograd {
namespace {

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.';
}

class ConfigParser {
 public:
  ConfigParser(std::string_view text, const std::string& source) : text_(text), source_(source) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  std::vector<ConfigItem> items() {
    std::vector<ConfigItem> items;
    std::string table;
    for (skip_lines(); at_ < text_.size(); skip_lines()) {
      if (take('[')) {
        table = name() + ".";
        if (!take(']')) wrong("a table's name is not closed");
      } else {
        ConfigItem item{table + name(), {}};
        if (!take('=')) wrong("expected NAME=VALUE");
        skip_blanks();
        if (take('[')) {
          read_list(item.values);
        } else {
          item.values.push_back(value());
        }
        items.push_back(std::move(item));
      }
      skip_blanks();
      if (at_ < text_.size() && text_[at_] != '\n') wrong("there is more text behind the value");
    }
    return items;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  /// Blanks and a comment, up to the line's end.
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r') ++at_;
    if (peek() == '#') at_ = std::min(text_.find('\n', at_), text_.size());
  }

  void skip_lines() {
    for (skip_blanks(); take('\n'); skip_blanks()) ++line_;
  }

  std::string name() {
    skip_blanks();
    const size_t start = at_;
    while (is_bare(peek())) ++at_;
    const std::string found(text_.substr(start, at_ - start));
    if (found.empty()) wrong("expected NAME=VALUE");
    skip_blanks();
    return found;
  }

  std::string value() {
    if (take('"')) return quoted();
    if (take('\'')) {
      const size_t end = std::min(text_.find_first_of("'\n", at_), text_.size());
      std::string found(text_.substr(at_, end - at_));
      at_ = end;
      if (!take('\'')) wrong("a quote is not closed");
      return found;
    }
    const size_t start = at_;
    while (is_bare(peek()) || peek() == '+') ++at_;
    if (at_ == start) wrong("a value is missing, or a text without quotes");
    return std::string(text_.substr(start, at_ - start));
  }

  void read_list(std::vector<std::string>& values) {
    for (skip_lines(); !take(']'); skip_lines()) {
      values.push_back(value());
      skip_lines();
      if (!take(',') && peek() != ']') wrong("a list is not closed");
    }
  }

  std::string quoted() {
    std::string found;
    while (!take('"')) {
      const char c = peek();
      if (at_ == text_.size() || c == '\n') wrong("a quote is not closed");
      ++at_;
      if (c == '\\') {
        append_escaped(found);
      } else {
        found += c;
      }
    }
    return found;
  }

  void append_escaped(std::string& found) {
    constexpr std::string_view kLetters = "btnfr\"\\", kMeant = "\b\t\n\f\r\"\\";
    const char letter = peek();
    ++at_;
    if (const size_t index = kLetters.find(letter); letter != '\0' && index != std::string_view::npos) {
      found += kMeant[index];
    } else if (letter == 'u' || letter == 'U') {
      append_code_point(found, letter == 'u' ? 4 : 8);
    } else {
      wrong("a backslash begins no escape that is known; write '\\\\' for one");
    }
  }

  void append_code_point(std::string& found, size_t digits) {
    const std::string_view hex = text_.substr(std::min(at_, text_.size()), digits);
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (error != std::errc() || hex.size() < digits || end != hex.data() + digits || code > 0x10FFFF)
      wrong("\\u stands before a number that is no character");
    at_ += digits;
    const auto tail = [&](int shift) { found += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
      found += static_cast<char>(code);
    } else if (code < 0x800) {
      found += static_cast<char>(0xC0 | code >> 6);
      tail(0);
    } else if (code < 0x10000) {
      found += static_cast<char>(0xE0 | code >> 12);
      tail(6), tail(0);
    } else {
      found += static_cast<char>(0xF0 | code >> 18);
      tail(12), tail(6), tail(0);
    }
  }

  [[noreturn]] void wrong(const char* what) const {
    const size_t start = at_ == 0 ? 0 : text_.rfind('\n', std::min(at_, text_.size()) - 1) + 1;
    const size_t end = std::min(text_.find('\n', start), text_.size());
    fail("{}: line {}: {}: {}", source_, line_, what, in_quotes(text_.substr(start, end - start)));
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::vector<ConfigItem> parse_config(std::string_view text, const std::string& source) {
  return ConfigParser(text, source).items();
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if ((c >= 0 && c < ' ') || c == 0x7F) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace cytograd
