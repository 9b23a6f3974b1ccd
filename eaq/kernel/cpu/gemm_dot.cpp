// Products in bf16 and int8 by AVX-512's dot instructions, on the panels that oneDNN's kernels read, too: [k / group][64][group],
// group 2 or 4, so that 32 bits of a row meet 32 bits of a column. 6 rows by one panel are 24 sums in registers.
//
// oneDNN's kernels multiply as fast while the weight lies in a cache; a model's weights do not. Here the next panel comes into L2
// while this one is multiplied. One core of an Intel Xeon (family 6, model 207), 126 x 768, f32, weights from memory: 133 GFLOP/s
// without, 158 with; 163 from L2.
#include <immintrin.h>

#include <hwy/base.h>

#include <algorithm>
#include <array>

#include "eaq/kernel/cpu/gemm_tile.h"

namespace eaq::gemm {
namespace {

constexpr int width = 64, vectors = 4, max_rows = 6;
constexpr int steps_a_line = 4;  // of k: a line of what comes next is asked for

/// Rows of x, as 32-bit words, times a part of one panel.
struct WordsCall {
  const std::uint32_t* x = nullptr;
  std::int64_t x_stride = 0, rows = 0, words = 0;
  const std::byte* panel = nullptr;
  std::uint32_t* out = nullptr;
  std::int64_t out_stride = 0;
  bool add = false;  ///< to what out holds
  const std::byte* ahead = nullptr;
  std::int64_t lines = 0;  ///< of 64 bytes, from `ahead` on
  std::array<Touched, 2> touched{};
};

}  // namespace
}  // namespace eaq::gemm

HWY_PUSH_ATTRIBUTES("avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,avx512bf16")
namespace eaq::gemm {
namespace {

// Both keep their sums as 16 words of 32 bits.
struct DotBf16 {
  static HWY_INLINE __m512i add(__m512i sums, __m512i x, __m512i w) {
    return _mm512_castps_si512(
        _mm512_dpbf16_ps(_mm512_castsi512_ps(sums), reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w)));
  }
  static HWY_INLINE __m512i join(__m512i a, __m512i b) {
    return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
  }
};
struct DotS8 {
  static HWY_INLINE __m512i add(__m512i sums, __m512i x, __m512i w) { return _mm512_dpbusd_epi32(sums, x, w); }
  static HWY_INLINE __m512i join(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
};

template <class Dot, int rows>
HWY_INLINE void rows_by_panel(const WordsCall& c, const std::uint32_t* x, std::uint32_t* out, LinesAhead ahead) {
  // Eight sums keep two dots of four cycles' latency busy: one row takes two steps at once, into sums of their own.
  constexpr int chains = std::max(1, 8 / (rows * vectors));
  __m512i sums[chains][rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      sums[0][r][v] = c.add ? _mm512_loadu_si512(out + r * c.out_stride + v * 16) : _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int chain = 1; chain < chains; ++chain) sums[chain][r][v] = _mm512_setzero_si512();
    }
  const std::byte* w = c.panel;
  std::int64_t k = 0;
  for (; k + steps_a_line <= c.words; k += steps_a_line) {
    ahead.ask();
#pragma GCC unroll 4
    for (int step = 0; step < steps_a_line; ++step, w += 64 * vectors) {
      __m512i column[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) column[v] = _mm512_loadu_si512(w + v * 64);
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        const __m512i one = _mm512_set1_epi32(static_cast<int>(x[r * c.x_stride + k + step]));
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums[step % chains][r][v] = Dot::add(sums[step % chains][r][v], one, column[v]);
      }
    }
  }
  for (; k < c.words; ++k, w += 64 * vectors) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const __m512i one = _mm512_set1_epi32(static_cast<int>(x[r * c.x_stride + k]));
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[0][r][v] = Dot::add(sums[0][r][v], one, _mm512_loadu_si512(w + v * 64));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 4
      for (int chain = 1; chain < chains; ++chain) sums[0][r][v] = Dot::join(sums[0][r][v], sums[chain][r][v]);
      _mm512_storeu_si512(out + r * c.out_stride + v * 16, sums[0][r][v]);
    }
}

