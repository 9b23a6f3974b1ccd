// Vectors of f32 over storage in f32, bf16 or f16: loads, stores and functions that every kernel of this floor shares. Included
// once per instruction set by Highway's foreach_target; nothing here is seen outside the floor.
#if defined(EAQ_KERNEL_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EAQ_KERNEL_SIMD_INL_H
#undef EAQ_KERNEL_SIMD_INL_H
#else
#define EAQ_KERNEL_SIMD_INL_H
#endif

#include <hwy/highway.h>

#include <cstring>

#include "eaq/kernel/kernel.h"

HWY_BEFORE_NAMESPACE();
namespace eaq::simd::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using U32 = hn::RebindToUnsigned<D>;
using I32 = hn::RebindToSigned<D>;
inline constexpr D d;
HWY_INLINE std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(d)); }

// ---- storage

HWY_INLINE V load(const float* p) { return hn::LoadU(d, p); }
HWY_INLINE V load(const bf16* p) {
  const hn::Rebind<std::uint16_t, D> half;
  const auto bits = hn::PromoteTo(U32(), hn::LoadU(half, reinterpret_cast<const std::uint16_t*>(p)));
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}
HWY_INLINE V load(const f16* p) {
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(p)));
}

HWY_INLINE void store(V v, float* p) { hn::StoreU(v, d, p); }
HWY_INLINE void store(V v, bf16* p) {
  // To nearest, ties to even; a NaN keeps its sign and stays one.
  const U32 u;
  const auto bits = hn::BitCast(u, v);
  const auto high = hn::ShiftRight<16>(bits);
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(u, 0x7FFF)), hn::And(high, hn::Set(u, 1))));
  const auto nan = hn::RebindMask(u, hn::IsNaN(v));
  const auto result = hn::IfThenElse(nan, hn::Or(high, hn::Set(u, 0x40)), rounded);
  const hn::Rebind<std::uint16_t, D> half;
  hn::StoreU(hn::DemoteTo(half, hn::BitCast(I32(), result)), half, reinterpret_cast<std::uint16_t*>(p));
}
HWY_INLINE void store(V v, f16* p) {
  const hn::Rebind<hwy::float16_t, D> half;
  hn::StoreU(hn::DemoteTo(half, v), half, reinterpret_cast<hwy::float16_t*>(p));
}

// The last elements of a row, fewer than a vector: through a small array, so that nothing past the row is touched.
template <class T>
HWY_INLINE V load_part(const T* p, std::int64_t count) {
  alignas(64) T block[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(static_cast<void*>(block), p, static_cast<std::size_t>(count) * sizeof(T));
  return load(block);
}
template <class T>
HWY_INLINE void store_part(V v, T* p, std::int64_t count) {
  alignas(64) T block[HWY_MAX_BYTES / sizeof(float)];
  store(v, block);
  std::memcpy(static_cast<void*>(p), block, static_cast<std::size_t>(count) * sizeof(T));
}

// Calls `body(column, count)` for vectors of a row; only the last has a count below lanes().
template <class Body>
HWY_INLINE void for_vectors(std::int64_t n, Body body) {
  const std::int64_t step = lanes();
  std::int64_t c = 0;
  for (; c + step <= n; c += step) body(c, step);
  if (c < n) body(c, n - c);
}
template <class T>
HWY_INLINE V load_some(const T* p, std::int64_t count) {
  return HWY_LIKELY(count == lanes()) ? load(p) : load_part(p, count);
}
template <class T>
HWY_INLINE void store_some(V v, T* p, std::int64_t count) {
  return HWY_LIKELY(count == lanes()) ? store(v, p) : store_part(v, p, count);
}

// ---- functions

// e^x, or e^(x + rest) for a `rest` that x is too short to hold, within 2 ulp for x up to `exp_limit`: x = n ln 2 + r with ln 2
// in two parts (Cody and Waite), the polynomial of Cephes' expf for e^r on |r| <= ln 2 / 2, the exponent set by integer addition.
// 0 below -87.3, where the result would be subnormal; NaN stays.
constexpr float exp_limit = 88.0f;  // the largest n is 127: 2^n is finite
template <class... Rest>
HWY_INLINE V exp(V x, Rest... rest) {
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504089f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  ((r = hn::Add(r, rest)), ...);
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(d, 1.0f));
  const I32 i;
  const V power = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(i, n), hn::Set(i, 127))));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -87.33654f)), hn::Zero(d), hn::Mul(p, power));
}

// The smaller of both; where x is NaN, x (x86 gives the second).
HWY_INLINE V at_most(float limit, V x) { return hn::Min(hn::Set(d, limit), x); }

