// Images of any number of channels and of 16 bits, from a folder to a trained model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/same_run.h"
#include "tests/support/tiff_files.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int kBrightest = 2900;  // a camera of 12 bits

/// Stacks of grey pages, noise whose brightness is the class's.
void write_stacks(const fs::path& folder, uint16_t channels) {
  fs::create_directories(folder);
  std::ofstream table(folder / "labels.csv");
  table << "image,label,group\n";
  const TiffKind kind{
      .width = 16, .height = 16, .pages = channels, .bits = 16, .compression = COMPRESSION_ADOBE_DEFLATE};
  for (uint32_t i = 0; i < 16; ++i) {
    Philox random(5, i, 0);
    write_tiff(folder / fmt::format("i{}.tif", i), kind,
               [&](uint32_t page, uint32_t y, uint32_t x, uint32_t) {
                 if (page == 0 && x == 3 && y == 4) return static_cast<uint32_t>(kBrightest);
                 return 300 + 1200 * (i % 2) + 30 * page + random.below(900);
               });
    table << "i" << i << ".tif,c" << i % 2 << ",g" << i / 4 << "\n";
  }
}

class CliChannels : public ::testing::TestWithParam<int> {};

TEST_P(CliChannels, StacksOf16BitsGoAllTheWay) {
  const TempDir dir;
  const auto channels = static_cast<uint16_t>(GetParam());
  const fs::path data = dir / "data";
  write_stacks(data, channels);
  const Words white{"--white", std::to_string(kBrightest)};

  const CommandResult inspected = run_command({"inspect", "--data", data.string(), "--json"});
  expect_ok(inspected);
  const auto json = nlohmann::json::parse(inspected.out);
  EXPECT_EQ(json["channels"], channels);
  EXPECT_EQ(json["bits"], 16);
  EXPECT_EQ(json["brightest"], kBrightest);

  const Words fuse{"fuse", "--data", data.string(), "--out", (dir / "rgb").string(), "--method", "pca"};
  expect_ok(run_command(fuse + white));
  EXPECT_EQ(read_image(dir / "rgb/images/i0.png").channels, 3);
  expect_error(run_command(fuse + Words{"--white", "2901"}), kFailed, {"made with other settings"});

  const Words pack{"pack", "--data", data.string(), "--out", (dir / "pack").string()};
  expect_ok(run_command(pack + white));
  expect_error(run_command(pack), kFailed, {"holds the pack of another dataset"});
  const CommandResult of_pack = run_command({"inspect", "--data", (dir / "pack").string()});
  EXPECT_THAT(of_pack.out, HasSubstr("packed from 16 bits with --white 2900"));

  const RunFolder files(trained_run(data, dir / "from_files", white));
  const RunFolder packed(trained_run(dir / "pack", dir / "from_pack", white));
  expect_same_run(files, packed);

  // A pack says itself how it was scaled, and no other way is taken for it.
  expect_same_run(packed, RunFolder(trained_run(dir / "pack", dir / "from_its_own")));
  expect_error(train(dir / "pack", dir / "other", {"--white", "4095"}), kFailed,
               {"was packed with --white 2900, which cannot become 4095"});
  expect_ok(run_command({"pack", "--data", data.string(), "--out", (dir / "darker").string()}));
  for (const Words& command :
       {Words{"predict", "--model", files.path().string(), "--out", (dir / "p.csv").string(),
              (dir / "darker").string()},
        Words{"eval", "--model", files.path().string(), "--data", (dir / "darker").string()}})
    expect_error(run_command(command), kFailed,
                 {"was packed with --white 65535, but the model was trained with 2900"});
  expect_error(train(dir / "pack", dir / "other", {"--val", (dir / "darker").string()}), kFailed,
               {"was packed with --white 65535, but the training images have 2900"});

  // The run's own white: the same predictions from what it was trained on, packed or not.
  const auto predictions = [&](const fs::path& input) {
    const fs::path out = dir / "predictions.csv";
    expect_ok(run_command({"predict", "--model", files.path().string(), "--out", out.string(), "--device",
                           "cpu", input.string()}));
    return read_file(out);
  };
  EXPECT_EQ(predictions(data), predictions(dir / "pack"));
}

INSTANTIATE_TEST_SUITE_P(Counts, CliChannels, ::testing::Values(1, 2, 5, 8));

}  // namespace
}  // namespace cytograd::test
