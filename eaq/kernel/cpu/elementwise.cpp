// Element by element and row by row: activations, sums, layer norms, conversions, what an evaluation keeps of logits, and the
// epilogue of products. One source for every instruction set. Reads and writes each element once; bound by memory, but for gelu's
// two dozen instructions.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eaq/kernel/cpu/elementwise.cpp"
#include "eaq/kernel/cpu/targets.h"
// clang-format off
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "eaq/kernel/cpu/simd-inl.h"
#include "eaq/kernel/cpu/storage.h"
#include "eaq/kernel/kernel.h"

HWY_BEFORE_NAMESPACE();
namespace eaq::simd::HWY_NAMESPACE {

template <class T>
const T* at(const Matrix& m, std::int64_t r) {
  return reinterpret_cast<const T*>(m.row(r));
}
template <class T>
T* to(const Matrix& m, std::int64_t r) {
  return reinterpret_cast<T*>(m.row(r));
}

void activation_row(Activation a, const Matrix& x, const Matrix& y, std::int64_t r) {
  with_storage(x.dtype, [&]<class T>(T*) {
    with_storage(y.dtype, [&]<class U>(U*) {
      with_activation(a, [&](auto which) {
        const T* in = at<T>(x, r);
        U* out = to<U>(y, r);
        for_vectors(x.cols,
                    [&](std::int64_t c, std::int64_t n) { store_some(activate<which()>(load_some(in + c, n)), out + c, n); });
      });
    });
  });
}

void add_row(const Matrix& a, const Matrix& b, const Matrix& y, std::int64_t r) {
  with_storage(a.dtype, [&]<class T>(T*) {
    with_storage(b.dtype, [&]<class S>(S*) {
      with_storage(y.dtype, [&]<class U>(U*) {
        for_vectors(a.cols, [&](std::int64_t c, std::int64_t n) {
          store_some(hn::Add(load_some(at<T>(a, r) + c, n), load_some(at<S>(b, r) + c, n)), to<U>(y, r) + c, n);
        });
      });
    });
  });
}

void convert_row(const Matrix& x, const Matrix& y, std::int64_t r) {
  with_storage(x.dtype, [&]<class T>(T*) {
    with_storage(y.dtype, [&]<class U>(U*) {
      for_vectors(x.cols, [&](std::int64_t c, std::int64_t n) { store_some(load_some(at<T>(x, r) + c, n), to<U>(y, r) + c, n); });
    });
  });
}

// Sum of `term(column, count)` over a row, in two chains of additions.
template <class Term>
HWY_INLINE V sum_over(std::int64_t n, Term term) {
  V even = hn::Zero(d), odd = hn::Zero(d);
  const std::int64_t step = lanes();
  std::int64_t c = 0;
  for (; c + 2 * step <= n; c += 2 * step) {
    even = hn::Add(even, term(c, step));
    odd = hn::Add(odd, term(c + step, step));
  }
  for_vectors(n - c, [&](std::int64_t i, std::int64_t count) { even = hn::Add(even, term(c + i, count)); });
  return hn::Add(even, odd);
}

HWY_INLINE V first_only(V v, std::int64_t n) {
  return n < lanes() ? hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(n)), v) : v;
}

// x (+ addend) as f32 in `row`, whole vectors, the last one's end zero; returns the sum by lanes.
V gather_row(const Matrix& x, const Matrix* addend, std::int64_t r, float* row) {
  V total = hn::Zero(d);
  with_storage(x.dtype, [&]<class T>(T*) {
    const T* in = at<T>(x, r);
    const auto keep = [&](std::int64_t c, V v) {
      hn::StoreU(v, d, row + c);
      return v;
    };
    if (addend == nullptr) {
      total = sum_over(x.cols, [&](std::int64_t c, std::int64_t n) { return keep(c, load_some(in + c, n)); });
      return;
    }
    with_storage(addend->dtype, [&]<class S>(S*) {
      const S* more = at<S>(*addend, r);
      total = sum_over(
          x.cols, [&](std::int64_t c, std::int64_t n) { return keep(c, hn::Add(load_some(in + c, n), load_some(more + c, n))); });
    });
  });
  return total;
}

