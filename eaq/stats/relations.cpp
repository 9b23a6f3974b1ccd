#include <algorithm>
#include <cmath>
#include <numeric>

#include "eaq/base/base.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorKind::bug, std::string("stats: ") + what);
}

struct Moments {
  double mean_x, mean_y, xx, xy, yy;  // sums about the means
};

Moments moments(std::span<const double> x, std::span<const double> y) {
  Moments m{mean(x), mean(y), 0, 0, 0};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - m.mean_x, dy = y[i] - m.mean_y;
    m.xx += dx * dx;
    m.xy += dx * dy;
    m.yy += dy * dy;
  }
  return m;
}

// Ties share the mean of the ranks that they span.
std::vector<double> ranks(std::span<const double> x) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
  std::vector<double> rank(x.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i + 1;
    while (end < order.size() && x[order[end]] == x[order[i]]) ++end;
    for (std::size_t k = i; k < end; ++k) rank[order[k]] = 0.5 * static_cast<double>(i + end - 1) + 1;
    i = end;
  }
  return rank;
}

}  // namespace

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double least = 0;  // an adjusted p is never below one that came before it
  for (std::size_t i = 0; i < order.size(); ++i) {
    least = std::max(least, std::min(1.0, p[order[i]] * static_cast<double>(p.size() - i)));
    adjusted[order[i]] = least;
  }
  return adjusted;
}

Line fit_line(std::span<const double> x, std::span<const double> y) {
  require(x.size() == y.size() && x.size() >= 2, "a line wants at least two points");
  const Moments m = moments(x, y);
  require(m.xx > 0, "a line wants at least two different x");
  Line line{0, m.xy / m.xx, 0, x.size()};
  line.intercept = m.mean_y - line.slope * m.mean_x;
  if (x.size() == 2) return line;
  double squares = 0;  // residuals themselves, as yy - slope * xy loses its digits on a steep line
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double residual = (y[i] - m.mean_y) - line.slope * (x[i] - m.mean_x);
    squares += residual * residual;
  }
  line.slope_error = std::sqrt(squares / static_cast<double>(x.size() - 2) / m.xx);
  return line;
}

std::optional<double> pearson(std::span<const double> x, std::span<const double> y) {
  require(x.size() == y.size() && x.size() >= 2, "a correlation wants at least two pairs");
  const Moments m = moments(x, y);
  if (m.xx == 0 || m.yy == 0) return std::nullopt;
  return std::clamp(m.xy / (std::sqrt(m.xx) * std::sqrt(m.yy)), -1.0, 1.0);
}

std::optional<double> spearman(std::span<const double> x, std::span<const double> y) {
  require(x.size() == y.size() && x.size() >= 2, "a correlation wants at least two pairs");
  return pearson(ranks(x), ranks(y));
}

}  // namespace eaq
