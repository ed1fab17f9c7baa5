#include "tests/support/paths.h"

namespace cytograd::test {

const char* const kBinary = CYTOGRAD_BINARY;
const char* const kGoldenFolder = CYTOGRAD_GOLDEN;

}  // namespace cytograd::test
