#include "engine/folder_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/check.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::HasSubstr;

TEST(FolderLock, IsHeldAsLongAsItsPathLeadsToItsFolder) {
  const test::TempDir dir;
  const FolderLock lock(dir / "run", "training into this folder");
  EXPECT_NO_THROW(lock.require_held());
  const auto require = [&] { lock.require_held(); };
  fs::rename(dir / "run", dir / "old");
  EXPECT_THAT(message_of<Error>(require), HasSubstr("run: the folder has been removed, moved or replaced"));
  fs::create_directory(dir / "run");
  EXPECT_THAT(message_of<Error>(require), HasSubstr("while a process was training into this folder"));
  fs::remove(dir / "run");
  fs::rename(dir / "old", dir / "run");
  EXPECT_NO_THROW(lock.require_held());
}

TEST(FolderLock, LeavesAFolderThatTookItsPlaceAlone) {
  const test::TempDir dir;
  {
    const FolderLock lock(dir / "run", "training into this folder");
    fs::rename(dir / "run", dir / "old");
    fs::create_directory(dir / "run");
  }
  EXPECT_TRUE(fs::exists(dir / "run"));
  { const FolderLock lock(dir / "new/run", "training into this folder"); }
  EXPECT_FALSE(fs::exists(dir / "new")) << "it was made, and nothing came to be in it";
}

}  // namespace
}  // namespace cytograd
