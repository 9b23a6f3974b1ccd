// Which steps run how often, and what follows from the visits. Pure.
#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "eaq/profile/profile.h"

namespace eaq {
namespace {

// Of loops: the program as it is is among the workloads once for so many steps. An error of its figure is in every slope, and in
// the sum of all 1 / loop times, 2 where a loop takes half of the program: the sum against the whole is known best, for the time
// it takes, with as many of these as of loops (1 here), and a step by itself with few. A third knows the sum twice as well as a
// twelfth did.
constexpr std::size_t steps_per_reference = 3;
// Visits that follow each other and share a level: slow drift of the machine.
constexpr int visits_per_level = 16;
// Of the in-place design: the sum is known as well as runs with all and with no step doubled are.
constexpr std::size_t extremes_share = 8;

/// How often each step runs in a whole run.
std::vector<double> counts_of(const std::vector<std::vector<int>>& passes) {
  std::vector<double> counts(passes.front().size(), 0);
  for (const auto& pass : passes)
    for (std::size_t i = 0; i < pass.size(); ++i) counts[i] += pass[i];
  return counts;
}

// A Hadamard matrix by Sylvester: +1 or -1.
bool plus(std::size_t row, std::size_t column) { return std::popcount(row & column) % 2 == 0; }

// Of the visits of one workload, those that are not much above the least of them: 1, the others 0. How much two visits differ is
// told by the median over all workloads.
std::vector<double> not_slowed(std::span<const std::size_t> workloads, std::span<const double> values) {
  constexpr double median_of_normal = 0.6745, limit = 3;
  std::map<std::size_t, double> least;
  for (std::size_t v = 0; v < values.size(); ++v) {
    const auto [at, first] = least.try_emplace(workloads[v], values[v]);
    at->second = std::min(at->second, values[v]);
  }
  std::vector<double> above, kept;
  for (std::size_t v = 0; v < values.size(); ++v)
    if (values[v] > least[workloads[v]]) above.push_back(values[v] / least[workloads[v]] - 1);
  const double most = above.empty() ? 0 : limit * median(above) / median_of_normal;
  for (std::size_t v = 0; v < values.size(); ++v) kept.push_back(values[v] / least[workloads[v]] - 1 <= most ? 1 : 0);
  return kept;
}

}  // namespace

std::string_view name_of(Way way) { return way == Way::loops ? "loops" : "in_place"; }

Design design_loops(std::span<const Seconds> alone, std::span<const std::string> sites, double loop) {
  Seconds whole(0);
  for (const Seconds one : alone) whole += one;
  Design design;
  const std::vector<int> once(alone.size(), 1);
  const auto add = [&](std::vector<int> times, std::string name) {
    design.workloads.push_back({std::move(times)});
    design.names.push_back(std::move(name));
  };
  for (std::size_t n = 0; n < 1 + alone.size() / steps_per_reference; ++n) add(once, "");
  for (std::size_t i = 0; i < alone.size(); ++i) {
    constexpr double most = 4096;  // of a step that takes no time that anybody could see
    const double wanted = alone[i] > Seconds(0) ? std::min(whole * loop / alone[i], most) : most;
    const int extra = std::max(1, static_cast<int>(std::lround(wanted)));
    std::vector<int> times = once;
    times[i] += extra;
    add(std::move(times), sites[i] + " x" + std::to_string(1 + extra));
  }
  return design;
}

Design design_in_place(std::size_t steps, int passes) {
  const std::size_t size = std::bit_ceil(steps + 1), extremes = std::max<std::size_t>(size / extremes_share, 2);
  Design design;
  const auto add = [&](auto&& doubled, std::string name) {
    std::vector<std::vector<int>> all(static_cast<std::size_t>(passes), std::vector<int>(steps, 1));
    for (std::size_t i = 0; i < steps; ++i) all[static_cast<std::size_t>(passes / 2)][i] += doubled(i) ? 1 : 0;
    design.workloads.push_back(std::move(all));
    design.names.push_back(std::move(name));
  };
  for (std::size_t n = 0; n < extremes; ++n) add([](std::size_t) { return false; }, "");
  for (std::size_t n = 0; n < extremes; ++n) add([](std::size_t) { return true; }, "all doubled");
  for (std::size_t row = 1; row < size; ++row)
    add([&](std::size_t i) { return plus(row, i + 1); }, "design " + std::to_string(row));
  return design;
}

std::optional<Parts> parts_of(const Design& design, std::span<const Visit> visits,
                              const std::function<std::optional<double>(const Visit&)>& value) {
  const std::size_t steps = design.workloads.front().front().size();
  const auto passes = static_cast<double>(design.workloads.front().size());
  std::vector<double> rows, y, weights;
  std::vector<std::size_t> workloads;
  std::vector<std::pair<int, int>> stretches;  // block, and part of it
  for (const Visit& visit : visits) {
    if (visit.workload >= design.workloads.size()) continue;  // idle
    const auto v = value(visit);
    if (!v || !(*v > 0)) continue;
    // Unknowns: the whole program, and each step's one run more.
    rows.push_back(passes);
    for (const double count : counts_of(design.workloads[visit.workload])) rows.push_back(count - passes);
    y.push_back(*v);
    workloads.push_back(visit.workload);
    stretches.emplace_back(visit.block, visit.position / visits_per_level);
  }
  if (y.size() <= steps + 1) return std::nullopt;
  // A visit's scatter is a part of its value, so weights are 1 / value^2. Drift is a factor for each stretch of visits: that by
  // which they are above what was fitted to all. A visit that the machine's other work slowed does not count, in neither.
  std::map<std::pair<int, int>, double> factor_of;
  std::vector<double> level = y, trusted = not_slowed(workloads, y);
  std::optional<LinearFit> fit;
  for (int round = 0; round < 4; ++round) {
    weights.clear();
    for (const double v : level) weights.push_back(1 / (v * v));
    fit = fit_robust(rows, level, weights, trusted);
    if (!fit) return std::nullopt;
    trusted = fit->trust;
    std::map<std::pair<int, int>, std::pair<double, double>> by_stretch;  // of the visits that count: sum of factors, number
    for (std::size_t v = 0; v < y.size(); ++v) {
      double expected = 0;
      for (std::size_t i = 0; i <= steps; ++i) expected += rows[v * (steps + 1) + i] * fit->coefficients[i];
      auto& [sum, number] = by_stretch[stretches[v]];
      sum += trusted[v] * y[v] / expected, number += trusted[v];
    }
    for (const auto& [stretch, of] : by_stretch) factor_of[stretch] = of.second > 0 ? of.first / of.second : 1;
    for (std::size_t v = 0; v < y.size(); ++v) level[v] = y[v] / factor_of[stretches[v]];
  }
  // Each stretch's factor but one was fitted, too.
  const double degrees = std::max(1.0, fit->degrees - static_cast<double>(factor_of.size() - 1));
  for (double& c : fit->covariance) c *= fit->degrees / degrees;
  fit->degrees = degrees;
  // That the level drifts from block to block is in every figure, and not in ratios. A single block shows it by its stretches.
  std::map<int, std::vector<double>> by_block;
  std::vector<double> factors, of_blocks;
  for (const auto& [stretch, factor] : factor_of) {
    factors.push_back(factor);
    by_block[stretch.first].push_back(factor);
  }
  for (const auto& [block, parts] : by_block) of_blocks.push_back(mean(parts));
  if (of_blocks.size() > 1) factors = of_blocks;
  const Interval drift = factors.size() > 1 ? t_interval(factors) : Interval{1, 1, 1};
  const auto with_drift = [half = (drift.high - drift.low) / 2](const Interval& figure) {
    const double whole = std::hypot((figure.high - figure.low) / 2, figure.mean * half);
    return Interval{figure.mean, figure.mean - whole, figure.mean + whole};
  };

  Parts parts;
  parts.visits = y.size();
  parts.left_out = static_cast<std::size_t>(std::count(trusted.begin(), trusted.end(), 0.0));
  std::vector<double> sum(steps + 1, 1), whole(steps + 1, 0), error(steps + 1);
  sum[0] = 0, whole[0] = 1;
  for (std::size_t i = 1; i <= steps; ++i) parts.steps.push_back(with_drift(fit->coefficient(i)));
  const Interval all = fit->combination(sum), program = fit->combination(whole);
  // sum / whole, linearised: its error is that of (sum - ratio whole) / whole.
  const double ratio = all.mean / program.mean;
  for (std::size_t i = 0; i <= steps; ++i) error[i] = (sum[i] - ratio * whole[i]) / program.mean;
  const Interval spread = fit->combination(error);
  parts.total = {with_drift(all), with_drift(program), {ratio - 1, ratio - 1 + spread.low, ratio - 1 + spread.high}};
  return parts;
}

}  // namespace eaq
