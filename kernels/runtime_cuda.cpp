#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "kernels/cuda_check.h"
#include "kernels/runtime.h"

namespace cytograd::device {
namespace {

class CudaMemory final : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t) override {
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();  // not sticky: the next call shall not see it
      size_t left = 0, all = 0;
      CUDA_CHECK(cudaMemGetInfo(&left, &all));
      throw std::runtime_error(fmt::format(
          "out of GPU memory: {} MiB more are needed, {} of {} MiB are free; use a smaller --batch or --crop",
          bytes >> 20, left >> 20, all >> 20));
    }
    CUDA_CHECK(status);
    return memory;
  }
  void do_deallocate(void* memory, size_t, size_t) override { (void)cudaFree(memory); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

class PinnedMemory final : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t) override {
    void* memory = nullptr;
    CUDA_CHECK(cudaMallocHost(&memory, bytes));
    return memory;
  }
  void do_deallocate(void* memory, size_t, size_t) override { (void)cudaFreeHost(memory); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

constexpr int kOldestMajor = 8;  // the oldest compute capability that builds target

}  // namespace

void check(cudaError_t status, const char* what, const char* file, int line) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // what is not sticky is no later call's
  throw std::runtime_error(fmt::format("{}:{}: {}: {} ({})", file, line, what, cudaGetErrorString(status),
                                       cudaGetErrorName(status)));
}

void allow_shared(const void* kernel, size_t bytes, const char* name) {
  static std::mutex mutex;
  static std::unordered_map<const void*, size_t> allowed;
  const std::lock_guard lock(mutex);
  size_t& most = allowed[kernel];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        name, __FILE__, __LINE__);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared),
        name, __FILE__, __LINE__);
  most = bytes;
}

std::string why_unavailable() {
  int driver = 0, runtime = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  (void)cudaRuntimeGetVersion(&runtime);
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    return fmt::format("the NVIDIA driver is for CUDA {}, this build needs {}", version(driver),
                       version(runtime));
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    return fmt::format("a driver for CUDA {} is installed but shows no GPU", version(driver));
  }
  if (status != cudaSuccess) return cudaGetErrorString(status);
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return "the GPU's properties cannot be read";
  if (properties.major < kOldestMajor) {
    return fmt::format("{} has compute capability {}.{}, {}.0 is the oldest that works", properties.name,
                       properties.major, properties.minor, kOldestMajor);
  }
  return "";
}

const Info& info() {
  static const Info info = [] {
    int device = 0, driver = 0, runtime = 0;
    CUDA_CHECK(cudaGetDevice(&device));
    CUDA_CHECK(cudaDriverGetVersion(&driver));
    CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
    cudaDeviceProp properties{};
    CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
    return Info{.name = properties.name,
                .major = properties.major,
                .minor = properties.minor,
                .multiprocessors = properties.multiProcessorCount,
                .shared_bytes = properties.sharedMemPerMultiprocessor,
                .memory_bytes = properties.totalGlobalMem,
                .l2_bytes = static_cast<size_t>(properties.l2CacheSize),
                .software = fmt::format("driver for CUDA {}, runtime {}", version(driver), version(runtime))};
  }();
  return info;
}

std::pmr::memory_resource& device_memory() {
  static CudaMemory memory;
  return memory;
}
std::pmr::memory_resource& pinned_memory() {
  static PinnedMemory memory;
  return memory;
}

void taken(void*, size_t, size_t, Stream, PoolOf) {}
void given_back(void*, size_t, Stream, PoolOf) {}

void copy(void* destination, const void* source, size_t bytes, Stream stream) {
  if (bytes > 0) CUDA_CHECK(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream));
}
void copy_beside(void* destination, const void* source, size_t bytes) {
  const StreamHandle beside;
  copy(destination, source, bytes, beside.get());
  synchronize(beside.get());
}
void synchronize(Stream stream) { CUDA_CHECK(cudaStreamSynchronize(stream)); }

StreamHandle::StreamHandle() {
  Stream stream = nullptr;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  stream_.reset(stream);
}
void StreamHandle::Destroy::operator()(CUstream_st* stream) const { (void)cudaStreamDestroy(stream); }

struct Graph::State {
  cudaGraphExec_t executable = nullptr;
  ~State() {
    if (executable != nullptr) (void)cudaGraphExecDestroy(executable);
  }
};

Graph::Graph(Stream stream, const std::function<void()>& work) : state_(std::make_unique<State>()) {
  // Relaxed: the pool may have to ask for memory, which goes beside the graph.
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  cudaGraph_t graph = nullptr;
  const auto end = [&] {
    const cudaError_t status = cudaStreamEndCapture(stream, &graph);
    (void)cudaGetLastError();  // of a capture that failed: the next launch shall not see it
    return status;
  };
  const auto destroy = [&] {
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
  };
  try {
    work();
  } catch (...) {
    (void)end();
    destroy();
    throw;
  }
  check(end(), "the end of a capture", __FILE__, __LINE__);
  const cudaError_t status = cudaGraphInstantiate(&state_->executable, graph, 0);
  destroy();
  CUDA_CHECK(status);
}
Graph::~Graph() = default;
void Graph::launch(Stream stream) const { CUDA_CHECK(cudaGraphLaunch(state_->executable, stream)); }

Event::Event(bool timing) {
  cudaEvent_t event = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, timing ? cudaEventDefault : cudaEventDisableTiming));
  event_.reset(event);
}
void Event::Destroy::operator()(CUevent_st* event) const { (void)cudaEventDestroy(event); }
void Event::record(Stream stream) { CUDA_CHECK(cudaEventRecord(event_.get(), stream)); }
void Event::hold(Stream stream) const { CUDA_CHECK(cudaStreamWaitEvent(stream, event_.get())); }
void Event::wait() const { CUDA_CHECK(cudaEventSynchronize(event_.get())); }
bool Event::passed() const {
  const cudaError_t status = cudaEventQuery(event_.get());
  if (status == cudaErrorNotReady) return false;
  CUDA_CHECK(status);
  return true;
}
double Event::milliseconds_since(const Event& start) const {
  float milliseconds = 0.0f;
  CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.event_.get(), event_.get()));
  return static_cast<double>(milliseconds);
}

void begin_range(const char* name) { nvtxRangePushA(name); }
void end_range() { nvtxRangePop(); }

}  // namespace cytograd::device
