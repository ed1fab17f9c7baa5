#include "engine/cublaslt.h"

#include <cublasLt.h>

#include <array>
#include <map>
#include <mutex>

#include "engine/check.h"

namespace cytograd {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what cuBLAS advises for Hopper

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuBLASLt, {}: {}", what, cublasLtGetStatusString(status));
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      fail("cuBLASLt: {} is not a floating type", dtype_name(dtype));
  }
}

/// Owns one of cuBLASLt's descriptors.
template <typename Handle, cublasStatus_t (*Destroy)(Handle)>
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() {
    if (handle_ != nullptr) (void)Destroy(handle_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Handle* address() { return &handle_; }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Layout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// A row-major [rows, columns] matrix is to cuBLAS a column-major one of [columns, rows].
void make_layout(Layout& layout, const Tensor& t) {
  check(cublasLtMatrixLayoutCreate(layout.address(), data_type(t.dtype()), static_cast<uint64_t>(t.dim(1)),
                                   static_cast<uint64_t>(t.dim(0)), t.dim(1)),
        "cublasLtMatrixLayoutCreate");
}

/// The alignment that heuristics may rely on: another one of a shape is another key.
uint32_t alignment(const Tensor& t) {
  const auto address = reinterpret_cast<uintptr_t>(t.raw());
  return address % 256 == 0 ? 256 : address % 16 == 0 ? 16 : 4;
}

}  // namespace

struct CublasLt::State {
  cublasLtHandle_t handle = nullptr;
  device::Stream stream = nullptr;
  std::mutex mutex;
  std::map<std::array<int64_t, 10>, cublasLtMatmulAlgo_t> algorithms;
};

CublasLt::CublasLt(device::Stream stream) : state_(std::make_unique<State>()) {
  state_->stream = stream;
  check(cublasLtCreate(&state_->handle), "cublasLtCreate");
}

CublasLt::~CublasLt() { (void)cublasLtDestroy(state_->handle); }

void CublasLt::multiply(const Product& p) {
  // c = op(a) op(b), row-major, is c' = op(b') op(a') for the column-major views.
  Layout a, b, c;
  make_layout(a, p.a);
  make_layout(b, p.b);
  make_layout(c, p.c);
  Operation operation;
  check(cublasLtMatmulDescCreate(operation.address(), CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  const auto set_transpose = [&](cublasLtMatmulDescAttributes_t attribute, bool transpose) {
    const cublasOperation_t value = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  };
  set_transpose(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b);
  set_transpose(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a);

  const std::lock_guard lock(state_->mutex);
  const std::array<int64_t, 10> key{p.a.dim(0),
                                    p.a.dim(1),
                                    p.b.dim(0),
                                    p.b.dim(1),
                                    static_cast<int64_t>(p.a.dtype()),
                                    static_cast<int64_t>(p.c.dtype()),
                                    int64_t{p.transpose_a} * 2 + int64_t{p.transpose_b},
                                    alignment(p.a),
                                    alignment(p.b),
                                    alignment(p.c)};
  auto found = state_->algorithms.find(key);
  if (found == state_->algorithms.end()) {
    Preference preference;
    check(cublasLtMatmulPreferenceCreate(preference.address()), "cublasLtMatmulPreferenceCreate");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.b));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.a));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.c));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p.c));
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(state_->handle, operation.get(), b.get(), a.get(), c.get(), c.get(),
                                         preference.get(), 1, &result, &count),
          "cublasLtMatmulAlgoGetHeuristic");
    if (count == 0) fail("cuBLASLt has no algorithm for {} x {}", p.a.shape(), p.b.shape());
    found = state_->algorithms.emplace(key, result.algo).first;
  }
  const float one = 1.0f, zero = 0.0f;
  Tensor workspace = Tensor::empty({static_cast<int64_t>(kWorkspace)}, DType::u8, Device::cuda);
  void* out = const_cast<void*>(p.c.raw());  // the product's tensors are handles
  check(
      cublasLtMatmul(state_->handle, operation.get(), &one, p.b.raw(), b.get(), p.a.raw(), a.get(), &zero,
                     out, c.get(), out, c.get(), &found->second, workspace.raw(), kWorkspace, state_->stream),
      "cublasLtMatmul");
}

}  // namespace cytograd
