// Least squares by the normal equations: a few hundred unknowns that a designed experiment keeps well apart. Robust fits are
// least squares again and again, with other weights.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "eaq/base/base.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

// The inverse of a symmetric matrix by its Cholesky factor; empty where it is not positive definite but for rounding.
std::vector<double> inverse(std::vector<double> a, std::size_t n) {
  const auto at = [n](std::vector<double>& m, std::size_t r, std::size_t c) -> double& { return m[r * n + c]; };
  for (std::size_t k = 0; k < n; ++k) {
    const double before = at(a, k, k);
    for (std::size_t j = 0; j < k; ++j) at(a, k, k) -= at(a, k, j) * at(a, k, j);
    if (!(at(a, k, k) > 1e-10 * before)) return {};
    at(a, k, k) = std::sqrt(at(a, k, k));
    for (std::size_t r = k + 1; r < n; ++r) {
      for (std::size_t j = 0; j < k; ++j) at(a, r, k) -= at(a, r, j) * at(a, k, j);
      at(a, r, k) /= at(a, k, k);
    }
  }
  // The factor's inverse, column by column, then its product with its transpose.
  std::vector<double> lower(n * n, 0), out(n * n, 0);
  for (std::size_t c = 0; c < n; ++c) {
    at(lower, c, c) = 1 / at(a, c, c);
    for (std::size_t r = c + 1; r < n; ++r) {
      double sum = 0;
      for (std::size_t j = c; j < r; ++j) sum += at(a, r, j) * at(lower, j, c);
      at(lower, r, c) = -sum / at(a, r, r);
    }
  }
  for (std::size_t r = 0; r < n; ++r)
    for (std::size_t c = 0; c <= r; ++c) {
      double sum = 0;
      for (std::size_t j = r; j < n; ++j) sum += at(lower, j, r) * at(lower, j, c);
      at(out, r, c) = at(out, c, r) = sum;
    }
  return out;
}

// A fit whose covariance is that of residuals of variance 1 / weight.
std::optional<LinearFit> solve(std::span<const double> rows, std::span<const double> y, std::span<const double> weights,
                               std::size_t n) {
  const std::size_t count = y.size();
  // Columns of one length: their units differ.
  std::vector<double> scale(n, 0);
  for (std::size_t r = 0; r < count; ++r)
    for (std::size_t c = 0; c < n; ++c) scale[c] += weights[r] * rows[r * n + c] * rows[r * n + c];
  for (double& s : scale) {
    if (!(s > 0)) return std::nullopt;
    s = std::sqrt(s);
  }
  std::vector<double> normal(n * n, 0), right(n, 0);
  for (std::size_t r = 0; r < count; ++r)
    for (std::size_t i = 0; i < n; ++i) {
      const double x = weights[r] * rows[r * n + i] / scale[i];
      if (x == 0) continue;
      right[i] += x * y[r];
      for (std::size_t j = 0; j <= i; ++j) normal[i * n + j] += x * rows[r * n + j] / scale[j];
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j) normal[i * n + j] = normal[j * n + i];
  LinearFit fit;
  fit.covariance = inverse(std::move(normal), n);
  if (fit.covariance.empty()) return std::nullopt;
  fit.coefficients.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) fit.coefficients[i] += fit.covariance[i * n + j] * right[j] / scale[i];
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) fit.covariance[i * n + j] /= scale[i] * scale[j];
  fit.degrees = static_cast<double>(count - n);
  fit.trust.assign(count, 1);
  return fit;
}

// What each row's value is above its fit, in units of a residual of weight 1.
std::vector<double> residuals_of(const LinearFit& fit, std::span<const double> rows, std::span<const double> y,
                                 std::span<const double> weights) {
  const std::size_t n = fit.coefficients.size();
  std::vector<double> residuals(y.begin(), y.end());
  for (std::size_t r = 0; r < y.size(); ++r) {
    for (std::size_t c = 0; c < n; ++c) residuals[r] -= rows[r * n + c] * fit.coefficients[c];
    residuals[r] *= std::sqrt(weights[r]);
  }
  return residuals;
}

// The residuals over the root of what the fit makes of an error's variance there: less than 1 in a row that it follows, more in
// one that it left out. A row that alone tells of an unknown is always hit, and says nothing: 0.
std::vector<double> studentized(const LinearFit& solved, std::span<const double> rows, std::span<const double> y,
                                std::span<const double> weights, std::span<const double> trust) {
  constexpr double alone = 1e-6;
  const std::size_t n = solved.coefficients.size();
  std::vector<double> residuals = residuals_of(solved, rows, y, weights);
  for (std::size_t r = 0; r < y.size(); ++r) {
    double leverage = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double x = rows[r * n + i];
      if (x == 0) continue;
      for (std::size_t j = 0; j < n; ++j) leverage += x * solved.covariance[i * n + j] * rows[r * n + j];
    }
    const double variance = 1 + weights[r] * leverage * (1 - 2 * trust[r]);
    residuals[r] = variance > alone ? residuals[r] / std::sqrt(variance) : 0;
  }
  return residuals;
}

