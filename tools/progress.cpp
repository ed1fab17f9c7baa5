#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace cytograd {
namespace {

constexpr int kBarWidth = 24;
constexpr const char* kClear = "\r\x1b[K";

std::atomic<bool> bar_on_stderr = false;

/// A line that is longer than the terminal is wide cannot be drawn over.
size_t terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

void say(const std::string& line) {
  std::string text = line;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; },
      ' ');  // a file's name may hold a line end
  std::fputs(((bar_on_stderr.exchange(false) ? kClear : "") + text + "\n").c_str(), stderr);
}

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(seconds, 0.0)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

ProgressOutput progress_on_stderr() {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const auto write = [terminal](const std::string& text) {
    bar_on_stderr = terminal && text != kClear;
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  };
  const auto seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  return {.write = write, .seconds = seconds, .terminal = terminal, .columns = terminal_columns};
}

Progress::Progress(std::string title, int64_t total, std::string unit, ProgressOutput output)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      output_(std::move(output)),
      last_seconds_(output_.seconds()) {}

Progress::~Progress() {
  if (drawn_ && output_.terminal) output_.write(kClear);
}

void Progress::update(int64_t done, const std::string& note) {
  const double now = output_.seconds();
  if (first_done_ < 0) {
    first_done_ = done;
    first_seconds_ = now;
  }
  if (now - last_seconds_ < (output_.terminal ? 0.1 : 10.0)) return;
  last_seconds_ = now;
  std::string figures = fmt::format("{}/{} {}", done, total_, unit_);
  if (done > first_done_ && now > first_seconds_) {
    const double rate = static_cast<double>(done - first_done_) / (now - first_seconds_);
    const double left = static_cast<double>(total_ - done) / rate;
    figures += fmt::format(", {:.{}f}/s, {} left", rate, rate < 10.0 ? 1 : 0, format_duration(left));
  }
  if (!note.empty()) figures += ", " + note;
  draw(done, figures);
}

void Progress::draw(int64_t done, const std::string& figures) {
  drawn_ = true;
  if (!output_.terminal) return output_.write(title_ + ": " + figures + "\n");
  const auto filled = static_cast<int>(kBarWidth * done / std::max<int64_t>(total_, 1));
  std::string line =
      fmt::format("{} [{:=<{}}{: <{}}] {}", title_, "", filled, "", kBarWidth - filled, figures);
  line.resize(std::min(line.size(), output_.columns() - 1));
  output_.write("\r" + line + "\x1b[K");
}

}  // namespace cytograd
