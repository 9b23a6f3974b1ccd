// Elements of any storage as floats, one or eight at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

/// A Matrix as kernels take it.
struct Rows {
  std::byte* data;
  std::int64_t stride;
  DType dtype;
};
inline Rows rows_of(const Matrix& m) { return {m.data, m.stride, m.dtype}; }

/// A vector that kernels only read.
__device__ inline Rows vector_of(const float* values) {
  return {reinterpret_cast<std::byte*>(const_cast<float*>(values)), 0, DType::f32};
}

/// The storage of all that a kernel moves, where it is one: told to the compiler, it takes the branches out and loads can begin
/// together.
enum class Storage { f32, f16, bf16, mixed };
template <Storage S, class... All>
__device__ inline void assume(All&... all) {
  if constexpr (S == Storage::f32) ((all.dtype = DType::f32), ...);
  if constexpr (S == Storage::f16) ((all.dtype = DType::f16), ...);
  if constexpr (S == Storage::bf16) ((all.dtype = DType::bf16), ...);
}

/// Calls `run` with the storage as a compile-time constant.
template <class Run>
void with_storage(std::initializer_list<DType> all, Run run) {
  const DType first = *all.begin();
  for (const DType dtype : all)
    if (dtype != first) return run.template operator()<Storage::mixed>();
  if (first == DType::f32) return run.template operator()<Storage::f32>();
  if (first == DType::f16) return run.template operator()<Storage::f16>();
  run.template operator()<Storage::bf16>();
}

/// Elements that may move at once, given every matrix that a kernel touches: 8, or 1.
inline int moved_at_once(std::initializer_list<Matrix> all) {
  for (const Matrix& m : all) {
    const auto bytes = static_cast<std::int64_t>(size_of(m.dtype));
    if (m.cols % 8 != 0 || m.stride * bytes % 16 != 0 || reinterpret_cast<std::uintptr_t>(m.data) % 16 != 0) return 1;
  }
  return 8;
}

/// Whether a norm's vectors can be read eight elements at once; it has none where they are null.
inline bool moves_eight(const NormVectors& norm) {
  return (reinterpret_cast<std::uintptr_t>(norm.gamma) | reinterpret_cast<std::uintptr_t>(norm.beta)) % 16 == 0;
}

/// Two 16-bit elements, T, in one word.
template <class T>
__device__ inline std::uint32_t pair(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 both = __floats2half2_rn(low, high);
    return reinterpret_cast<const std::uint32_t&>(both);
  } else {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<const std::uint32_t&>(both);
  }
}

__device__ inline float bf16_low(std::uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float bf16_high(std::uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

/// Eight elements as they lie; `high` is of f32 alone.
struct Packed {
  uint4 low, high;
};
__device__ inline Packed load_packed(const Rows& m, std::int64_t row, std::int64_t col) {
  const std::int64_t at = row * m.stride + col;
  Packed p;
  if (m.dtype == DType::f32) {
    const auto* from = reinterpret_cast<const uint4*>(m.data + at * 4);
    p.low = from[0], p.high = from[1];
  } else {
    p.low = *reinterpret_cast<const uint4*>(m.data + at * 2);
  }
  return p;
}
__device__ inline void unpack(float (&out)[8], const Packed& p, DType dtype) {
  const std::uint32_t words[4] = {p.low.x, p.low.y, p.low.z, p.low.w};
  if (dtype == DType::f32) {
    const std::uint32_t more[4] = {p.high.x, p.high.y, p.high.z, p.high.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = __uint_as_float(words[i]), out[4 + i] = __uint_as_float(more[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (dtype == DType::bf16) {
      out[2 * i] = bf16_low(words[i]), out[2 * i + 1] = bf16_high(words[i]);
    } else {
      const float2 pair = __half22float2(reinterpret_cast<const __half2&>(words[i]));
      out[2 * i] = pair.x, out[2 * i + 1] = pair.y;
    }
  }
}

template <int V>
__device__ inline void load(float (&out)[V], const Rows& m, std::int64_t row, std::int64_t col) {
  if constexpr (V == 1) {
    const std::int64_t at = row * m.stride + col;
    if (m.dtype == DType::f32)
      out[0] = reinterpret_cast<const float*>(m.data)[at];
    else if (m.dtype == DType::f16)
      out[0] = __half2float(reinterpret_cast<const __half*>(m.data)[at]);
    else
      out[0] = __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(m.data)[at]);
  } else {
    static_assert(V == 8);
    unpack(out, load_packed(m, row, col), m.dtype);
  }
}

template <int V>
__device__ inline void store(const Rows& m, std::int64_t row, std::int64_t col, const float (&in)[V]) {
  const std::int64_t at = row * m.stride + col;
  if constexpr (V == 1) {
    if (m.dtype == DType::f32) reinterpret_cast<float*>(m.data)[at] = in[0];
    if (m.dtype == DType::f16) reinterpret_cast<__half*>(m.data)[at] = __float2half_rn(in[0]);
    if (m.dtype == DType::bf16) reinterpret_cast<__nv_bfloat16*>(m.data)[at] = __float2bfloat16_rn(in[0]);
  } else {
    static_assert(V == 8);
    if (m.dtype == DType::f32) {
      auto* to = reinterpret_cast<float4*>(m.data + at * 4);
      to[0] = make_float4(in[0], in[1], in[2], in[3]);
      to[1] = make_float4(in[4], in[5], in[6], in[7]);
      return;
    }
    std::uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (m.dtype == DType::bf16) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
        words[i] = reinterpret_cast<const std::uint32_t&>(pair);
      } else {
        const __half2 pair = __floats2half2_rn(in[2 * i], in[2 * i + 1]);
        words[i] = reinterpret_cast<const std::uint32_t&>(pair);
      }
    }
    *reinterpret_cast<uint4*>(m.data + at * 2) = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5f * x * (1 + erff(x * 0.70710678118654752f));
    case Activation::gelu_tanh:
      return 0.5f * x * (1 + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case Activation::quick_gelu:
      return x / (1 + __expf(-1.702f * x));
    case Activation::relu:
      return x < 0 ? 0 : x;  // a NaN stays
    case Activation::silu:
      return x / (1 + __expf(-x));
    case Activation::tanh:
      return tanhf(x);
    case Activation::sigmoid:
      return 1 / (1 + __expf(-x));
  }
  return x;
}

}  // namespace eaq::kernel_cuda
