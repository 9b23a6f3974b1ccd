// The part of CUDA C++ that the kernels here are written in, for the emulated card. See README.md.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdio>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulated/block.h"
#include "emulated/emulated.h"
#include "emulated/vectors.h"

// Blocks run one after the other: what is static in a kernel is its block's.
#define __shared__ static
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

#include "emulated/intrinsics.h"
#include "emulated/math.h"
#include "emulated/warp.h"

/// The parameters are kept by value, as a card keeps them; whoever launches may reuse theirs at once.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's parameters are copied as bytes");
  const cudaError_t refused = emulated::check_launch(config, reinterpret_cast<const void*>(kernel));
  if (refused != cudaSuccess) return refused;
  auto kept = [](Parameters... parameters) {
    return std::tuple<Parameters...>(parameters...);
  }(std::forward<Arguments>(arguments)...);
  return emulated::submit(config->stream, [grid = config->gridDim, block = config->blockDim, shared = config->dynamicSmemBytes,
                                           kernel, kept, overlaps = emulated::may_begin_early(*config)] {
    emulated::run_grid(grid, block, shared, overlaps, [&] { std::apply(kernel, kept); });
  });
}

template <class T>
cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

template <class T>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, T* kernel) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}

template <class T>
cudaError_t cudaMalloc(T** pointer, std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaSuccess) *pointer = static_cast<T*>(memory);
  return error;
}
