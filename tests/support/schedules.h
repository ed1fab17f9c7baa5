// Runs of one computation on Device::cuda that must all give the same bits.
#pragma once

#include <functional>
#include <string>

namespace cytograd::test {

/// On an emulated device: body(name) under three orders of threads and blocks, with device memory checked after each
/// kernel. On a GPU: twice.
void under_schedules(const std::function<void(const std::string& name)>& body);

}  // namespace cytograd::test
