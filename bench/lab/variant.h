// A variant of a kernel family: another launcher of the same arguments, in a file of its own beside this one. Naming it
// in one line puts it through the family's checks and times it beside production; see ../README.md.
#pragma once

#include <vector>

#include "kernels/runtime.h"

namespace cytograd::bench {

template <typename Arguments>
struct Variant {
  const char* name;
  const char* what;  ///< what it changes from the one before
  void (*launch)(const Arguments& arguments, device::Stream stream);
};

/// In the order of their lines.
template <typename Arguments>
std::vector<Variant<Arguments>>& variants() {
  static std::vector<Variant<Arguments>> all;
  return all;
}

/// const AddVariant<BatchnormActTrainArguments> mine("mine", "what it changes", launch_mine);
template <typename Arguments>
struct AddVariant {
  AddVariant(const char* name, const char* what, void (*launch)(const Arguments&, device::Stream)) {
    variants<Arguments>().push_back({name, what, launch});
  }
};

}  // namespace cytograd::bench
