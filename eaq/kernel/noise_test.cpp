#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

// Counts of 100,000 draws lie within five standard deviations of what the softmax says.
TEST(Noise, DrawsHaveTheProbabilitiesOfTheSoftmax) {
  const std::vector<float> logits{1.5f, -0.5f, 0.0f, 2.0f, -3.0f};
  constexpr double temperature = 0.8;
  constexpr int draws = 100'000;
  std::vector<double> weights;
  double sum = 0;
  for (const float logit : logits) sum += weights.emplace_back(std::exp(logit / temperature));
  std::vector<int> counts(logits.size());
  for (int position = 0; position < draws; ++position) {
    const std::uint64_t key = draw_key(7, 0, position);
    std::size_t best = 0;
    for (std::size_t token = 1; token < logits.size(); ++token)
      if (drawn_score(logits[token], temperature, key, static_cast<std::int64_t>(token)) >
          drawn_score(logits[best], temperature, key, static_cast<std::int64_t>(best)))
        best = token;
    ++counts[best];
  }
  for (std::size_t token = 0; token < logits.size(); ++token) {
    const double p = weights[token] / sum;
    EXPECT_NEAR(counts[token], p * draws, 5 * std::sqrt(draws * p * (1 - p))) << token;
  }
}

TEST(Noise, SequencesPlacesAndSeedsDrawApart) {
  EXPECT_NE(draw_key(1, 0, 5), draw_key(1, 1, 5));
  EXPECT_NE(draw_key(1, 0, 5), draw_key(1, 0, 6));
  EXPECT_NE(draw_key(1, 0, 5), draw_key(2, 0, 5));
  EXPECT_NE(draw_key(1, 1, 0), draw_key(1, 0, 1));
}

}  // namespace
}  // namespace eaq
