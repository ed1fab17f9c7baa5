// Output that cannot be written, and commands that are stopped: one error line, old files whole, nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <algorithm>

#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

std::string shell_quoted(const Words& words) {
  std::string line = fmt::format("'{}'", test::binary());
  for (const std::string& word : words) line += " '" + word + "'";
  return line;
}

/// The command with redirections, as a shell runs it.
CommandResult run_in_shell(const Words& words, const std::string& redirection) {
  return run_command({"-c", shell_quoted(words) + " " + redirection}, {.program = "/bin/sh"});
}

TEST(CliOutput, ARunFolderThatCannotBeMadeIsRefusedBeforeTraining) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  dir.write("file", "kept");
  expect_error(train(dir / "data", dir / "file/run"), kFailed,
               {"file/run: the run folder cannot be made", "file"});
  expect_error(train(dir / "data", dir / "file"), kFailed, {"file: the run folder cannot be made"});
  expect_error(train(dir / "data", "/dev/full"), kFailed, {"/dev/full: the run folder cannot be made"});
  expect_error(train(dir / "data", "/proc/run"), kFailed, {"/proc/run: the folder cannot be"});
  EXPECT_EQ(read_file(dir / "file"), "kept");
}

TEST(CliOutput, FilesThatCannotBeWrittenAreRefused) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const std::string run = trained_run(dir / "data", dir / "run").string();
  const std::string data = (dir / "data").string();
  for (const std::string& file :
       {(dir / "absent/p.csv").string(), dir.path().string(), run + "/best.safetensors/p"}) {
    expect_error(run_command({"predict", "--model", run, "--out", file, data}), kFailed,
                 {file + ": cannot write"});
    expect_error(run_command({"eval", "--model", run, "--data", data, "--json", file}), kFailed,
                 {file + ": cannot write"});
  }
  expect_error(run_command({"predict", "--model", run, "--out", "/dev/full", data}), kFailed,
               {"/dev/full: cannot write: No space left on device"});
}

// As /dev/stdout is. Redirected to a file, it is that file, written in order, and never replaced.
TEST(CliOutput, PredictionsMayGoToStandardOutput) {
  const TempDir dir;
  write_tiny_data(dir / "data", {.images = 8});
  trained_run(dir / "data", dir / "run");
  fs::create_symlink("/proc/self/fd/1", dir / "stdout");
  const Words words{"predict",
                    "--model",
                    (dir / "run").string(),
                    "--out",
                    (dir / "stdout").string(),
                    (dir / "data").string()};
  EXPECT_EQ(run_in_shell(words, ">'" + (dir / "p.csv").string() + "'").code, 0);
  const std::string text = read_file(dir / "p.csv");
  EXPECT_TRUE(text.starts_with("image,label,probability,label_2,probability_2\ni0.png,")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 8) << text;
  const CommandResult piped = run_command(words);
  EXPECT_EQ(piped.out, text);
  EXPECT_THAT(piped.err, HasSubstr("predictions of 8 images\n"));
  const CommandResult evaluated = run_command({"eval", "--model", (dir / "run").string(), "--data",
                                               (dir / "data").string(), "--json", (dir / "stdout").string()});
  EXPECT_TRUE(evaluated.out.starts_with("{") && evaluated.out.ends_with("}\n")) << evaluated.out;
  EXPECT_TRUE(fs::is_symlink(dir / "stdout"));
}

TEST(CliOutput, AFullDiskStopsTheRunAndLeavesOldFilesWhole) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  trained_run(dir / "data", dir / "run");
  const Words files = listing(dir / "run");
  std::vector<std::string> before;
  for (const std::string& file : files) before.push_back(read_file(dir / "run" / file));
  const CommandResult result =
      train(dir / "data", dir / "run", {"--resume", "--epochs", "3"}, {.largest_file = 16 << 10});
  expect_error(result, kFailed, {".safetensors: cannot write: File too large"});
  EXPECT_EQ(listing(dir / "run"), files);
  for (size_t i = 0; i < files.size(); ++i) {
    if (!files[i].ends_with(".safetensors")) continue;
    EXPECT_EQ(read_file(dir / "run" / files[i]), before[i]) << files[i];
  }
  expect_ok(train(dir / "data", dir / "run", {"--resume", "--epochs", "3"}));
}

TEST(CliOutput, AnOutputThatIsFullFailsTheCommand) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_error(run_in_shell({"inspect", "--data", (dir / "data").string()}, ">/dev/full"), kFailed,
               {"the output cannot be written"});
  for (const Words& words : {Words{"--help"}, {"--version"}, {"train", "--help"}})
    expect_error(run_in_shell(words, ">/dev/full"), kFailed, {"the output cannot be written"});
}

