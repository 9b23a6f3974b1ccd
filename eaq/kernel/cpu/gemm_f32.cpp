// Products in f32 on panels of f32, bf16 or f16: 6 rows of x by one panel in registers, the panel's 16-bit elements widened on
// load, or once per block of rows into scratch where many rows share them.
//
// Registers: AVX2 has 16, of which 6 x 2 hold sums; AVX-512 has 32, of which 6 x 4 do. k is cut so that a panel's part stays in
// L1 while all rows of the tile pass over it, or with AVX-512 in L2, which feeds it as well; the next part comes into L2
// meanwhile, as a model's weights lie in no cache (gemm_dot.cpp has the figures).
//
// One core of an AMD EPYC 9005 (Zen 5), 128 x 768 x 3072, GFLOP/s: AVX2 122 in f32 and 115 widened (the core does 135); AVX-512
// 240 widened (265). One row from memory: 37 GB/s of 16-bit weights at both levels; on an EPYC 9004 (Zen 4) 27 GB/s in f32 and 34
// in bf16, where oneDNN's kernels for one row draw 16 and 19.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eaq/kernel/cpu/gemm_f32.cpp"
#include "eaq/kernel/cpu/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <array>

#include "eaq/kernel/cpu/gemm_tile.h"

#ifndef EAQ_GEMM_F32_ONCE
#define EAQ_GEMM_F32_ONCE
namespace eaq::gemm {

/// One call: rows of x times k elements of one panel.
struct PanelCall {
  const float* x = nullptr;
  std::int64_t x_stride = 0, rows = 0, k = 0;
  const void* panel = nullptr;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  bool add = false;  ///< to what out holds
  const std::byte* ahead = nullptr;
  std::int64_t lines = 0;  ///< of 64 bytes, from `ahead` on: brought into L2 meanwhile
};

/// Kernels of one level.
struct PanelKernels {
  void (*f32)(const PanelCall&);
  void (*bf16)(const PanelCall&);
  void (*f16)(const PanelCall&);
  void (*bf16_pairs)(const PanelCall&);  ///< one row; the panel as [k / 2][width][2]
  void (*widen_bf16)(const void* from, std::int64_t n, float* to);
  void (*widen_f16)(const void* from, std::int64_t n, float* to);
};

}  // namespace eaq::gemm
#endif

HWY_BEFORE_NAMESPACE();
namespace eaq::gemm::HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<float> d32;
constexpr int lanes = HWY_TARGET == HWY_AVX3 ? 16 : 8;
constexpr int vectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;  // per panel row
constexpr int width = lanes * vectors;
constexpr int max_rows = 6;
using V32 = hn::Vec<decltype(d32)>;

HWY_INLINE V32 load(const float* p) { return hn::LoadU(d32, p); }
HWY_INLINE V32 load(const hwy::bfloat16_t* p) {
  return hn::PromoteTo(d32, hn::LoadU(hn::Rebind<hwy::bfloat16_t, decltype(d32)>(), p));
}
HWY_INLINE V32 load(const hwy::float16_t* p) {
  return hn::PromoteTo(d32, hn::LoadU(hn::Rebind<hwy::float16_t, decltype(d32)>(), p));
}

constexpr int steps_a_line = 4;  // of k: a line of what comes next is asked for

