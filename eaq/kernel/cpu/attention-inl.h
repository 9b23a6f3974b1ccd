// Attention for one instruction set: blocks of queries as two small products around an online softmax, single queries as dot
// products over the cache. Included once per instruction set by attention.cpp.
//
// The softmax over blocks of keys keeps a running maximum and a running sum per query and corrects what it has when the maximum
// rises (Milakov and Gimelshein 2018, arXiv:1805.02867; blockwise as in Dao et al. 2022, arXiv:2205.14135).
#if defined(EAQ_KERNEL_ATTENTION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EAQ_KERNEL_ATTENTION_INL_H
#undef EAQ_KERNEL_ATTENTION_INL_H
#else
#define EAQ_KERNEL_ATTENTION_INL_H
#endif

#include <limits>

#include "eaq/kernel/cpu/attention.h"
#include "eaq/kernel/cpu/simd-inl.h"
#include "eaq/kernel/cpu/storage.h"

HWY_BEFORE_NAMESPACE();
namespace eaq::simd::HWY_NAMESPACE {

// ---- Small products in f32

// c [rows, vectors] = a [rows, k] b [k, vectors], or added to c * keep[row].
struct SmallProduct {
  const float* a = nullptr;
  std::int64_t a_stride = 0;
  const float* b = nullptr;
  std::int64_t b_stride = 0, k = 0;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  const float* keep = nullptr;
};

// AVX-512 has 32 registers for 6 x 4 sums, AVX2 16 for 6 x 2.
constexpr std::int64_t sum_rows = 6, sum_vectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;

// `a` lies [rows][k], or transposed [k][rows].
template <bool transposed, int rows, int vectors>
HWY_INLINE void multiply_in_registers(const SmallProduct& p) {
  V sums[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      sums[r][v] =
          p.keep == nullptr ? hn::Zero(d) : hn::Mul(hn::LoadU(d, p.c + r * p.c_stride + v * lanes()), hn::Set(d, p.keep[r]));
  const float* a = p.a;
  const float* b = p.b;
  for (std::int64_t k = 0; k < p.k; ++k, b += p.b_stride, a += transposed ? p.a_stride : 1) {
    V column[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) column[v] = hn::LoadU(d, b + v * lanes());
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const V one = hn::Set(d, transposed ? a[r] : a[r * p.a_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] = hn::MulAdd(one, column[v], sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) hn::StoreU(sums[r][v], d, p.c + r * p.c_stride + v * lanes());
}

template <bool transposed, int vectors>
HWY_INLINE void multiply_rows(const SmallProduct& p, std::int64_t rows) {
  switch (rows) {
    case 1:
      return multiply_in_registers<transposed, 1, vectors>(p);
    case 2:
      return multiply_in_registers<transposed, 2, vectors>(p);
    case 3:
      return multiply_in_registers<transposed, 3, vectors>(p);
    case 4:
      return multiply_in_registers<transposed, 4, vectors>(p);
    case 5:
      return multiply_in_registers<transposed, 5, vectors>(p);
    default:
      return multiply_in_registers<transposed, 6, vectors>(p);
  }
}

/// What of a product some rows need.
struct Needed {
  std::int64_t first = 0;  ///< vectors to the left of it are not written
  std::int64_t k = 0;
};

// Rows in groups of nearly equal size: 8 rows are 4 + 4, not 6 + 2. `needed(row, count)` says what a group needs.
template <bool transposed, class F>
void multiply(SmallProduct p, std::int64_t rows, std::int64_t vectors, F needed) {
  const std::int64_t step = sum_vectors * lanes();
  for (std::int64_t groups = (rows + sum_rows - 1) / sum_rows, row = 0; groups > 0; --groups) {
    const std::int64_t group = (rows - row + groups - 1) / groups;
    const Needed own = needed(row, group);
    SmallProduct part = p;
    part.k = own.k;
    part.b += own.first * lanes();
    part.c += own.first * lanes();
    for (std::int64_t left = vectors - own.first; left > 0; left -= sum_vectors, part.b += step, part.c += step) {
      if (left == 1)
        multiply_rows<transposed, 1>(part, group);
      else if (left == 2 || sum_vectors == 2)
        multiply_rows<transposed, 2>(part, group);
      else if (left == 3)
        multiply_rows<transposed, sum_vectors == 2 ? 2 : 3>(part, group);
      else
        multiply_rows<transposed, sum_vectors>(part, group);
    }
    p.a += group * (transposed ? 1 : p.a_stride);
    p.c += group * p.c_stride;
    if (p.keep != nullptr) p.keep += group;
    row += group;
  }
}

// ---- Parts of both forms

template <class T>
const T* row_of(const std::byte* data, std::int64_t row, std::int64_t stride, std::int64_t column) {
  return reinterpret_cast<const T*>(data) + row * stride + column;
}

// A head's part of a row is a few lines, the next row's are some pages away: no stream that the processor would follow by itself.
// Asked for `rows_ahead` rows before they are needed.
constexpr std::int64_t rows_ahead = 8;
template <class T>
HWY_INLINE void ask_for(const T* part, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += static_cast<std::int64_t>(64 / sizeof(T))) __builtin_prefetch(part + i, 0, 3);
}

// What a query that sees nothing gets: the mean of the values that causality allows.
template <class T>
void mean_of_values(const AttentionTask& t, int head, std::int64_t keys, float* mean) {
  const AttentionSequence& s = *t.sequence;
  const V share = hn::Set(d, 1.0f / static_cast<float>(keys));
  for_vectors(t.shape->head_dim, [&](std::int64_t c, std::int64_t n) {
    V sum = hn::Zero(d);
    for (std::int64_t key = 0; key < keys; ++key)
      sum = hn::Add(sum, load_some(row_of<T>(s.v, key, s.v_stride, head * t.shape->head_dim) + c, n));
    hn::StoreU(hn::Mul(sum, share), d, mean + c);
  });
}

template <class T>
void store_row(const AttentionTask& t, int head, std::int64_t r, const float* sums, float factor) {
  const AttentionSequence& s = *t.sequence;
  T* out = reinterpret_cast<T*>(s.out) + (t.first + r) * s.out_stride + static_cast<std::int64_t>(head) * t.shape->head_dim;
  const V scale = hn::Set(d, factor);
  for_vectors(t.shape->head_dim,
              [&](std::int64_t c, std::int64_t n) { store_some(hn::Mul(hn::LoadU(d, sums + c), scale), out + c, n); });
}

// ---- Blocks of queries

// to [cols][rows] = from [rows][cols] transposed, 4 x 4 at a time.
void transpose(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) to[c * rows + r] = from[r * from_stride + c];
#else
  const hn::CappedTag<float, 4> f;
  const hn::CappedTag<double, 2> g;
  const auto low = [&](auto a, auto b) { return hn::BitCast(f, hn::InterleaveLower(g, hn::BitCast(g, a), hn::BitCast(g, b))); };
  const auto high = [&](auto a, auto b) { return hn::BitCast(f, hn::InterleaveUpper(g, hn::BitCast(g, a), hn::BitCast(g, b))); };
  for (std::int64_t r = 0; r < rows; r += 4)
    for (std::int64_t c = 0; c < cols; c += 4) {
      const float* in = from + r * from_stride + c;
      const auto a0 = hn::LoadU(f, in), a1 = hn::LoadU(f, in + from_stride), a2 = hn::LoadU(f, in + 2 * from_stride),
                 a3 = hn::LoadU(f, in + 3 * from_stride);
      const auto left = hn::InterleaveLower(f, a0, a1), right = hn::InterleaveUpper(f, a0, a1);
      const auto left_below = hn::InterleaveLower(f, a2, a3), right_below = hn::InterleaveUpper(f, a2, a3);
      float* out = to + c * rows + r;
      hn::StoreU(low(left, left_below), f, out);
      hn::StoreU(high(left, left_below), f, out + rows);
      hn::StoreU(low(right, right_below), f, out + 2 * rows);
      hn::StoreU(high(right, right_below), f, out + 3 * rows);
    }
#endif
}

template <class T>
void load_queries(const AttentionTask& t, const BlockScratch& b, std::int64_t rows) {
  const AttentionSequence& s = *t.sequence;
  const std::int64_t head_dim = t.shape->head_dim, width = padded(head_dim);
  const V scale = hn::Set(d, t.shape->scale);
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const T* query = row_of<T>(s.q, t.first + r, s.q_stride, t.head * head_dim);
    if (r + rows_ahead < t.rows) ask_for(query + rows_ahead * s.q_stride, head_dim);
    // What the block's end writes, too.
    ask_for(row_of<T>(s.out, t.first + r, s.out_stride, t.head * head_dim), head_dim);
    for_vectors(head_dim, [&](std::int64_t c, std::int64_t n) {
      hn::StoreU(hn::Mul(load_some(query + c, n), scale), d, b.sums + r * width + c);
    });
  }
  std::fill(b.sums + t.rows * width, b.sums + rows * width, 0.0f);
  // Up to three columns past head_dim come along; nothing reads them.
  transpose(b.sums, width, rows, (head_dim + 3) / 4 * 4, b.queries);
}

// The next keys from `key` on that are visible: their places, and they and their values as f32.
template <class T>
std::int64_t load_keys(const AttentionTask& t, const BlockScratch& b, std::int64_t last, std::int64_t& key) {
  const AttentionSequence& s = *t.sequence;
  const std::int64_t head_dim = t.shape->head_dim, width = padded(head_dim), column = t.head * head_dim;
  std::int64_t n = 0;
  for (; key <= last && n < keys_per_block; ++key) {
    if (!t.visible(key)) continue;
    const T* k = row_of<T>(s.k, key, s.k_stride, column);
    const T* v = row_of<T>(s.v, key, s.v_stride, column);
    if (key + rows_ahead <= last) {
      ask_for(k + rows_ahead * s.k_stride, head_dim);
      ask_for(v + rows_ahead * s.v_stride, head_dim);
    }
    for_vectors(head_dim, [&](std::int64_t c, std::int64_t count) {
      hn::StoreU(load_some(k + c, count), d, b.keys + n * width + c);
      hn::StoreU(load_some(v + c, count), d, b.values + n * width + c);
    });
    b.position[n++] = static_cast<std::int32_t>(key);
  }
  return n;
}

// How many of the block's n keys the task's row `r` sees.
std::int64_t seen_by(const AttentionTask& t, const BlockScratch& b, std::int64_t n, std::int64_t r) {
  const std::int64_t first = b.position[0];
  const bool none_hidden = b.position[n - 1] - first == n - 1;
  if (none_hidden) return std::clamp<std::int64_t>(t.last_key(r) - first + 1, 0, n);
  return std::upper_bound(b.position, b.position + n, t.last_key(r)) - b.position;
}

// Scores of one vector of queries against n keys become exponentials; `seen` says how many of the keys each query sees.
template <bool partly>
void soften(const BlockScratch& b, std::int64_t rows, std::int64_t first, std::int64_t n, V seen) {
  const V hidden = hn::Set(d, -std::numeric_limits<float>::infinity());
  float* scores = b.scores + first;
  const auto score = [&](std::int64_t j) {
    const V v = hn::LoadU(d, scores + j * rows);
    return partly ? hn::IfThenElse(hn::Lt(hn::Set(d, static_cast<float>(j)), seen), v, hidden) : v;
  };
  V top = hidden;
  for (std::int64_t j = 0; j < n; ++j) top = hn::Max(top, score(j));
  const V old = hn::LoadU(d, b.top + first);
  top = hn::Max(top, old);
  // Nothing seen so far: any finite shift keeps e^(-inf) at 0.
  const V shift = hn::IfThenElse(hn::Eq(top, hidden), hn::Zero(d), top);
  const V correction = exp(hn::Sub(old, shift));
  V total = hn::Mul(hn::LoadU(d, b.total + first), correction);
  for (std::int64_t j = 0; j < n; ++j) {
    const V p = exp(hn::Sub(score(j), shift));
    hn::StoreU(p, d, scores + j * rows);
    total = hn::Add(total, p);
  }
  hn::StoreU(top, d, b.top + first);
  hn::StoreU(total, d, b.total + first);
  hn::StoreU(correction, d, b.correction + first);
}

void soften_block(const AttentionTask& t, const BlockScratch& b, std::int64_t rows, std::int64_t first, std::int64_t n) {
  for (std::int64_t r = first; r < rows; r += lanes()) {
    const std::int64_t all = seen_by(t, b, n, r), some = seen_by(t, b, n, r + lanes() - 1);
    if (all == n) {
      soften<false>(b, rows, r, n, hn::Zero(d));
      continue;
    }
    alignas(64) float seen[HWY_MAX_BYTES / sizeof(float)];
    for (std::int64_t i = 0; i < lanes(); ++i) seen[i] = static_cast<float>(seen_by(t, b, n, r + i));
    soften<true>(b, rows, r, some, hn::LoadU(d, seen));
    // Queries after these are multiplied with some of these in one group: as far as the last of them sees.
    for (std::int64_t j = some; j < n; ++j) hn::StoreU(hn::Zero(d), d, b.scores + j * rows + r);
  }
}

template <class T, class KV>
void attend_block(const AttentionTask& t, std::byte* scratch) {
  const std::int64_t head_dim = t.shape->head_dim, width = padded(head_dim);
  const std::int64_t rows = (t.rows + lanes() - 1) / lanes() * lanes(), last = t.last_key(t.rows - 1);
  const BlockScratch b(scratch, t.rows, head_dim);
  load_queries<T>(t, b, rows);
  std::fill(b.sums, b.sums + rows * width, 0.0f);
  std::fill(b.top, b.top + rows, -std::numeric_limits<float>::infinity());
  std::fill(b.total, b.total + rows, 0.0f);
  std::int64_t first_seen = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t key = 0; key <= last;) {
    const std::int64_t n = load_keys<KV>(t, b, last, key);
    if (n == 0) break;
    first_seen = std::min<std::int64_t>(first_seen, b.position[0]);
    // Of a causal block half is hidden: queries before the first that sees a key have no part in it.
    const std::int64_t blind = std::max<std::int64_t>(0, b.position[0] - t.last_key(0));
    multiply<false>({.a = b.keys, .a_stride = width, .b = b.queries, .b_stride = rows, .c = b.scores, .c_stride = rows}, n,
                    rows / lanes(), [&](std::int64_t row, std::int64_t) {
                      return Needed{.first = std::max<std::int64_t>(0, b.position[row] - t.last_key(0)) / lanes(), .k = head_dim};
                    });
    soften_block(t, b, rows, blind / lanes() * lanes(), n);
    multiply<true>({.a = b.scores + blind,
                    .a_stride = rows,
                    .b = b.values,
                    .b_stride = width,
                    .c = b.sums + blind * width,
                    .c_stride = width,
                    .keep = b.correction + blind},
                   t.rows - blind, (head_dim + lanes() - 1) / lanes(),
                   [&](std::int64_t row, std::int64_t count) { return Needed{.k = seen_by(t, b, n, blind + row + count - 1)}; });
  }
  for (std::int64_t r = 0; r < t.rows; ++r) {
    float* sums = b.sums + r * width;
    const bool sees = first_seen <= t.last_key(r);
    if (!sees) mean_of_values<KV>(t, t.head, t.last_key(r) + 1, sums);
    store_row<T>(t, t.head, r, sums, sees ? 1.0f / b.total[r] : 1.0f);
  }
}

