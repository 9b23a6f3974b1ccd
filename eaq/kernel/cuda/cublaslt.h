// A product as cuBLASLt does it.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "eaq/kernel/cuda/choice.h"

namespace eaq::kernel_cuda {

template <class Handle, cublasStatus_t (*Destroy)(Handle)>
struct LtDeleter {
  using pointer = Handle;
  void operator()(Handle handle) const { Destroy(handle); }
};
template <class Handle, cublasStatus_t (*Destroy)(Handle)>
using LtOwned = std::unique_ptr<std::remove_pointer_t<Handle>, LtDeleter<Handle, Destroy>>;
using LtHandle = LtOwned<cublasLtHandle_t, cublasLtDestroy>;

/// Error{unavailable} where cuBLASLt does not start.
LtHandle start_cublaslt();

/// Whether its epilogues can do a call's: GELU is the tanh form, and comes after what is added.
bool fused_by_cublaslt(const GemmCall& call);

/// Products of one key.
class LtProduct {
 public:
  /// `workspace`: bytes that an algorithm may ask for.
  LtProduct(cublasLtHandle_t handle, const ProductKey& key, std::size_t workspace);
  /// What its heuristic proposes for the key.
  std::vector<LtAlgorithm> proposals() const;
  /// Whether an algorithm can run.
  bool takes(const LtAlgorithm& algorithm) const;
  /// What failed, empty where nothing did.
  std::string submit(const LtAlgorithm& algorithm, const GemmCall& call, const DeviceMemory& workspace,
                     CUstream_st* stream) const;
  /// As results name it: "cublasLt bf16 algorithm 66 tile 20".
  std::string name(const LtAlgorithm& algorithm) const;

 private:
  using Description = LtOwned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
  using Layout = LtOwned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
  static Layout layout(cudaDataType_t type, std::int64_t rows, std::int64_t cols, std::int64_t stride);

  cublasLtHandle_t handle_;
  ProductKey key_;
  std::size_t workspace_;
  Description product_;
  Layout w_, x_, y_, residual_;
};

}  // namespace eaq::kernel_cuda