// x sigmoid(a) = x / (1 + e^-a), and 0 where e^-a nears its largest finite value: also for an infinite x.
HWY_INLINE V times_sigmoid(V x, V a) {
  const V b = hn::Neg(a);
  const V y = hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp(at_most(exp_limit, b))));
  return hn::IfThenZeroElse(hn::Gt(b, hn::Set(d, exp_limit)), y);
}
HWY_INLINE V sigmoid(V x) { return times_sigmoid(hn::Set(d, 1.0f), x); }

// tanh: an odd polynomial below 0.625 (minimax, as in Cephes' tanhf), 1 - 2 / (e^2|x| + 1) above.
HWY_INLINE V tanh(V x) {
  const V a = hn::Abs(x), z = hn::Mul(x, x);
  V p = hn::Set(d, -5.70498872745e-3f);
  p = hn::MulAdd(p, z, hn::Set(d, 2.06390887954e-2f));
  p = hn::MulAdd(p, z, hn::Set(d, -5.37397155531e-2f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.33314422036e-1f));
  p = hn::MulAdd(p, z, hn::Set(d, -3.33332819422e-1f));
  const V low = hn::MulAdd(hn::Mul(p, z), x, x);
  const V high =
      hn::Sub(hn::Set(d, 1.0f), hn::Div(hn::Set(d, 2.0f), hn::Add(exp(at_most(exp_limit, hn::Add(a, a))), hn::Set(d, 1.0f))));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.625f)), low, hn::CopySign(high, x));
}

// gelu(x) = x Phi(x) with Phi(-a) = e^(-a^2 / 2) t P(t), t = 1 / (1 + 0.3 a), a >= 0: P is a minimax fit of degree 7 on 0 <= a <=
// 13.3 (own; largest relative error 1.3e-7). a^2 is taken in two parts, since e^(-a^2 / 2) magnifies its rounding a^2-fold: small
// results of large negative x keep their digits.
HWY_INLINE V gelu(V x) {
  const V a = hn::Min(hn::Abs(x), hn::Set(d, 14.0f));  // beyond it Phi(-a) is 0 in f32
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(a, hn::Set(d, 0.3f), hn::Set(d, 1.0f)));
  V p = hn::Set(d, 0.0360362269f);
  p = hn::MulAdd(p, t, hn::Set(d, -0.158713326f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.208964124f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.0560954846f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.12984322f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.0995231196f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.120816886f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.119625166f));
  // The upper 12 bits of a have an exact square.
  const V upper = hn::And(a, hn::BitCast(d, hn::Set(U32(), 0xFFFFF000)));
  const V square = hn::Mul(upper, hn::Mul(upper, hn::Set(d, -0.5f)));
  const V rest = hn::Mul(hn::Mul(hn::Sub(a, upper), hn::Set(d, -0.5f)), hn::Add(a, upper));
  const V tail = hn::Mul(hn::Mul(p, t), exp(square, rest));  // Phi(-a)
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Neg(hn::Mul(a, tail)), hn::NegMulAdd(a, tail, x));
}

HWY_INLINE V gelu_tanh(V x) {
  // 0.5 x (1 + tanh u) = x sigmoid(2 u), 2 u = sqrt(8 / pi) (x + 0.044715 x^3)
  const V slope = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.0713548163f), hn::Set(d, 1.5957691216f));
  return times_sigmoid(x, hn::Mul(x, slope));
}

template <Activation A>
HWY_INLINE V activate(V x) {
  if constexpr (A == Activation::gelu) return gelu(x);
  if constexpr (A == Activation::gelu_tanh) return gelu_tanh(x);
  if constexpr (A == Activation::quick_gelu) return times_sigmoid(x, hn::Mul(x, hn::Set(d, 1.702f)));
  if constexpr (A == Activation::relu) return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);  // a NaN stays
  if constexpr (A == Activation::silu) return times_sigmoid(x, x);
  if constexpr (A == Activation::tanh) return tanh(x);
  if constexpr (A == Activation::sigmoid) return sigmoid(x);
  return x;
}

// Calls `body` with the activation as a compile-time constant.
template <class Body>
HWY_INLINE void with_activation(Activation a, Body body) {
  switch (a) {
    case Activation::none:
      return body(std::integral_constant<Activation, Activation::none>());
    case Activation::gelu:
      return body(std::integral_constant<Activation, Activation::gelu>());
    case Activation::gelu_tanh:
      return body(std::integral_constant<Activation, Activation::gelu_tanh>());
    case Activation::quick_gelu:
      return body(std::integral_constant<Activation, Activation::quick_gelu>());
    case Activation::relu:
      return body(std::integral_constant<Activation, Activation::relu>());
    case Activation::silu:
      return body(std::integral_constant<Activation, Activation::silu>());
    case Activation::tanh:
      return body(std::integral_constant<Activation, Activation::tanh>());
    case Activation::sigmoid:
      return body(std::integral_constant<Activation, Activation::sigmoid>());
  }
}

}  // namespace eaq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
