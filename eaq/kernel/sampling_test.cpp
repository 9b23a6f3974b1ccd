#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "eaq/kernel/kernel.h"
#include "eaq/kernel/sampling.cuh"

namespace eaq {
namespace {

// How often each token is drawn for so many places.
std::map<std::int32_t, int> drawn(const std::vector<float>& logits, Sampling how, int times = 4000) {
  std::map<std::int32_t, int> counts;
  for (int place = 0; place < times; ++place)
    ++counts[choose_token(logits.data(), static_cast<std::int64_t>(logits.size()), how, 0, place)];
  return counts;
}
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}
// Six standard deviations of a count.
void expect_share(const std::map<std::int32_t, int>& counts, std::int32_t token, double share, int times = 4000) {
  const auto found = counts.find(token);
  ASSERT_NE(found, counts.end()) << token;
  EXPECT_NEAR(found->second, share * times, 6 * std::sqrt(share * (1 - share) * times)) << token;
}

TEST(ChooseToken, GivesTheLowestOfTheLikeliestAtNoTemperature) {
  const std::vector<float> logits{1, 3, 2, 3};
  EXPECT_EQ(choose_token(logits.data(), 4, {}, 0, 0), 1);
  EXPECT_EQ(choose_token(logits.data(), 4, {.top_k = 3, .top_p = 0.5}, 0, 0), 1);
}

TEST(ChooseToken, DrawsByTheProbabilitiesOfTheSoftmax) {
  const std::vector<float> logits{1.5f, -0.5f, 0.0f, 2.0f, -3.0f};
  constexpr double temperature = 0.8;
  constexpr int times = 100'000;
  std::vector<double> weights;
  double sum = 0;
  for (const float logit : logits) sum += weights.emplace_back(std::exp(logit / temperature));
  const auto counts = drawn(logits, {.temperature = temperature, .seed = 7}, times);
  for (std::size_t token = 0; token < logits.size(); ++token)
    expect_share(counts, static_cast<std::int32_t>(token), weights[token] / sum, times);
}

TEST(ChooseToken, SequencesPlacesAndSeedsDrawApart) {
  EXPECT_NE(sampling::draw_key(1, 0, 5), sampling::draw_key(1, 1, 5));
  EXPECT_NE(sampling::draw_key(1, 0, 5), sampling::draw_key(1, 0, 6));
  EXPECT_NE(sampling::draw_key(1, 0, 5), sampling::draw_key(2, 0, 5));
  EXPECT_NE(sampling::draw_key(1, 1, 0), sampling::draw_key(1, 0, 1));
}

TEST(ChooseToken, DrawsAmongTheKLikeliest) {
  const auto counts = drawn(logits_of({0.05, 0.5, 0.3, 0.15}), {.temperature = 1, .top_k = 2});
  ASSERT_EQ(counts.size(), 2u);
  expect_share(counts, 1, 0.5 / 0.8), expect_share(counts, 2, 0.3 / 0.8);
  EXPECT_EQ(drawn(logits_of({0.05, 0.5, 0.3, 0.15}), {.temperature = 1, .top_k = 99}).size(), 4u);
}

TEST(ChooseToken, OfEqualOnesKeepsTheFirst) {
  const auto counts = drawn({7, -0.0f, 0, -0.0f, 7}, {.temperature = 9, .top_k = 3});
  ASSERT_EQ(counts.size(), 3u);
  EXPECT_TRUE(counts.contains(0) && counts.contains(1) && counts.contains(4));
}

// The smallest set that has the probability; that of a temperature is the probability of softmax(logits / temperature).
TEST(ChooseToken, DrawsFromTheNucleus) {
  const auto logits = logits_of({0.05, 0.5, 0.3, 0.15});
  for (const auto& [top_p, kept] : std::map<double, std::size_t>{{0.0, 1}, {0.45, 1}, {0.55, 2}, {0.78, 2}, {0.82, 3}, {0.96, 4}})
    EXPECT_EQ(drawn(logits, {.temperature = 1, .top_p = top_p}).size(), kept) << top_p;
  expect_share(drawn(logits, {.temperature = 1, .top_p = 0.75}), 1, 0.5 / 0.8);
  // At twice the temperature 0.5, 0.3, 0.15, 0.05 are 0.379, 0.293, 0.207, 0.120.
  EXPECT_EQ(drawn(logits, {.temperature = 2, .top_p = 0.66}).size(), 2u);
  EXPECT_EQ(drawn(logits, {.temperature = 2, .top_p = 0.69}).size(), 3u);
}

// What has the probability to the last bit is enough.
TEST(ChooseToken, KeepsNoMoreThanTheNucleus) {
  EXPECT_EQ(drawn({1, 1, 1, 1}, {.temperature = 1, .top_p = 0.5}).size(), 2u);
  EXPECT_EQ(drawn({1, 1, 1, 1}, {.temperature = 1, .top_p = 0.51}).size(), 3u);
}

// Of the k likeliest, as if there were no others.
TEST(ChooseToken, TakesTheNucleusOfTheKLikeliest) {
  const auto logits = logits_of({0.05, 0.5, 0.3, 0.15});
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 2, .top_p = 0.62}).size(), 1u);  // 0.5 of 0.8
  EXPECT_EQ(drawn(logits, {.temperature = 1, .top_k = 2, .top_p = 0.63}).size(), 2u);
}

}  // namespace
}  // namespace eaq