template <class Weight, int rows>
HWY_INLINE void rows_by_panel(const PanelCall& c, const float* x, float* out, const std::byte* ahead, std::int64_t lines) {
  // Eight sums keep two multiply-adds of four cycles' latency busy: few rows take several k at once, into sums of their own.
  constexpr int chains = std::max(1, 8 / (rows * vectors));
  V32 sums[chains][rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      sums[0][r][v] = c.add ? hn::LoadU(d32, out + r * c.out_stride + v * lanes) : hn::Zero(d32);
#pragma GCC unroll 4
      for (int chain = 1; chain < chains; ++chain) sums[chain][r][v] = hn::Zero(d32);
    }
  const Weight* w = static_cast<const Weight*>(c.panel);
  const auto step = [&](std::int64_t k, int chain) HWY_ATTR {
    V32 column[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) column[v] = load(w + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const V32 one = hn::Set(d32, x[r * c.x_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[chain][r][v] = hn::MulAdd(one, column[v], sums[chain][r][v]);
    }
    w += width;
  };
  std::int64_t k = 0;
  if constexpr (chains == 1)
    for (; k + steps_a_line <= c.k; k += steps_a_line) {
      if (lines > 0) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += 64;
        --lines;
      }
#pragma GCC unroll 4
      for (int some = 0; some < steps_a_line; ++some) step(k + some, 0);
    }
  for (; k + chains <= c.k; k += chains)
#pragma GCC unroll 4
    for (int chain = 0; chain < chains; ++chain) step(k + chain, chain);
  if constexpr (chains > 1)
    for (; k < c.k; ++k) step(k, 0);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 4
      for (int chain = 1; chain < chains; ++chain) sums[0][r][v] = hn::Add(sums[0][r][v], sums[chain][r][v]);
      hn::StoreU(sums[0][r][v], d32, out + r * c.out_stride + v * lanes);
    }
}

template <class Weight>
void multiply(const PanelCall& c) {
  std::int64_t r = 0, asked = 0;
  const std::int64_t share = c.k / steps_a_line;
  for (; r + max_rows <= c.rows; r += max_rows) {
    const std::int64_t lines = std::min(share, c.lines - asked);
    rows_by_panel<Weight, max_rows>(c, c.x + r * c.x_stride, c.out + r * c.out_stride, c.ahead + asked * 64, lines);
    asked += lines;
  }
  const float* x = c.x + r * c.x_stride;
  float* out = c.out + r * c.out_stride;
  switch (c.rows - r) {
    case 1:
      return rows_by_panel<Weight, 1>(c, x, out, nullptr, 0);
    case 2:
      return rows_by_panel<Weight, 2>(c, x, out, nullptr, 0);
    case 3:
      return rows_by_panel<Weight, 3>(c, x, out, nullptr, 0);
    case 4:
      return rows_by_panel<Weight, 4>(c, x, out, nullptr, 0);
    case 5:
      return rows_by_panel<Weight, 5>(c, x, out, nullptr, 0);
    default:
      return;
  }
}

