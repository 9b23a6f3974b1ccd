#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/testing.h"

namespace eaq {
namespace {

using testing_kernel::on_every_level;
using testing_kernel::Owned;
using testing_kernel::rounding;
using testing_kernel::storages;

/// One sequence with its memory.
struct Sequence {
  Owned q, k, v, out;
  std::vector<std::uint8_t> mask;

  Sequence(const AttentionShape& shape, std::int64_t queries, std::int64_t keys, unsigned seed)
      : q(shape.dtype, queries, shape.heads * shape.head_dim),
        k(shape.kv_dtype, keys, shape.heads * shape.head_dim),
        v(shape.kv_dtype, keys, shape.heads * shape.head_dim),
        out(shape.dtype, queries, shape.heads * shape.head_dim) {
    q.fill_normal(seed);
    k.fill_normal(seed + 1);
    v.fill_normal(seed + 2);
  }
  AttentionSequence view() const {
    AttentionSequence s;
    s.q = q.matrix().data;
    s.k = k.matrix().data;
    s.v = v.matrix().data;
    s.out = out.matrix().data;
    s.mask = mask.empty() ? nullptr : mask.data();
    s.queries = q.matrix().rows;
    s.keys = k.matrix().rows;
    s.q_stride = q.matrix().stride;
    s.k_stride = k.matrix().stride;
    s.v_stride = v.matrix().stride;
    s.out_stride = out.matrix().stride;
    return s;
  }
};

// The definition, in double. Hidden keys take no part at all.
std::vector<double> reference(const AttentionShape& shape, const Sequence& s, int head, std::int64_t query) {
  const std::int64_t keys = s.k.matrix().rows, column = static_cast<std::int64_t>(head) * shape.head_dim;
  const std::int64_t allowed = shape.causal ? keys - s.q.matrix().rows + query + 1 : keys;
  std::vector<double> scores, out(static_cast<std::size_t>(shape.head_dim), 0.0);
  std::vector<std::int64_t> seen;
  for (std::int64_t key = 0; key < allowed; ++key) {
    if (!s.mask.empty() && s.mask[static_cast<std::size_t>(key)] == 0) continue;
    double dot = 0;
    for (std::int64_t c = 0; c < shape.head_dim; ++c) dot += double{s.q.at(query, column + c)} * s.k.at(key, column + c);
    scores.push_back(dot * shape.scale);
    seen.push_back(key);
  }
  if (seen.empty())
    for (std::int64_t key = 0; key < allowed; ++key) seen.push_back(key), scores.push_back(0);
  const double top = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - top);
  for (std::size_t i = 0; i < seen.size(); ++i)
    for (std::int64_t c = 0; c < shape.head_dim; ++c)
      out[static_cast<std::size_t>(c)] += scores[i] / total * s.v.at(seen[i], column + c);
  return out;
}

// Values are about 1: an absolute bound of f32 sums and of the output's rounding.
void expect_right(const AttentionShape& shape, const Sequence& s) {
  for (int head = 0; head < shape.heads; ++head)
    for (std::int64_t query = 0; query < s.q.matrix().rows; ++query) {
      const std::vector<double> expected = reference(shape, s, head, query);
      for (std::int64_t c = 0; c < shape.head_dim; ++c) {
        const double value = expected[static_cast<std::size_t>(c)];
        ASSERT_NEAR(s.out.at(query, head * shape.head_dim + c), value, 4e-6 + std::abs(value) * rounding(shape.dtype) * 1.01)
            << "head " << head << ", query " << query << ", column " << c;
      }
    }
  EXPECT_TRUE(s.out.guards_stand());
}

void run(CpuContext& context, const AttentionShape& shape, const std::vector<Sequence>& sequences) {
  std::vector<AttentionSequence> views;
  for (const Sequence& s : sequences) views.push_back(s.view());
  attention(context, shape, views);
}

void check(const AttentionShape& shape, std::int64_t queries, std::int64_t keys, std::vector<std::uint8_t> mask = {}) {
  SCOPED_TRACE(std::to_string(queries) + " queries, " + std::to_string(keys) + " keys, head_dim " +
               std::to_string(shape.head_dim) + (shape.causal ? ", causal" : ""));
  CpuContext context(3);
  std::vector<Sequence> sequences;
  sequences.emplace_back(shape, queries, keys, 11);
  sequences[0].mask = std::move(mask);
  run(context, shape, sequences);
  expect_right(shape, sequences[0]);
}

float scale_of(int head_dim) { return 1 / std::sqrt(static_cast<float>(head_dim)); }

TEST(Attention, IsSoftmaxOfScoresTimesValuesAtEverySize) {
  on_every_level([] {
    for (const std::int64_t queries : {1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 129, 300})
      for (const std::int64_t keys : {1, 3, 17, 63, 64, 65, 130})
        check({.heads = 2, .head_dim = 16, .scale = 0.25f}, queries, keys);
  });
}

TEST(Attention, TakesAnyHeadDim) {
  on_every_level([] {
    for (const int head_dim : {1, 2, 3, 5, 8, 15, 17, 31, 33, 48, 63, 64, 65, 80, 96, 100, 128})
      for (const std::int64_t queries : {1, 20})
        check({.heads = 3, .head_dim = head_dim, .scale = scale_of(head_dim)}, queries, 70);
  });
}

TEST(Attention, ReadsAndWritesEveryStorage) {
  on_every_level([] {
    for (const DType dtype : storages)
      for (const DType kv : storages)
        for (const int head_dim : {64, 13})
          for (const std::int64_t queries : {1, 33})
            check({.heads = 2, .head_dim = head_dim, .scale = scale_of(head_dim), .dtype = dtype, .kv_dtype = kv}, queries, 40);
  });
}

TEST(Attention, CausalQueriesSeeKeysUpToTheirOwnPlace) {
  on_every_level([] {
    for (const std::int64_t queries : {1, 2, 3, 16, 63, 64, 65, 200})
      for (const std::int64_t past : {0, 1, 40, 64, 100})
        check({.heads = 2, .head_dim = 8, .causal = true, .scale = 0.35f}, queries, queries + past);
  });
}

std::vector<std::uint8_t> holes(std::int64_t keys, unsigned seed, double hidden) {
  std::mt19937 random(seed);
  std::bernoulli_distribution hide(hidden);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(keys));
  for (std::uint8_t& m : mask) m = hide(random) ? 0 : 1;
  return mask;
}