// The row in f32 stays in L1 while its mean, its variance around that mean, and the result are taken from it.
void layer_norm_row(const LayerNorm& norm, const Matrix& x, const Matrix& y, const Matrix* addend, const Matrix* sum,
                    std::int64_t r, float* row) {
  const auto n = static_cast<float>(x.cols);
  const V first_mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, gather_row(x, addend, r, row))) / n);
  if (sum != nullptr)
    with_storage(sum->dtype, [&]<class S>(S*) {
      for_vectors(x.cols,
                  [&](std::int64_t c, std::int64_t count) { store_some(hn::LoadU(d, row + c), to<S>(*sum, r) + c, count); });
    });
  // What the mean misses through rounding is in the sum of the deviations.
  V missed = hn::Zero(d);
  const V squares = sum_over(x.cols, [&](std::int64_t c, std::int64_t count) {
    const V v = first_only(hn::Sub(hn::LoadU(d, row + c), first_mean), count);
    missed = hn::Add(missed, v);
    return hn::Mul(v, v);
  });
  const float shift = hn::GetLane(hn::SumOfLanes(d, missed)) / n;
  const float variance = std::max(0.0f, hn::GetLane(hn::SumOfLanes(d, squares)) / n - shift * shift);
  const float factor = 1.0f / std::sqrt(variance + norm.epsilon);
  const V scale = hn::Set(d, factor), offset = hn::Set(d, shift * factor);
  with_storage(y.dtype, [&]<class U>(U*) {
    for_vectors(x.cols, [&](std::int64_t c, std::int64_t count) {
      const V v = hn::MulSub(hn::Sub(hn::LoadU(d, row + c), first_mean), scale, offset);
      store_some(hn::MulAdd(v, load_some(norm.gamma + c, count), load_some(norm.beta + c, count)), to<U>(y, r) + c, count);
    });
  });
}

RangeSummary range_of_row(const Matrix& x, std::int64_t r) {
  RangeSummary range;
  V top = hn::Zero(d);
  with_storage(x.dtype, [&]<class T>(T*) {
    for_vectors(x.cols, [&](std::int64_t c, std::int64_t n) {
      const V v = hn::Abs(load_some(at<T>(x, r) + c, n));
      const auto finite = hn::Lt(v, hn::Inf(d));  // false for NaN
      top = hn::Max(top, hn::IfThenElseZero(finite, v));
      range.non_finite += lanes() - static_cast<std::int64_t>(hn::CountTrue(d, finite));
    });
  });
  range.max_abs = hn::GetLane(hn::MaxOfLanes(d, top));
  return range;
}

// Sums in f32 lanes for at most this many vectors before they go to a double: 50,257 terms keep their digits.
constexpr std::int64_t vectors_per_sum = 32;

// Adds up `term(column, count)` over a row in double; terms past the row's end must be zero.
template <class Term>
double sum_in_double(std::int64_t n, Term term) {
  double total = 0;
  const std::int64_t block = vectors_per_sum * lanes();
  for (std::int64_t first = 0; first < n; first += block) {
    V part = hn::Zero(d);
    for_vectors(std::min(block, n - first),
                [&](std::int64_t c, std::int64_t count) { part = hn::Add(part, term(first + c, count)); });
    total += hn::GetLane(hn::SumOfLanes(d, part));
  }
  return total;
}

// The first place where a row holds `value`; 0 where it nowhere does.
std::int64_t first_equal(const float* row, std::int64_t n, float value) {
  const V wanted = hn::Set(d, value);
  std::int64_t c = 0;
  while (c + lanes() <= n && hn::AllFalse(d, hn::Eq(load(row + c), wanted))) c += lanes();
  while (c < n && row[c] != value) ++c;
  return c < n ? c : 0;
}

RowSummary summarise_row(const float* logits, std::int64_t n) {
  RowSummary row;
  const V lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  V top = lowest, finite_lanes = hn::Zero(d);
  for_vectors(n, [&](std::int64_t c, std::int64_t count) {
    const V v = load_some(logits + c, count);
    // Lanes past the row's end hold zeros: finite, and not to win.
    finite_lanes = hn::Add(finite_lanes, hn::IfThenElseZero(hn::Lt(hn::Abs(v), hn::Inf(d)), hn::Set(d, 1.0f)));
    const V seen = count < lanes() ? hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(count)), v, lowest) : v;
    top = hn::IfThenElse(hn::Gt(seen, top), seen, top);  // false for NaN, which therefore never wins
  });
  // Counts are exact in f32 up to 2^24.
  const std::int64_t vectors = (n + lanes() - 1) / lanes();
  row.non_finite = vectors * lanes() - static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d, finite_lanes)));
  row.max = hn::GetLane(hn::MaxOfLanes(d, top));
  row.argmax = static_cast<std::int32_t>(first_equal(logits, n, row.max));
  const V shift = hn::Set(d, row.max);
  const double sum = sum_in_double(n, [&](std::int64_t c, std::int64_t count) {
    return first_only(exp(hn::Sub(load_some(logits + c, count), shift)), count);
  });
  row.log_sum_exp = row.max + std::log(sum);
  return row;
}

