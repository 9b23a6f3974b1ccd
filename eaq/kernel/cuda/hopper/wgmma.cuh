// Hopper's products of four warps (wgmma), of which CUDA C++ knows nothing: 64 x 64 results, 16-bit operands, f32 sums.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <type_traits>

#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {

constexpr int swizzled_row = 128;         ///< bytes of a row in shared memory: 64 elements
constexpr int swizzled_alignment = 1024;  ///< of what a description points to: eight such rows

/// Where a row's 16-byte piece lies in bytes: pieces of eight rows are permuted so that a column of them meets every bank once.
__device__ inline std::uint32_t swizzled(int row, int piece) {
  return static_cast<std::uint32_t>(row * swizzled_row + ((piece ^ (row & 7)) << 4));
}

/// Rows in that order, as wgmma takes them, from a shared address. Both for rows along k (16 elements of k are 32 bytes on) and
/// for rows along the other dimension (16 elements of k are 16 rows on): groups of eight rows follow each other.
__device__ inline std::uint64_t describe_swizzled(std::uint32_t address) {
  constexpr std::uint64_t eight_rows = 8 * swizzled_row >> 4, swizzle_of_128_bytes = 1;
  return (address & 0x3ffffu) >> 4 | eight_rows << 16 | eight_rows << 32 | swizzle_of_128_bytes << 62;
}

/// What threads wrote to shared memory may be read by wgmma after this and a barrier.
__device__ inline void show_to_wgmma() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/// Before the first of a row of products, and whenever registers of theirs were written since.
__device__ inline void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Until all products submitted so far are done.
__device__ inline void wgmma_finish() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// A lane holds, of every 64 x 8 tile t of results, d[4 t ..]: columns 2 (lane % 4) and the next of rows 16 warp + lane / 4 and
// that + 8.
#define EAQ_WGMMA_RESULTS \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}"
#define EAQ_WGMMA_FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define EAQ_WGMMA_REGISTERS(d)                                                                                    \
  EAQ_WGMMA_FOUR(d, 0), EAQ_WGMMA_FOUR(d, 4), EAQ_WGMMA_FOUR(d, 8), EAQ_WGMMA_FOUR(d, 12), EAQ_WGMMA_FOUR(d, 16), \
      EAQ_WGMMA_FOUR(d, 20), EAQ_WGMMA_FOUR(d, 24), EAQ_WGMMA_FOUR(d, 28)

/// d = a b^T, or d += where `adds`: a [64, 16] and b [64, 16] in shared memory, rows along k.
template <class T>
__device__ inline void wgmma_64x64x16(float (&d)[32], std::uint64_t a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " EAQ_WGMMA_RESULTS
                 ", %32, %33, p, 1, 1, 0, 0;}"
                 : EAQ_WGMMA_REGISTERS(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(adds)));
  } else {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " EAQ_WGMMA_RESULTS
                 ", %32, %33, p, 1, 1, 0, 0;}"
                 : EAQ_WGMMA_REGISTERS(d)
                 : "l"(a), "l"(b), "r"(static_cast<int>(adds)));
  }
}

/// d += a b: a [64, 16] in registers as mma.m16n8k16 has a warp's rows, b [16, 64] in shared memory, a row for each k.
template <class T>
__device__ inline void wgmma_64x64x16(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b) {
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " EAQ_WGMMA_RESULTS ", {%32,%33,%34,%35}, %36, 1, 1, 1, 1;"
                 : EAQ_WGMMA_REGISTERS(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " EAQ_WGMMA_RESULTS ", {%32,%33,%34,%35}, %36, 1, 1, 1, 1;"
                 : EAQ_WGMMA_REGISTERS(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  }
}

#undef EAQ_WGMMA_RESULTS
#undef EAQ_WGMMA_FOUR
#undef EAQ_WGMMA_REGISTERS

}  // namespace eaq::kernel_cuda
