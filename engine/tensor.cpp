#include "engine/tensor.h"

#include "engine/backend.h"

namespace cytograd {

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape.dims(), ", ")); }

std::string_view device_name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.device_ = device;
  BufferPool& pool = backend(device).pool();
  const size_t bytes = tensor.bytes();
  tensor.storage_ =
      std::shared_ptr<void>(pool.allocate(bytes), [&pool, bytes](void* p) { pool.deallocate(p, bytes); });
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0.0f, dtype, device);
}

Tensor Tensor::full(const Shape& shape, float value, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  backend(device).fill(tensor, value);
  return tensor;
}

Tensor Tensor::from_host(const void* values, const Shape& shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  backend(device).copy_from_host(tensor, values);
  return tensor;
}

Tensor Tensor::wrap(std::shared_ptr<void> memory, const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.storage_ = std::move(memory);
  return tensor;
}

void Tensor::copy_to_host(void* destination) const { backend(device_).copy_to_host(*this, destination); }

Tensor Tensor::reshape(const Shape& shape) const {
  CHECK(shape.elements() == elements(), "{} as {}", shape_, shape);
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::view_as(const Shape& shape, DType dtype) const {
  Tensor view = *this;
  view.shape_ = shape;
  view.dtype_ = dtype;
  CHECK(view.bytes() <= bytes(), "{} {} as {} {}", dtype_name(dtype_), shape_, dtype_name(dtype), shape);
  return view;
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape_, dtype_, device_);
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  Tensor copy = empty(shape_, dtype_, device);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& source) {
  CHECK(source.shape_ == shape_ && source.dtype_ == dtype_, "{} {} from {} {}", dtype_name(dtype_), shape_,
        dtype_name(source.dtype_), source.shape_);
  if (device_ == source.device_) {
    backend(device_).copy(*this, source);
  } else if (source.device_ == Device::cpu) {
    backend(device_).copy_from_host(*this, source.raw());
  } else {
    source.copy_to_host(raw());
  }
}

float Tensor::item() const {
  CHECK(elements() == 1, "shape {}", shape_);
  return to_vector<float>().front();
}

}  // namespace cytograd
