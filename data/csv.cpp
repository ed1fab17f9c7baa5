#include "data/csv.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "data/text_file.h"
#include "engine/check.h"

namespace cytograd {
namespace {

/// Walks the text a row at a time and knows the line it is on.
class CsvParser {
 public:
  CsvParser(std::string_view text, const std::filesystem::path& file) : text_(text), file_(file) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
      fail("{}: is UTF-16 text; save it as UTF-8", file_.string());
  }

  int64_t line() const { return line_; }

  /// Passes over blank lines; false at the end of the text.
  bool at_row() {
    while (at_ < text_.size() && take_line_end()) {
    }
    return at_ < text_.size();
  }

  /// The next row's fields, into `fields`.
  void row(std::vector<std::string>& fields) {
    fields.clear();
    do {
      fields.push_back(peek() == '"' ? quoted_field() : plain_field());
    } while (take(','));
    if (at_ < text_.size() && !take_line_end()) stray();
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool take_line_end() {
    const size_t length = peek() == '\n' ? 1 : text_.substr(at_, 2) == "\r\n" ? 2 : 0;
    at_ += length;
    line_ += length > 0 ? 1 : 0;
    return length > 0;
  }

  std::string plain_field() {
    const size_t end = std::min(text_.find_first_of(std::string_view(",\"\r\n\0", 5), at_), text_.size());
    const std::string_view field = text_.substr(at_, end - at_);
    at_ = end;
    if (end < text_.size() && text_[end] != ',' && text_[end] != '\n' && text_[end] != '\r') stray();
    return std::string(field);
  }

  std::string quoted_field() {
    const int64_t opened = line_;
    std::string field;
    for (++at_;;) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos)
        fail("{}:{}: a quote is opened and not closed", file_.string(), opened);
      const std::string_view part = text_.substr(at_, quote - at_);
      if (part.find('\0') != std::string_view::npos)
        fail("{}:{}: not text (a zero byte)", file_.string(), opened);
      field += part;
      line_ += std::count(part.begin(), part.end(), '\n');
      at_ = quote + 1;
      if (!take('"')) return field;
      field += '"';
    }
  }

  /// What stands at `at_` has no place there.
  [[noreturn]] void stray() const {
    switch (text_[at_]) {
      case '"':
        fail("{}:{}: a quote inside a field; put the whole field in quotes and double this one",
             file_.string(), line_);
      case '\r':
        fail("{}:{}: a carriage return without a line feed", file_.string(), line_);
      case '\0':
        fail("{}:{}: not text (a zero byte)", file_.string(), line_);
      case ';':
      case '\t':
        fail("{}:{}: a semicolon or tab behind a closing quote; columns are separated by commas",
             file_.string(), line_);
      default:
        fail("{}:{}: text behind a closing quote", file_.string(), line_);
    }
  }

  std::string_view text_;
  const std::filesystem::path& file_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

void read_header(CsvParser& parser, const std::filesystem::path& file, std::vector<std::string>& columns) {
  if (!parser.at_row()) fail("{}: is empty; a table starts with a row of column names", file.string());
  const int64_t line = parser.line();
  parser.row(columns);
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : columns)
    if (!seen.insert(name).second) fail("{}:{}: two columns are named '{}'", file.string(), line, name);
}

}  // namespace

std::optional<size_t> CsvTable::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) return std::nullopt;
  return static_cast<size_t>(found - columns.begin());
}

size_t CsvTable::require_column(std::string_view name) const {
  require_columns({name});
  return *column(name);
}

void CsvTable::require_columns(std::initializer_list<std::string_view> names) const {
  std::vector<std::string_view> absent;
  for (const std::string_view name : names)
    if (!column(name)) absent.push_back(name);
  if (absent.empty()) return;
  if (columns.size() == 1 && columns[0].find_first_of(";\t") != std::string::npos)
    fail("{}: its columns are separated by semicolons or tabs; save it with commas", file.string());
  fail("{}: lacks the column{} '{}'; it has '{}'", file.string(), absent.size() > 1 ? "s" : "",
       fmt::join(absent, "', '"), fmt::join(columns, "', '"));
}

std::string CsvTable::place(size_t row) const { return fmt::format("{}:{}", file.string(), lines[row]); }

CsvTable parse_csv(std::string_view text, const std::filesystem::path& file) {
  CsvTable table;
  table.file = file;
  CsvParser parser(text, file);
  read_header(parser, file, table.columns);
  while (parser.at_row()) {
    table.lines.push_back(parser.line());
    parser.row(table.rows.emplace_back());
    const size_t fields = table.rows.back().size();
    if (fields != table.columns.size())
      fail("{}: {} field{}, but the header has {}", table.place(table.rows.size() - 1), fields,
           fields == 1 ? "" : "s", table.columns.size());
  }
  return table;
}

CsvTable read_csv(const std::filesystem::path& file) { return parse_csv(read_text_file(file), file); }

std::vector<std::string> read_csv_columns(const std::filesystem::path& file) {
  constexpr size_t kLongest = 1 << 16;
  const std::string text = read_text_file(file, kLongest);
  // A quoted name may hold a line end; the rows behind it do no harm.
  CsvParser parser(text, file);
  std::vector<std::string> columns;
  read_header(parser, file, columns);
  return columns;
}

std::string csv_field(std::string_view field) {
  const bool plain = field.find_first_of(",\"\r\n") == std::string_view::npos &&
                     (field.empty() || (field.front() != ' ' && field.back() != ' '));
  if (plain) return std::string(field);
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_row(std::span<const std::string> fields) {
  std::string row;
  for (const std::string& field : fields) {
    if (&field != fields.data()) row += ',';
    row += csv_field(field);
  }
  // A lone empty field would read back as a blank line.
  if (fields.size() == 1 && fields[0].empty()) row = "\"\"";
  return row + '\n';
}

}  // namespace cytograd