TEST(CliOutput, ClosedOrFullStandardStreamsHarmNoFile) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  write_png(dir / "data/i1.png", tiny_image({.side = 8}, 1));
  dir.write("data/i1.png", "");
  for (const char* redirection : {"2>/dev/full", "2>&-", "0<&- 1>&- 2>&-"}) {
    const fs::path run = dir / "run";
    EXPECT_EQ(run_in_shell(train_words(dir / "data", run), redirection).code, 0) << redirection;
    EXPECT_EQ(run_command({"eval", "--model", run.string(), "--data", (dir / "data").string()}).code, 0);
    fs::remove_all(run);
  }
}

TEST(CliOutput, ALossThatIsNoNumberStopsTheRun) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  expect_error(train(dir / "data", dir / "run", {"--epochs", "20", "--lr", "1e9", "--schedule", "constant"}),
               kFailed, {"lower --lr"});
  EXPECT_THAT(listing(dir / "run"), Each(Not(HasSubstr(".tmp"))));
}

TEST(CliOutput, AnInterruptedRunGoesOn) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  const CommandResult stopped =
      train(dir / "data", dir / "run", {"--epochs", "100000", "--schedule", "constant"},
            {.kill_after = std::chrono::milliseconds(1500), .kill_signal = SIGINT});
  EXPECT_EQ(stopped.signal, SIGINT);
  EXPECT_THAT(stopped.errors(), ::testing::IsEmpty());
  const auto epochs = std::count(stopped.out.begin(), stopped.out.end(), '\n');
  if (epochs < 5) GTEST_SKIP() << "this machine is too slow: no epoch was done";
  const CommandResult resumed =
      train(dir / "data", dir / "run", {"--resume", "--epochs", std::to_string(epochs)});
  expect_ok(resumed);
  EXPECT_THAT(resumed.out, HasSubstr("resuming after epoch "));
  EXPECT_THAT(listing(dir / "run"), Each(Not(HasSubstr(".tmp"))));
}

TEST(CliOutput, TwoProcessesDoNotTrainIntoOneFolder) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  trained_run(dir / "data", dir / "run");
  dir.write("run/last.safetensors.tmp.1", "another's");
  const int held = open((dir / "run").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  expect_error(train(dir / "data", dir / "run", {"--resume", "--epochs", "2"}), kFailed,
               {"run: another process is training into this folder"});
  EXPECT_TRUE(fs::exists(dir / "run/last.safetensors.tmp.1"));
  close(held);
  expect_ok(train(dir / "data", dir / "run", {"--resume", "--epochs", "2"}));
  EXPECT_FALSE(fs::exists(dir / "run/last.safetensors.tmp.1"));
}

