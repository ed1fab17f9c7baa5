#include "engine/atomic_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "engine/check.h"
#include "tests/support/temp_dir.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using testing::HasSubstr;
using testing::ThrowsMessage;

class AtomicFileTest : public testing::Test {
 protected:
  int64_t files() const { return std::distance(fs::directory_iterator(folder_), {}); }

  const test::TempDir dir_;
  const fs::path& folder_ = dir_.path();
};

TEST_F(AtomicFileTest, ANameMayBeAsLongAsTheSystemLetsIt) {
  const fs::path path = folder_ / std::string(255, 'n');
  write_text_file(path, "text");
  EXPECT_EQ(read_file(path), "text");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, WritesAndReplaces) {
  const fs::path path = folder_ / "a.txt";
  write_text_file(path, "old");
  EXPECT_EQ(read_file(path), "old");
  std::string large(300'000, 'x');
  {
    AtomicFile file(path);
    file.write("head,");
    for (int i = 0; i < 50'000; ++i) file.write("0123456789");
    file.write(large);
    EXPECT_EQ(read_file(path), "old");  // until it is committed
    EXPECT_EQ(files(), 2);
    file.commit();
  }
  std::string expected = "head,";
  for (int i = 0; i < 50'000; ++i) expected += "0123456789";
  EXPECT_EQ(read_file(path), expected + large);
  EXPECT_EQ(files(), 1);
  write_text_file(path, "");
  EXPECT_EQ(read_file(path), "");
}

TEST_F(AtomicFileTest, OfTwoAtOnceTheLastWins) {
  const fs::path path = folder_ / "a.txt";
  AtomicFile first(path), second(path);
  first.write("first");
  second.write("second's");
  EXPECT_EQ(files(), 2);
  first.commit();
  EXPECT_EQ(read_file(path), "first");
  second.commit();
  EXPECT_EQ(read_file(path), "second's");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, WhatIsReplacedLeavesItsMode) {
  const fs::path path = folder_ / "a.txt", other = folder_ / "b.txt";
  const auto mode = [](const fs::path& file) {
    struct stat status {};
    EXPECT_EQ(stat(file.c_str(), &status), 0);
    return status.st_mode & 07777;
  };
  write_text_file(path, "old");
  const auto usual = mode(path);
  for (const mode_t wanted : {0600, 0640, 0400, 0666}) {
    chmod(path.c_str(), wanted);
    write_text_file(path, "new");
    EXPECT_EQ(mode(path), wanted);
  }
  write_text_file(other, "new");
  EXPECT_EQ(mode(other), usual);
}

TEST_F(AtomicFileTest, WhatRootReplacesStaysItsOwners) {
  if (geteuid() != 0) GTEST_SKIP() << "this is not root";
  const fs::path path = folder_ / "a.txt";
  write_text_file(path, "old");
  ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  write_text_file(path, "new");
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534U);
  EXPECT_EQ(status.st_gid, 65534U);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

// One may replace what one could not read: as ever, whoever may list the folder can then read it.
TEST_F(AtomicFileTest, WhatAnotherOwnsBecomesANewFile) {
  if (geteuid() != 0) GTEST_SKIP() << "this is not root";
  const fs::path path = folder_ / "a.txt";
  write_text_file(path, "root's");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  fs::permissions(folder_, fs::perms::all);
  ASSERT_EQ(seteuid(65534), 0);
  write_text_file(path, "new");
  ASSERT_EQ(seteuid(0), 0);
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534U);
  EXPECT_EQ(status.st_mode & 0444U, 0444U);
}

TEST_F(AtomicFileTest, WithoutCommitTheOldFileStays) {
  const fs::path path = folder_ / "a.txt";
  write_text_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, NamesFileAndReason) {
  EXPECT_THAT([&] { write_text_file(folder_ / "absent" / "a.txt", ""); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("absent/a.txt"), HasSubstr("No such file"))));
  EXPECT_THAT([&] { write_text_file(folder_, ""); }, ThrowsMessage<Error>(HasSubstr("is a directory")));
}

// A limit on the size of files stands for a full disk: the write fails half-way with an error of its own.
TEST_F(AtomicFileTest, AFullDiskLeavesTheOldFileAndNoTemporary) {
  const fs::path path = folder_ / "a.txt";
  write_text_file(path, "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    write_text_file(path, std::string(1'000'000, 'x'));
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("a.txt: cannot write: File too large"));
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, ALinkStaysAndItsTargetIsReplaced) {
  fs::create_directory(folder_ / "there");
  write_text_file(folder_ / "there/a.txt", "old");
  fs::create_symlink("there/a.txt", folder_ / "second");
  fs::create_symlink("second", folder_ / "first");
  fs::create_symlink("there/new.txt", folder_ / "dangling");
  write_text_file(folder_ / "first", "new");
  write_text_file(folder_ / "dangling", "made");
  EXPECT_EQ(read_file(folder_ / "there/a.txt"), "new");
  EXPECT_EQ(read_file(folder_ / "there/new.txt"), "made");
  for (const char* link : {"first", "second", "dangling"})
    EXPECT_TRUE(fs::is_symlink(folder_ / link)) << link;
  EXPECT_EQ(files(), 4);
}

TEST_F(AtomicFileTest, ALinkToItselfIsAnError) {
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_THAT([&] { write_text_file(folder_ / "loop", "x"); },
              ThrowsMessage<Error>(HasSubstr("loop: cannot write: Too many levels of symbolic links")));
}

// As /dev/stdout is a link to /proc/self/fd/1. What is behind the descriptor is a regular file here.
TEST_F(AtomicFileTest, AnOpenDescriptorIsWrittenBehindWhatIsThereAndItsLinkStays) {
  const fs::path path = folder_ / "out.txt", link = folder_ / "stdout";
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(descriptor, 0);
  ASSERT_EQ(write(descriptor, "before,", 7), 7);
  fs::create_symlink(fmt::format("/proc/self/fd/{}", descriptor), link);
  EXPECT_TRUE(is_written_in_place(link));
  write_text_file(link, "ours,");
  ASSERT_EQ(write(descriptor, "after", 5), 5);
  close(descriptor);
  EXPECT_EQ(read_file(path), "before,ours,after");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(files(), 2);
}

TEST_F(AtomicFileTest, NoFileIsMadeInDev) {
  EXPECT_TRUE(is_written_in_place("/dev/cytograd-absent"));
  EXPECT_FALSE(is_written_in_place(folder_ / "a.txt"));
  EXPECT_THAT([] { write_text_file("/dev/cytograd-absent", "x"); },
              ThrowsMessage<Error>(HasSubstr("No such file")));
  EXPECT_FALSE(fs::exists("/dev/cytograd-absent"));
}

TEST_F(AtomicFileTest, DevicesAndPipesAreWrittenDirectly) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_THAT([] { write_text_file("/dev/full", "x"); },
              ThrowsMessage<Error>("/dev/full: cannot write: No space left on device"));
  write_text_file("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

}  // namespace
}  // namespace cytograd
