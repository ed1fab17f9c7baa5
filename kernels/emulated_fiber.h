// A stack that runs one function after another, each of which may suspend itself. Internal to the emulator.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace cytograd::emulator {

#ifdef __SANITIZE_ADDRESS__
/// AddressSanitizer has to be told which stack it is on.
class StackSwitch {
 public:
  void leave(const void* bottom, size_t size) { __sanitizer_start_switch_fiber(&fake_, bottom, size); }
  void arrive(const void** from, size_t* size) { __sanitizer_finish_switch_fiber(fake_, from, size); }

 private:
  void* fake_ = nullptr;
};
#else
class StackSwitch {
 public:
  void leave(const void*, size_t) {}
  void arrive(const void**, size_t*) {}
};
#endif

class Fiber {
 public:
  Fiber() {
    boost::context::protected_fixedsize_stack allocator(kStackBytes);
    fiber_ = boost::context::fiber(std::allocator_arg, KeepBounds{allocator, this},
                                   [this](boost::context::fiber&& host) { return live(std::move(host)); });
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  /// Unwinds what is suspended.
  ~Fiber() {
    outside_.leave(stack_bottom_, stack_size_);
    fiber_ = {};
    outside_.arrive(nullptr, nullptr);
  }

  void start(const std::function<void()>& work) {
    work_ = work;
    finished_ = false;
  }
  /// Runs until the work ends or suspends; rethrows what it threw.
  void resume() {
    outside_.leave(stack_bottom_, stack_size_);
    fiber_ = std::move(fiber_).resume();
    outside_.arrive(nullptr, nullptr);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }
  /// Within the work: back to resume().
  void suspend() {
    inside_.leave(host_stack_, host_stack_size_);
    try {
      host_ = std::move(host_).resume();
    } catch (const boost::context::detail::forced_unwind&) {
      inside_.arrive(&host_stack_, &host_stack_size_);
      throw;
    }
    inside_.arrive(&host_stack_, &host_stack_size_);
  }
  bool finished() const { return finished_; }

 private:
  static constexpr size_t kStackBytes = size_t{128} << 10;

  struct KeepBounds {
    boost::context::protected_fixedsize_stack stack;
    Fiber* owner;
    boost::context::stack_context allocate() {
      const auto context = stack.allocate();
      owner->stack_size_ = context.size;  // kStackBytes and the page that guards them
      owner->stack_bottom_ = static_cast<char*>(context.sp) - context.size;
      return context;
    }
    void deallocate(boost::context::stack_context& context) noexcept { stack.deallocate(context); }
  };

  /// The fiber's own function: work after work, until the destructor unwinds it.
  boost::context::fiber live(boost::context::fiber&& host) {
    host_ = std::move(host);
    inside_.arrive(&host_stack_, &host_stack_size_);
    try {
      for (;;) {
        try {
          work_();
        } catch (const boost::context::detail::forced_unwind&) {
          throw;
        } catch (...) {
          failure_ = std::current_exception();
        }
        finished_ = true;
        suspend();
      }
    } catch (const boost::context::detail::forced_unwind&) {
      inside_.leave(host_stack_, host_stack_size_);
      throw;
    }
  }

  std::function<void()> work_;
  std::exception_ptr failure_;
  bool finished_ = true;
  const void* stack_bottom_ = nullptr;
  size_t stack_size_ = 0;
  const void* host_stack_ = nullptr;
  size_t host_stack_size_ = 0;
  StackSwitch inside_;
  StackSwitch outside_;
  boost::context::fiber host_;
  boost::context::fiber fiber_;
};

}  // namespace cytograd::emulator
