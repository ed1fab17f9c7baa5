#include "data/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/check.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Row = std::vector<std::string>;

CsvTable parse(std::string_view text) { return parse_csv(text, "t.csv"); }
std::string error_of(std::string_view text) {
  return message_of<Error>([&] { parse(text); });
}

TEST(Csv, ReadsAHeaderAndRows) {
  const CsvTable table = parse("a,b\n1,2\n3,\n");
  EXPECT_THAT(table.columns, ElementsAre("a", "b"));
  EXPECT_THAT(table.rows, ElementsAre(Row{"1", "2"}, Row{"3", ""}));
  EXPECT_THAT(table.lines, ElementsAre(2, 3));
  EXPECT_EQ(table.place(1), "t.csv:3");
}

TEST(Csv, TakesCarriageReturnsByteOrderMarkAndAMissingLastLineEnd) {
  const CsvTable table = parse(
      "\xEF\xBB\xBF"
      "a,b\r\n1,2\r\n3,4");
  EXPECT_THAT(table.columns, ElementsAre("a", "b"));
  EXPECT_THAT(table.rows, ElementsAre(Row{"1", "2"}, Row{"3", "4"}));
}

TEST(Csv, PassesOverBlankLinesAndCountsThem) {
  const CsvTable table = parse("\na,b\n\n1,2\r\n\r\n");
  EXPECT_THAT(table.rows, ElementsAre(Row{"1", "2"}));
  EXPECT_THAT(table.lines, ElementsAre(4));
}

TEST(Csv, QuotedFieldsHoldCommasQuotesAndLineEnds) {
  const CsvTable table = parse("a,b\n\"x, \"\"y\"\"\",\"1\n2\"\n3,\"\"\n");
  EXPECT_THAT(table.rows, ElementsAre(Row{"x, \"y\"", "1\n2"}, Row{"3", ""}));
  EXPECT_THAT(table.lines, ElementsAre(2, 4));
}

TEST(Csv, KeepsBlanksAndUnicode) { EXPECT_THAT(parse("a\n µm \n").rows, ElementsAre(Row{" µm "})); }

TEST(Csv, AHeaderAloneIsATableWithoutRows) { EXPECT_TRUE(parse("a,b\n").rows.empty()); }

TEST(Csv, ErrorsNameFileAndLine) {
  EXPECT_EQ(error_of("a,b\n1,2\n3\n"), "t.csv:3: 1 field, but the header has 2");
  EXPECT_THAT(error_of("a,b\n1,2,3\n"), HasSubstr("t.csv:2: 3 fields"));
  EXPECT_THAT(error_of("a,b\n1,\"2\n\n\n"), HasSubstr("t.csv:2: a quote is opened and not closed"));
  EXPECT_THAT(error_of("a,b\n1,2\"\n"), HasSubstr("t.csv:2: a quote inside a field"));
  EXPECT_THAT(error_of("a,b\n1,\"2\"3\n"), HasSubstr("t.csv:2: text behind a closing quote"));
  EXPECT_THAT(error_of("a,b\r1,2\r"), HasSubstr("t.csv:1: a carriage return without a line feed"));
  EXPECT_THAT(error_of("a,b,a\n"), HasSubstr("t.csv:1: two columns are named 'a'"));
  EXPECT_THAT(error_of(std::string_view("a,b\n1,\0\n", 8)), HasSubstr("t.csv:2: not text"));
  EXPECT_THAT(error_of("\xFF\xFE"
                       "a"),
              HasSubstr("UTF-16"));
  EXPECT_THAT(error_of(""), HasSubstr("t.csv: is empty"));
  EXPECT_THAT(error_of("\n\n"), HasSubstr("t.csv: is empty"));
}

TEST(Csv, FindsColumnsAndNamesAllThatLack) {
  const CsvTable table = parse("image;label,well\n");
  EXPECT_EQ(table.column("well"), 1u);
  EXPECT_EQ(table.column("image"), std::nullopt);
  EXPECT_EQ(table.require_column("well"), 1u);
  EXPECT_EQ(message_of<Error>([&] {
              table.require_columns({"image", "well", "label"});
            }),
            "t.csv: lacks the columns 'image', 'label'; it has 'image;label', 'well'");
}

TEST(Csv, FilesThatCannotBeReadAreErrors) {
  const test::TempDir dir;
  EXPECT_THAT(message_of<Error>([&] { read_csv(dir / "none.csv"); }),
              HasSubstr("none.csv: cannot be read: No such"));
  EXPECT_THAT(message_of<Error>([&] { read_csv(dir.path()); }), HasSubstr("is a folder, not a file"));
  EXPECT_THAT(message_of<Error>([&] { read_csv(dir.write("empty.csv")); }), HasSubstr("empty.csv: is empty"));
}

TEST(Csv, ReadsTheColumnsOfAFileAlone) {
  const test::TempDir dir;
  const auto file = dir.write("t.csv", "a,\"b\nc\"\n" + std::string(1 << 17, '"'));
  EXPECT_THAT(read_csv_columns(file), ElementsAre("a", "b\nc"));
}

TEST(Csv, WrittenFieldsReadBack) {
  EXPECT_EQ(csv_field("plain field"), "plain field");
  EXPECT_EQ(csv_field(" a"), "\" a\"") << "a blank at an end is part of it";
  EXPECT_EQ(csv_field("a "), "\"a \"");
  EXPECT_EQ(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
  const std::vector<Row> rows{{"a", "b"}, {"x,y", "say \"hi\""}, {"1\r\n2", " blank "}, {"", ""}};
  std::string text;
  for (const Row& row : rows) text += csv_row(row);
  const CsvTable table = parse(text);
  EXPECT_THAT(table.rows, ElementsAre(rows[1], rows[2], rows[3]));
  EXPECT_THAT(parse(csv_row(Row{"a"}) + csv_row(Row{""})).rows, ElementsAre(Row{""}));
}

}  // namespace
}  // namespace cytograd
