// What the two sides of Hopper's products share: that which knows CUTLASS (product.cuh) and that which does not (products.cpp).
// Nothing of the house is included, so that a change there does not compile CUTLASS's kernels anew, which takes minutes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct CUstream_st;

namespace eaq::kernel_cuda {

/// CUTLASS's by schedule and tile, [rows of y] x [columns of y], and ours (slices.cu, overlapped.cu).
enum class HopperKernel {
  pingpong_64x64,
  pingpong_128x128,
  cooperative_128x192,
  cooperative_128x256,
  stream_k_128x64,
  slices,
  overlapped
};

enum class HopperActivation { none, gelu, gelu_tanh };

struct HopperRows {
  void* data = nullptr;
  std::int64_t stride = 0;  ///< in elements
};

/// See RowMoments.
struct HopperMoments {
  float* data = nullptr;
  std::int64_t rows = 0, parts = 0;
};

/// y [m, n] = activation(x [m, k] w^T [n, k] + bias [n]) + residual [m, n], all of one type but for f32_results.
struct HopperCall {
  int m = 0, n = 0, k = 0;
  HopperRows x, w, y, residual;  ///< residual: no data where there is none
  const void* bias = nullptr;    ///< or null
  HopperActivation activation = HopperActivation::none;
  int splits = 1;            ///< of k, in slices and in stream_k_128x64, there 1: as its heuristic has it
  bool w_stays = false;      ///< see GemmCall
  bool f32_results = false;  ///< y and bias are of f32: overlapped alone, with nothing but a bias
  HopperMoments moments;     ///< of y, kept too where there is room for them. Cooperative ones alone
  HopperMoments norm;  ///< of x: its norm comes behind the product, and `bias` is of f32. Overlapped alone, without a residual
  const float* w_sums = nullptr;
  float epsilon = 0;
  int multiprocessors = 0;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  CUstream_st* stream = nullptr;
};

/// Submits it. What failed, the call before its reason; empty where nothing did.
std::string run_f16(HopperKernel kernel, const HopperCall& call);
std::string run_bf16(HopperKernel kernel, const HopperCall& call);
std::string run_overlapped_f16(const HopperCall& call);
std::string run_overlapped_bf16(const HopperCall& call);
std::string run_slices_f16(const HopperCall& call);
std::string run_slices_bf16(const HopperCall& call);

}  // namespace eaq::kernel_cuda
