// Expected figures come from SciPy 1.x (scipy.special.betainc, scipy.stats.t, norm, binomtest, linregress, ...) and NumPy.
#include "eaq/stats/stats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "eaq/base/base.h"

namespace eaq {
namespace {

void expect_close(double value, double expected, double relative = 1e-11) {
  EXPECT_NEAR(value, expected, relative * std::max(std::abs(expected), 1e-300)) << expected;
}

TEST(Rng, GivesTheSameNumbersOnEveryMachine) {
  Rng rng(0);  // xoshiro256** seeded by splitmix64(0), as the authors' C code gives it
  EXPECT_EQ(rng.next(), 0x99ec5f36cb75f2b4);
  EXPECT_EQ(rng.next(), 0xbf6e1f784956452a);
}

TEST(Rng, NormalHasTheMomentsOfANormal) {
  Rng rng(7);
  std::vector<double> x(100000);
  for (double& v : x) v = rng.normal();
  EXPECT_NEAR(mean(x), 0, 0.015);
  EXPECT_NEAR(variance(x), 1, 0.02);
  EXPECT_NEAR(percentile(x, 0.975), 1.96, 0.03);
}

TEST(Rng, BelowIsUniform) {
  Rng rng(3);
  std::vector<int> counts(6);
  for (int i = 0; i < 60000; ++i) ++counts[rng.below(6)];
  for (const int n : counts) EXPECT_NEAR(n, 10000, 400);
}

TEST(RandomOrder, HoldsEveryIndexOnceAndEveryOrderEquallyOften) {
  Rng rng(1);
  std::vector<int> counts(6);
  for (int i = 0; i < 6000; ++i) {
    const auto order = random_order(3, rng);
    ASSERT_EQ(std::set<std::size_t>(order.begin(), order.end()).size(), 3u);
    ++counts[order[0] * 2 + (order[1] > order[2] ? 1 : 0)];
  }
  for (const int n : counts) EXPECT_NEAR(n, 1000, 150);
}

TEST(IncompleteBeta, AgreesWithSciPy) {
  expect_close(incomplete_beta(0.5, 0.5, 0.3), 0.36901011956554536);
  expect_close(incomplete_beta(3.5, 0.5, 0.9), 0.40708382206558924);
  expect_close(incomplete_beta(0.5, 3.5, 0.01), 0.20202830476514894);
  expect_close(incomplete_beta(20, 30, 0.4), 0.5077001996576477);
  expect_close(incomplete_beta(400, 450, 0.5), 0.9569485566594323);
  expect_close(incomplete_beta(1, 1, 0.25), 0.25);
  expect_close(incomplete_beta(0.5, 1000, 1e-4), 0.34524686910210106);
}

TEST(StudentT, AgreesWithSciPy) {
  expect_close(t_cdf(2, 7), 0.957190335718512);
  expect_close(t_cdf(-0.01, 3), 0.496324555706426);
  expect_close(t_cdf(30, 2), 0.9994453686590201);
  expect_close(t_cdf(-5, 200), 6.250990638857704e-07);
  expect_close(t_cdf(1.5, 4.5), 0.8998904571719233);
  expect_close(t_quantile(0.975, 7), 2.364624251592784);
  expect_close(t_quantile(0.975, 1), 12.706204736174694);
  expect_close(t_quantile(0.995, 4), 4.604094871349992);
  expect_close(t_quantile(0.6, 30), 0.2556053649519128);
  expect_close(t_quantile(0.9999, 2), 70.70007107496818);
  expect_close(t_quantile(0.025, 15), -2.131449545559776);
  expect_close(t_quantile(0.975, 7.5), 2.333039626864974);
}

TEST(Normal, QuantilesAgreeWithSciPy) {
  expect_close(normal_quantile(0.975), 1.959963984540054);
  EXPECT_NEAR(normal_quantile(0.5), 0, 1e-15);
  expect_close(normal_quantile(1e-10), -6.361340902404056);
  expect_close(normal_quantile(0.9), 1.2815515655446004);
}

TEST(Percentile, IsNumPysDefault) {
  const std::vector<double> y{2.1, 2.9, 4.2, 4.1, 6.9, 5.0};
  EXPECT_DOUBLE_EQ(percentile(y, 0), 2.1);
  EXPECT_DOUBLE_EQ(percentile(y, 0.1), 2.5);
  EXPECT_DOUBLE_EQ(percentile(y, 0.5), 4.15);
  EXPECT_DOUBLE_EQ(percentile(y, 0.9), 5.95);
  EXPECT_DOUBLE_EQ(percentile(y, 0.99), 6.805);
  EXPECT_DOUBLE_EQ(percentile(y, 1), 6.9);
}

TEST(TInterval, AgreesWithSciPy) {
  const std::vector<double> y{2.1, 2.9, 4.2, 4.1, 6.9, 5.0};
  const Interval i = t_interval(y);
  expect_close(i.low, 2.4414514576807456);
  expect_close(i.high, 5.958548542319255);
}

TEST(TInterval, OfOneValueIsUnbounded) {
  const std::vector<double> one{3};
  EXPECT_EQ(t_interval(one).mean, 3);
  EXPECT_TRUE(std::isinf(t_interval(one).high));
}

TEST(TTest, AgreesWithSciPy) { expect_close(t_test_p(std::vector<double>{0.1, -0.2, 0.3, 0.05, 0.2}), 0.34564839485502863); }

TEST(Mean, KeepsSmallTermsBesideLargeOnes) {
  const std::vector<double> x{1e16, 1, -1e16, 1};
  EXPECT_EQ(mean(x), 0.5);
}

// How often an interval holds the truth, over `runs` samples of n normal values.
template <class Make>
double coverage(int runs, std::size_t n, Make make) {
  Rng rng(11);
  int held = 0;
  std::vector<double> x(n);
  for (int r = 0; r < runs; ++r) {
    for (double& v : x) v = 5 + rng.normal();
    const Interval i = make(x);
    held += i.low <= 5 && 5 <= i.high;
  }
  return static_cast<double>(held) / runs;
}

TEST(BlockInterval, OfEightBlocksCoversNinetyFivePercent) {
  EXPECT_NEAR(coverage(4000, 8, [](const auto& x) { return block_interval(x, 1); }), 0.95, 0.011);
}

TEST(BootstrapInterval, OfThirtyBlocksCoversNearlyNinetyFivePercent) {
  const double covered = coverage(1000, 30, [](const auto& x) { return bootstrap_interval(x, 1, 400); });
  EXPECT_GT(covered, 0.92);
  EXPECT_LT(covered, 0.97);
}

TEST(BootstrapInterval, OfFiveBlocksCoversTooLittleWhichIsWhyItIsNotUsedThere) {
  EXPECT_LT(coverage(1000, 5, [](const auto& x) { return bootstrap_interval(x, 1, 400); }), 0.9);
}

TEST(RatioInterval, OfAConstantRatioIsThatRatio) {
  const std::vector<double> a{2, 4, 6}, b{1, 2, 3};
  const Interval i = ratio_interval(a, b, 0);
  EXPECT_DOUBLE_EQ(i.mean, 2);
  EXPECT_DOUBLE_EQ(i.low, 2);
  EXPECT_DOUBLE_EQ(i.high, 2);
}

TEST(RatioInterval, RefusesWhatHasNoLogarithm) {
  const std::vector<double> a{2, 0}, b{1, 2};
  EXPECT_THROW(ratio_interval(a, b, 0), Error);
}

TEST(Wilson, AgreesWithSciPy) {
  expect_close(wilson_interval(794, 872).low, 0.889763557595735);
  expect_close(wilson_interval(794, 872).high, 0.9277359941657013);
  EXPECT_EQ(wilson_interval(0, 50).low, 0);
  expect_close(wilson_interval(0, 50).high, 0.07134759913335872);
  expect_close(wilson_interval(50, 50).low, 0.9286524008666412);
  EXPECT_EQ(wilson_interval(50, 50).high, 1);
  expect_close(wilson_interval(7, 20).low, 0.1811918241010821);
}

TEST(McNemar, IsTheExactBinomialTest) {
  expect_close(mcnemar_p(3, 12), 0.03515625);
  EXPECT_EQ(mcnemar_p(0, 1), 1);
  EXPECT_EQ(mcnemar_p(0, 0), 1);
  EXPECT_EQ(mcnemar_p(5, 5), 1);
  expect_close(mcnemar_p(6, 0), 0.03125);
  expect_close(mcnemar_p(25, 40), 0.08168153394154003);
  expect_close(mcnemar_p(300, 380), 0.0024248687076998837, 1e-10);
}

TEST(PairedAccuracy, WithoutFlipsIsNarrowButNotZero) {
  const Interval i = paired_accuracy_interval(0, 0, 872);
  EXPECT_EQ(i.mean, 0);
  // Without discordant pairs Tango's bounds are +- z^2 / (n + z^2).
  const double z2 = 1.959963984540054 * 1.959963984540054;
  EXPECT_NEAR(i.high, z2 / (872 + z2), 1e-9);
  EXPECT_NEAR(i.low, -i.high, 1e-12);
}

TEST(PairedAccuracy, CoversNinetyFivePercent) {
  Rng rng(2);
  int held = 0;
  const int runs = 2000;
  for (int r = 0; r < runs; ++r) {
    int only_a = 0, only_b = 0;
    for (int k = 0; k < 200; ++k) {
      const double u = rng.uniform();
      only_a += u < 0.05;
      only_b += u >= 0.05 && u < 0.07;
    }
    const Interval i = paired_accuracy_interval(only_a, only_b, 200);
    held += i.low <= -0.03 && -0.03 <= i.high;
  }
  EXPECT_NEAR(static_cast<double>(held) / runs, 0.95, 0.02);
}

TEST(PairedInterval, WeighsWindowsByTheirTokens) {
  const std::vector<double> a{1, 1, 1}, b{1.1, 1.1, 2.1}, w{100, 100, 0};
  EXPECT_NEAR(paired_interval(a, b, w).mean, 0.1, 1e-12);
  EXPECT_NEAR(perplexity_ratio(a, b, w).mean, std::exp(0.1), 1e-12);
}

TEST(PairedInterval, WithEqualWeightsIsTheTInterval) {
  const std::vector<double> a{1, 2, 3, 4}, b{1.5, 2.25, 3.75, 4.1}, w{7, 7, 7, 7}, d{0.5, 0.25, 0.75, 0.1};
  const Interval weighted = paired_interval(a, b, w), plain = t_interval(d);
  EXPECT_NEAR(weighted.low, plain.low, 1e-12);
  EXPECT_NEAR(weighted.high, plain.high, 1e-12);
}

TEST(Holm, StepsDown) {
  const std::vector<double> p{0.01, 0.04, 0.03, 0.005};
  const std::vector<double> adjusted = holm(p);
  EXPECT_DOUBLE_EQ(adjusted[3], 0.02);
  EXPECT_DOUBLE_EQ(adjusted[0], 0.03);
  EXPECT_DOUBLE_EQ(adjusted[2], 0.06);
  EXPECT_DOUBLE_EQ(adjusted[1], 0.06);
}

TEST(FitLine, AgreesWithSciPy) {
  const std::vector<double> x{1.0, 2.5, 3.1, 4.7, 5.2, 5.2}, y{2.1, 2.9, 4.2, 4.1, 6.9, 5.0};
  const Line line = fit_line(x, y);
  expect_close(line.slope, 0.8509565815099095);
  expect_close(line.intercept, 1.122373696872494);
  expect_close(line.slope_error, 0.24542406927846433);
  expect_close(*pearson(x, y), 0.8662245124205858);
  expect_close(*spearman(x, y), 0.9276336570439174);
}

TEST(Correlation, OfAConstantDoesNotExist) {
  const std::vector<double> x{1, 2, 3}, y{5, 5, 5};
  EXPECT_FALSE(pearson(x, y).has_value());
  EXPECT_FALSE(spearman(y, x).has_value());
}

TEST(FitLine, RefusesOnePlace) {
  const std::vector<double> x{2, 2}, y{1, 3};
  EXPECT_THROW(fit_line(x, y), Error);
}

// Expected values: (X^T W X)^-1 X^T W y in exact fractions.
TEST(LinearFits, AreThoseOfTheNormalEquations) {
  const std::vector<double> x{1, 0, 2, 1, 1, 1, 1, 2, 5, 1, 3, 1}, y{1, 2.5, 6, 4}, w{1, 2, 0.5, 1};
  const auto fit = fit_linear(x, y, w);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->coefficients[0], 0.346031746032, 1e-9);
  EXPECT_NEAR(fit->coefficients[1], 1.13333333333, 1e-9);
  EXPECT_NEAR(fit->coefficients[2], 0.619047619048, 1e-9);
  EXPECT_EQ(fit->degrees, 1);
  EXPECT_NEAR(std::sqrt(fit->covariance[4]), 0.409800570932, 1e-9);
}

TEST(LinearFits, NeedRowsThatTellTheUnknownsApart) {
  const std::vector<double> x{1, 2, 2, 4, 3, 6}, y{1, 2, 3}, w{1, 1, 1};
  EXPECT_FALSE(fit_linear(x, y, w));
  EXPECT_FALSE(fit_linear(std::vector<double>{1, 0, 0, 1}, std::vector<double>{1, 2}, std::vector<double>{1, 1}));
}

}  // namespace
// A plane and noise; a part `wild` of the rows, wherever they lie, is up to 60 % above.
struct Spoilt {
  std::vector<double> x, y, weights;
};
Spoilt spoilt(double wild, std::uint64_t seed) {
  Rng rng(seed);
  Spoilt out;
  for (int row = 0; row < 200; ++row) {
    const double a = rng.normal(), b = rng.normal();
    out.x.insert(out.x.end(), {1, a, b});
    const double slowed = rng.uniform() < wild ? 0.05 + 0.55 * rng.uniform() : 0;
    out.y.push_back(10 + 2 * a - b + 0.1 * rng.normal() + 10 * slowed);
    out.weights.push_back(1);
  }
  return out;
}

