// Element by element and row by row: activations, sums, layer norms, conversions, what an evaluation keeps of logits, and the
// epilogue of products. One source for every instruction set. Reads and writes each element once; bound by memory, but for gelu's
// two dozen instructions.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eaq/kernel/elementwise.cpp"
#include "eaq/kernel/targets.h"
// clang-format off
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "eaq/kernel/kernel.h"
#include "eaq/kernel/simd-inl.h"
#include "eaq/kernel/storage.h"

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

// The row as f32 in `row` (with `addend` added), then normed: mean and variance in two passes over what is in the cache.
void layer_norm_row(const LayerNorm& norm, const Matrix& x, const Matrix& y, const Matrix* addend, const Matrix* sum,
                    std::int64_t r, float* row) {
  V total = hn::Zero(d);
  with_storage(x.dtype, [&]<class T>(T*) {
    for_vectors(x.cols, [&](std::int64_t c, std::int64_t n) {
      V v = load_some(at<T>(x, r) + c, n);
      if (addend != nullptr)
        with_storage(addend->dtype, [&]<class S>(S*) { v = hn::Add(v, load_some(at<S>(*addend, r) + c, n)); });
      if (sum != nullptr) with_storage(sum->dtype, [&]<class S>(S*) { store_some(v, to<S>(*sum, r) + c, n); });
      total = hn::Add(total, v);
      hn::StoreU(v, d, row + c);  // whole vectors: `row` has room, and a short one ends in zeros
    });
  });
  const V mean = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, total)) / static_cast<float>(x.cols));
  V squares = hn::Zero(d);
  for_vectors(x.cols, [&](std::int64_t c, std::int64_t n) {
    V v = hn::Sub(hn::LoadU(d, row + c), mean);
    if (n < lanes()) v = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(n)), v);
    squares = hn::MulAdd(v, v, squares);
  });
  const float variance = hn::GetLane(hn::SumOfLanes(d, squares)) / static_cast<float>(x.cols);
  const V scale = hn::Set(d, 1.0f / std::sqrt(variance + norm.epsilon));
  with_storage(y.dtype, [&]<class U>(U*) {
    for_vectors(x.cols, [&](std::int64_t c, std::int64_t n) {
      const V v = hn::Mul(hn::Sub(hn::LoadU(d, row + c), mean), scale);
      store_some(hn::MulAdd(v, load_some(norm.gamma + c, n), load_some(norm.beta + c, n)), to<U>(y, r) + c, n);
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

HWY_INLINE V first_only(V v, std::int64_t n) {
  return n < lanes() ? hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(n)), v) : v;
}

RowSummary summarise_row(const float* logits, std::int64_t n) {
  RowSummary row;
  V top = hn::Set(d, -std::numeric_limits<float>::infinity());
  for_vectors(n, [&](std::int64_t c, std::int64_t count) {
    const V v = load_some(logits + c, count);
    const auto finite = hn::Lt(hn::Abs(v), hn::Inf(d));
    row.non_finite += lanes() - static_cast<std::int64_t>(hn::CountTrue(d, finite));
    const V seen = count < lanes() ? hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(count)), v, top) : v;
    top = hn::IfThenElse(hn::Gt(seen, top), seen, top);  // false for NaN, which therefore never wins
  });
  row.max = hn::GetLane(hn::MaxOfLanes(d, top));
  // The row is in the cache now, and the first element that equals its maximum is on average half-way.
  for (std::int64_t i = 0; i < n; ++i)
    if (logits[i] == row.max) {
      row.argmax = static_cast<std::int32_t>(i);
      break;
    }
  const V shift = hn::Set(d, row.max);
  const double sum = sum_in_double(n, [&](std::int64_t c, std::int64_t count) {
    return first_only(exp(hn::Sub(load_some(logits + c, count), shift)), count);
  });
  row.log_sum_exp = row.max + std::log(sum);
  return row;
}

double kl_divergence(const float* p, const float* q, std::int64_t n, double p_log_sum_exp, double q_log_sum_exp) {
  const V p_shift = hn::Set(d, static_cast<float>(p_log_sum_exp)), q_shift = hn::Set(d, static_cast<float>(q_log_sum_exp));
  return sum_in_double(n, [&](std::int64_t c, std::int64_t count) {
    const V log_p = hn::Sub(load_some(p + c, count), p_shift), log_q = hn::Sub(load_some(q + c, count), q_shift);
    const V probability = exp(log_p);
    // 0 ln 0 is 0, also where ln 0 is minus infinity.
    return first_only(hn::IfThenElseZero(hn::Ne(probability, hn::Zero(d)), hn::Mul(probability, hn::Sub(log_p, log_q))), count);
  });
}

template <Activation A, class U>
void finish_row(const float* in, std::int64_t cols, float row_scale, const float* col_scale, const float* bias,
                const Matrix* residual, std::int64_t r, std::int64_t col0, U* out) {
  const V scale = hn::Set(d, row_scale);
  const auto finish = [&](auto residual_row) {
    for_vectors(cols, [&](std::int64_t c, std::int64_t n) {
      V v = load_some(in + c, n);
      if (col_scale != nullptr) v = hn::Mul(v, hn::Mul(scale, load_some(col_scale + c, n)));
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
  with_storage(y.dtype, [&]<class U>(U*) {
    with_activation(e.activation, [&](auto which) {
      for (std::int64_t r = 0; r < tile.rows; ++r)
        finish_row<which()>(tile.data + r * tile.stride, tile.cols, tile.row_scale != nullptr ? tile.row_scale[r] : 1.0f,
                            tile.col_scale, e.bias != nullptr ? e.bias + col0 : nullptr, e.residual, row0 + r, col0,
                            to<U>(y, row0 + r) + col0);
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