TEST(Attention, HiddenKeysTakeNoPart) {
  on_every_level([] {
    for (const bool causal : {false, true})
      for (const double hidden : {0.1, 0.5, 0.97})
        for (const std::int64_t queries : {1, 2, 50, 130})
          check({.heads = 2, .head_dim = 8, .causal = causal, .scale = 0.35f}, queries, 130,
                holes(130, static_cast<unsigned>(queries), hidden));
  });
}

TEST(Attention, PaddingAtEitherEndIsHidden) {
  on_every_level([] {
    for (const std::int64_t seen : {1, 25, 64, 99}) {
      std::vector<std::uint8_t> front(100, 0), back(100, 0);
      std::fill(front.begin(), front.begin() + seen, 1);
      std::fill(back.end() - seen, back.end(), 1);
      check({.heads = 2, .head_dim = 8, .scale = 0.35f}, 100, 100, front);
      check({.heads = 2, .head_dim = 8, .scale = 0.35f}, 100, 100, back);
      check({.heads = 2, .head_dim = 8, .causal = true, .scale = 0.35f}, 100, 100, back);  // the first rows see nothing
      check({.heads = 2, .head_dim = 8, .causal = true, .scale = 0.35f}, 1, 100, back);
    }
  });
}

TEST(Attention, AQueryThatSeesNothingGetsTheMeanOfTheValues) {
  on_every_level([] {
    for (const std::int64_t queries : {1, 30})
      for (const bool causal : {false, true})
        check({.heads = 2, .head_dim = 7, .causal = causal, .scale = 0.35f}, queries, 30, std::vector<std::uint8_t>(30, 0));
  });
}

