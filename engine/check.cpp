#include "engine/check.h"

namespace cytograd::detail {

void check_failed(const char* expression, const char* file, int line, const std::string& values) {
  std::string message = fmt::format("{}:{}: CHECK({}) failed", file, line, expression);
  if (!values.empty()) message += ": " + values;
  throw CheckError(message);
}

}  // namespace cytograd::detail