// The sum of p (ln p - ln q) is that of p (p_logit - q_logit - c) + c - (p_lse - q_lse) for any c: with c near the difference of
// the log-sum-exps the terms are small and nothing large is rounded to f32.
double kl_divergence(const float* p, const float* q, std::int64_t n, double p_log_sum_exp, double q_log_sum_exp) {
  const double difference = p_log_sum_exp - q_log_sum_exp;
  const auto center = static_cast<float>(difference), shift = static_cast<float>(p_log_sum_exp);
  const double sum = sum_in_double(n, [&](std::int64_t c, std::int64_t count) {
    const V p_logit = load_some(p + c, count), probability = exp(hn::Sub(p_logit, hn::Set(d, shift)));
    const V q_logit = load_some(q + c, count), rounded = hn::Sub(p_logit, q_logit);
    // What the subtraction rounded off (Knuth's TwoSum): a shift between the models would otherwise cost all digits of a small
    // divergence.
    const V p_part = hn::Add(rounded, q_logit);
    const V missed = hn::Sub(hn::Sub(p_logit, p_part), hn::Add(hn::Sub(rounded, p_part), q_logit));
    const auto finite = hn::Lt(hn::Abs(rounded), hn::Inf(d));
    const V gain = hn::Add(hn::Sub(rounded, hn::Set(d, center)), hn::IfThenElseZero(finite, missed));
    // 0 ln 0 is 0, also where ln 0 is minus infinity.
    return first_only(hn::IfThenElseZero(hn::Ne(probability, hn::Zero(d)), hn::Mul(probability, gain)), count);
  });
  // The probabilities are those of the rounded shift: their true sum is this factor, and 1.
  return sum * std::exp(static_cast<double>(shift) - p_log_sum_exp) + static_cast<double>(center) - difference;
}

// `value(column, count)` gives a row of the tile.
template <Activation A, class U, class Value>
HWY_INLINE void finish_row(const Value& value, std::int64_t cols, const float* bias, const Matrix* residual, std::int64_t r,
                           std::int64_t col0, U* out) {
  const auto finish = [&](auto residual_row) {
    for_vectors(cols, [&](std::int64_t c, std::int64_t n) {
      V v = value(c, n);
      if (bias != nullptr) v = hn::Add(v, load_some(bias + c, n));
      v = activate<A>(v);
      if constexpr (!std::is_same_v<decltype(residual_row), std::nullptr_t>) v = hn::Add(v, load_some(residual_row + c, n));
      store_some(v, out + c, n);
    });
  };
  if (residual == nullptr) return finish(nullptr);
  with_storage(residual->dtype, [&]<class S>(S*) { finish(at<S>(*residual, r) + col0); });
}

void finish_tile(const Tile& tile, const Epilogue& e, const Matrix& y, std::int64_t row0, std::int64_t col0) {
  const float* bias = e.bias != nullptr ? e.bias + col0 : nullptr;
  const IntegerSums& sums = tile.sums;
  with_storage(y.dtype, [&]<class U>(U*) {
    with_activation(e.activation, [&](auto which) {
      for (std::int64_t r = 0; r < tile.rows; ++r) {
        const auto finish = [&](const auto& value) {
          finish_row<which()>(value, tile.cols, bias, e.residual, row0 + r, col0, to<U>(y, row0 + r) + col0);
        };
        if (tile.data != nullptr) {
          finish([in = tile.data + r * tile.stride](std::int64_t c, std::int64_t n) { return load_some(in + c, n); });
          continue;
        }
        finish([&sums, in = sums.data + r * tile.stride, scale = hn::Set(d, sums.row_scale[r])](std::int64_t c, std::int64_t) {
          const I32 i;
          auto v = hn::LoadU(i, in + c);
          if (sums.surplus != nullptr) v = hn::Sub(v, hn::LoadU(i, sums.surplus + c));
          return hn::Mul(hn::ConvertTo(d, v), hn::Mul(scale, hn::LoadU(d, sums.col_scale + c)));
        });
      }
    });
  });
}

}  // namespace eaq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eaq {
namespace simd {
HWY_EXPORT(activation_row);
HWY_EXPORT(add_row);
HWY_EXPORT(convert_row);
HWY_EXPORT(layer_norm_row);
HWY_EXPORT(range_of_row);
HWY_EXPORT(summarise_row);
HWY_EXPORT(kl_divergence);
HWY_EXPORT(finish_tile);
}  // namespace simd

