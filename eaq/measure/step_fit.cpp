// Window and lag of a sensor from steps of the load: a box average of two levels, by least squares.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>

#include "eaq/measure/sensor.h"

namespace eaq::sensor {
namespace {

constexpr double longest_lag = 0.5, longest_window = 2, shortest_window = 1e-4;
constexpr int columns = 4;  // two levels, each with a linear drift
constexpr double chi_square = 3.84;

class Fit {
 public:
  Fit(const std::vector<Observation>& observations, const OnTime& on) : observations_(observations), on_(on) {
    for (const Observation& o : observations_) middle_v_ += o.v, middle_u_ += o.u;
    const double n = count();
    middle_v_ /= n;
    middle_u_ /= n;
    for (const Observation& o : observations_) total_ += (o.v - middle_v_) * (o.v - middle_v_);
  }

  double count() const { return static_cast<double>(observations_.size()); }
  double total() const { return total_; }

  // Sum of squares left at this lag and window.
  double residue(double lag, double window) {
    using Row = std::array<double, columns + 1>;
    std::array<Row, columns> m{};
    for (const Observation& o : observations_) {
      const double span = o.span > 0 ? o.span : std::max(window, shortest_window), end = o.u - lag;
      const double share = (on_(end) - on_(end - span)) / span, drift = (o.u - middle_u_) * 0.1;
      const std::array<double, columns + 1> x{1, share, drift, share * drift, o.v - middle_v_};
      for (int i = 0; i < columns; ++i)
        for (int j = i; j <= columns; ++j) m[i][j] += x[i] * x[j];
    }
    return solve(m);
  }
  double idle() const { return middle_v_ + level_[0]; }
  double loaded() const { return idle() + level_[1]; }

 private:
  // Cholesky in place; the last column is the right-hand side.
  double solve(std::array<std::array<double, columns + 1>, columns>& m) {
    double left = total_;
    for (int i = 0; i < columns; ++i) {
      const double whole = m[i][i];
      for (int k = 0; k < i; ++k) m[i][i] -= m[k][i] * m[k][i];
      if (m[i][i] <= 1e-12 * whole) {  // a column that says nothing new
        for (int j = i; j <= columns; ++j) m[i][j] = 0;
        continue;
      }
      m[i][i] = std::sqrt(m[i][i]);
      for (int j = i + 1; j <= columns; ++j) {
        for (int k = 0; k < i; ++k) m[i][j] -= m[k][i] * m[k][j];
        m[i][j] /= m[i][i];
      }
      left -= m[i][columns] * m[i][columns];
    }
    for (int i = columns - 1; i >= 0; --i) {
      level_[i] = m[i][columns];
      for (int j = i + 1; j < columns; ++j) level_[i] -= m[i][j] * level_[j];
      level_[i] = m[i][i] > 0 ? level_[i] / m[i][i] : 0;
    }
    return std::max(left, 0.0);
  }

