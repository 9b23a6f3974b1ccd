// stats: pure functions of numbers. Every interval says by which method it came about; nothing here knows units or files.
// Errors: Error{bug} where the caller breaks a stated condition (too few values, a level outside (0, 1)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace eaq {

/// An estimate with its two-sided interval, in the unit of the values that went in.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
};

// --- random numbers -----------------------------------------------------------------------------------------------------------

/// xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. Same seed, same numbers, on every machine: nothing of <random>'s
/// unspecified distributions is used.
class Rng {
 public:
  explicit Rng(std::uint64_t seed);
  std::uint64_t next();                  ///< 64 random bits
  std::uint64_t below(std::uint64_t n);  ///< uniform in [0, n), n > 0, without bias (rejection)
  double uniform();                      ///< uniform in [0, 1), a multiple of 2^-53
  double normal();                       ///< standard normal (Marsaglia's polar method)

 private:
  std::uint64_t state_[4];
  std::optional<double> spare_;
};

/// A random order of 0 .. n-1 (Fisher-Yates).
std::vector<std::size_t> random_order(std::size_t n, Rng& rng);

// --- distributions ------------------------------------------------------------------------------------------------------------

double normal_cdf(double z);
double normal_quantile(double p);                      ///< 0 < p < 1
double incomplete_beta(double a, double b, double x);  ///< regularised I_x(a, b), a, b > 0, 0 <= x <= 1; error below 1e-12
double t_cdf(double t, double degrees);                ///< Student's t; degrees > 0, not necessarily whole
double t_quantile(double p, double degrees);           ///< 0 < p < 1

// --- one sample ---------------------------------------------------------------------------------------------------------------

double mean(std::span<const double> x);      ///< at least one value; summed with compensation (Neumaier)
double variance(std::span<const double> x);  ///< unbiased (n - 1); at least two values
double median(std::span<const double> x);    ///< at least one value
/// The p-th quantile (0 <= p <= 1) by linear interpolation between order statistics at (n - 1) p: NumPy's and R's default (type
/// 7).
double percentile(std::span<const double> x, double p);

/// mean +- t(n-1) s / sqrt(n). For one value: low = -infinity, high = +infinity.
Interval t_interval(std::span<const double> x, double level = 0.95);
/// Percentile bootstrap of the mean over whole blocks: for more than 20 blocks (below that it covers too little).
Interval bootstrap_interval(std::span<const double> x, std::uint64_t seed, int resamples = 10000, double level = 0.95);
/// The interval of a mean over blocks as this project reports it: t up to 20 blocks, bootstrap above.
Interval block_interval(std::span<const double> x, std::uint64_t seed, double level = 0.95);

/// Ratio a / b of paired positive values (one pair per block): exp of the block interval of log(a_i / b_i).
Interval ratio_interval(std::span<const double> a, std::span<const double> b, std::uint64_t seed, double level = 0.95);
/// Two-sided p-value of the paired t-test that the mean of `x` is 0 (for ratios: of the log-ratios). At least two values. When
/// every value is 0: 1; when all are equal and not 0: 0.
double t_test_p(std::span<const double> x);

// --- proportions --------------------------------------------------------------------------------------------------------------

/// Wilson's score interval for `hits` of `n`; mean = hits / n. n > 0.
Interval wilson_interval(std::int64_t hits, std::int64_t n, double level = 0.95);
/// Exact two-sided McNemar p-value: `only_a` items that only a has right, `only_b` that only b has right (binomial, p = 1/2).
double mcnemar_p(std::int64_t only_a, std::int64_t only_b);
/// Accuracy of b minus accuracy of a on the same `n` items (Tango's score interval, 1998: right where flips are few or none).
Interval paired_accuracy_interval(std::int64_t only_a, std::int64_t only_b, std::int64_t n, double level = 0.95);

// --- paired continuous values -------------------------------------------------------------------------------------------------

/// Weighted mean of b_i - a_i over windows (weights: their token counts) with a t-interval that treats windows as the sample
/// (linearised ratio estimator). At least two windows.
Interval paired_interval(std::span<const double> a, std::span<const double> b, std::span<const double> weights,
                         double level = 0.95);
/// exp of paired_interval on mean negative log-likelihoods: perplexity of b over perplexity of a.
Interval perplexity_ratio(std::span<const double> nll_a, std::span<const double> nll_b, std::span<const double> tokens,
                          double level = 0.95);
/// Weighted mean of x with its t-interval, as paired_interval.
Interval weighted_interval(std::span<const double> x, std::span<const double> weights, double level = 0.95);

// --- several tests, lines, correlations ---------------------------------------------------------------------------------------

/// Holm's step-down adjustment; the same order as given. An adjusted p below alpha is significant at family-wise level alpha.
std::vector<double> holm(std::span<const double> p);

struct Line {
  double intercept = 0;
  double slope = 0;
  double slope_error = 0;  ///< standard error of the slope; 0 for two points
  std::size_t points = 0;
};
/// Ordinary least squares of y on x. At least two different x.
Line fit_line(std::span<const double> x, std::span<const double> y);

/// A linear model of several unknowns.
struct LinearFit {
  std::vector<double> coefficients;
  std::vector<double> covariance;  ///< row by row
  double degrees = 0;              ///< of freedom, of the residuals
  std::vector<double> trust;       ///< of each row: 1, or 0 where fit_robust left it out
  /// Of a sum of coefficients, each times its factor: value +- t(degrees) standard errors.
  Interval combination(std::span<const double> factors, double level = 0.95) const;
  Interval coefficient(std::size_t i, double level = 0.95) const;
};
/// y ~ rows x coefficients, `rows` lying one after the other, each with as many numbers as there are coefficients; a residual's
/// variance goes as 1 / its weight. Nothing where the rows cannot tell the coefficients apart, or no degree of freedom is left.
/// By weighted least squares.
std::optional<LinearFit> fit_linear(std::span<const double> rows, std::span<const double> y, std::span<const double> weights);
/// The same without the rows that all others contradict: those more than 3.5 scales (by the residuals' median) from an
/// M-estimate, Tukey's bisquare begun from Huber's (Beaton, Tukey 1974; the two stages are those of Rousseeuw, Leroy 1987, 1.2).
/// `trusted`, where given, is what to begin with in place of Huber's: 1 or 0 for each row.
std::optional<LinearFit> fit_robust(std::span<const double> rows, std::span<const double> y, std::span<const double> weights,
                                    std::span<const double> trusted = {});

/// Correlation, or nothing where a side does not vary. At least two pairs.
std::optional<double> pearson(std::span<const double> x, std::span<const double> y);
std::optional<double> spearman(std::span<const double> x, std::span<const double> y);  ///< on average ranks

}  // namespace eaq