// Two neighbours in k share 32 bits: the upper is an f32 but for the lower half of its mantissa, the lower becomes one by a
// shift.
void one_row_by_pairs(const PanelCall& c) {
  constexpr hn::ScalableTag<std::uint32_t> u32;
  const auto upper = hn::Set(u32, 0xffff0000u);
  V32 even[vectors], odd[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    even[v] = c.add ? hn::LoadU(d32, c.out + v * lanes) : hn::Zero(d32);
    odd[v] = hn::Zero(d32);
  }
  const auto* w = static_cast<const std::uint32_t*>(c.panel);
  for (std::int64_t k = 0; k + 1 < c.k; k += 2, w += width) {
    const V32 first = hn::Set(d32, c.x[k]), second = hn::Set(d32, c.x[k + 1]);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const auto pair = hn::LoadU(u32, w + v * lanes);
      even[v] = hn::MulAdd(first, hn::BitCast(d32, hn::ShiftLeft<16>(pair)), even[v]);
      odd[v] = hn::MulAdd(second, hn::BitCast(d32, hn::And(pair, upper)), odd[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) hn::StoreU(hn::Add(even[v], odd[v]), d32, c.out + v * lanes);
}

template <class Weight>
void widen(const void* from, std::int64_t n, float* to) {
  const Weight* w = static_cast<const Weight*>(from);
  for (std::int64_t i = 0; i < n; i += lanes) hn::StoreU(load(w + i), d32, to + i);
}

constexpr PanelKernels kernels{multiply<float>,  multiply<hwy::bfloat16_t>, multiply<hwy::float16_t>,
                               one_row_by_pairs, widen<hwy::bfloat16_t>,    widen<hwy::float16_t>};
#endif
}  // namespace eaq::gemm::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eaq::gemm {
namespace {

class HighwayF32 final : public TileKernel {
 public:
  HighwayF32(DType storage, bool wide)
      : storage_(storage),
        wide_(wide),
        table_(wide ? N_AVX3::kernels : N_AVX2::kernels),
        name_(wide ? "eaq avx512" : "eaq avx2") {
    name_ += storage == DType::f32 ? " f32" : storage == DType::bf16 ? " bf16 widened to f32" : " f16 widened to f32";
  }

  TileNeeds needs() const override {
    return {.width = wide_ ? 64 : 16, .group = 1, .input = DType::f32, .dense = false, .padded = false};
  }
  std::size_t scratch_bytes(const PanelLayout& layout) const override {
    return storage_ == DType::f32 ? 0 : static_cast<std::size_t>(part() * layout.width) * sizeof(float);
  }

  const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte* scratch) const override {
    const std::int64_t width = panels.layout->width;
    const std::size_t step = static_cast<std::size_t>(width) * size_of(storage_);
    for_each_part(panels, x.k, step, part(), [&](const PanelPart& part) {
      multiply({.x = reinterpret_cast<const float*>(x.data) + part.first,
                .x_stride = x.stride,
                .rows = x.rows,
                .k = part.count,
                .panel = part.data,
                .out = reinterpret_cast<float*>(out) + part.panel * width,
                .out_stride = panels.columns(),
                .add = part.first > 0,
                .ahead = part.next,
                .lines = part.next == nullptr ? 0 : part.count * static_cast<std::int64_t>(step) / 64},
               width, reinterpret_cast<float*>(scratch));
    });
    return name_;
  }

 private:
  // AVX2's narrow panel: a part takes 3/4 of a 32 KiB L1.
  std::int64_t part() const { return wide_ ? part_in_l2 : 384; }

  void multiply(PanelCall call, std::int64_t width, float* scratch) const {
    if (storage_ == DType::f32) return table_.f32(call);
    const bool is_bf16 = storage_ == DType::bf16;
    // Widening costs about as much as one pass of six rows; from three passes on it is done once.
    if (call.rows <= 12) return is_bf16 ? table_.bf16(call) : table_.f16(call);
    (is_bf16 ? table_.widen_bf16 : table_.widen_f16)(call.panel, call.k * width, scratch);
    call.panel = scratch;
    table_.f32(call);
  }

  DType storage_;
  bool wide_;
  PanelKernels table_;
  std::string name_;
};

/// One row of x times the panels of oneDNN's bf16 kernels.
class OneRowBf16 final : public TileKernel {
 public:
  TileNeeds needs() const override { return {.width = 64, .group = 2, .input = DType::f32, .dense = false, .padded = true}; }
  const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte*) const override {
    static const std::string name = "eaq avx512 bf16 widened to f32, one row";
    for (std::int64_t p = 0; p < panels.count; ++p)
      N_AVX3::kernels.bf16_pairs({.x = reinterpret_cast<const float*>(x.data),
                                  .x_stride = x.stride,
                                  .rows = 1,
                                  .k = x.k,
                                  .panel = panels.panel(p),
                                  .out = reinterpret_cast<float*>(out) + p * panels.layout->width,
                                  .out_stride = panels.columns()});
    return name;
  }
};

}  // namespace

const TileKernel* one_row(Arithmetic arithmetic) {
  static const OneRowBf16 pairs;
  switch (arithmetic) {
    case Arithmetic::f32:
      break;
    case Arithmetic::bf16:
      return &pairs;
    case Arithmetic::s8:
      return onednn(Arithmetic::s8);
  }
  return nullptr;
}

const TileKernel* highway_f32(DType storage, Isa isa) {
  static const std::array<HighwayF32, 6> kernels{HighwayF32{DType::f32, false}, HighwayF32{DType::bf16, false},
                                                 HighwayF32{DType::f16, false}, HighwayF32{DType::f32, true},
                                                 HighwayF32{DType::bf16, true}, HighwayF32{DType::f16, true}};
  const std::size_t column = storage == DType::f32 ? 0 : storage == DType::bf16 ? 1 : 2;
  return &kernels[column + (isa >= Isa::avx512 ? 3 : 0)];
}

}  // namespace eaq::gemm
#endif
