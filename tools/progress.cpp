#include "tools/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace cytograd {
namespace {

constexpr int kBarWidth = 24;

}  // namespace

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::max(seconds, 0.0) + 0.5);
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
  if (drawn_ && terminal_) fmt::print(stderr, "\r\x1b[K");
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
  const std::string figures = fmt::format("{}/{} {}, {:.0f}/s, {} left{}{}", done, total_, unit_, rate,
                                          format_duration(left), note.empty() ? "" : ", ", note);
  if (terminal_) {
    const auto filled = static_cast<int>(kBarWidth * done / std::max<int64_t>(total_, 1));
    fmt::print(stderr, "\r{} [{:=<{}}{: <{}}] {}\x1b[K", title_, "", filled, "", kBarWidth - filled, figures);
  } else {
    fmt::print(stderr, "{}: {}\n", title_, figures);
  }
  std::fflush(stderr);
}

}  // namespace cytograd