// Where residuals stop to count as they are, in scales: 95 % efficient where they are normal.
constexpr double huber_limit = 1.345, bisquare_limit = 4.685;
constexpr double believed = 3.5;  // scales: of normal residuals 1 of 2000 is further off

double huber(double u) { return std::abs(u) <= huber_limit ? 1 : huber_limit / std::abs(u); }
double bisquare(double u) {
  const double part = u / bisquare_limit;
  return std::abs(part) < 1 ? std::pow(1 - part * part, 2) : 0;
}
// A standard deviation by the median, of the rows that say something.
double scale_of(std::span<const double> residuals) {
  constexpr double median_of_normal = 0.6745;
  std::vector<double> sizes;
  for (const double r : residuals)
    if (r != 0) sizes.push_back(std::abs(r));
  return sizes.empty() ? 0 : median(sizes) / median_of_normal;
}

}  // namespace

std::optional<LinearFit> fit_linear(std::span<const double> rows, std::span<const double> y, std::span<const double> weights) {
  const std::size_t count = y.size();
  if (count == 0 || rows.size() % count != 0 || weights.size() != count)
    throw Error(ErrorKind::bug, "fit_linear: rows, values and weights do not go together");
  const std::size_t n = rows.size() / count;
  if (n == 0 || count <= n) return std::nullopt;
  std::optional<LinearFit> fit = solve(rows, y, weights, n);
  if (!fit) return std::nullopt;
  double squares = 0;
  for (const double residual : residuals_of(*fit, rows, y, weights)) squares += residual * residual;
  for (double& c : fit->covariance) c *= squares / fit->degrees;
  return fit;
}

std::optional<LinearFit> fit_robust(std::span<const double> rows, std::span<const double> y, std::span<const double> weights,
                                    std::span<const double> trusted) {
  constexpr int rounds = 40;
  constexpr double settled = 1e-3;  // of trust
  constexpr double exact = 1e-12;   // of the largest value: a scale below is rounding
  constexpr double ample = 0.25;    // rows to spare for each unknown: with fewer, a wild row cannot be told from a tame one
  std::optional<LinearFit> plain = fit_linear(rows, y, weights);
  if (!plain) return std::nullopt;
  const std::size_t n = plain->coefficients.size();
  if (plain->degrees < ample * static_cast<double>(n)) return plain;
  const auto with = [&](std::span<const double> trust) {
    std::vector<double> product(weights.begin(), weights.end());
    for (std::size_t r = 0; r < product.size(); ++r) product[r] *= trust[r];
    return product;
  };
  double largest = 0;
  for (std::size_t r = 0; r < y.size(); ++r) largest = std::max(largest, std::abs(y[r]) * std::sqrt(weights[r]));

  std::vector<double> trust(trusted.begin(), trusted.end());
  trust.resize(y.size(), 1);
  for (int round = 0; round < rounds; ++round) {
    const auto solved = solve(rows, y, with(trust), n);
    if (!solved) return plain;  // too few rows agree
    const std::vector<double> residuals = studentized(*solved, rows, y, weights, trust);
    const double scale = std::max(scale_of(residuals), exact * largest);
    const bool begin = trusted.empty() && round < rounds / 4, last = round == rounds - 1;
    double moved = 0;
    for (std::size_t r = 0; r < y.size(); ++r) {
      const double u = residuals[r] / scale, next = begin ? huber(u) : bisquare(u);
      moved = std::max(moved, std::abs(next - trust[r]));
      trust[r] = next;
    }
    if (last || (!begin && moved < settled)) {
      // The estimate's own interval would be too narrow where unknowns are many beside rows: that of least squares of the rows
      // that it believes is not.
      for (std::size_t r = 0; r < y.size(); ++r) trust[r] = std::abs(residuals[r]) <= believed * scale ? 1 : 0;
      break;
    }
  }
  std::optional<LinearFit> fit = fit_linear(rows, y, with(trust));
  if (!fit) return plain;
  const double left_out = std::accumulate(trust.begin(), trust.end(), static_cast<double>(y.size()), std::minus<>());
  const double degrees = fit->degrees - left_out;
  if (degrees < 1) return plain;
  for (double& c : fit->covariance) c *= fit->degrees / degrees;
  fit->degrees = degrees;
  fit->trust = std::move(trust);
  return fit;
}

Interval LinearFit::combination(std::span<const double> factors, double level) const {
  const std::size_t n = coefficients.size();
  if (factors.size() != n) throw Error(ErrorKind::bug, "a combination wants a factor for every coefficient");
  double value = 0, variance = 0;
  for (std::size_t i = 0; i < n; ++i) {
    value += factors[i] * coefficients[i];
    for (std::size_t j = 0; j < n; ++j) variance += factors[i] * factors[j] * covariance[i * n + j];
  }
  const double half = t_quantile(0.5 + level / 2, degrees) * std::sqrt(std::max(variance, 0.0));
  return {value, value - half, value + half};
}

Interval LinearFit::coefficient(std::size_t i, double level) const {
  std::vector<double> factors(coefficients.size(), 0);
  factors.at(i) = 1;
  return combination(factors, level);
}

}  // namespace eaq
