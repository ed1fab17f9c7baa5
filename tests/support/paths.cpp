#include "tests/support/paths.h"

#include <cstdlib>

namespace cytograd::test {
namespace {

const char* told(const char* variable, const char* built) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : built;
}

}  // namespace

std::string binary() { return told("CYTOGRAD_BINARY", CYTOGRAD_BINARY); }
std::filesystem::path golden_folder() { return told("CYTOGRAD_GOLDEN", CYTOGRAD_GOLDEN); }

}  // namespace cytograd::test
