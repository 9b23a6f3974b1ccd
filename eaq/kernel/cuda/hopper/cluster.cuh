// Blocks that run together and write to each other's shared memory (a cluster).
#pragma once

#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {

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
