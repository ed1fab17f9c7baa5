// Tables as RFC 4180 has them: commas, double quotes, LF or CRLF, a header row, UTF-8 with or without its
// mark.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cytograd {

/// A table in memory. Fields are kept as written, blanks included.
struct CsvTable {
  std::filesystem::path file;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  ///< [rows, columns]
  std::vector<int64_t> lines;                  ///< the line, from 1, on which each row starts

  /// Index into `columns`; nullopt where there is no such column.
  std::optional<size_t> column(std::string_view name) const;
  /// As above, but throws Error that lists the columns there are.
  size_t require_column(std::string_view name) const;
  /// Throws Error naming every one of `names` that is no column, and the columns there are.
  void require_columns(std::initializer_list<std::string_view> names) const;
  /// "train.csv:12", to open a message about that row.
  std::string place(size_t row) const;
};

/// Reads a whole file. Blank lines are passed over. Throws Error naming file and line where the file is
/// absent, unreadable, empty or not text, a column's name occurs twice, a row has not as many fields as the
/// header, or a quote is not closed or stands inside a field that it does not open.
CsvTable read_csv(const std::filesystem::path& file);

/// The names in the first row, read without the rest of the file; Throws Error as read_csv does.
std::vector<std::string> read_csv_columns(const std::filesystem::path& file);

/// The same from text; `file` is what errors name.
CsvTable parse_csv(std::string_view text, const std::filesystem::path& file);

/// The field as a CSV holds it: in quotes where it has a comma, a quote, a line end or a blank at an end.
std::string csv_field(std::string_view field);

/// Fields joined by commas, quoted where needed, and a line end.
std::string csv_row(std::span<const std::string> fields);

}  // namespace cytograd
