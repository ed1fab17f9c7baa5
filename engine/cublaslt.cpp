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

/// As many column-major [rows, columns] matrices as `t` has.
void make_batch_layout(Layout& layout, const Tensor& t, cudaDataType_t type, int64_t rows, int64_t columns) {
  const auto count = static_cast<int32_t>(t.dim(0));
  const int64_t stride = rows * columns;
  check(cublasLtMatrixLayoutCreate(layout.address(), type, static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(columns), rows),
        "cublasLtMatrixLayoutCreate");
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                         sizeof(count)),
        "cublasLtMatrixLayoutSetAttribute");
  check(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                         sizeof(stride)),
        "cublasLtMatrixLayoutSetAttribute");
}

void make_operation(Operation& operation, cublasComputeType_t compute, cudaDataType_t scale, bool transpose_a,
                    bool transpose_b) {
  check(cublasLtMatmulDescCreate(operation.address(), compute, scale), "cublasLtMatmulDescCreate");
  const auto set_transpose = [&](cublasLtMatmulDescAttributes_t attribute, bool transpose) {
    const cublasOperation_t value = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  };
  set_transpose(CUBLASLT_MATMUL_DESC_TRANSA, transpose_a);
  set_transpose(CUBLASLT_MATMUL_DESC_TRANSB, transpose_b);
}

/// The alignment that heuristics may rely on: another one of a shape is another key.
uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return address % 256 == 0 ? 256 : address % 16 == 0 ? 16 : 4;
}

/// c = op(a) op(b), column-major.
struct Call {
  const Operation& operation;
  const void* a;
  const Layout& a_layout;
  const void* b;
  const Layout& b_layout;
  void* c;
  const Layout& c_layout;
};

using Key = std::array<int64_t, 10>;

}  // namespace

struct CublasLt::State {
  cublasLtHandle_t handle = nullptr;
  device::Stream stream = nullptr;
  std::mutex mutex;
  std::map<Key, cublasLtMatmulAlgo_t> algorithms;

  const cublasLtMatmulAlgo_t& algorithm(const Key& key, const Call& call);
  /// alpha and beta have the operation's type.
  void run(const Key& key, const Call& call, const void* alpha, const void* beta);
};

const cublasLtMatmulAlgo_t& CublasLt::State::algorithm(const Key& key, const Call& call) {
  const auto found = algorithms.find(key);
  if (found != algorithms.end()) return found->second;
  Preference preference;
  check(cublasLtMatmulPreferenceCreate(preference.address()), "cublasLtMatmulPreferenceCreate");
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
  // Sums over parts of an inner dimension stay in f32 until they are whole.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(call.a));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(call.b));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(call.c));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(call.c));
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, call.operation.get(), call.a_layout.get(), call.b_layout.get(),
                                       call.c_layout.get(), call.c_layout.get(), preference.get(), 1, &result,
                                       &count),
        "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0)
    fail("cuBLASLt has no algorithm for a product of {} x {} and {} x {}", key[0], key[1], key[2], key[3]);
  return algorithms.emplace(key, result.algo).first->second;
}

void CublasLt::State::run(const Key& key, const Call& call, const void* alpha, const void* beta) {
  const std::lock_guard lock(mutex);
  const cublasLtMatmulAlgo_t& chosen = algorithm(key, call);
  Tensor workspace = Tensor::empty({static_cast<int64_t>(kWorkspace)}, DType::u8, Device::cuda);
  check(cublasLtMatmul(handle, call.operation.get(), alpha, call.a, call.a_layout.get(), call.b,
                       call.b_layout.get(), beta, call.c, call.c_layout.get(), call.c, call.c_layout.get(),
                       &chosen, workspace.raw(), kWorkspace, stream),
        "cublasLtMatmul");
}

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
  make_operation(operation, CUBLAS_COMPUTE_32F, CUDA_R_32F, p.transpose_b, p.transpose_a);
  const Key key{p.a.dim(0),
                p.a.dim(1),
                p.b.dim(0),
                p.b.dim(1),
                static_cast<int64_t>(p.a.dtype()),
                static_cast<int64_t>(p.c.dtype()),
                int64_t{p.transpose_a} * 2 + int64_t{p.transpose_b},
                alignment(p.a.raw()),
                alignment(p.b.raw()),
                alignment(p.c.raw())};
  const float one = 1.0f, zero = 0.0f;
  void* out = const_cast<void*>(p.c.raw());  // the product's tensors are handles
  state_->run(key, {operation, p.b.raw(), b, p.a.raw(), a, out, c}, &one, &zero);
}

void CublasLt::multiply_bytes(const Tensor& a, Tensor& c) {
  // Rows of a are columns of its view, so that the product is "TN", the only form for bytes in this order; c is
  // symmetric.
  Layout views, products;
  make_batch_layout(views, a, CUDA_R_8I, a.dim(2), a.dim(1));
  make_batch_layout(products, c, CUDA_R_32I, c.dim(2), c.dim(1));
  Operation operation;
  make_operation(operation, CUBLAS_COMPUTE_32I, CUDA_R_32I, true, false);
  const Key key{a.dim(1),
                a.dim(2),
                a.dim(2),
                a.dim(1),
                static_cast<int64_t>(a.dtype()),
                static_cast<int64_t>(c.dtype()),
                a.dim(0),
                alignment(a.raw()),
                alignment(a.raw()),
                alignment(c.raw())};
  const int32_t one = 1, zero = 0;
  state_->run(key, {operation, a.raw(), views, a.raw(), views, c.raw(), products}, &one, &zero);
}

}  // namespace cytograd
