// Blocks that run together and write to each other's shared memory (a cluster).
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {

/// Launches a kernel in clusters along x, as launch.cuh does (which needs a context); what failed, empty where nothing did.
template <class... Parameters>
std::string launch_in_clusters(unsigned cluster, dim3 grid, int threads, std::size_t shared, cudaStream_t stream,
                               void (*kernel)(Parameters...), const Parameters&... parameters) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  cudaError_t code = allow_shared_memory(reinterpret_cast<const void*>(kernel), shared);
  const char* call = "cudaFuncSetAttribute: ";
  if (code == cudaSuccess) {
    code = cudaLaunchKernelEx(&config, kernel, parameters...);
    call = "cudaLaunchKernelEx: ";
  }
  if (code == cudaSuccess) return {};
  cudaGetLastError();
  return std::string(call) + cudaGetErrorString(code);
}

/// By all threads of all blocks. What was written before it, to whatever block, is seen after wait_for_cluster().
__device__ inline void arrive_in_cluster() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ inline void wait_for_cluster() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

/// Where a variable of this block lies in another of the cluster. That one must have begun.
__device__ inline std::uint32_t in_block(const void* shared, unsigned block) {
  std::uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(shared)), "r"(block));
  return there;
}
__device__ inline void store_there(std::uint32_t there, float a) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(a) : "memory");
}
__device__ inline void store_there(std::uint32_t there, float a, float b) {
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(there), "f"(a), "f"(b) : "memory");
}
__device__ inline void store_there(std::uint32_t there, float4 v) {
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(there), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
               : "memory");
}

}  // namespace eaq::kernel_cuda