namespace {

// Rows a task takes: some 16 K elements, so that handing out a task does not show.
std::int64_t rows_per_task(const Matrix& x) { return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(x.cols, 1)); }

template <class Row>
void for_rows(CpuContext& context, const Matrix& x, Row row) {
  const std::int64_t step = rows_per_task(x);
  context.parallel((x.rows + step - 1) / step, [&](std::int64_t task, int thread) {
    for (std::int64_t r = task * step; r < std::min(x.rows, (task + 1) * step); ++r) row(r, thread);
  });
}

}  // namespace

void activation(CpuContext& context, Activation a, const Matrix& x, const Matrix& y) {
  const auto run = &HWY_DYNAMIC_DISPATCH(simd::activation_row);
  for_rows(context, x, [&](std::int64_t r, int) { run(a, x, y, r); });
}

void add(CpuContext& context, const Matrix& a, const Matrix& b, const Matrix& y) {
  const auto run = &HWY_DYNAMIC_DISPATCH(simd::add_row);
  for_rows(context, a, [&](std::int64_t r, int) { run(a, b, y, r); });
}

void convert(CpuContext& context, const Matrix& x, const Matrix& y) {
  const auto run = &HWY_DYNAMIC_DISPATCH(simd::convert_row);
  for_rows(context, x, [&](std::int64_t r, int) { run(x, y, r); });
}

void layer_norm(CpuContext& context, const LayerNorm& norm, const Matrix& x, const Matrix& y, const Matrix* add,
                const Matrix* sum) {
  const auto run = &HWY_DYNAMIC_DISPATCH(simd::layer_norm_row);
  const auto bytes = static_cast<std::size_t>(x.cols) * sizeof(float) + HWY_MAX_BYTES;
  for_rows(context, x, [&](std::int64_t r, int thread) {
    run(norm, x, y, add, sum, r, reinterpret_cast<float*>(context.scratch(thread, bytes)));
  });
}

void add_rows(const LayerNorm* norm, const Matrix& a, const Matrix& b, const Matrix& y, std::byte* scratch) {
  static_assert(HWY_MAX_BYTES <= 64);
  const auto add = &HWY_DYNAMIC_DISPATCH(simd::add_row);
  const auto normed = &HWY_DYNAMIC_DISPATCH(simd::layer_norm_row);
  for (std::int64_t r = 0; r < y.rows; ++r)
    if (norm == nullptr)
      add(a, b, y, r);
    else
      normed(*norm, a, y, &b, nullptr, r, reinterpret_cast<float*>(scratch));
}

RangeSummary range_of(CpuContext& context, const Matrix& x) {
  const auto run = &HWY_DYNAMIC_DISPATCH(simd::range_of_row);
  std::vector<RangeSummary> parts(static_cast<std::size_t>(context.threads()));
  for_rows(context, x, [&](std::int64_t r, int thread) {
    const RangeSummary row = run(x, r);
    RangeSummary& part = parts[static_cast<std::size_t>(thread)];
    part.max_abs = std::max(part.max_abs, row.max_abs);
    part.non_finite += row.non_finite;
  });
  RangeSummary range;
  for (const RangeSummary& part : parts) {
    range.max_abs = std::max(range.max_abs, part.max_abs);
    range.non_finite += part.non_finite;
  }
  return range;
}

RowSummary summarise_row(const float* logits, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(simd::summarise_row)(logits, n); }

double kl_divergence(const float* p, const float* q, std::int64_t n, double p_log_sum_exp, double q_log_sum_exp) {
  return HWY_DYNAMIC_DISPATCH(simd::kl_divergence)(p, q, n, p_log_sum_exp, q_log_sum_exp);
}

void finish_tile(const Tile& tile, const Epilogue& epilogue, const Matrix& y, std::int64_t row0, std::int64_t col0) {
  HWY_DYNAMIC_DISPATCH(simd::finish_tile)(tile, epilogue, y, row0, col0);
}

}  // namespace eaq
#endif
