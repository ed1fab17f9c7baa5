#include "kernels/emulator.h"
#include "tests/support/schedules.h"

namespace cytograd::test {

void under_schedules(const std::function<void(const std::string& name)>& body) {
  struct Reset {
    ~Reset() {
      emulator::set_checking(false);
      emulator::set_schedule({});
    }
  } reset;
  emulator::set_checking(true);
  emulator::set_schedule({emulator::Order::forward, 0});
  body("forward");
  emulator::set_schedule({emulator::Order::reverse, 0});
  body("reverse");
  emulator::set_schedule({emulator::Order::random, 1});
  body("random");
}

}  // namespace cytograd::test
