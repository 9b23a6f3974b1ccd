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

/// Rows in that order, as wgmma takes them. Both for rows along k (16 elements of k are 2 on) and for rows along the other
/// dimension (16 elements of k are 16 rows on): groups of eight rows follow each other.
struct Described {
  std::uint32_t low;  // all that differs
  static constexpr std::uint32_t eight_rows = 8 * swizzled_row >> 4, swizzle_of_128_bytes = 1u << 30;

  /// So far on are what lies so many rows behind.
  static constexpr int rows(int count) { return count * swizzled_row >> 4; }
  __device__ Described operator+(int on) const { return {low + static_cast<std::uint32_t>(on)}; }
  __device__ operator std::uint64_t() const { return static_cast<std::uint64_t>(eight_rows | swizzle_of_128_bytes) << 32 | low; }
};

/// From a shared address.
__device__ inline Described describe_swizzled(std::uint32_t address) {
  return {(address & 0x3ffffu) >> 4 | Described::eight_rows << 16};
}

/// Four 8 x 8 matrices of 16-bit elements to shared memory; lane l names row l % 8 of matrix l / 8.
__device__ inline void store_matrices(void* row, const std::uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(shared_address(row)), "r"(r[0]), "r"(r[1]),
               "r"(r[2]), "r"(r[3])
               : "memory");
}

/// What threads wrote to shared memory may be read by wgmma, or the copy engine, after this and a barrier.
__device__ inline void show_to_wgmma() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/// Before the first of a row of products, and whenever registers of theirs were written since.
__device__ inline void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Ends a row of products.
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until all rows of products but the last N are done.
template <int N>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
/// Until all products submitted so far are done.
__device__ inline void wgmma_finish() {
  wgmma_commit();
  wgmma_wait<0>();
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

// The same with a in registers, as mma.m16n8k16 has a warp's rows; B: how b lies, 0 for rows along k, 1 for a row for each k.
template <class T, int B>
__device__ inline void wgmma_64x64x16_of_registers(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %37, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " EAQ_WGMMA_RESULTS
                 ", {%32,%33,%34,%35}, %36, p, 1, 1, %38;}"
                 : EAQ_WGMMA_REGISTERS(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(adds)), "n"(B));
  } else {
    asm volatile("{.reg .pred p; setp.ne.b32 p, %37, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " EAQ_WGMMA_RESULTS
                 ", {%32,%33,%34,%35}, %36, p, 1, 1, %38;}"
                 : EAQ_WGMMA_REGISTERS(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(adds)), "n"(B));
  }
}

/// d = a b^T, or d += where `adds`: a [64, 16] in registers, b [64, 16] in shared memory, rows along k.
template <class T>
__device__ inline void wgmma_64x64x16(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b, bool adds) {
  wgmma_64x64x16_of_registers<T, 0>(d, a, b, adds);
}

/// d += a b: a [64, 16] in registers, b [16, 64] in shared memory, a row for each k.
template <class T>
__device__ inline void wgmma_64x64x16(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b) {
  wgmma_64x64x16_of_registers<T, 1>(d, a, b, true);
}

#define EAQ_WGMMA_RESULTS_192                                        \
  "{"                                                                \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"           \
  "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31," \
  "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
  "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63," \
  "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79," \
  "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"  \
  "}"
#define EAQ_WGMMA_REGISTERS_192(d)                                                                                       \
  EAQ_WGMMA_FOUR(d, 0), EAQ_WGMMA_FOUR(d, 4), EAQ_WGMMA_FOUR(d, 8), EAQ_WGMMA_FOUR(d, 12), EAQ_WGMMA_FOUR(d, 16),        \
      EAQ_WGMMA_FOUR(d, 20), EAQ_WGMMA_FOUR(d, 24), EAQ_WGMMA_FOUR(d, 28), EAQ_WGMMA_FOUR(d, 32), EAQ_WGMMA_FOUR(d, 36), \
      EAQ_WGMMA_FOUR(d, 40), EAQ_WGMMA_FOUR(d, 44), EAQ_WGMMA_FOUR(d, 48), EAQ_WGMMA_FOUR(d, 52), EAQ_WGMMA_FOUR(d, 56), \
      EAQ_WGMMA_FOUR(d, 60), EAQ_WGMMA_FOUR(d, 64), EAQ_WGMMA_FOUR(d, 68), EAQ_WGMMA_FOUR(d, 72), EAQ_WGMMA_FOUR(d, 76), \
      EAQ_WGMMA_FOUR(d, 80), EAQ_WGMMA_FOUR(d, 84), EAQ_WGMMA_FOUR(d, 88), EAQ_WGMMA_FOUR(d, 92)
/// The same for 192 columns: b [192, 16].
template <class T>
__device__ inline void wgmma_64x192x16(float (&d)[96], std::uint64_t a, std::uint64_t b, bool adds) {
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %98, 0;\nwgmma.mma_async.sync.aligned.m64n192k16.f32.f16.f16 " EAQ_WGMMA_RESULTS_192
        ", %96, %97, p, 1, 1, 0, 0;}"
        : EAQ_WGMMA_REGISTERS_192(d)
        : "l"(a), "l"(b), "r"(static_cast<int>(adds)));
  } else {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %98, 0;\nwgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 " EAQ_WGMMA_RESULTS_192
        ", %96, %97, p, 1, 1, 0, 0;}"
        : EAQ_WGMMA_REGISTERS_192(d)
        : "l"(a), "l"(b), "r"(static_cast<int>(adds)));
  }
}

#undef EAQ_WGMMA_RESULTS_192
#undef EAQ_WGMMA_REGISTERS_192
#undef EAQ_WGMMA_RESULTS
#undef EAQ_WGMMA_FOUR
#undef EAQ_WGMMA_REGISTERS

}  // namespace eaq::kernel_cuda
