// What the command line says of itself and of options that make no sense: exit code 2, and nothing is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr const char* kSubcommands[] = {"inspect", "synth", "fuse",    "pack",
                                        "train",   "eval",  "predict", "devices"};

TEST(CliUsage, HelpOfEachSubcommandHasAnExampleOfItself) {
  const CommandResult all = run_command({"--help"});
  EXPECT_EQ(all.code, 0);
  for (const char* name : kSubcommands) {
    EXPECT_THAT(all.out, HasSubstr(fmt::format("\n  {} ", name)));
    const CommandResult help = run_command({name, "--help"});
    expect_ok(help);
    EXPECT_THAT(help.out, AllOf(HasSubstr(fmt::format("Usage: cytograd {}", name)),
                                HasSubstr(fmt::format("Example: cytograd {}", name))));
    EXPECT_THAT(help.out, AllOf(Not(HasSubstr("TEXT")), Not(HasSubstr("INT")), Not(HasSubstr("FLOAT"))));
  }
  EXPECT_THAT(
      run_command({"train", "--help"}).out,
      AllOf(HasSubstr("Layouts of --data"), HasSubstr("labels.csv with image,label[,group][,split]"),
            HasSubstr("[resnet18]"), HasSubstr("--epochs N [30]"), HasSubstr("auto|cpu|cuda [auto]")));
}

TEST(CliUsage, TheVersionIsOneLine) { EXPECT_EQ(run_command({"--version"}).out, "cytograd 0.1.0\n"); }

TEST(CliUsage, WhatIsMissingOrUnknownIsNamedWithTheHelpToRead) {
  const std::pair<Words, Words> commands[] = {
      {{}, {"subcommand", "see 'cytograd --help'"}},
      {{"fly"}, {"'fly' is no subcommand", "see 'cytograd --help'"}},
      {{"train", "--color", "red"}, {"--color", "see 'cytograd train --help'"}},
      {{"train", "--data", "d"}, {"--out is required", "see 'cytograd train --help'"}},
      {{"train", "--out", "r"}, {"--data is required"}},
      {{"train", "--out"}, {"--out"}},
      {{"eval", "--data", "d"}, {"--model is required", "see 'cytograd eval --help'"}},
      {{"predict", "--model", "r", "--out", "f"}, {"INPUT is required"}},
      {{"inspect"}, {"--data is required"}},
      {{"train", "--resume", "--out", "r", "--config", "c"}, {"--config", "has its own settings"}},
      {{"synth"}, {"--out is required"}},
  };
  for (const auto& [words, parts] : commands) expect_error(run_command(words), kWrongUsage, parts);
}

TEST(CliUsage, OptionsThatWouldBeIgnoredAreNamed) {
  const TempDir dir;
  const fs::path data = write_tiny_data(dir / "data");
  const std::pair<Words, std::string> options[] = {
      {{"--optimizer", "adamw", "--momentum", "0.5"}, "--momentum: has no meaning with --optimizer adamw"},
      {{"--optimizer", "adamw", "--nesterov"}, "--nesterov: has no meaning with --optimizer adamw"},
      {{"--schedule", "one_cycle", "--warmup", "2"}, "--warmup: has no meaning with --schedule one_cycle"},
      {{"--fusion", "none", "--components", "2"}, "--components: has no meaning with --fusion none"},
      {{"--model", "small", "--stem", "3x3"}, "--stem: has no meaning with --model small"},
      {{"--val", (dir / "val").string(), "--val-group", "a"}, "--val-group: has no meaning with --val"},
      {{"--val", (dir / "val").string(), "--val-fraction", "0.3"},
       "--val-fraction: has no meaning with --val"},
      {{"--val-group", "g1", "--val-fraction", "0.3"}, "--val-fraction: has no meaning with --val-group"},
      {{"--colormap", "colours.csv"}, "--colormap: has no meaning with --fusion none"},
  };
  for (const auto& [words, message] : options)
    expect_error(train(data, dir / "run", words), kWrongUsage, {message});
  const fs::path config = dir.write("c.toml", "val-group=[\"g1\"]\n");
  expect_error(train(data, dir / "run", {"--config", config.string(), "--val-fraction", "0.3"}), kWrongUsage,
               {"--val-fraction: has no meaning with --val-group, of ", "c.toml or by default"});
  const Words verify{"pack", "--verify", (dir / "pack").string()};
  for (const char* option : {"--white", "--shard-mib", "--max-missing"})
    expect_error(run_command(verify + Words{option, "1"}), kWrongUsage, {"--verify", option});
  EXPECT_FALSE(fs::exists(dir / "run"));
  expect_ok(train(data, dir / "run",
                  {"--model", "small", "--stem", "auto", "--no-zero-init-last", "--optimizer", "adamw",
                   "--no-nesterov", "--schedule", "one_cycle", "--warmup", "0"}));
}

