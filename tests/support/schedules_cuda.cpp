#include "tests/support/schedules.h"

namespace cytograd::test {

void under_schedules(const std::function<void(const std::string& name)>& body) {
  body("first");
  body("second");
}

}  // namespace cytograd::test
