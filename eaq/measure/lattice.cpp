#include "eaq/measure/lattice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "eaq/stats/stats.h"

namespace eaq {
namespace {

constexpr std::size_t fewest = 32;
constexpr double most_scatter = 0.15;  // of the period: three such are not yet half a beat

// Whose times the values go with. Of three edges in a row under steady power, the middle step of joules is more than its
// neighbours' by power x (step of time - neighbours'), if the counter is read at the moments seen; it is no more than they are if
// it moves at the beat. The slope of one on the other is 1 or 0.
double dependence_on_times_seen(std::span<const Edge> edges, const Lattice& lattice) {
  double both = 0, square = 0;
  for (std::size_t i = 2; i + 1 < edges.size(); ++i) {
    const Edge* e = &edges[i - 2];
    const bool in_a_row = std::lround((e[3].time - e[0].time) / lattice.period) == 3;
    const double before = e[1].joules - e[0].joules, here = e[2].joules - e[1].joules, after = e[3].joules - e[2].joules;
    const double around = (before + after) / 2;
    // A load that comes or goes says nothing.
    if (!in_a_row || !(around > 0) || std::abs(here - around) > 0.3 * around || std::abs(before - after) > 0.3 * around) continue;
    const double late = (e[2].time - e[1].time) - ((e[1].time - e[0].time) + (e[3].time - e[2].time)) / 2;
    const double expected = (before + here + after) / 3 / lattice.period * late;
    both += expected * (here - around);
    square += expected * expected;
  }
  return square > 0 ? both / square : 1;
}

}  // namespace

double Lattice::at(double time) const { return start + std::round((time - start) / period) * period; }

std::optional<Lattice> find_lattice(std::span<const Edge> edges) {
  if (edges.size() < fewest) return std::nullopt;
  std::vector<double> steps, beats{0}, times{edges[0].time};
  for (std::size_t i = 1; i < edges.size(); ++i) steps.push_back(edges[i].time - edges[i - 1].time);
  const double typical = percentile(steps, 0.5);
  if (!(typical > 0)) return std::nullopt;
  for (std::size_t i = 1; i < edges.size(); ++i) {
    beats.push_back(beats.back() + std::max(1.0, std::round(steps[i - 1] / typical)));
    times.push_back(edges[i].time);
  }
  const Line line = fit_line(beats, times);
  Lattice lattice{line.intercept, line.slope, 0};
  if (!(lattice.period > 0.5 * typical)) return std::nullopt;
  double sum = 0;
  for (std::size_t i = 0; i < beats.size(); ++i) {
    const double off = times[i] - (line.intercept + line.slope * beats[i]);
    sum += off * off;
  }
  lattice.scatter = std::sqrt(sum / static_cast<double>(beats.size() - 2));
  if (lattice.scatter > most_scatter * lattice.period) return std::nullopt;
  if (dependence_on_times_seen(edges, lattice) > 0.5) return std::nullopt;
  return lattice;
}

}  // namespace eaq