TEST(CliUsage, ValuesOutOfRangeAreNamedWithTheRange) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const std::pair<Words, std::string> options[] = {
      {{"--epochs", "0"}, "--epochs: '0' is not a whole number from 1 to 1000000"},
      {{"--epochs", "1.5"}, "--epochs: '1.5' is not a whole number"},
      {{"--epochs", "99999999999999999999"}, "--epochs: '99999999999999999999' is not a whole number"},
      {{"--crop", "-5"}, "--crop: '-5' is not a whole number from 0 to 16384"},
      {{"--shrink", "0"}, "--shrink: '0' is not a whole number from 1 to 64"},
      {{"--batch", "1"}, "--batch: '1' is not a whole number from 2 to 65536"},
      {{"--lr", "nan"}, "--lr: 'nan' is not a number from 0 to 1e+09"},
      {{"--lr", "inf"}, "--lr: 'inf' is not a number"},
      {{"--lr", "fast"}, "--lr: 'fast' is not a number"},
      {{"--lr", ""}, "--lr: '' is not a number"},
      {{"--val-fraction", "1.5"}, "--val-fraction: '1.5' is not a number between 0 and 1"},
      {{"--val-fraction", "0"}, "--val-fraction: '0' is not a number between 0 and 1"},
      {{"--val-fraction", "1"}, "--val-fraction: '1' is not a number between 0 and 1"},
      {{"--val-fraction", "nan"}, "--val-fraction: 'nan' is not a number"},
      {{"--max-missing", "2"}, "--max-missing: '2' is not a number from 0 to 1"},
      {{"--cache-gib", "nan"}, "--cache-gib: 'nan' is not a number"},
      {{"--cache-gib", "1e30"}, "--cache-gib: '1e30' is not a number"},
      {{"--workers", "0"}, "--workers: '0' is not a whole number from 1 to 256"},
      {{"--seed", "-1"}, "--seed: '-1' is not a whole number from 0"},
      {{"--model", "vgg"}, "--model: 'vgg' is none of small, resnet18"},
      {{"--device", "tpu"}, "--device: 'tpu' is none of auto, cpu, cuda"},
      {{"--dtype", "f64"}, "--dtype: 'f64' is none of"},
      {{"--where", "group"}, "--where: 'group' is not COLUMN=VALUE[,VALUE...]"},
      {{"--where", "=g1"}, "--where: '=g1' is not COLUMN=VALUE[,VALUE...]"},
      {{"--where", ""}, "--where: '' is not COLUMN=VALUE[,VALUE...]"},
      {{"--epochs", "0x2"}, "--epochs: '0x2' is not a whole number"},
      {{"--epochs", "2 "}, "--epochs: '2 ' is not a whole number"},
      {{"--epochs", "+2"}, "--epochs: '+2' is not a whole number"},
      {{"--seed", "18446744073709551616"}, "--seed: '18446744073709551616' is not a whole number from 0 to"},
      {{"--seed", "0b1"}, "--seed: '0b1' is not a whole number"},
      {{"--lr", "1e-400"}, "--lr: '1e-400' is too small or too large"},
      {{"--lr", "1e400"}, "--lr: '1e400' is too small or too large"},
      {{"--lr", "0x1p-4"}, "--lr: '0x1p-4' is not a number"},
      {{"--val", ""}, "--val: '' names no file or folder"},
      {{"--init-weights", ""}, "--init-weights: '' names no file or folder"},
      {{"--config", ""}, "--config: '' names no file or folder"},
      {{"surplus"}, "surplus"},
  };
  for (const auto& [words, part] : options) {
    expect_error(train(dir / "data", dir / "run", words), kWrongUsage,
                 {part, "; see 'cytograd train --help'"});
  }
  EXPECT_FALSE(fs::exists(dir / "run"));
}

