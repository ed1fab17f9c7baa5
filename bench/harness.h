// The rows of the benchmarks of kernels. A program is one family of kernels: it lists its rows, main.cpp times them
// through Google Benchmark.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace cytograd::bench {

/// A call on inputs that are there, and what a perfect kernel would have to do for it.
struct Work {
  std::function<void()> run;  ///< queued on the device
  int64_t bytes = 0;          ///< read and written, each once where it fits the caches
  int64_t operations = 0;     ///< additions and multiplications, where they could take longer than the bytes
  std::string library = {};   ///< with a call of its own for the same; "": none has
  std::function<void()> run_library = {};
  std::function<std::string()> flaw = {};  ///< what is wrong with its results, "" where nothing is
};

struct Row {
  std::string family;
  std::string shape;      ///< of the case: its sizes, without slashes
  std::string pass = {};  ///< forward, backward, ...
  Device device = Device::cpu;
  DType dtype = DType::f32;
  std::string variant = "production";
  std::function<Work()> make = nullptr;  ///< allocates and draws inputs; called when the row's turn has come
  std::function<std::string()> flaw =
      nullptr;  ///< what is wrong with the variant's results, "" where nothing is; asked before, once for all its rows
};

/// A file's rows, for main.cpp. Each program is linked from the files whose rows it times.
struct RowSource {
  explicit RowSource(void (*add)(std::vector<Row>& rows));
};

/// The devices that rows are for: the CPU, and the GPU or its emulator.
std::vector<Device> devices();
/// f32 and bf16, and f16 on a GPU.
std::vector<DType> dtypes(Device device);

/// Drawn from [-1, 1), never zero throughout: zeros cost less power, and so run faster.
Tensor random_tensor(const Shape& shape, DType dtype, Device device, uint64_t seed = 1);
/// Bytes from 0 to 255.
Tensor random_bytes(const Shape& shape, Device device);

/// "8x28x28x128".
std::string shape_text(const Shape& shape);

/// Bytes of the last-level cache. A second read of more than that comes from memory.
int64_t last_level_cache(Device device);
/// What reading x twice moves.
int64_t bytes_read_twice(const Tensor& x);

}  // namespace cytograd::bench
