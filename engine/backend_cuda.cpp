#include "engine/backend_cuda.h"

#include "engine/cuda_libraries.h"

namespace cytograd {
namespace {

constexpr BufferPool::Hooks kHooks{.taken = device::taken, .given_back = device::given_back};

}  // namespace

CudaBackend::CudaBackend()
    : pool_(device::device_memory(), kHooks),
      graph_pool_(device::device_memory(), kHooks),
      libraries_(std::make_unique<CudaLibraries>(stream_.get())) {}

CudaBackend::~CudaBackend() = default;

std::function<void()> CudaBackend::capture(const std::function<void()>& work) {
  struct Capturing {
    bool& flag;
    explicit Capturing(bool& f) : flag(f) { flag = true; }
    ~Capturing() { flag = false; }
  };
  std::shared_ptr<const device::Graph> graph;
  {
    const Capturing capturing(capturing_);
    graph = std::make_shared<const device::Graph>(stream(), work);
  }
  return [this, graph] { graph->launch(stream()); };
}

ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ElementType::f32;
    case DType::bf16:
      return ElementType::bf16;
    case DType::f16:
      return ElementType::f16;
    default:
      fail("{} is not a floating type", dtype_name(dtype));
  }
}

}  // namespace cytograd
