#include "engine/backend_cuda.h"

#include "engine/cuda_libraries.h"

namespace cytograd {
namespace {

BufferPool::Hooks hooks(device::Stream stream, device::PoolOf pool) {
  return {.taken = [=](void* memory, size_t bytes,
                       size_t reserved) { device::taken(memory, bytes, reserved, stream, pool); },
          .given_back = [=](void* memory,
                            size_t reserved) { device::given_back(memory, reserved, stream, pool); }};
}

}  // namespace

CudaBackend::CudaBackend()
    : pool_(device::device_memory(), hooks(stream_.get(), device::PoolOf::all_work)),
      graph_pool_(device::device_memory(), hooks(stream_.get(), device::PoolOf::captured_work)),
      libraries_(std::make_unique<CudaLibraries>(stream_.get())) {}

CudaBackend::~CudaBackend() = default;

std::function<void()> CudaBackend::capture(const std::function<void()>& work) {
  struct Captured {
    std::vector<Tensor> constants;
    std::unique_ptr<const device::Graph> graph;
  };
  struct Capturing {
    CudaBackend& backend;
    Capturing(CudaBackend& b, std::vector<Tensor>& constants) : backend(b) {
      backend.within_ = true;
      backend.current_pool_ = &backend.graph_pool_;
      backend.captured_constants_ = &constants;
      backend.libraries_->set_measuring(false);  // that waits
      set_spares(nullptr);                       // memory does not go back to the system within a capture
    }
    ~Capturing() {
      backend.current_pool_ = &backend.pool_;
      backend.captured_constants_ = nullptr;
      backend.libraries_->set_measuring(true);
      set_spares(&backend.pool_);  // what the graphs' own pool caches is in use by them
      backend.has_captured_ = true;
      backend.within_ = false;
    }
    void set_spares(BufferPool* spare) const {
      backend.pool_.set_spare(spare);
      backend.graph_pool_.set_spare(spare);
    }
  };
  CHECK(!within_, "work is captured within captured work or work that is run aside");
  synchronize();  // so that constants may take memory which queued work has used
  const auto captured = std::make_shared<Captured>();
  {
    const Capturing capturing(*this, captured->constants);
    captured->graph = std::make_unique<const device::Graph>(stream(), work);
  }
  return [this, captured] { captured->graph->launch(stream()); };
}

void CudaBackend::run_aside(const std::function<void()>& work) {
  struct Aside {
    CudaBackend& backend;
    Aside(CudaBackend& b, BufferPool& pool) : backend(b) {
      backend.within_ = true;
      backend.current_pool_ = &pool;
      backend.libraries_->set_measuring(false);
    }
    ~Aside() {
      backend.current_pool_ = &backend.pool_;
      backend.libraries_->set_measuring(true);
      backend.within_ = false;
    }
  };
  CHECK(!within_, "work is run aside within captured work or other work aside");
  BufferPool& pool = has_captured_ ? graph_pool_ : pool_;
  const size_t before = pool.statistics().bytes_in_use;
  {
    const Aside aside(*this, pool);
    work();
  }
  CHECK(pool.statistics().bytes_in_use == before, "a tensor outlives the work that was run aside");
}

void CudaBackend::set_options(const DeviceOptions& options) {
  if (options.deterministic && options.autotune)
    fail("measured algorithms differ from run to run: a device is deterministic or autotuned, not both");
  libraries_->set_options(options);
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
