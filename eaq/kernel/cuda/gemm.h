// A card's matrix products by cuBLASLt and, on Hopper, CUTLASS: whichever is faster, by measurement, remembered per card.
#pragma once

#include <memory>
#include <string>

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

/// Products of one context; see multiply().
class Gemm {
 public:
  explicit Gemm(CudaContext& context);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  const std::string& run(const GemmCall& call);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// By a plain tiled kernel that takes any size, stride and alignment: where neither has a kernel.
void plain_gemm(CudaContext& context, const GemmCall& call);

}  // namespace eaq::kernel_cuda
