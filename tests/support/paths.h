// What the build knows and tests need. In a file of its own: what is compiled with a folder's name cannot be shared
// between clones.
#pragma once

namespace cytograd::test {

extern const char* const kBinary;        ///< cytograd
extern const char* const kGoldenFolder;  ///< tests/golden

}  // namespace cytograd::test
