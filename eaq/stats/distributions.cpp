#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "eaq/base/base.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorKind::bug, std::string("stats: ") + what);
}

double log_beta(double a, double b) { return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b); }

// The continued fraction of I_x(a, b) (DLMF 8.17.22), evaluated from the front by the modified Lentz recurrence. It converges
// fast for x < (a + 1) / (a + b + 2); the caller mirrors the other side.
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto away_from_zero = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double value = d;
  for (int m = 1; m <= 10000; ++m) {
    for (const double numerator :
         {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 / away_from_zero(1 + numerator * d);
      c = away_from_zero(1 + numerator / c);
      value *= c * d;
    }
    if (std::abs(c * d - 1) < 1e-15) break;  // smaller is rounding, and more turns only add to it
  }
  return value;
}

double t_density(double t, double v) {
  return std::exp(-0.5 * (v + 1) * std::log1p(t * t / v) - 0.5 * std::log(v) - log_beta(0.5 * v, 0.5));
}

}  // namespace

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double normal_quantile(double p) {
  require(p > 0 && p < 1, "normal_quantile wants 0 < p < 1");
  if (p > 0.5) return -normal_quantile(1 - p);
  double low = -39, high = 0;  // erfc underflows below -39; bisection keeps full relative accuracy in the tail
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = 0.5 * (low + high);
    if (middle == low || middle == high) break;
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double incomplete_beta(double a, double b, double x) {
  require(a > 0 && b > 0 && x >= 0 && x <= 1, "incomplete_beta wants a, b > 0 and 0 <= x <= 1");
  if (x == 0 || x == 1) return x;
  const double front = std::exp(a * std::log(x) + b * std::log1p(-x) - log_beta(a, b));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double t_cdf(double t, double degrees) {
  require(degrees > 0, "t_cdf wants degrees > 0");
  const double square = t * t;
  // Near the centre the small side of the mirrored integral keeps the digits.
  const double upper_tail = square < 1 ? 0.5 * (1 - incomplete_beta(0.5, 0.5 * degrees, square / (degrees + square)))
                                       : 0.5 * incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + square));
  return t > 0 ? 1 - upper_tail : upper_tail;
}

double t_quantile(double p, double degrees) {
  require(p > 0 && p < 1 && degrees > 0, "t_quantile wants 0 < p < 1 and degrees > 0");
  if (p > 0.5) return -t_quantile(1 - p, degrees);
  if (p == 0.5) return 0;
  double low = -1, high = 0;
  while (t_cdf(low, degrees) > p) low *= 2;
  // Newton, kept inside the bracket.
  double t = std::max(low, normal_quantile(p));
  for (int i = 0; i < 200; ++i) {
    const double error = t_cdf(t, degrees) - p;
    (error < 0 ? low : high) = t;
    double next = t - error / t_density(t, degrees);
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (std::abs(next - t) <= 1e-15 * std::abs(t)) return next;
    t = next;
  }
  return t;
}

}  // namespace eaq
