// What the two sides of Hopper's products share: that which knows CUTLASS (product.cuh) and that which does not (products.cpp).
#pragma once

#include <cstddef>

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

/// By schedule and tile, [rows of y] x [columns of y].
enum class HopperKernel { pingpong_64x64, pingpong_128x128, cooperative_128x192, cooperative_128x256, stream_k_128x64 };

struct HopperCall : GemmCall {
  int splits = 1;  ///< of k, in stream_k_128x64; 1: as its heuristic has it
  int multiprocessors = 0;
  std::byte* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  CUstream_st* stream = nullptr;
};

/// Submits it; what failed, or null.
const char* run_f16(HopperKernel kernel, const HopperCall& call);
const char* run_bf16(HopperKernel kernel, const HopperCall& call);

}  // namespace eaq::kernel_cuda
