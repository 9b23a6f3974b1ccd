// Products in f32 on panels of f32, bf16 or f16: 6 rows of x by one panel in registers, the panel's 16-bit elements widened on
// load, or once per block of rows into scratch where many rows share them. bf16 lies in pairs, as for the dot instructions: two
// neighbours in k share 32 bits, of which either becomes an f32 in one instruction.
//
// Registers: AVX2 has 16, of which 6 x 2 hold sums; AVX-512 has 32, of which 6 x 4 do. k is cut so that a panel's part stays in
// L1 while all rows of the tile pass over it, or with AVX-512 in L2, which feeds it as well; the next part comes into L2
// meanwhile, as a model's weights lie in no cache (gemm_dot.cpp has the figures).
//
// One row is bound by memory, and instructions that wait for a line keep a core from asking for others: what is asked for 8 KiB
// ahead is there. Two cores of an Intel Xeon (family 6, model 207), 768 x 64 panels from memory, GB/s: f32 33; bf16 widened
// 22 and, asked for 4 KiB ahead, 28; in pairs 24 and 31. Of an EPYC 9005 with AVX2, a token of GPT-2 in 16 bits, while f32 takes
// 7.4 ms: 4.6 to 4.9 ms asked for 4 KiB ahead, 4.4 to 4.7 for 8, and 4.6 to 4.9 for 16.
//
// One core of an AMD EPYC 9005 (Zen 5), 128 x 768 x 3072, GFLOP/s: AVX2 122 in f32 and 115 widened (the core does 135); AVX-512
// 240 widened (265).
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
  std::int64_t x_stride = 0, rows = 0, k = 0;  ///< k even for bf16
  const std::byte* panel = nullptr;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  bool add = false;                  ///< to what out holds
  const std::byte* ahead = nullptr;  ///< what is multiplied next, where that is known
  std::int64_t lines = 0;            ///< of 64 bytes, from `ahead` on: many rows bring them into L2 meanwhile
  std::array<Touched, 2> touched{};
};

/// Kernels of one level.
struct PanelKernels {
  void (*f32)(const PanelCall&);
  void (*bf16)(const PanelCall&);  ///< the panel as [k / 2][width][2]
  void (*f16)(const PanelCall&);
  void (*widen_bf16)(const void* panel, std::int64_t k, float* to);  ///< [k / 2][width][2] into [k][width]
  void (*widen_f16)(const void* panel, std::int64_t k, float* to);
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

// A step: what of a panel is read at once, one element of k in f32 and f16, two in bf16.
struct F32 {
  static constexpr int depth = 1;
  static constexpr std::int64_t bytes = 4 * width;
  static HWY_INLINE void read(const std::byte* w, int v, V32 (&k)[depth]) {
    k[0] = hn::LoadU(d32, reinterpret_cast<const float*>(w) + v * lanes);
  }
};
struct F16 {
  static constexpr int depth = 1;
  static constexpr std::int64_t bytes = 2 * width;
  static HWY_INLINE void read(const std::byte* w, int v, V32 (&k)[depth]) {
    constexpr hn::Rebind<hwy::float16_t, decltype(d32)> half;
    k[0] = hn::PromoteTo(d32, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(w) + v * lanes));
  }
};
struct Bf16Pairs {
  static constexpr int depth = 2;
  static constexpr std::int64_t bytes = 4 * width;
  static HWY_INLINE void read(const std::byte* w, int v, V32 (&k)[depth]) {
    constexpr hn::ScalableTag<std::uint32_t> u32;
    const auto pair = hn::LoadU(u32, reinterpret_cast<const std::uint32_t*>(w) + v * lanes);
    k[0] = hn::BitCast(d32, hn::ShiftLeft<16>(pair));
    k[1] = hn::BitCast(d32, hn::And(pair, hn::Set(u32, 0xffff0000u)));
  }
};

/// Sums of some rows over a panel. Few rows take several steps at once, into sums of their own: eight keep two multiply-adds of
/// four cycles' latency busy.
template <class Step, int rows>
struct Sums {
  static constexpr int chains = std::max(1, 8 / (rows * vectors));
  V32 sums[chains][rows][vectors];

