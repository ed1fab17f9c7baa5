// A dense array on a device. Copying a Tensor copies a handle; `clone` copies the elements.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/dtype.h"
#include "engine/shape.h"

namespace cytograd {

enum class Device : uint8_t { cpu, cuda };

std::string_view device_name(Device device);

/// Shared storage, shape and element type; contiguous, row-major. Images are [N, H, W, C] on every device.
class Tensor {
 public:
  /// No storage: defined() is false.
  Tensor() = default;

  /// Elements are not initialised.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor full(const Shape& shape, float value, DType dtype = DType::f32, Device device = Device::cpu);

  /// Copies host values into a tensor on `device`. Throws CheckError where the count does not fit the shape.
  template <typename T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = Device::cpu) {
    CHECK(static_cast<int64_t>(values.size()) == shape.elements(), "{} values for {}", values.size(), shape);
    return from_host(values.data(), shape, DTypeOf<T>::value, device);
  }
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = Device::cpu) {
    return from(std::span<const T>(values), shape, device);
  }

  /// Host memory from elsewhere as a tensor that keeps it.
  static Tensor wrap(std::shared_ptr<void> memory, const Shape& shape, DType dtype);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t dim(size_t i) const { return shape_[i]; }
  size_t rank() const { return shape_.rank(); }
  int64_t elements() const { return shape_.elements(); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype_); }

  /// Address on the device. The typed form checks the element type; host code may follow it on Device::cpu
  /// alone.
  void* raw() { return storage_.get(); }
  const void* raw() const { return storage_.get(); }
  template <typename T>
  T* data() {
    CHECK(dtype_ == DTypeOf<T>::value, "the tensor holds {}", dtype_name(dtype_));
    return static_cast<T*>(storage_.get());
  }
  template <typename T>
  const T* data() const {
    CHECK(dtype_ == DTypeOf<T>::value, "the tensor holds {}", dtype_name(dtype_));
    return static_cast<const T*>(storage_.get());
  }

  /// The same storage under another shape of as many elements.
  Tensor reshape(const Shape& shape) const;
  /// The start of the same storage as another shape and type, which need no more bytes.
  Tensor view_as(const Shape& shape, DType dtype) const;
  Tensor clone() const;
  /// This tensor where it is on `device` already, else a copy there.
  Tensor to(Device device) const;

  /// A host copy of the elements; waits for the device.
  template <typename T>
  std::vector<T> to_vector() const {
    CHECK(dtype_ == DTypeOf<T>::value, "the tensor holds {}", dtype_name(dtype_));
    std::vector<T> values(static_cast<size_t>(elements()));
    copy_to_host(values.data());
    return values;
  }
  /// The only element of an f32 tensor.
  float item() const;

  /// Overwrites the elements, in place, from a tensor of the same shape and type on any device.
  void copy_from(const Tensor& source);

 private:
  static Tensor from_host(const void* values, const Shape& shape, DType dtype, Device device);
  void copy_to_host(void* destination) const;

  std::shared_ptr<void> storage_;
  Shape shape_;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
};

}  // namespace cytograd
