#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "eaq/profile/findings.h"
#include "eaq/profile/testing.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

using profile_testing::figure;
using profile_testing::kl;
using profile_testing::row;

// Sites with joules and bytes that are jointly normal with the given correlation.
std::vector<SiteRecord> pairs(int n, double rho, Rng& rng) {
  std::vector<SiteRecord> rows;
  for (int i = 0; i < n; ++i) {
    SiteRecord s = row("s" + std::to_string(i), "linear", 1);
    const double a = rng.normal(), b = rho * a + std::sqrt(1 - rho * rho) * rng.normal();
    s.mJ = figure(100 + a, 0);
    s.bytes = 100 + b;
    rows.push_back(s);
  }
  return rows;
}

std::size_t at(const CorrelationRecord& c, const std::string& name) {
  return static_cast<std::size_t>(std::find(c.names.begin(), c.names.end(), name) - c.names.begin());
}

TEST(Correlations, IntervalsHoldTheTruthInAboutNinetyFivePerCent) {
  for (const double rho : {0.0, 0.6, 0.9}) {
    Rng rng(7);
    const double rank = 6 / std::numbers::pi * std::asin(rho / 2);  // Spearman's of two normal variables
    int p = 0, s = 0;
    constexpr int tries = 2000;
    for (int i = 0; i < tries; ++i) {
      const auto c = correlate(pairs(25, rho, rng));
      ASSERT_TRUE(c);
      const std::size_t a = at(*c, "mJ"), b = at(*c, "bytes");
      const auto& [p_low, p_high] = c->pearson_ci95[a][b];
      const auto& [s_low, s_high] = c->spearman_ci95[a][b];
      p += p_low <= rho && rho <= p_high ? 1 : 0;
      s += s_low <= rank && rank <= s_high ? 1 : 0;
    }
    EXPECT_NEAR(p / double{tries}, 0.95, 0.02) << rho;
    EXPECT_NEAR(s / double{tries}, 0.95, 0.03) << rho;
  }
}

TEST(Correlations, AreOverTheRowsThatCarryWeightsAndHaveEveryColumn) {
  std::vector<SiteRecord> rows;
  for (int i = 0; i < 8; ++i) {
    SiteRecord s = row("s" + std::to_string(i), "linear", 10 * i + 1);
    s.mJ = figure(i * i, 0.1);
    s.bytes = i + 1;
    s.impact["int8"] = kl(8 - i, 0.1);
    rows.push_back(s);
  }
  rows[3].impact.clear();                                  // one row lacks a column: it does not count
  rows[0].ablation = kl(1, 0.1);                           // one row alone has it: the column goes
  rows.push_back(row("transformer.h.0.ln_1", "norm", 0));  // no weights
  const auto c = correlate(rows);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->names, (std::vector<std::string>{"mJ", "parameters", "bytes", "flops", "kl int8"}));
  EXPECT_EQ(c->n, 7);
  EXPECT_NEAR(c->spearman[at(*c, "mJ")][at(*c, "kl int8")], -1, 1e-12);
  EXPECT_LT(c->pearson[at(*c, "mJ")][at(*c, "kl int8")], -0.9);
  EXPECT_EQ(c->pearson[at(*c, "mJ")][at(*c, "mJ")], 1);
}

TEST(Correlations, OfWhatDoesNotVaryAreNoNumber) {
  Rng rng(1);
  const auto c = correlate(pairs(10, 0.5, rng));  // flops and parameters are one number
  ASSERT_TRUE(c);
  const std::size_t f = at(*c, "flops"), m = at(*c, "mJ");
  EXPECT_TRUE(std::isnan(c->pearson[f][m]) && std::isnan(c->spearman[f][m]) && std::isnan(c->pearson[f][f]));
  EXPECT_TRUE(std::isnan(c->pearson_ci95[f][m].first) && std::isnan(c->spearman_ci95[m][f].second));
}

TEST(Correlations, APerfectOrderOfFewRowsLeavesRoomForChance) {
  std::vector<SiteRecord> rows;
  for (int i = 0; i < 5; ++i) {
    SiteRecord s = row("s" + std::to_string(i), "linear", 1);
    s.mJ = figure(i, 0);
    s.bytes = std::exp(i);
    s.flops = 3.0 * i;
    rows.push_back(s);
  }
  const auto c = correlate(rows);
  ASSERT_TRUE(c);
  const auto [low, high] = c->spearman_ci95[at(*c, "mJ")][at(*c, "bytes")];
  EXPECT_LT(low, 0.8);
  EXPECT_EQ(high, 1);
  EXPECT_NEAR(c->pearson_ci95[at(*c, "mJ")][at(*c, "flops")].first, 1, 1e-12);  // one line: nothing is left to chance
}

TEST(Correlations, OfTooFewRowsAreNone) {
  Rng rng(1);
  EXPECT_FALSE(correlate(pairs(2, 0.5, rng)));
  EXPECT_FALSE(correlate({}));
  const auto three = correlate(pairs(3, 0.5, rng));
  ASSERT_TRUE(three);  // but without intervals
  EXPECT_TRUE(std::isnan(three->pearson_ci95[0][1].first));
}

}  // namespace
}  // namespace eaq