TEST(RobustFits, AreLeastSquaresButForLittleWhereNothingIsWild) {
  const Spoilt data = spoilt(0, 1);
  const auto plain = fit_linear(data.x, data.y, data.weights), robust = fit_robust(data.x, data.y, data.weights);
  ASSERT_TRUE(plain && robust);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(robust->coefficients[i], plain->coefficients[i], 0.006);
    EXPECT_NEAR(std::sqrt(robust->covariance[i * 4] / plain->covariance[i * 4]), 1, 0.1);
  }
}

TEST(RobustFits, LeaveOutWhatAllOtherRowsContradict) {
  constexpr int repeats = 200;
  int held = 0;
  double squares = 0, plain_squares = 0;
  for (int seed = 1; seed <= repeats; ++seed) {
    const Spoilt data = spoilt(0.15, static_cast<std::uint64_t>(seed));
    const auto robust = fit_robust(data.x, data.y, data.weights), plain = fit_linear(data.x, data.y, data.weights);
    ASSERT_TRUE(robust && plain);
    const Interval slope = robust->coefficient(1);
    held += slope.low <= 2 && 2 <= slope.high;
    squares += std::pow(slope.mean - 2, 2), plain_squares += std::pow(plain->coefficients[1] - 2, 2);
    for (std::size_t r = 0; r < data.y.size(); ++r) {
      const bool wild = data.y[r] > 10 + 2 * data.x[3 * r + 1] - data.x[3 * r + 2] + 1;
      EXPECT_FALSE(wild && robust->trust[r] > 0);
    }
  }
  EXPECT_GE(held, repeats * 9 / 10);
  EXPECT_LT(std::sqrt(squares / repeats), 0.01);
  EXPECT_GT(std::sqrt(plain_squares / repeats), 0.05);
}

TEST(RobustFits, AreExactWhereMostRowsAre) {
  std::vector<double> x, y, weights(9, 1);
  for (int row = 0; row < 9; ++row) x.insert(x.end(), {1.0, static_cast<double>(row)}), y.push_back(3 + 2 * row);
  y[4] = 100;
  const auto fit = fit_robust(x, y, weights);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->coefficients[0], 3, 1e-6);
  EXPECT_NEAR(fit->coefficients[1], 2, 1e-6);
}

}  // namespace eaq