// A run that appears while another one waits is seen under the lock, before anything is read.
TEST(CliOutput, TheFolderIsTakenBeforeTheImagesAreRead) {
  const TempDir dir;
  fs::create_directory(dir / "run");
  const int held = open((dir / "run").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  expect_error(train(dir / "absent", dir / "run"), kFailed,
               {"run: another process is training into this folder"});
  close(held);
  expect_error(train(dir / "absent", dir / "run"), kFailed, {"absent: no such folder"});
  EXPECT_TRUE(fs::exists(dir / "run")) << "it was there before";
  expect_error(train(dir / "absent", dir / "new/deep/run"), kFailed, {"absent: no such folder"});
  EXPECT_FALSE(fs::exists(dir / "new"));
}

TEST(CliOutput, FilesThatAreOfNoRunAreNotOverwritten) {
  const TempDir dir;
  write_tiny_data(dir / "data");
  for (const char* name : {"metrics.csv", "classes.csv", "config.toml"}) {
    dir.write(fs::path("out") / name, "mine\n");
    expect_error(train(dir / "data", dir / "out"), kFailed,
                 {std::string(name) + ": is there, and of no run"});
    EXPECT_EQ(listing(dir / "out"), Words{name});
    EXPECT_EQ(read_file(dir / "out" / name), "mine\n");
    fs::remove_all(dir / "out");
  }
}

TEST(CliOutput, NoInputIsOverwritten) {
  const TempDir dir;
  const std::string data = write_tiny_data(dir / "data").string();
  const std::string run = trained_run(data, dir / "run").string();
  const std::string labels = read_file(dir / "data/labels.csv"), image = read_file(dir / "data/i3.png");
  fs::create_symlink(dir / "data/i3.png", dir / "link.csv");
  for (const std::string& input : {data + "/i3.png", data + "/labels.csv", (dir / "link.csv").string()}) {
    expect_error(run_command({"predict", "--model", run, "--out", input, data}), kFailed,
                 {input + ": is an input"});
    expect_error(run_command({"eval", "--model", run, "--data", data, "--json", input}), kFailed,
                 {input + ": is an input"});
  }
  const std::string link = (dir / "linked/labels.csv").string(), target = (dir / "labels_2.csv").string();
  fs::copy(dir / "data", dir / "linked");
  fs::rename(link, target);
  fs::create_symlink(target, link);
  for (const std::string& input : {link, target})
    expect_error(run_command({"predict", "--model", run, "--out", input, (dir / "linked").string()}), kFailed,
                 {input + ": is an input"});
  fs::create_directories(dir / "more");
  fs::copy(dir / "data/i3.png", dir / "more/m.png");
  expect_error(
      run_command({"predict", "--model", run, "--out", data + "/labels.csv", data, (dir / "more").string()}),
      kFailed, {"labels.csv: is an input"});
  expect_error(run_command({"predict", "--model", run, "--out", data + "/i3.png", data + "/i3.png"}), kFailed,
               {"i3.png: is an input"});
  for (const std::string& file : listing(run)) {
    const std::string before = read_file(dir / "run" / file), path = run + "/" + file;
    expect_error(run_command({"predict", "--model", run, "--out", path, data}), kFailed,
                 {file + ": is a file of the run"});
    expect_error(run_command({"eval", "--model", run, "--data", data, "--json", path}), kFailed,
                 {file + ": is a file of the run"});
    EXPECT_EQ(read_file(dir / "run" / file), before);
  }
  EXPECT_EQ(read_file(dir / "data/labels.csv"), labels);
  EXPECT_EQ(read_file(dir / "data/i3.png"), image);
  const std::string out = (dir / "p.csv").string();
  expect_error(run_command({"predict", "--model", run, "--out", out, "--submission",
                            (dir / "./run/../p.csv").string(), data}),
               kWrongUsage, {"--submission: names the file of --out"});
}

// Links in a circle stand for whatever the system cannot look at: a folder without permission, a failing disk.
TEST(CliOutput, WhatCannotBeLookedAtIsNeitherAbsentNorOverwritten) {
  const TempDir dir;
  const std::string data = write_tiny_data(dir / "data").string();
  const std::string run = trained_run(data, dir / "run").string(), out = (dir / "p.csv").string();
  const Words told{"loop", "cannot be looked at: Too many levels of symbolic links"};
  fs::create_symlink("loop", dir / "loop");
  const std::string loop = (dir / "loop").string();
  expect_error(run_command({"predict", "--model", run, "--out", out, loop}), kFailed, told);
  expect_error(run_command({"predict", "--model", loop, "--out", out, data}), kFailed, told);
  expect_error(run_command({"eval", "--model", loop, "--data", data}), kFailed, told);
  for (const char* weights : {"best.safetensors", "last.safetensors"}) fs::remove(dir / "run" / weights);
  fs::create_symlink(dir / "loop", dir / "run/last.safetensors");
  const Words refused{"last.safetensors", "cannot be looked at"};
  expect_error(train(dir / "data", dir / "run"), kFailed, refused);
  expect_error(run_command({"train", "--resume", "--out", run}), kFailed, refused);
  fs::create_directories(dir / "tables");
  fs::create_symlink(dir / "loop", dir / "tables/labels.csv");
  expect_error(run_command({"inspect", "--data", (dir / "tables").string()}), kFailed,
               {"labels.csv", "cannot be looked at"});
}

TEST(CliOutput, ATerminalShowsABarAndClearsItWhileAPipeGetsPlainLines) {
  const TempDir dir;
  const Words words{
      "synth",   "--out", (dir / "cells").string(), "--size", "128", "--experiments", "2", "--plates", "2",
      "--wells", "12"};
  if (!fs::exists("/usr/bin/script")) GTEST_SKIP() << "needs script(1) for a terminal";
  const CommandResult terminal = run_command({"-qec", "stty cols 60; " + shell_quoted(words), "/dev/null"},
                                             {.program = "/usr/bin/script"});
  EXPECT_EQ(terminal.code, 0) << terminal.out;
  EXPECT_THAT(terminal.out, AllOf(HasSubstr("\rdrawing ["), HasSubstr("\r\x1b[K"), HasSubstr("sites")));
  fs::remove_all(dir / "cells");
  const CommandResult plain = run_command(words);
  expect_ok(plain);
  EXPECT_THAT(plain.err, AllOf(Not(HasSubstr("\r")), Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace cytograd::test