TEST(CliUsage, OfAnOptionGivenTwiceTheLastCounts) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const CommandResult result = train(dir / "data", dir / "run", {"--epochs", "7", "--epochs", "2"});
  expect_ok(result);
  EXPECT_THAT(result.out, HasSubstr("epoch   2/2"));
  EXPECT_THAT(train(dir / "data", dir / "run", {"--resume", "--epochs", "7", "--epochs", "3"}).out,
              HasSubstr("epoch   3/3"));
}

TEST(CliUsage, ALeadingZeroMakesNoOctalNumber) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_ok(train(dir / "data", dir / "run", {"--batch", "010", "--seed", "007"}));
  EXPECT_THAT(read_file(dir / "run/config.toml"), AllOf(HasSubstr("\nbatch=10\n"), HasSubstr("\nseed=7\n")));
}

TEST(CliUsage, AnEmptyPathIsWrongUsage) {
  const std::pair<Words, std::string> commands[] = {
      {{"synth", "--out", ""}, "--out"},
      {{"inspect", "--data", ""}, "--data"},
      {{"fuse", "--data", "", "--out", "o"}, "--data"},
      {{"fuse", "--data", "d", "--out", ""}, "--out"},
      {{"train", "--data", "", "--out", "r"}, "--data"},
      {{"train", "--data", "d", "--out", ""}, "--out"},
      {{"eval", "--model", "", "--data", "d"}, "--model"},
      {{"eval", "--model", "r", "--data", ""}, "--data"},
      {{"eval", "--model", "r", "--data", "d", "--json", ""}, "--json"},
      {{"predict", "--model", "r", "--out", "", "i"}, "--out"},
      {{"predict", "--model", "r", "--out", "p", ""}, "INPUT"},
      {{"predict", "--model", "r", "--out", "p", "--submission", "", "i"}, "--submission"},
  };
  for (const auto& [words, option] : commands)
    expect_error(run_command(words), kWrongUsage, {option + ": '' names no file or folder"});
}

TEST(CliUsage, AnOptionBeforeTheSubcommandIsSentBehindIt) {
  expect_error(run_command({"--data", "d", "train", "--out", "r"}), kWrongUsage,
               {"'--data' stands before the subcommand; write cytograd SUBCOMMAND --data ..."});
}

TEST(CliUsage, WhatTheMachineCannotDoIsSaidWithAWayOut) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_error(train(dir / "data", dir / "run", {"--dtype", "f16"}), kFailed,
               {"--dtype f16", "use bf16 or f32"});
  if (run_command({"devices"}).out.find("cuda  none") != std::string::npos) {
    expect_error(train(dir / "data", dir / "run", {"--device", "cuda"}), kFailed,
                 {"--device cuda: ", "use --device cpu"});
  }
  EXPECT_FALSE(fs::exists(dir / "run"));
}

TEST(CliUsage, SynthWritesIntoNoFolderThatHoldsAnything) {
  const TempDir dir;
  dir.write("out/mine.txt", "kept");
  const Words words{"synth", "--out", (dir / "out").string(), "--size", "32"};
  expect_error(run_command(words), kFailed, {"out"});
  EXPECT_EQ(listing(dir / "out"), Words{"mine.txt"});
  expect_error(run_command({"synth", "--out", (dir / "new").string(), "--size", "7"}), kWrongUsage,
               {"--size: '7' is not a whole number from 32 to 2048"});
  expect_error(run_command({"synth", "--out", (dir / "new").string(), "--classes", "30", "--wells", "4"}),
               kFailed, {"classes"});
  EXPECT_FALSE(fs::exists(dir / "new"));
}

}  // namespace
}  // namespace cytograd::test
