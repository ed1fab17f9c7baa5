// Errors. `fail` reports what a user can mend (a file, an option); CHECK reports a caller's mistake.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace cytograd {

/// What went wrong, which file, why; what to do. One line, without a full stop at the end.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A broken precondition of a function in this code base: expression, place and actual values.
class CheckError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Throws Error with the formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

namespace detail {

[[noreturn]] void check_failed(const char* expression, const char* file, int line, const std::string& values);

}  // namespace detail
}  // namespace cytograd

/// CHECK(x.rank() == 4, "x is {}", x.shape()): throws CheckError when the condition is false.
#define CHECK(condition, ...)                                                                          \
  do {                                                                                                 \
    if (!(condition)) [[unlikely]]                                                                     \
      ::cytograd::detail::check_failed(#condition, __FILE__, __LINE__, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
