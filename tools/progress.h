// Progress of long work on stderr: a bar with rate and time left on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cytograd {

/// Redraws at most ten times a second on a terminal; elsewhere prints a line at most every ten seconds. The destructor
/// clears the bar.
class Progress {
 public:
  /// `unit` is what the rate counts: "images".
  Progress(std::string title, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` is appended, for example the loss so far.
  void update(int64_t done, const std::string& note = {});

 private:
  using Clock = std::chrono::steady_clock;

  std::string title_;
  std::string unit_;
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_;
};

/// "45 s", "3 min 20 s", "2 h 5 min".
std::string format_duration(double seconds);

}  // namespace cytograd
