#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cytograd {
namespace {

constexpr int kBarWidth = 24;

/// A line that is longer than the terminal is wide cannot be drawn over.
size_t terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(seconds, 0.0)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

Progress::Progress(std::string title, int64_t total, std::string unit)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (drawn_ && terminal_) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(int64_t done, const std::string& note) {
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000);
  if (now - last_ < pause) return;
  last_ = now;
  drawn_ = true;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done) / std::max(elapsed, 1e-9);
  const double left = static_cast<double>(total_ - done) / std::max(rate, 1e-9);
  std::string figures = fmt::format("{}/{} {}", done, total_, unit_);
  if (done > 0)
    figures += fmt::format(", {:.{}f}/s, {} left", rate, rate < 10.0 ? 1 : 0, format_duration(left));
  if (!note.empty()) figures += ", " + note;
  if (terminal_) {
    const auto filled = static_cast<int>(kBarWidth * done / std::max<int64_t>(total_, 1));
    std::string line =
        fmt::format("{} [{:=<{}}{: <{}}] {}", title_, "", filled, "", kBarWidth - filled, figures);
    line.resize(std::min(line.size(), terminal_columns() - 1));
    std::fputs(("\r" + line + "\x1b[K").c_str(), stderr);
  } else {
    std::fputs((title_ + ": " + figures + "\n").c_str(), stderr);
  }
  std::fflush(stderr);
}

}  // namespace cytograd
