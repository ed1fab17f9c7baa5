#include "engine/file_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/check.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(FileStatus, FilesFoldersAndLinksToThemAreThere) {
  const test::TempDir dir;
  dir.write("file", "text");
  fs::create_symlink(dir / "file", dir / "to_file");
  fs::create_directory_symlink(dir.path(), dir / "to_folder");
  for (const char* name : {"file", "to_file", "to_folder", "."}) EXPECT_TRUE(file_exists(dir / name)) << name;
  for (const char* name : {"to_folder", "."}) EXPECT_TRUE(folder_exists(dir / name)) << name;
  for (const char* name : {"file", "to_file"}) EXPECT_FALSE(folder_exists(dir / name)) << name;
}

TEST(FileStatus, WhatCannotBeThereIsAbsent) {
  const test::TempDir dir;
  dir.write("file", "text");
  fs::create_symlink(dir / "gone", dir / "dangling");
  for (const std::string& name : {std::string("none"), std::string("dangling"), std::string("file/below"),
                                  std::string("none/below"), std::string(300, 'x')}) {
    EXPECT_FALSE(file_exists(dir / name)) << name;
    EXPECT_FALSE(folder_exists(dir / name)) << name;
  }
}

TEST(FileStatus, WhatCannotBeLookedAtIsNotAbsent) {
  const test::TempDir dir;
  fs::create_symlink("loop", dir / "loop");
  const auto told = ThrowsMessage<Error>(
      AllOf(HasSubstr("loop"), HasSubstr("cannot be looked at: Too many levels of symbolic links")));
  EXPECT_THAT([&] { file_exists(dir / "loop"); }, told);
  EXPECT_THAT([&] { folder_exists(dir / "loop"); }, told);
  EXPECT_THAT([&] { file_exists(dir / "loop/below"); }, told);
}

}  // namespace
}  // namespace cytograd
