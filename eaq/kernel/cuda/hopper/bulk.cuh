// The card's copy engine (TMA): tiles of a matrix to and from shared memory while threads compute, and how they learn of it.
#pragma once

#include <cuda.h>

#include "eaq/kernel/cuda/hopper/cluster.cuh"

namespace eaq::kernel_cuda {

/// Arrivals and bytes that are waited for, in phases: what a copy or threads bring (an mbarrier). In shared memory.
struct Arrivals {
  std::uint64_t state;

  __device__ void begin(unsigned count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&state)), "r"(count) : "memory");
  }
  /// One arrival, and so many bytes more that this phase waits for.
  __device__ void expect(std::uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&state)), "r"(bytes) : "memory");
  }
  __device__ void arrive() { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&state)) : "memory"); }
  /// An arrival at its twin in a block of the cluster. It orders nothing that threads wrote: for the cluster that is a fence of
  /// the whole card, at every arrival.
  __device__ void arrive_in(unsigned block) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(in_block(&state, block)) : "memory");
  }
  /// Until the phase of this parity is over; parity 1 is over at first.
  __device__ void wait(unsigned parity) {
    asm volatile(
        "{\n.reg .pred over;\n"
        "wait:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
        "@!over bra wait;\n}" ::"r"(shared_address(&state)),
        "r"(parity)
        : "memory");
  }
};
/// After begin(), before others use them.
__device__ inline void show_arrivals() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

/// One of some places that are used in turns, and the parity of its turn.
struct Turn {
  int place = 0;
  unsigned parity = 0;
  __device__ Turn next(int places) const { return place + 1 == places ? Turn{0, parity ^ 1} : Turn{place + 1, parity}; }
};

/// Describes a matrix of f32 or 16-bit elements, its tiles `tile_rows` rows of 128 bytes that lie in shared memory as wgmma takes
/// 16-bit ones (see swizzled()); what failed, empty where nothing did.
template <class T>
std::string describe(CUtensorMap& map, void* data, std::int64_t stride, std::int64_t rows, std::int64_t cols, int tile_rows) {
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result) != cudaSuccess)
      found = nullptr;
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  }();
  if (encode == nullptr) return "cudaGetDriverEntryPointByVersion: the driver has no cuTensorMapEncodeTiled";
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)},
                   strides[1] = {static_cast<cuuint64_t>(stride) * sizeof(T)};
  const cuuint32_t box[2] = {128 / sizeof(T), static_cast<cuuint32_t>(tile_rows)}, steps[2] = {1, 1};
  const auto type = std::is_same_v<T, float>    ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                    : std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const CUresult code = encode(&map, type, 2, data, sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                               CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code == CUDA_SUCCESS) return {};
  return "cuTensorMapEncodeTiled: a matrix cannot be described to the copy engine (CUresult " + std::to_string(code) + ")";
}

/// Has a description at hand for the first tile, which would wait for it; by one thread, while the kernel ahead still runs.
__device__ inline void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<std::uint64_t>(&map)) : "memory");
}

/// A tile whose first element is (row, col), to shared memory; its bytes arrive at `arrivals`.
__device__ inline void fetch_tile(void* to, const CUtensorMap& map, int row, int col, Arrivals& arrivals) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                   shared_address(to)),
               "l"(reinterpret_cast<std::uint64_t>(&map)), "r"(col), "r"(row), "r"(shared_address(&arrivals.state))
               : "memory");
}
/// The same to the same place of every block of the cluster whose bit is set, and to their own arrivals.
__device__ inline void fetch_tile_for(std::uint16_t blocks, void* to, const CUtensorMap& map, int row, int col,
                                      Arrivals& arrivals) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], "
      "[%4], %5;" ::"r"(shared_address(to)),
      "l"(reinterpret_cast<std::uint64_t>(&map)), "r"(col), "r"(row), "r"(shared_address(&arrivals.state)), "h"(blocks)
      : "memory");
}
/// A tile from shared memory, which threads wrote and showed to the copy engine. One thread stores, and it alone can wait.
__device__ inline void store_tile(const CUtensorMap& map, int row, int col, const void* from) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];\ncp.async.bulk.commit_group;" ::"l"(
                   reinterpret_cast<std::uint64_t>(&map)),
               "r"(col), "r"(row), "r"(shared_address(from))
               : "memory");
}
/// Until of the tiles stored by this thread all but the last N have been read from shared memory.
template <int N>
__device__ inline void wait_for_stored_tiles() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}
/// Until all of them lie where they belong.
__device__ inline void finish_stored_tiles() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

}  // namespace eaq::kernel_cuda