  const std::vector<Observation>& observations_;
  const OnTime& on_;
  double middle_v_ = 0, middle_u_ = 0, total_ = 0;
  std::array<double, columns> level_{};
};

struct Place {
  double lag, window, residue;
};

constexpr std::array<std::pair<int, int>, 8> directions{{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, -1}, {-1, 1}, {1, -2}, {-1, 2}}};

// Downhill by steps that shrink where none helps.
Place descend(Fit& fit, Place at, double lag_step, double window_step) {
  while (lag_step > 5e-5 || window_step > 5e-5) {
    bool moved = false;
    for (const auto& [dl, dw] : directions) {
      if (window_step == 0 && dw != 0) continue;
      const double lag = std::clamp(at.lag + dl * lag_step, 0.0, longest_lag);
      const double window = std::clamp(at.window + dw * window_step, 0.0, longest_window);
      const double residue = fit.residue(lag, window);
      if (residue >= at.residue) continue;
      at = {lag, window, residue};
      moved = true;
      break;
    }
    if (moved) continue;
    lag_step /= 2;
    window_step /= 2;
  }
  return at;
}

// The coarse search looks at some of the values, the fine one at all.
Place best_place(Fit& fit, Fit& coarse, bool has_window) {
  std::vector<double> windows{0};
  if (has_window)
    for (double w = 0.005; w <= longest_window; w = std::max(w * 1.3, w + 0.005)) windows.push_back(w);
  std::vector<Place> grid;
  for (const double window : windows)
    for (double lag = 0; lag <= longest_lag; lag += 0.01) grid.push_back({lag, window, coarse.residue(lag, window)});
  const std::size_t tries = std::min<std::size_t>(3, grid.size());
  std::partial_sort(grid.begin(), grid.begin() + static_cast<std::ptrdiff_t>(tries), grid.end(),
                    [](const Place& a, const Place& b) { return a.residue < b.residue; });
  Place best;
  for (std::size_t i = 0; i < tries; ++i) {
    Place start = grid[i];
    start.residue = fit.residue(start.lag, start.window);
    if (i == 0) best = start;
    const Place low = descend(fit, start, 0.005, has_window ? std::max(0.005, start.window * 0.1) : 0);
    if (low.residue < best.residue) best = low;
  }
  return best;
}

// The farthest value on one side of `from` at which `residue` stays within `allowed`.
double reach(double from, double bound, double allowed, const std::function<double(double)>& residue) {
  double inside = from, step = bound > from ? 1e-4 : -1e-4, outside = from;
  while (true) {
    outside = bound > from ? std::min(inside + step, bound) : std::max(inside + step, bound);
    if (residue(outside) > allowed) break;
    inside = outside;
    if (inside == bound) return bound;
    step *= 2;
  }
  while (std::abs(outside - inside) > 2e-5) {
    const double middle = (inside + outside) / 2;
    (residue(middle) > allowed ? outside : inside) = middle;
  }
  return inside;
}

Found<Seconds> ranged(double best, double bound, double allowed, const std::function<double(double)>& residue) {
  const double low = best > 0 ? reach(best, 0, allowed, residue) : 0, high = reach(best, bound, allowed, residue);
  // Where a sensor looks only now and then, whole ranges fit equally well: the middle is then as good as any, and the best guess.
  return {Seconds((low + high) / 2), Seconds(low), Seconds(high), {}};
}

}  // namespace

StepFit fit_steps(const std::vector<Observation>& observations, const OnTime& on) {
  StepFit result;
  if (observations.size() < 12) {
    result.lag.missing = result.window.missing =
        "only " + std::to_string(observations.size()) + " new values were seen while the load went on and off";
    return result;
  }
  Fit fit(observations, on);
  const bool has_window = observations.front().span <= 0;
  std::vector<Observation> some;
  for (std::size_t i = 0; i < observations.size(); i += 1 + observations.size() / 400) some.push_back(observations[i]);
  Fit coarse(some, on);
  const Place best = best_place(fit, coarse, has_window);
  fit.residue(best.lag, best.window);
  result.idle = fit.idle();
  result.loaded = fit.loaded();
  result.explained = fit.total() > 0 ? 1 - best.residue / fit.total() : 0;
  if (result.explained < 0.6) {
    result.lag.missing = result.window.missing = "its values do not follow the load";
    return result;
  }
  const double allowed = best.residue * (1 + chi_square / std::max(fit.count() - columns - 2, 1.0)) + 1e-7 * fit.total();
  const auto at_lag = [&](double lag) {
    if (!has_window) return fit.residue(lag, 0);
    // Along the valley: the window's middle stays where it is.
    const double window = std::max(0.0, best.window - 2 * (lag - best.lag));
    Place p{lag, window, fit.residue(lag, window)};
    for (double step = 0.004; step > 1e-4; step /= 2)
      for (const double w : {p.window + step, p.window - step, p.window + 2 * step, p.window - 2 * step})
        if (const double r = w >= 0 ? fit.residue(lag, w) : p.residue; r < p.residue) p = {lag, w, r};
    return p.residue;
  };
  const auto at_window = [&](double window) {
    const double lag = std::clamp(best.lag - (window - best.window) / 2, 0.0, longest_lag);
    Place p{lag, window, fit.residue(lag, window)};
    for (double step = 0.004; step > 1e-4; step /= 2)
      for (const double l : {p.lag + step, p.lag - step, p.lag + 2 * step, p.lag - 2 * step})
        if (const double r = l >= 0 ? fit.residue(l, window) : p.residue; r < p.residue) p = {l, window, r};
    return p.residue;
  };
  result.lag = ranged(best.lag, longest_lag, allowed, at_lag);
  if (has_window) result.window = ranged(best.window, longest_window, allowed, at_window);
  return result;
}

}  // namespace eaq::sensor
