// Runs the cytograd binary as a user does, and keeps all it says.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/paths.h"

namespace cytograd::test {

struct CommandOptions {
  std::chrono::milliseconds limit{60000};                    ///< then it is killed
  std::optional<std::chrono::milliseconds> kill_after = {};  ///< with `kill_signal`, unless it has ended
  int kill_signal = SIGKILL;
  std::optional<rlim_t> largest_file = {};  ///< bytes: writing more fails, as on a full disk
  std::string program = binary();
  std::filesystem::path folder = {};  ///< to run in; "": this one
};

struct CommandResult {
  int code = -1;   ///< exit code; -1: ended by a signal
  int signal = 0;  ///< that ended it
  bool timed_out = false;
  std::string out;
  std::string err;
  std::chrono::milliseconds duration{};

  /// The lines on stderr that report an error.
  std::vector<std::string> errors() const {
    std::vector<std::string> found;
    for (size_t at = 0; at < err.size();) {
      const size_t end = std::min(err.find('\n', at), err.size());
      const std::string line = err.substr(at, end - at);
      if (line.starts_with("cytograd: error: ")) found.push_back(line);
      at = end + 1;
    }
    return found;
  }
};

namespace detail {

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    close(read_end);
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_write() {
    if (write_end >= 0) close(write_end);
    write_end = -1;
  }
  int read_end = -1;
  int write_end = -1;
};

/// Between fork and exec: nothing here allocates.
[[noreturn]] inline void become(char* const* arguments, const CommandOptions& options, int out, int err) {
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) _exit(126);
  if (options.largest_file) {
    const rlimit limit{*options.largest_file, *options.largest_file};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(126);
  }
  execv(arguments[0], arguments);
  _exit(127);
}

}  // namespace detail

/// Runs the binary (or another program) with `arguments` and waits for its end.
inline CommandResult run_command(const std::vector<std::string>& arguments,
                                 const CommandOptions& options = {}) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::string> words{options.program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  setenv("OMP_NUM_THREADS", "1", 0);  // tiny models gain nothing from more, and tests run beside each other
  detail::Pipe out;
  detail::Pipe err;
  const auto start = Clock::now();
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process");
  if (child == 0) detail::become(pointers.data(), options, out.write_end, err.write_end);
  out.close_write();
  err.close_write();

  CommandResult result;
  pollfd ends[2] = {{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}};
  bool killed = false;
  const auto due = [&] { return options.kill_after && !killed ? *options.kill_after : options.limit; };
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(start + due() - Clock::now()).count();
    if (left <= 0) {
      result.timed_out = due() == options.limit;
      kill(child, result.timed_out ? SIGKILL : options.kill_signal);
      killed = true;
      if (result.timed_out) break;
      continue;
    }
    if (poll(ends, 2, static_cast<int>(left)) < 0 && errno != EINTR) break;
    for (pollfd& end : ends) {
      if (end.fd < 0 || end.revents == 0) continue;
      char buffer[4096];
      const ssize_t got = read(end.fd, buffer, sizeof(buffer));
      if (got > 0) (&end == ends ? result.out : result.err).append(buffer, static_cast<size_t>(got));
      if (got == 0 || (got < 0 && errno != EINTR)) end.fd = -1;
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  result.duration = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  return result;
}

}  // namespace cytograd::test
