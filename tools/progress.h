// What a command says on stderr while it works: messages, and how far it is.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace cytograd {

/// Prints one line to stderr, in place of a bar that is drawn there; the bar comes again with its next update.
void say(const std::string& line);

/// Where progress is shown. By default stderr.
struct ProgressOutput {
  std::function<void(const std::string&)> write;
  std::function<double()> seconds;  ///< of a clock that never goes back
  bool terminal = false;
  std::function<size_t()> columns;  ///< of the terminal, now
};
ProgressOutput progress_on_stderr();

/// Progress of long work: on a terminal a bar with rate and time left, redrawn at most ten times a second and cleared
/// by the destructor; elsewhere a line at most every ten seconds. The rate counts from the first update on, and leaves
/// out what was done before it.
class Progress {
 public:
  /// `unit` is what the rate counts: "images".
  Progress(std::string title, int64_t total, std::string unit, ProgressOutput output = progress_on_stderr());
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` is appended, for example the loss so far.
  void update(int64_t done, const std::string& note = {});

 private:
  void draw(int64_t done, const std::string& figures);

  std::string title_;
  std::string unit_;
  int64_t total_;
  ProgressOutput output_;
  bool drawn_ = false;
  int64_t first_done_ = -1;  // with the first update
  double first_seconds_ = 0.0;
  double last_seconds_;
};

/// "45 s", "3 min 20 s", "2 h 5 min".
std::string format_duration(double seconds);

}  // namespace cytograd
