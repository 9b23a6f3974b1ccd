// The emulated card's twin of the file of this name: the card's instructions that CUDA C++ has no function for.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "emulated/product.h"

namespace eaq::kernel_cuda {
namespace ptx {

inline constexpr unsigned all_lanes = 0xffffffffu;

struct Product {
  float* d;
  const std::uint32_t *a, *b;
};

template <class T>
float half_of(std::uint32_t pair, int which) {
  return static_cast<float>(std::bit_cast<T>(static_cast<std::uint16_t>(pair >> 16 * which)));
}

inline void want_whole_warp(void* const (&lanes)[32], const char* what) {
  for (const void* lane : lanes)
    if (lane == nullptr) emulated::fail("%s in a warp of which lanes are missing", what);
}

template <class T>
void multiply(void* const (&lanes)[32]) {
  want_whole_warp(lanes, "mma");
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const Product& of = *static_cast<const Product*>(lanes[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) a[group + i % 2 * 8][pair + i / 2 * 8 + half] = half_of<T>(of.a[i], half);
      for (int i = 0; i < 2; ++i) b[pair + i * 8 + half][group] = half_of<T>(of.b[i], half);
      for (int i = 0; i < 2; ++i) d[group + i * 8][pair + half] = of.d[i * 2 + half];
    }
  }
  emulated::multiply_16x8x16(d, a, b);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) static_cast<const Product*>(lanes[lane])->d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

struct Rows {
  std::uint32_t* r;
  const void* row;
};

template <bool transposed>
void load(void* const (&lanes)[32]) {
  want_whole_warp(lanes, "ldmatrix");
  for (int matrix = 0; matrix < 4; ++matrix) {
    std::uint16_t m[8][8];
    for (int row = 0; row < 8; ++row) {
      const void* from = static_cast<const Rows*>(lanes[matrix * 8 + row])->row;
      if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
        emulated::fail("ldmatrix of a row at %p, which is not aligned to 16 bytes", from);
      __builtin_memcpy(m[row], from, sizeof m[row]);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int i = lane / 4, j = lane % 4 * 2;
      const std::uint16_t low = transposed ? m[j][i] : m[i][j], high = transposed ? m[j + 1][i] : m[i][j + 1];
      static_cast<const Rows*>(lanes[lane])->r[matrix] = std::uint32_t{high} << 16 | low;
    }
  }
}

}  // namespace ptx

inline std::byte* dynamic_shared() { return emulated::dynamic_shared(); }

template <class T>
void mma_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                 const emulated::Place& place = emulated::Place::current()) {
  if (std::is_same_v<T, __nv_bfloat16> && emulated::compute_capability() < 80)
    emulated::fail("mma of bf16, which cards before sm_80 do not have");
  ptx::Product mine{d, a, b};
  emulated::meet_warp(ptx::all_lanes, "mma", &mine, ptx::multiply<T>, place);
}

inline void load_matrices(std::uint32_t (&r)[4], const void* row, const emulated::Place& place = emulated::Place::current()) {
  ptx::Rows mine{r, row};
  emulated::meet_warp(ptx::all_lanes, "ldmatrix", &mine, ptx::load<false>, place);
}

inline void load_matrices_transposed(std::uint32_t (&r)[4], const void* row,
                                     const emulated::Place& place = emulated::Place::current()) {
  ptx::Rows mine{r, row};
  emulated::meet_warp(ptx::all_lanes, "ldmatrix.trans", &mine, ptx::load<true>, place);
}

inline void copy_async_16(void* shared, const void* global, bool valid) { emulated::copy_later(shared, global, valid); }
inline void copy_async_commit() { emulated::close_copies(); }
template <int N>
void copy_async_wait() {
  emulated::finish_copies(N);
}

inline void wait_for_earlier_kernel() { emulated::has_waited_for_earlier_kernel(); }
inline void let_next_kernel_start() {}
inline void prefetch_l2(const void*) {}

inline float exp2_approximate(float x) { return std::exp2(x); }
inline float reciprocal_approximate(float x) { return 1 / x; }
inline float tanh_approximate(float x) { return std::tanh(x); }

}  // namespace eaq::kernel_cuda