  HWY_INLINE void load(const PanelCall& c, const float* out) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums[0][r][v] = c.add ? hn::LoadU(d32, out + r * c.out_stride + v * lanes) : hn::Zero(d32);
#pragma GCC unroll 4
        for (int chain = 1; chain < chains; ++chain) sums[chain][r][v] = hn::Zero(d32);
      }
  }
  HWY_INLINE void add(const PanelCall& c, const float* x, const std::byte* w, int chain) {
    V32 column[vectors][Step::depth];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) Step::read(w, v, column[v]);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
      for (int d = 0; d < Step::depth; ++d) {
        const V32 one = hn::Set(d32, x[r * c.x_stride + d]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums[chain][r][v] = hn::MulAdd(one, column[v][d], sums[chain][r][v]);
      }
  }
  HWY_INLINE void store(const PanelCall& c, float* out) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 4
        for (int chain = 1; chain < chains; ++chain) sums[0][r][v] = hn::Add(sums[0][r][v], sums[chain][r][v]);
        hn::StoreU(sums[0][r][v], d32, out + r * c.out_stride + v * lanes);
      }
  }
};

constexpr int steps_a_line = 4;  // a line of what comes next is asked for

template <class Step, int rows>
HWY_INLINE void rows_by_panel(const PanelCall& c, const float* x, float* out, LinesAhead ahead) {
  using Tile = Sums<Step, rows>;
  Tile tile;
  tile.load(c, out);
  const std::byte* w = c.panel;
  const std::int64_t steps = c.k / Step::depth;
  std::int64_t s = 0;
  const auto step = [&](int chain) HWY_ATTR {
    tile.add(c, x, w, chain);
    x += Step::depth, w += Step::bytes;
  };
  if constexpr (Tile::chains == 1)
    for (; s + steps_a_line <= steps; s += steps_a_line) {
      ahead.ask();
#pragma GCC unroll 4
      for (int some = 0; some < steps_a_line; ++some) step(0);
    }
  for (; s + Tile::chains <= steps; s += Tile::chains)
#pragma GCC unroll 4
    for (int chain = 0; chain < Tile::chains; ++chain) step(chain);
  for (; s < steps; ++s) step(0);
  tile.store(c, out);
}

template <class Step>
HWY_INLINE void row_by_panel(const PanelCall& c) {
  using Tile = Sums<Step, 1>;
  constexpr std::int64_t bytes = Step::bytes * Tile::chains, far = 8192 / bytes;
  static_assert(bytes % 64 == 0 && 8192 % bytes == 0);
  Tile tile;
  tile.load(c, c.out);
  const std::byte* w = c.panel;
  const float* x = c.x;
  const auto steps = [&](std::int64_t count, const std::byte* ahead) HWY_ATTR {
    for (std::int64_t s = 0; s < count; ++s) {
      if (ahead != nullptr) {
#pragma GCC unroll 8
        for (int line = 0; line < bytes / 64; ++line) __builtin_prefetch(ahead + line * 64, 0, 3);
        ahead += bytes;
      }
#pragma GCC unroll 4
      for (int chain = 0; chain < Tile::chains; ++chain, x += Step::depth, w += Step::bytes) tile.add(c, x, w, chain);
    }
  };
  const std::int64_t all = c.k / Step::depth, whole = all / Tile::chains, own = std::max<std::int64_t>(0, whole - far);
  steps(own, w + far * bytes);
  steps(whole - own, c.ahead);
  for (std::int64_t s = whole * Tile::chains; s < all; ++s, x += Step::depth, w += Step::bytes) tile.add(c, x, w, 0);
  tile.store(c, c.out);
}

