// Least squares by the normal equations: a few hundred unknowns that a designed experiment keeps well apart.
#include <algorithm>
#include <cmath>

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

}  // namespace

std::optional<LinearFit> fit_linear(std::span<const double> rows, std::span<const double> y, std::span<const double> weights) {
  const std::size_t count = y.size();
  if (count == 0 || rows.size() % count != 0 || weights.size() != count)
    throw Error(ErrorKind::bug, "fit_linear: rows, values and weights do not go together");
  const std::size_t n = rows.size() / count;
  if (n == 0 || count <= n) return std::nullopt;
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
  double squares = 0;
  for (std::size_t r = 0; r < count; ++r) {
    double residual = y[r];
    for (std::size_t c = 0; c < n; ++c) residual -= rows[r * n + c] * fit.coefficients[c];
    squares += weights[r] * residual * residual;
  }
  fit.degrees = static_cast<double>(count - n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) fit.covariance[i * n + j] *= squares / fit.degrees / (scale[i] * scale[j]);
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
