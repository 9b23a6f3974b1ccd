// Known work on a card: one large 16-bit product through cuBLASLt, over rotating operands that together do not fit in the L2.
#include <cublasLt.h>

#include <algorithm>
#include <memory>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/kernel.h"

namespace eaq::kernel_cuda {
namespace {

constexpr std::int64_t side = 4096;
constexpr std::size_t elements = side * side, operand_sets = 4, workspace_bytes = std::size_t{32} << 20;

using kernel_cuda::check;

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ErrorKind::unavailable, std::string("cuBLASLt: ") + what + ": " + cublasLtGetStatusString(status));
}

template <class Handle, cublasStatus_t (*Destroy)(Handle)>
struct Deleter {
  using pointer = Handle;
  void operator()(Handle handle) const { Destroy(handle); }
};
using Lt = std::unique_ptr<void, Deleter<cublasLtHandle_t, cublasLtDestroy>>;
using ProductDescription = std::unique_ptr<void, Deleter<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<void, Deleter<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using Preference = std::unique_ptr<void, Deleter<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

cudaDeviceProp choose(int number) {
  const auto count = static_cast<int>(list_devices().size());
  if (number >= count)
    throw Error(ErrorKind::unavailable,
                "--device cuda:" + std::to_string(number) + " is not available: there are " + std::to_string(count) + " cards");
  check(cudaSetDevice(number), "taking the card");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, number), "asking the card for its properties");
  return properties;
}

class CudaLoad : public Load {
 public:
  CudaLoad(int number, const LoadOptions& options)
      : properties_(choose(number)),
        rows_(options.rows > 0 ? std::min(options.rows, side) : side),
        bf16_(properties_.major >= 8),
        type_(bf16_ ? CUDA_R_16BF : CUDA_R_16F),
        workspace_(workspace_bytes),
        result_(elements * 2) {
    for (std::size_t i = 0; i < 2 * operand_sets; ++i) {
      operands_.emplace_back(elements * 2);
      (bf16_ ? fill_normal_bf16 : fill_normal_fp16)(operands_.back().data(), elements, i, stream_);
    }
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), "starting");
    lt_.reset(handle);
    cublasLtMatmulDesc_t product = nullptr;
    check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    product_.reset(product);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "transposing");
    // Column by column, as cuBLASLt counts: w [side, side], x [side, rows], y [side, rows].
    cublasLtMatrixLayout_t layout = nullptr, thin = nullptr;
    check(cublasLtMatrixLayoutCreate(&layout, type_, side, side, side), "describing a matrix");
    layout_.reset(layout);
    check(cublasLtMatrixLayoutCreate(&thin, type_, side, rows_, side), "describing a matrix");
    thin_.reset(thin);
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "choosing an algorithm");
    const Preference owned(preference);
    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                               sizeof workspace_bytes),
          "choosing an algorithm");
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, product, layout, thin, thin, thin, preference, 1, &choice_, &found),
          "choosing an algorithm");
    if (found == 0) throw Error(ErrorKind::unavailable, "cuBLASLt has no algorithm for a 16-bit product on this card");
    run(1);
  }

  std::string device() const override { return uuid_of(properties_); }
  std::string description() const override {
    return std::string(bf16_ ? "bf16" : "fp16") + " product " + std::to_string(rows_) + " x 4096 x 4096 by cuBLASLt on " +
           printable(properties_.name);
  }
  double operations() const override { return 2.0 * static_cast<double>(rows_) * side * side; }

  void run(std::int64_t units) override {
    const float one = 1, zero = 0;
    for (std::int64_t i = 0; i < units; ++i) {
      const std::size_t set = 2 * (next_++ % operand_sets);
      check(cublasLtMatmul(lt_.get(), product_.get(), &one, operands_[set].data(), layout_.get(), operands_[set + 1].data(),
                           thin_.get(), &zero, result_.data(), thin_.get(), result_.data(), thin_.get(), &choice_.algo,
                           workspace_.data(), workspace_.bytes(), stream_),
            "multiplying");
    }
    stream_.synchronise();
  }

 private:
  cudaDeviceProp properties_;
  std::int64_t rows_;
  bool bf16_;
  cudaDataType_t type_;
  Stream stream_;
  DeviceBuffer workspace_, result_;
  std::vector<DeviceBuffer> operands_;
  Lt lt_;
  ProductDescription product_;
  Layout layout_, thin_;
  cublasLtMatmulHeuristicResult_t choice_{};
  std::size_t next_ = 0;
};

}  // namespace

const ComputeDevice& entry() {
  static const ComputeDevice device{
      "NVIDIA's cards",
      list_devices,
      [](int number, const LoadOptions& options) -> std::unique_ptr<Load> { return std::make_unique<CudaLoad>(number, options); },
  };
  return device;
}

}  // namespace eaq::kernel_cuda
