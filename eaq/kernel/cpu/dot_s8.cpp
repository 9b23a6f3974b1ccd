// int8 products without VNNI: both operands are widened to 16 bits and multiplied by vpmaddwd, whose sums of two products fit 32
// bits. Exact for every operand. (vpmaddubsw, which a u8 x s8 kernel would use here, saturates at 16 bits: 2 * 255 * 127 > 32767;
// oneDNN 2.6 does so below VNNI and is not used for int8 there.)
//
// One core of an AMD EPYC 9005 (Zen 5), 128 x 768 x 3072: 190 G operations/s by AVX2, 420 by AVX-512; f32 does 122 and 265 there.
//
// Panels are [k / 2][width][2] bytes, widened on load; rows of x come as i16 already, so a pair is one 32-bit broadcast. k is cut
// and the next part asked for as in gemm_f32.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eaq/kernel/cpu/dot_s8.cpp"
#include "eaq/kernel/cpu/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "eaq/kernel/cpu/gemm_tile.h"

#ifndef EAQ_DOT_S8_ONCE
#define EAQ_DOT_S8_ONCE
namespace eaq::gemm {

/// Rows of x times one panel.
struct DotCall {
  const std::int16_t* x = nullptr;
  std::int64_t x_stride = 0, rows = 0, pairs = 0;
  const std::int8_t* panel = nullptr;
  std::int32_t* out = nullptr;
  std::int64_t out_stride = 0;
  bool add = false;                  ///< to what out holds
  const std::byte* ahead = nullptr;  ///< what is multiplied next, where that is known
  std::int64_t lines = 0;            ///< of 64 bytes, from `ahead` on
  std::array<Touched, 2> touched{};
};

}  // namespace eaq::gemm
#endif

HWY_BEFORE_NAMESPACE();
namespace eaq::gemm::HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<std::int32_t> d32;
constexpr hn::ScalableTag<std::int16_t> d16;
constexpr hn::Rebind<std::int8_t, decltype(d16)> d8;
constexpr int lanes = HWY_TARGET == HWY_AVX3 ? 16 : 8;
constexpr int vectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;
constexpr int max_rows = 6;
using Sums = hn::Vec<decltype(d32)>;
using Pairs = hn::Vec<decltype(d16)>;

constexpr int pairs_a_line = 4;  // a line of what comes next is asked for

template <int rows>
HWY_INLINE void rows_by_panel(const DotCall& c, const std::int16_t* x, std::int32_t* out, LinesAhead ahead) {
  Sums sums[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[r][v] = c.add ? hn::LoadU(d32, out + r * c.out_stride + v * lanes) : hn::Zero(d32);
  const std::int8_t* w = c.panel;
  for (std::int64_t p = 0; p < c.pairs; ++p, w += 2 * lanes * vectors) {
    // One row is bound by memory (gemm_f32.cpp). The next panel lies behind this one.
    if constexpr (rows == 1)
      __builtin_prefetch(w + 4096, 0, 3);
    else if (p % pairs_a_line == 0)
      ahead.ask();
    Pairs column[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) column[v] = hn::PromoteTo(d16, hn::LoadU(d8, w + 2 * lanes * v));
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      std::int32_t two;
      std::memcpy(&two, x + r * c.x_stride + 2 * p, sizeof two);
      const Pairs pair = hn::BitCast(d16, hn::Set(d32, two));
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        Sums unused = hn::Zero(d32);
        sums[r][v] = hn::ReorderWidenMulAccumulate(d32, pair, column[v], sums[r][v], unused);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) hn::StoreU(sums[r][v], d32, out + r * c.out_stride + v * lanes);
}

void dot(const DotCall& c) {
  std::int64_t r = 0, asked = 0;
  const std::int64_t share = c.pairs / pairs_a_line;
  for (; r + max_rows <= c.rows; r += max_rows) {
    const std::int64_t lines = std::min(share, c.lines - asked);
    rows_by_panel<max_rows>(c, c.x + r * c.x_stride, c.out + r * c.out_stride,
                            {c.ahead + asked * 64, lines, c.touched, r, max_rows});
    asked += lines;
  }
  const LinesAhead rest(nullptr, 0, c.touched, r, c.rows - r);
  const std::int16_t* x = c.x + r * c.x_stride;
  std::int32_t* out = c.out + r * c.out_stride;
  switch (c.rows - r) {
    case 1:
      return rows_by_panel<1>(c, x, out, rest);
    case 2:
      return rows_by_panel<2>(c, x, out, rest);
    case 3:
      return rows_by_panel<3>(c, x, out, rest);
    case 4:
      return rows_by_panel<4>(c, x, out, rest);
    case 5:
      return rows_by_panel<5>(c, x, out, rest);
    default:
      return;
  }
}
#endif
}  // namespace eaq::gemm::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eaq::gemm {
namespace {

class HighwayS8 final : public TileKernel {
 public:
  explicit HighwayS8(bool wide) : wide_(wide), name_(wide ? "eaq avx512 s8 by vpmaddwd" : "eaq avx2 s8 by vpmaddwd") {}

  TileNeeds needs() const override {
    return {.width = wide_ ? 64 : 16, .group = 2, .input = DType::i16, .dense = false, .padded = true};
  }

  const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte*) const override {
    const std::int64_t width = panels.layout->width, pairs = x.k / 2;
    const auto pair = static_cast<std::size_t>(2 * width);  // bytes of a panel
    for_each_part(panels, pairs, pair, x.rows == 1 ? pairs : part(), [&](const PanelPart& part) {
      (wide_ ? N_AVX3::dot : N_AVX2::dot)({.x = reinterpret_cast<const std::int16_t*>(x.data) + 2 * part.first,
                                           .x_stride = x.stride,
                                           .rows = x.rows,
                                           .pairs = part.count,
                                           .panel = reinterpret_cast<const std::int8_t*>(part.data),
                                           .out = reinterpret_cast<std::int32_t*>(out) + part.panel * width,
                                           .out_stride = panels.columns(),
                                           .add = part.first > 0,
                                           .ahead = part.next,
                                           .lines = part.next == nullptr ? 0 : part.count * static_cast<std::int64_t>(pair) / 64,
                                           .touched = part.touched});
    });
    return name_;
  }

 private:
  // AVX2's narrow panel: a part takes 3/4 of a 32 KiB L1.
  std::int64_t part() const { return wide_ ? part_in_l2 : 768; }

  bool wide_;
  std::string name_;
};

}  // namespace

const TileKernel* highway_s8(Isa isa) {
  static const std::array<HighwayS8, 2> kernels{HighwayS8{false}, HighwayS8{true}};
  return &kernels[isa >= Isa::avx512 ? 1 : 0];
}

}  // namespace eaq::gemm
#endif