// ---- Single queries

constexpr std::int64_t keys_at_once = 4;

// `body(head, j, count, pointers)` for every head and up to four keys at a time: rows of the cache are read from end to end.
template <class T, class Body>
HWY_INLINE void for_keys(const AttentionTask& t, const std::byte* data, std::int64_t stride, const std::int32_t* position,
                         std::int64_t n, Body body) {
  const std::int64_t head_dim = t.shape->head_dim;
  for (std::int64_t j = 0; j < n; j += keys_at_once) {
    const std::int64_t count = std::min(keys_at_once, n - j);
    for (int h = 0; h < t.heads; ++h) {
      const T* rows[keys_at_once];
      // Past the end the last key stands in; what it gives is not used.
      for (std::int64_t i = 0; i < keys_at_once; ++i) {
        rows[i] = row_of<T>(data, position[j + std::min(i, count - 1)], stride, (t.head + h) * head_dim);
        if (j + rows_ahead + i < n)
          ask_for(row_of<T>(data, position[j + rows_ahead + i], stride, (t.head + h) * head_dim), head_dim);
      }
      body(h, j, count, rows);
    }
  }
}

// Exponentials in place of scores; returns their sum.
float soften_row(float* scores, std::int64_t n) {
  const V hidden = hn::Set(d, -std::numeric_limits<float>::infinity());
  V top = hidden;
  for (std::int64_t j = n; j < padded(n); ++j) scores[j] = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < n; j += lanes()) top = hn::Max(top, hn::LoadU(d, scores + j));
  const V shift = hn::MaxOfLanes(d, top);
  V total = hn::Zero(d);
  for (std::int64_t j = 0; j < n; j += lanes()) {
    const V p = exp(hn::Sub(hn::LoadU(d, scores + j), shift));
    hn::StoreU(p, d, scores + j);
    total = hn::Add(total, p);
  }
  return hn::GetLane(hn::SumOfLanes(d, total));
}