// What memory gives is what one row gets: lines are asked for 4 KiB ahead (as in gemm_f32.cpp; 8 are no quicker here).
template <class Dot>
HWY_INLINE void row_by_panel(const WordsCall& c) {
  constexpr std::int64_t step_bytes = 64 * vectors, far = 4096 / step_bytes;
  static_assert(far % 2 == 0);
  __m512i even[vectors], odd[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    even[v] = c.add ? _mm512_loadu_si512(c.out + v * 16) : _mm512_setzero_si512();
    odd[v] = _mm512_setzero_si512();
  }
  const std::byte* w = c.panel;
  const std::uint32_t* x = c.x;
  const auto step = [&](__m512i(&sums)[vectors]) {
    const __m512i one = _mm512_set1_epi32(static_cast<int>(*x++));
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v, w += 64) sums[v] = Dot::add(sums[v], one, _mm512_loadu_si512(w));
  };
  const auto pairs = [&](std::int64_t count, const std::byte* ahead) {
    for (std::int64_t p = 0; p < count; ++p) {
      if (ahead != nullptr) {
#pragma GCC unroll 8
        for (int line = 0; line < 2 * vectors; ++line) __builtin_prefetch(ahead + line * 64, 0, 3);
        ahead += 2 * step_bytes;
      }
      step(even), step(odd);
    }
  };
  const std::int64_t own = std::max<std::int64_t>(0, (c.words - far) / 2);
  pairs(own, w + far * step_bytes);
  pairs(c.words / 2 - own, c.ahead);
  if (c.words % 2 != 0) step(even);
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) _mm512_storeu_si512(c.out + v * 16, Dot::join(even[v], odd[v]));
}

template <class Dot>
void multiply(const WordsCall& c) {
  if (c.rows == 1) return row_by_panel<Dot>(c);
  std::int64_t r = 0, asked = 0;
  const std::int64_t share = c.words / steps_a_line;
  for (; r + max_rows <= c.rows; r += max_rows) {
    const std::int64_t lines = std::min(share, c.lines - asked);
    rows_by_panel<Dot, max_rows>(c, c.x + r * c.x_stride, c.out + r * c.out_stride,
                                 {c.ahead + asked * 64, lines, c.touched, r, max_rows});
    asked += lines;
  }
  const std::uint32_t* x = c.x + r * c.x_stride;
  std::uint32_t* out = c.out + r * c.out_stride;
  const LinesAhead rest(nullptr, 0, c.touched, r, c.rows - r);
  switch (c.rows - r) {
    case 1:
      return rows_by_panel<Dot, 1>(c, x, out, rest);
    case 2:
      return rows_by_panel<Dot, 2>(c, x, out, rest);
    case 3:
      return rows_by_panel<Dot, 3>(c, x, out, rest);
    case 4:
      return rows_by_panel<Dot, 4>(c, x, out, rest);
    case 5:
      return rows_by_panel<Dot, 5>(c, x, out, rest);
    default:
      return;
  }
}

void multiply_bf16(const WordsCall& c) { multiply<DotBf16>(c); }
void multiply_s8(const WordsCall& c) { multiply<DotS8>(c); }

}  // namespace
}  // namespace eaq::gemm
HWY_POP_ATTRIBUTES

namespace eaq::gemm {
namespace {

class Dot final : public TileKernel {
 public:
  Dot(DType input, int group, void (*multiply)(const WordsCall&), std::string name)
      : input_(input), group_(group), multiply_(multiply), name_(std::move(name)) {}

  TileNeeds needs() const override { return {.width = width, .group = group_, .input = input_, .dense = false, .padded = true}; }

  const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte*) const override {
    const std::int64_t bytes = static_cast<std::int64_t>(size_of(input_)), words = x.k * bytes / 4;
    for_each_part(panels, words, static_cast<std::size_t>(width) * 4, x.rows == 1 ? words : part_in_l2,
                  [&](const PanelPart& part) {
                    multiply_({.x = reinterpret_cast<const std::uint32_t*>(x.data) + part.first,
                               .x_stride = x.stride * bytes / 4,
                               .rows = x.rows,
                               .words = part.count,
                               .panel = part.data,
                               .out = reinterpret_cast<std::uint32_t*>(out) + part.panel * width,
                               .out_stride = panels.columns(),
                               .add = part.first > 0,
                               .ahead = part.next,
                               .lines = part.next == nullptr ? 0 : part.count * width * 4 / 64,
                               .touched = part.touched});
                  });
    return name_;
  }

 private:
  DType input_;
  int group_;
  void (*multiply_)(const WordsCall&);
  std::string name_;
};

}  // namespace

const TileKernel* dot(Arithmetic arithmetic) {
  static const Dot bf16(DType::bf16, 2, multiply_bf16, "eaq avx512 bf16"), s8(DType::u8, 4, multiply_s8, "eaq avx512 vnni s8");
  switch (arithmetic) {
    case Arithmetic::bf16:
      return &bf16;
    case Arithmetic::s8:
      return &s8;
    case Arithmetic::f32:
      break;
  }
  return nullptr;
}

}  // namespace eaq::gemm
