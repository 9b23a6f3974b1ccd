#include "eaq/kernel/cuda/cublaslt.h"

#include <bit>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/device.h"

namespace eaq::kernel_cuda {
namespace {

constexpr int most_proposals = 16;

void check(cublasStatus_t status, const char* what, std::source_location site = std::source_location::current()) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ErrorKind::unavailable, std::string(what) + ": " + cublasLtGetStatusString(status) + place_of(site));
}

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(LtAlgorithm));
cublasLtMatmulAlgo_t opened(const LtAlgorithm& algorithm) { return std::bit_cast<cublasLtMatmulAlgo_t>(algorithm); }

cudaDataType_t type_of(std::int64_t dtype) {
  const auto type = static_cast<DType>(dtype);
  return type == DType::bf16 ? CUDA_R_16BF : type == DType::f16 ? CUDA_R_16F : CUDA_R_32F;
}

template <class T>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute: describing a product");
}

cublasLtEpilogue_t epilogue_of(const ProductKey& key) {
  if (key.activation != 0) return key.bias != 0 ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return key.bias != 0 ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

}  // namespace

LtHandle start_cublaslt() {
  cublasLtHandle_t handle = nullptr;
  check(cublasLtCreate(&handle), "cublasLtCreate: starting");
  return LtHandle(handle);
}

bool fused_by_cublaslt(const GemmCall& call) {
  if (call.norm_behind != nullptr || call.moments != nullptr) return false;
  return call.activation == Activation::none || (call.activation == Activation::gelu_tanh && call.residual == nullptr);
}

LtProduct::Layout LtProduct::layout(cudaDataType_t type, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols), stride),
        "cublasLtMatrixLayoutCreate: describing a matrix");
  return Layout(made);
}

// Matrices as cuBLASLt counts them, column by column: y^T [n, m] = w [n, k] x^T [k, m], all of it read from rows as they lie.
LtProduct::LtProduct(cublasLtHandle_t handle, const ProductKey& key, std::size_t workspace)
    : handle_(handle), key_(key), workspace_(workspace) {
  const cudaDataType_t operands = type_of(key.operands), result = type_of(key.result);
  cublasLtMatmulDesc_t description = nullptr;
  check(cublasLtMatmulDescCreate(&description, key.tf32 != 0 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate: describing a product");
  product_.reset(description);
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(key));
  if (key.bias != 0) set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, result);
  w_ = layout(operands, key.k, key.n, key.w_stride);
  x_ = layout(operands, key.k, key.m, key.x_stride);
  y_ = layout(result, key.n, key.m, key.y_stride);
  residual_ = layout(result, key.n, key.m, key.residual_stride > 0 ? key.residual_stride : key.y_stride);
}

std::vector<LtAlgorithm> LtProduct::proposals() const {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate: choosing an algorithm");
  const LtOwned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute: choosing an algorithm");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(key_.w_align));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(key_.x_align));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
         static_cast<std::uint32_t>(key_.residual_align > 0 ? key_.residual_align : key_.y_align));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(key_.y_align));
  std::vector<cublasLtMatmulHeuristicResult_t> results(most_proposals);
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, product_.get(), w_.get(), x_.get(), residual_.get(),
                                                               y_.get(), made, most_proposals, results.data(), &found);
  // So it says that it has no kernel: strides or addresses that it does not take.
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
  check(status, "cublasLtMatmulAlgoGetHeuristic: choosing an algorithm");
  std::vector<LtAlgorithm> algorithms;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<std::size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_)
      algorithms.push_back(std::bit_cast<LtAlgorithm>(result.algo));
  }
  return algorithms;
}

bool LtProduct::takes(const LtAlgorithm& algorithm) const {
  const cublasLtMatmulAlgo_t algo = opened(algorithm);
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle_, product_.get(), w_.get(), x_.get(), residual_.get(), y_.get(), &algo, &result) ==
             CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= workspace_;
}

std::string LtProduct::submit(const LtAlgorithm& algorithm, const GemmCall& c, const DeviceMemory& workspace,
                              CUstream_st* stream) const {
  const cublasLtMatmulAlgo_t algo = opened(algorithm);
  const float one = 1, beta = c.residual != nullptr ? 1.0f : 0.0f;
  // The bias's address stands in the description, so it is set anew for each call.
  if (c.bias != nullptr) set(product_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, c.bias);
  const std::byte* added = c.residual != nullptr ? c.residual->data : c.y.data;
  const cublasStatus_t status =
      cublasLtMatmul(handle_, product_.get(), &one, c.w.data, w_.get(), c.x.data, x_.get(), &beta, added, residual_.get(),
                     c.y.data, y_.get(), &algo, workspace.data(), workspace_, stream);
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return std::string("cublasLtMatmul: ") + cublasLtGetStatusString(status);
}

std::string LtProduct::name(const LtAlgorithm& algorithm) const {
  const cublasLtMatmulAlgo_t algo = opened(algorithm);
  int id = 0;
  std::uint32_t tile = 0;
  std::int32_t split = 0;  // negative where the library decides
  std::size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &written);
  cublasLtMatmulAlgoConfigGetAttribute(&algo, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile, sizeof tile, &written);
  cublasLtMatmulAlgoConfigGetAttribute(&algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split, sizeof split, &written);
  std::string name = "cublasLt ";
  name += key_.tf32 != 0 ? "tf32" : std::string(name_of(static_cast<DType>(key_.operands)));
  name += " algorithm " + std::to_string(id) + " tile " + std::to_string(tile);
  return split > 1 ? name + " split-k " + std::to_string(split) : name;
}

}  // namespace eaq::kernel_cuda