template <class Step>
void multiply(const PanelCall& c) {
  if (c.rows == 1) return row_by_panel<Step>(c);
  std::int64_t r = 0, asked = 0;
  const std::int64_t share = c.k / Step::depth / steps_a_line;
  for (; r + max_rows <= c.rows; r += max_rows) {
    const std::int64_t lines = std::min(share, c.lines - asked);
    rows_by_panel<Step, max_rows>(c, c.x + r * c.x_stride, c.out + r * c.out_stride,
                                  {c.ahead + asked * 64, lines, c.touched, r, max_rows});
    asked += lines;
  }
  const float* x = c.x + r * c.x_stride;
  float* out = c.out + r * c.out_stride;
  const LinesAhead rest(nullptr, 0, c.touched, r, c.rows - r);
  switch (c.rows - r) {
    case 1:
      return rows_by_panel<Step, 1>(c, x, out, rest);
    case 2:
      return rows_by_panel<Step, 2>(c, x, out, rest);
    case 3:
      return rows_by_panel<Step, 3>(c, x, out, rest);
    case 4:
      return rows_by_panel<Step, 4>(c, x, out, rest);
    case 5:
      return rows_by_panel<Step, 5>(c, x, out, rest);
    default:
      return;
  }
}

template <class Step>
void widen(const void* panel, std::int64_t k, float* to) {
  const auto* w = static_cast<const std::byte*>(panel);
  for (std::int64_t i = 0; i < k; i += Step::depth, w += Step::bytes, to += Step::depth * width)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      V32 column[Step::depth];
      Step::read(w, v, column);
#pragma GCC unroll 2
      for (int d = 0; d < Step::depth; ++d) hn::StoreU(column[d], d32, to + d * width + v * lanes);
    }
}

constexpr PanelKernels kernels{multiply<F32>, multiply<Bf16Pairs>, multiply<F16>, widen<Bf16Pairs>, widen<F16>};
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
    const bool pairs = storage_ == DType::bf16;
    return {.width = wide_ ? 64 : 16, .group = pairs ? 2 : 1, .input = DType::f32, .dense = false, .padded = pairs};
  }
  std::size_t scratch_bytes(const PanelLayout& layout) const override {
    return storage_ == DType::f32 ? 0 : static_cast<std::size_t>(part() * layout.width) * sizeof(float);
  }

  const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte* scratch) const override {
    const std::int64_t width = panels.layout->width;
    const std::size_t row = static_cast<std::size_t>(width) * size_of(storage_);
    // A row is in no hurry to leave a panel: it is read from end to end.
    for_each_part(panels, x.k, row, x.rows == 1 ? x.k : part(), [&](const PanelPart& part) {
      multiply({.x = reinterpret_cast<const float*>(x.data) + part.first,
                .x_stride = x.stride,
                .rows = x.rows,
                .k = part.count,
                .panel = part.data,
                .out = reinterpret_cast<float*>(out) + part.panel * width,
                .out_stride = panels.columns(),
                .add = part.first > 0,
                .ahead = part.next,
                .lines = part.next == nullptr ? 0 : part.count * static_cast<std::int64_t>(row) / 64,
                .touched = part.touched},
               reinterpret_cast<float*>(scratch));
    });
    return name_;
  }

 private:
  // AVX2's narrow panel: a part takes 3/4 of a 32 KiB L1.
  std::int64_t part() const { return wide_ ? part_in_l2 : 384; }

  void multiply(PanelCall call, float* scratch) const {
    if (storage_ == DType::f32) return table_.f32(call);
    const bool is_bf16 = storage_ == DType::bf16;
    // Widening costs about as much as one pass of six rows; from three passes on it is done once.
    if (call.rows <= 12) return is_bf16 ? table_.bf16(call) : table_.f16(call);
    (is_bf16 ? table_.widen_bf16 : table_.widen_f16)(call.panel, call.k, scratch);
    call.panel = reinterpret_cast<const std::byte*>(scratch);
    table_.f32(call);
  }

  DType storage_;
  bool wide_;
  PanelKernels table_;
  std::string name_;
};

}  // namespace

const TileKernel* highway_f32(DType storage, Isa isa) {
  static const std::array<HighwayF32, 6> kernels{HighwayF32{DType::f32, false}, HighwayF32{DType::bf16, false},
                                                 HighwayF32{DType::f16, false}, HighwayF32{DType::f32, true},
                                                 HighwayF32{DType::bf16, true}, HighwayF32{DType::f16, true}};
  const std::size_t column = storage == DType::f32 ? 0 : storage == DType::bf16 ? 1 : 2;
  return &kernels[column + (isa >= Isa::avx512 ? 3 : 0)];
}

}  // namespace eaq::gemm
#endif
