#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eaq/base/base.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorKind::bug, std::string("stats: ") + what);
}

double two_sided_t(double level, std::size_t n) {
  require(level > 0 && level < 1, "a level lies in (0, 1)");
  return t_quantile(0.5 + 0.5 * level, static_cast<double>(n - 1));
}

Interval around(double centre, double half_width) { return {centre, centre - half_width, centre + half_width}; }

Interval exponential(const Interval& x) { return {std::exp(x.mean), std::exp(x.low), std::exp(x.high)}; }

// Neumaier's variant of compensated summation.
double sum(std::span<const double> x) {
  double total = 0, lost = 0;
  for (const double v : x) {
    const double next = total + v;
    lost += std::abs(total) >= std::abs(v) ? (total - next) + v : (v - next) + total;
    total = next;
  }
  return total + lost;
}

std::vector<double> log_ratios(std::span<const double> a, std::span<const double> b) {
  require(a.size() == b.size() && !a.empty(), "ratio_interval wants pairs");
  std::vector<double> logs(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    require(a[i] > 0 && b[i] > 0, "ratio_interval wants positive values");
    logs[i] = std::log(a[i] / b[i]);
  }
  return logs;
}

}  // namespace

double mean(std::span<const double> x) {
  require(!x.empty(), "a mean wants at least one value");
  return sum(x) / static_cast<double>(x.size());
}

double variance(std::span<const double> x) {
  require(x.size() >= 2, "a variance wants at least two values");
  const double centre = mean(x);
  std::vector<double> squares(x.size());
  std::transform(x.begin(), x.end(), squares.begin(), [&](double v) { return (v - centre) * (v - centre); });
  return sum(squares) / static_cast<double>(x.size() - 1);
}

double median(std::span<const double> x) { return percentile(x, 0.5); }

double percentile(std::span<const double> x, double p) {
  require(!x.empty() && p >= 0 && p <= 1, "a percentile wants at least one value and 0 <= p <= 1");
  std::vector<double> values(x.begin(), x.end());
  const double place = p * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), at, values.end());
  const double low = *at, share = place - static_cast<double>(below);
  if (share == 0) return low;
  const double high = *std::min_element(at + 1, values.end());
  return low + share * (high - low);
}

Interval t_interval(std::span<const double> x, double level) {
  const double centre = mean(x);
  if (x.size() == 1) return around(centre, std::numeric_limits<double>::infinity());
  return around(centre, two_sided_t(level, x.size()) * std::sqrt(variance(x) / static_cast<double>(x.size())));
}

Interval bootstrap_interval(std::span<const double> x, std::uint64_t seed, int resamples, double level) {
  require(!x.empty() && resamples >= 100 && level > 0 && level < 1, "a bootstrap wants values and at least 100 resamples");
  Rng rng(seed);
  std::vector<double> means(static_cast<std::size_t>(resamples)), drawn(x.size());
  for (double& m : means) {
    for (double& value : drawn) value = x[rng.below(x.size())];
    m = mean(drawn);
  }
  return {mean(x), percentile(means, 0.5 - 0.5 * level), percentile(means, 0.5 + 0.5 * level)};
}

Interval block_interval(std::span<const double> x, std::uint64_t seed, double level) {
  return x.size() > 20 ? bootstrap_interval(x, seed, 10000, level) : t_interval(x, level);
}

Interval ratio_interval(std::span<const double> a, std::span<const double> b, std::uint64_t seed, double level) {
  return exponential(block_interval(log_ratios(a, b), seed, level));
}

double t_test_p(std::span<const double> x) {
  require(x.size() >= 2, "a t-test wants at least two values");
  const double centre = mean(x), spread = std::sqrt(variance(x) / static_cast<double>(x.size()));
  if (spread == 0) return centre == 0 ? 1 : 0;
  return 2 * t_cdf(-std::abs(centre) / spread, static_cast<double>(x.size() - 1));
}

Interval wilson_interval(std::int64_t hits, std::int64_t n, double level) {
  require(n > 0 && hits >= 0 && hits <= n, "a proportion wants 0 <= hits <= n, n > 0");
  const double z = normal_quantile(0.5 + 0.5 * level), count = static_cast<double>(n), p = static_cast<double>(hits) / count;
  const double centre = (p + z * z / (2 * count)) / (1 + z * z / count);
  const double half = z / (1 + z * z / count) * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
  return {p, hits == 0 ? 0 : centre - half, hits == n ? 1 : centre + half};
}

double mcnemar_p(std::int64_t only_a, std::int64_t only_b) {
  require(only_a >= 0 && only_b >= 0, "McNemar's counts are not negative");
  if (only_a == only_b) return 1;
  const auto fewer = static_cast<double>(std::min(only_a, only_b)), all = static_cast<double>(only_a + only_b);
  // P(X <= k) of a binomial with p = 1/2 is an incomplete beta.
  return std::min(1.0, 2 * incomplete_beta(all - fewer, fewer + 1, 0.5));
}

Interval paired_accuracy_interval(std::int64_t only_a, std::int64_t only_b, std::int64_t n, double level) {
  require(n > 0 && only_a >= 0 && only_b >= 0 && only_a + only_b <= n, "paired counts lie within n");
  const auto gained = static_cast<double>(only_b), lost = static_cast<double>(only_a), count = static_cast<double>(n);
  // The score statistic at a supposed difference, with the other cells at their restricted maximum of likelihood.
  const auto score = [&](double difference) {
    const double a = 2 * count, b = -gained - lost + (2 * count - gained + lost) * difference;
    const double c = -lost * difference * (1 - difference);
    const double cell = (std::sqrt(std::max(0.0, b * b - 4 * a * c)) - b) / (2 * a);
    const double spread = count * (2 * cell + difference * (1 - difference));
    const double distance = gained - lost - count * difference;
    return spread > 0 ? distance / std::sqrt(spread) : distance == 0 ? 0 : std::copysign(1e300, distance);
  };
  const auto solve = [&](double target, double low, double high) {  // score falls with the difference
    for (int i = 0; i < 100; ++i) {
      const double middle = 0.5 * (low + high);
      (score(middle) > target ? low : high) = middle;
    }
    return 0.5 * (low + high);
  };
  const double z = normal_quantile(0.5 + 0.5 * level), found = (gained - lost) / count;
  return {found, solve(z, -1, found), solve(-z, found, 1)};
}

Interval weighted_interval(std::span<const double> x, std::span<const double> weights, double level) {
  require(x.size() == weights.size() && x.size() >= 2, "a weighted interval wants at least two windows");
  std::vector<double> products(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) products[i] = x[i] * weights[i];
  const double total = sum(weights), n = static_cast<double>(x.size());
  require(total > 0, "weights add up to more than 0");
  const double centre = sum(products) / total;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double residual = weights[i] * (x[i] - centre) * n / total;
    products[i] = residual * residual;
  }
  return around(centre, two_sided_t(level, x.size()) * std::sqrt(sum(products) / (n * (n - 1))));
}

Interval paired_interval(std::span<const double> a, std::span<const double> b, std::span<const double> weights, double level) {
  require(a.size() == b.size(), "paired values come in pairs");
  std::vector<double> differences(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  return weighted_interval(differences, weights, level);
}

Interval perplexity_ratio(std::span<const double> nll_a, std::span<const double> nll_b, std::span<const double> tokens,
                          double level) {
  return exponential(paired_interval(nll_a, nll_b, tokens, level));
}

}  // namespace eaq
