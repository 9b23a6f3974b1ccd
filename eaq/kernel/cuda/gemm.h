// A card's matrix products: y = activation(x w^T + bias) + residual, by cuBLASLt, with algorithms that are chosen by measurement
// and remembered per card.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "eaq/kernel/cuda/context.h"

namespace eaq::kernel_cuda {

/// One product's operands, all in the card's memory.
struct GemmCall {
  Matrix x;                          ///< [m, k]
  Matrix w;                          ///< [n, k], of x's type
  Matrix y;                          ///< [m, n], f32 or x's type
  const std::byte* bias = nullptr;   ///< [n] of y's type, or null
  bool gelu_tanh = false;            ///< fused after the bias
  const Matrix* residual = nullptr;  ///< [m, n] of y's type, added last; not together with gelu_tanh. May be y itself
  bool tf32 = false;                 ///< f32 operands are multiplied as tf32
};

/// Products of one context. Sums are f32.
class Gemm {
 public:
  explicit Gemm(CudaContext& context);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// Submits the product. The first call of a shape chooses its algorithm, which takes milliseconds and must not fall into a
  /// recording. Returns the name of the kernel family that ran ("cublasLt bf16 ...", or "eaq plain ..." where cuBLASLt has none).
  /// Error{unavailable} with cuBLASLt's reason.
  const std::string& run(const GemmCall& call);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// y = x w^T by a plain tiled kernel that takes any size, stride and alignment: where cuBLASLt has no algorithm.
void plain_gemm(CudaContext& context, const GemmCall& call);

}  // namespace eaq::kernel_cuda
