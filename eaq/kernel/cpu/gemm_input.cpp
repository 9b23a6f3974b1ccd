// What surrounds a multiplication: rows of x in the type that the kernel wants (rounded to nearest even, or quantised), panels
// cast for autocast. All of it is one read and one write of memory, small beside the product.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eaq/kernel/cpu/gemm_input.cpp"
#include "eaq/kernel/cpu/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "eaq/kernel/cpu/gemm_tile.h"

HWY_BEFORE_NAMESPACE();
namespace eaq::gemm::HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<float> df;
constexpr hn::RebindToSigned<decltype(df)> di;
constexpr hn::RebindToUnsigned<decltype(df)> du;
constexpr hn::Rebind<std::uint16_t, decltype(df)> d16;
constexpr hn::Rebind<hwy::float16_t, decltype(df)> dh;
constexpr int lanes = HWY_TARGET == HWY_AVX3 ? 16 : 8;
using VF = hn::Vec<decltype(df)>;
using VU = hn::Vec<decltype(du)>;

/// f32, bf16 or f16 elements read as f32.
template <DType dtype>
HWY_INLINE VF read(const void* data, std::int64_t i) {
  if constexpr (dtype == DType::f32) {
    return hn::LoadU(df, static_cast<const float*>(data) + i);
  } else {
    const auto half = hn::LoadU(d16, static_cast<const std::uint16_t*>(data) + i);
    if constexpr (dtype == DType::bf16) return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, half)));
    return hn::PromoteTo(df, hn::BitCast(dh, half));
  }
}

/// Calls body<dtype>() with the element type as a constant, so that loops do not ask for it.
template <class Body>
HWY_INLINE auto with_dtype(DType dtype, const Body& body) {
  if (dtype == DType::f32) return body.template operator()<DType::f32>();
  if (dtype == DType::bf16) return body.template operator()<DType::bf16>();
  return body.template operator()<DType::f16>();
}

/// Bits of the nearest bf16, ties to even, in the low halves. A NaN keeps its sign and stays one.
HWY_INLINE VU to_bf16_bits(VF v) {
  const VU bits = hn::BitCast(du, v);
  const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const VU rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF))));
  const VU quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
}
HWY_INLINE VU to_f16_bits(VF v) { return hn::PromoteTo(du, hn::BitCast(d16, hn::DemoteTo(dh, v))); }

HWY_INLINE VF round_through(VF v, DType dtype) {
  if (dtype == DType::f32) return v;
  if (dtype == DType::bf16) return hn::BitCast(df, hn::ShiftLeft<16>(to_bf16_bits(v)));
  return hn::PromoteTo(df, hn::DemoteTo(dh, v));
}
HWY_INLINE void store_16(VU bits, std::uint16_t* out) { hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, bits)), d16, out); }

/// The last elements of a row, from i to n, zeros behind them.
template <DType dtype>
HWY_INLINE VF rest(const void* x, std::int64_t i, std::int64_t n) {
  constexpr std::size_t size = dtype == DType::f32 ? 4 : 2;
  alignas(64) std::byte copy[lanes * size]{};
  std::memcpy(copy, static_cast<const std::byte*>(x) + static_cast<std::size_t>(i) * size,
              static_cast<std::size_t>(n - i) * size);
  return read<dtype>(copy, 0);
}

/// Calls body(values, to) for every vector of x; the last lanes come from a copy that zeros fill, and of what they give only x's
/// own are stored: rows that other threads write may follow.
template <DType dtype, class Out, class Body>
HWY_INLINE void for_each(const void* x, std::int64_t n, Out* out, const Body& body) {
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(read<dtype>(x, i), out + i);
  if (i == n) return;
  alignas(64) Out results[lanes];
  body(rest<dtype>(x, i, n), results);
  std::memcpy(out + i, results, static_cast<std::size_t>(n - i) * sizeof(Out));
}

void to_f32(const void* x, DType dtype, std::int64_t n, DType operands, float* out) {
  with_dtype(dtype, [=]<DType from>() HWY_ATTR {
    for_each<from>(x, n, out, [=](VF v, float* to) HWY_ATTR { hn::StoreU(round_through(v, operands), df, to); });
  });
}

void to_bf16(const void* x, DType dtype, std::int64_t n, std::uint16_t* out) {
  with_dtype(dtype, [=]<DType from>() HWY_ATTR {
    for_each<from>(x, n, out, [](VF v, std::uint16_t* to) HWY_ATTR { store_16(to_bf16_bits(v), to); });
  });
}

/// 127 / max|x| and max|x| / 127.
struct Steps {
  float inverse, step;
};
// As integers, magnitudes order like floats, and infinity and NaN stand above all of them.
template <DType dtype>
HWY_INLINE Steps steps_of(const void* x, std::int64_t n) {
  auto most = hn::Zero(di);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) most = hn::Max(most, hn::BitCast(di, hn::Abs(read<dtype>(x, i))));
  if (i < n) most = hn::Max(most, hn::BitCast(di, hn::Abs(rest<dtype>(x, i, n))));
  const float largest = std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(di, most)));
  if (!(largest < std::numeric_limits<float>::infinity())) return {0, std::numeric_limits<float>::quiet_NaN()};
  if (largest < smallest_quantised) return {0, 0};
  return {127.0f / largest, largest / 127.0f};
}

/// Where the step is NaN, what becomes of the elements does not matter.
template <class Out>
HWY_INLINE float quantise(const void* x, DType dtype, std::int64_t n, Out* out) {
  return with_dtype(dtype, [=]<DType from>() HWY_ATTR {
    const Steps steps = steps_of<from>(x, n);
    const VF inverse = hn::Set(df, steps.inverse);
    constexpr hn::Rebind<Out, decltype(df)> d;
    const auto added = hn::Set(di, std::is_signed_v<Out> ? 0 : 128);
    for_each<from>(x, n, out, [=](VF v, Out* to) HWY_ATTR {
      hn::StoreU(hn::DemoteTo(d, hn::Add(hn::NearestInt(hn::Mul(v, inverse)), added)), d, to);
    });
    return steps.step;
  });
}
float to_i16(const void* x, DType dtype, std::int64_t n, std::int16_t* out) { return quantise(x, dtype, n, out); }
float to_u8(const void* x, DType dtype, std::int64_t n, std::uint8_t* out) { return quantise(x, dtype, n, out); }

void cast_panel(const float* panel, std::int64_t k, int width, int group, DType to, std::uint16_t* out) {
  const auto bits = [to](VF v) HWY_ATTR { return to == DType::bf16 ? to_bf16_bits(v) : to_f16_bits(v); };
  if (group == 1) {
    for (std::int64_t i = 0; i < k * width; i += lanes) store_16(bits(hn::LoadU(df, panel + i)), out + i);
    return;
  }
  for (std::int64_t pair = 0; pair < k / 2; ++pair)
    for (int n = 0; n < width; n += lanes) {
      const float* from = panel + 2 * pair * width + n;
      const VU both = hn::Or(bits(hn::LoadU(df, from)), hn::ShiftLeft<16>(bits(hn::LoadU(df, from + width))));
      hn::StoreU(both, du, reinterpret_cast<std::uint32_t*>(out + 2 * (pair * width + n)));
    }
}

constexpr InputKernels kernels{to_f32, to_bf16, to_i16, to_u8, cast_panel};
#endif
}  // namespace eaq::gemm::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eaq::gemm {

const InputKernels& input_kernels(Isa isa) { return isa >= Isa::avx512 ? N_AVX3::kernels : N_AVX2::kernels; }

}  // namespace eaq::gemm
#endif