template <class T, class KV>
void attend_single(const AttentionTask& t, std::byte* scratch) {
  const AttentionSequence& s = *t.sequence;
  const std::int64_t head_dim = t.shape->head_dim, width = padded(head_dim), keys = t.last_key(0) + 1, score_width = padded(keys);
  const SingleScratch b(scratch, t.heads, head_dim, keys);
  std::int64_t n = 0;
  for (std::int64_t key = 0; key < keys; ++key)
    if (t.visible(key)) b.position[n++] = static_cast<std::int32_t>(key);

  for (int h = 0; h < t.heads; ++h)
    for_vectors(head_dim, [&](std::int64_t c, std::int64_t count) {
      const V q = load_some(row_of<T>(s.q, t.first, s.q_stride, (t.head + h) * head_dim) + c, count);
      hn::StoreU(hn::Mul(q, hn::Set(d, t.shape->scale)), d, b.query + h * width + c);
    });
  for_keys<KV>(t, s.k, s.k_stride, b.position, n, [&](int h, std::int64_t j, std::int64_t, const KV* const* rows) {
    V dot[keys_at_once] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for_vectors(head_dim, [&](std::int64_t c, std::int64_t count) {
      const V q = hn::LoadU(d, b.query + h * width + c);
      for (std::int64_t i = 0; i < keys_at_once; ++i) dot[i] = hn::MulAdd(q, load_some(rows[i] + c, count), dot[i]);
    });
    for (std::int64_t i = 0; i < keys_at_once; ++i) b.scores[h * score_width + j + i] = hn::GetLane(hn::SumOfLanes(d, dot[i]));
  });

  std::fill(b.sums, b.sums + t.heads * width, 0.0f);
  float* total = b.query;  // its place is free now: one sum per head
  for (int h = 0; h < t.heads; ++h) total[h] = soften_row(b.scores + h * score_width, n);
  for_keys<KV>(t, s.v, s.v_stride, b.position, n, [&](int h, std::int64_t j, std::int64_t used, const KV* const* rows) {
    const float* p = b.scores + h * score_width + j;
    for_vectors(head_dim, [&](std::int64_t c, std::int64_t count) {
      V sum = hn::LoadU(d, b.sums + h * width + c);
      for (std::int64_t i = 0; i < used; ++i) sum = hn::MulAdd(hn::Set(d, p[i]), load_some(rows[i] + c, count), sum);
      hn::StoreU(sum, d, b.sums + h * width + c);
    });
  });
  for (int h = 0; h < t.heads; ++h) {
    if (n == 0) mean_of_values<KV>(t, t.head + h, keys, b.sums + h * width);
    store_row<T>(t, t.head + h, 0, b.sums + h * width, n == 0 ? 1.0f : 1.0f / total[h]);
  }
}

void attend(const AttentionTask& t, bool block, std::byte* scratch) {
  with_storage(t.shape->dtype, [&]<class T>(T*) {
    with_storage(t.shape->kv_dtype,
                 [&]<class KV>(KV*) { block ? attend_block<T, KV>(t, scratch) : attend_single<T, KV>(t, scratch); });
  });
}

}  // namespace eaq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
