// What the build knows and tests need. In a file of its own: what is compiled with a folder's name cannot be shared
// between clones. Where tests run apart from what they were built of, the environment says: CYTOGRAD_BINARY,
// CYTOGRAD_GOLDEN.
#pragma once

#include <filesystem>
#include <string>

namespace cytograd::test {

std::string binary();                   ///< cytograd
std::filesystem::path golden_folder();  ///< tests/golden

}  // namespace cytograd::test
