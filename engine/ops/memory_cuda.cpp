// Fills and copies.
#include <cstring>
#include <utility>

#include "engine/backend_cuda.h"
#include "kernels/elementwise.h"

namespace cytograd {
namespace {

/// The bits of `value` as an element.
uint64_t element_bits(float value, DType dtype) {
  switch (dtype) {
    case DType::u8:
      return static_cast<uint8_t>(value);
    case DType::i32:
      return static_cast<uint32_t>(static_cast<int32_t>(value));
    case DType::i64:
      return static_cast<uint64_t>(static_cast<int64_t>(value));
    case DType::f32:
      return std::bit_cast<uint32_t>(value);
    case DType::bf16:
      return bf16(value).bits;
    case DType::f16:
      return f16(value).bits;
  }
  return 0;
}

}  // namespace

void CudaBackend::fill(Tensor& x, float value) {
  const device::Range range("fill");
  launch_fill({.y = x.raw(),
               .count = x.elements(),
               .bits = element_bits(value, x.dtype()),
               .bytes = static_cast<int>(size_of(x.dtype()))},
              stream());
}

void CudaBackend::copy(Tensor& destination, const Tensor& source) {
  device::copy(destination.raw(), source.raw(), source.bytes(), stream());
}

void CudaBackend::copy_from_host(Tensor& destination, const void* source) {
  device::copy(destination.raw(), source, destination.bytes(), stream());
}

void CudaBackend::copy_to_host(const Tensor& source, void* destination) {
  device::copy(destination, source.raw(), source.bytes(), stream());
  synchronize();
}

Tensor CudaBackend::staging(const Shape& shape, DType dtype) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  void* const memory = staging_.pool.allocate(bytes);
  const std::lock_guard lock(staging_.mutex);
  staging_.live.insert(memory);
  return Tensor::wrap(std::shared_ptr<void>(memory,
                                            [this, bytes](void* p) {
                                              {
                                                const std::lock_guard gone(staging_.mutex);
                                                staging_.live.erase(p);
                                              }
                                              staging_.pool.deallocate(p, bytes);
                                            }),
                      shape, dtype);
}

Tensor CudaBackend::upload(const Tensor& host) {
  CHECK(host.device() == Device::cpu, "{} on {}", host.shape(), device_name(host.device()));
  const device::Range range("upload");
  uploads_[1 - next_upload_].used.record(stream());  // its readers are queued by now
  UploadSlot& slot = uploads_[next_upload_];
  next_upload_ = 1 - next_upload_;
  slot.copied.wait();
  if (!slot.memory.defined() || slot.memory.bytes() < host.bytes()) {
    // The buffer may have been used by work still queued on the computing stream: the copy waits for all of it.
    slot.memory = empty({static_cast<int64_t>(host.bytes())}, DType::u8);
    slot.used.record(stream());
  }
  const bool is_staged = [&] {
    const std::lock_guard lock(staging_.mutex);
    return staging_.live.contains(host.raw());
  }();
  slot.source = is_staged ? host : staging(host.shape(), host.dtype());
  if (!is_staged && host.bytes() > 0) std::memcpy(slot.source.raw(), host.raw(), host.bytes());
  slot.used.hold(copy_stream_.get());
  device::copy(slot.memory.raw(), slot.source.raw(), host.bytes(), copy_stream_.get());
  slot.copied.record(copy_stream_.get());
  slot.copied.hold(stream());
  return slot.memory.view_as(host.shape(), host.dtype());
}

std::function<std::vector<float>()> CudaBackend::read_later(std::span<const Tensor> tensors) {
  size_t bytes = 0;
  for (const Tensor& x : tensors) {
    CHECK(x.device() == Device::cuda && x.dtype() == DType::f32, "{} {} on {}", dtype_name(x.dtype()),
          x.shape(), device_name(x.device()));
    bytes += x.bytes();
  }
  // Used again once it has been read, or given up unread with its copy still on the way: then waited for first.
  if (idle_readings_.empty()) idle_readings_.push_back(std::make_unique<Reading>());
  const std::shared_ptr<Reading> reading(idle_readings_.back().release(),
                                         [this](Reading* done) { idle_readings_.emplace_back(done); });
  idle_readings_.pop_back();
  reading->copied.wait();
  if (reading->capacity < bytes) {
    reading->pinned = {device::pinned_memory().allocate(bytes), PinnedDelete{bytes}};
    reading->capacity = bytes;
  }
  auto* at = static_cast<std::byte*>(reading->pinned.get());
  for (const Tensor& x : tensors) {
    device::copy(at, x.raw(), x.bytes(), stream());
    at += x.bytes();
  }
  reading->copied.record(stream());
  return [reading, bytes] {
    reading->copied.wait();
    std::vector<float> values(bytes / sizeof(float));
    if (bytes > 0) std::memcpy(values.data(), reading->pinned.get(), bytes);
    return values;
  };
}

Tensor CudaBackend::constant(const void* host, size_t bytes) {
  const Shape shape{static_cast<int64_t>(bytes)};
  if (captured_constants_ == nullptr) {
    Tensor result = empty(shape, DType::u8);
    device::copy(result.raw(), host, bytes, stream());
    return result;
  }
  BufferPool* const graph_pool = std::exchange(current_pool_, &pool_);  // the graph's own would be used again
  Tensor result = empty(shape, DType::u8);
  current_pool_ = graph_pool;
  device::copy_beside(result.raw(), host, bytes);
  captured_constants_->push_back(result);
  return result;
}

}  // namespace cytograd