TEST(Attention, WhatIsHiddenMayBeNotANumber) {
  on_every_level([] {
    const AttentionShape shape{.heads = 1, .head_dim = 8, .scale = 0.35f};
    for (const std::int64_t queries : {1, 20}) {
      CpuContext context(2);
      std::vector<Sequence> sequences;
      sequences.emplace_back(shape, queries, 40, 5);
      Sequence& s = sequences[0];
      s.mask.assign(40, 1);
      for (const std::int64_t key : {0, 17, 39}) {
        s.mask[static_cast<std::size_t>(key)] = 0;
        for (int c = 0; c < 8; ++c) s.k.set(key, c, std::numeric_limits<float>::quiet_NaN());
        for (int c = 0; c < 8; ++c) s.v.set(key, c, std::numeric_limits<float>::infinity());
      }
      run(context, shape, sequences);
      expect_right(shape, s);
    }
  });
}

TEST(Attention, LargeScoresNeitherOverflowNorVanish) {
  on_every_level([] {
    for (const std::int64_t queries : {1, 20}) {
      const AttentionShape shape{.heads = 1, .head_dim = 1, .scale = 1};
      CpuContext context(2);
      std::vector<Sequence> sequences;
      sequences.emplace_back(shape, queries, 100, 3);
      Sequence& s = sequences[0];
      // Scores of +-10,000: one key in the last block takes all, then one in the first.
      for (const std::int64_t winner : {90, 5}) {
        s.q.fill([](std::int64_t, std::int64_t) { return 100; });
        s.k.fill([&](std::int64_t r, std::int64_t) { return r == winner ? 100 : -100 + static_cast<int>(r % 3); });
        run(context, shape, sequences);
        for (std::int64_t r = 0; r < queries; ++r) EXPECT_EQ(s.out.at(r, 0), s.v.at(winner, 0));
      }
    }
  });
}

TEST(Attention, ANanScoreSpoilsItsOwnQueryAndNoOther) {
  on_every_level([] {
    const AttentionShape shape{.heads = 2, .head_dim = 8, .scale = 0.35f};
    CpuContext context(2);
    std::vector<Sequence> sequences;
    sequences.emplace_back(shape, 20, 70, 9);
    Sequence& s = sequences[0];
    s.q.set(4, 3, std::numeric_limits<float>::quiet_NaN());
    run(context, shape, sequences);
    for (std::int64_t r = 0; r < 20; ++r)
      for (int c = 0; c < 16; ++c) EXPECT_EQ(std::isnan(s.out.at(r, c)), r == 4 && c < 8) << r << ", " << c;
  });
}

TEST(Attention, ResultsBeyondFp16AreInfinite) {
  on_every_level([] {
    const AttentionShape shape{.heads = 1, .head_dim = 3, .scale = 1, .dtype = DType::f16, .kv_dtype = DType::f32};
    for (const std::int64_t queries : {1, 5}) {
      CpuContext context(1);
      std::vector<Sequence> sequences;
      sequences.emplace_back(shape, queries, 4, 1);
      sequences[0].v.fill([](std::int64_t, std::int64_t c) { return c == 1 ? -1e6 : 1.0; });
      run(context, shape, sequences);
      EXPECT_EQ(sequences[0].out.at(0, 1), -std::numeric_limits<float>::infinity());
      EXPECT_NEAR(sequences[0].out.at(0, 2), 1, 1e-3);
    }
  });
}

TEST(Attention, RaggedSequencesAreIndependentOfEachOtherAndOfTheThreads) {
  on_every_level([] {
    const AttentionShape shape{.heads = 3, .head_dim = 16, .causal = true, .scale = 0.25f};
    for (const int threads : {1, 2, 5}) {
      CpuContext context(threads);
      std::vector<Sequence> sequences;
      for (const std::int64_t length : {1, 150, 2, 31, 0, 64, 5})
        sequences.emplace_back(shape, length, length + (length % 2) * 7, static_cast<unsigned>(length));
      run(context, shape, sequences);
      for (const Sequence& s : sequences) expect_right(shape, s);
    }
  });
}

TEST(Attention, RefusesQueriesWithoutKeys) {
  CpuContext context(1);
  const AttentionShape shape{.heads = 1, .head_dim = 4, .causal = true};
  std::vector<Sequence> sequences;
  sequences.emplace_back(shape, 3, 2, 1);
  EXPECT_THROW(run(context, shape, sequences), Error);
  attention(context, shape, {});
}

}  // namespace
}  // namespace eaq
