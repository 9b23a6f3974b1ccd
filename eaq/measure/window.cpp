#include <algorithm>
#include <cmath>

#include "eaq/measure/lattice.h"
#include "eaq/measure/measure.h"

namespace eaq {
namespace {

constexpr std::int64_t fewest_edges = 4;
// So many runs of a program are a plateau: what power does within one of them hardly tilts a line through all. Fewer are one
// where edges see whole runs, or nearly.
constexpr std::int64_t runs_of_a_plateau = 8, edges_within_a_run = 2;
constexpr Seconds logger_period(0.05);  // the original study's 20 Hz
// A power value older than this says nothing about a window.
constexpr Seconds stale(1.5);

auto first_at(const std::vector<Sample>& samples, Seconds t) {
  return std::lower_bound(samples.begin(), samples.end(), t, [](const Sample& s, Seconds at) { return s.time < at; });
}

WindowEnergy without(Fault fault, std::string reason, EnergyMethod method) {
  return {std::nullopt, std::nullopt, 0, method, fault, std::move(reason)};
}

// A fault inside the window, or one that lasts into it.
const Sample* fault_in(const std::vector<Sample>& samples, Seconds start, Seconds end) {
  auto at = first_at(samples, start);
  if (at != samples.begin() && (at - 1)->fault != Fault::none) return &*(at - 1);
  for (; at != samples.end() && at->time <= end; ++at)
    if (at->fault != Fault::none) return &*at;
  return nullptr;
}

// Edges within so long before and after a window tell its beat: long enough for a hundredth of a look's jitter, short enough for
// two clocks not to drift apart.
constexpr Seconds beat_around(30);

// The beat around a window. An interruption of the counter ends what belongs to one beat.
std::optional<Lattice> beat_of(const ZoneRecord& zone, Seconds start, Seconds end) {
  std::vector<Edge> edges;
  for (auto at = first_at(zone.samples, start - beat_around); at != zone.samples.end() && at->time <= end + beat_around; ++at) {
    if (at->fault != Fault::none) return std::nullopt;
    if (at->energy) edges.push_back({at->time.value(), at->energy->value()});
  }
  return find_lattice(edges);
}

// From end to end of the window: what the counter rose between the edges in it, and to either side on at the power of the nearest
// period. What runs before and after does not enter.
Joules rise(std::span<const double> times, std::span<const double> joules, Seconds length) {
  const auto power = [&](std::size_t i) { return (joules[i + 1] - joules[i]) / (times[i + 1] - times[i]); };
  const std::size_t last = times.size() - 1;
  return Joules(joules[last] - joules[0] + power(0) * times[0] + power(last - 1) * (length.value() - times[last]));
}

WindowEnergy counter_energy(const ZoneRecord& zone, Seconds start, Seconds end, std::int64_t runs) {
  const std::optional<Lattice> beat = beat_of(zone, start, end);
  std::vector<double> times, joules;
  for (auto at = first_at(zone.samples, start); at != zone.samples.end() && at->time <= end; ++at) {
    if (!at->energy) continue;
    times.push_back((beat ? beat->at(at->time.value()) : at->time.value()) - start.value());
    joules.push_back(at->energy->value());
  }
  const auto edges = static_cast<std::int64_t>(times.size());
  if (edges < fewest_edges || !(times.back() > times.front()))
    return without(Fault::gap,
                   zone.name + " moved " + std::to_string(edges) + " times within " + std::to_string((end - start).value()) +
                       " s, and a slope wants " + std::to_string(fewest_edges) + ": lengthen the visits (--min-seconds)",
                   EnergyMethod::counter);
  if (runs > 0 && runs < runs_of_a_plateau && edges > edges_within_a_run * runs)
    return {rise(times, joules, end - start), std::nullopt, edges, EnergyMethod::counter, Fault::none, {}};
  const Line line = fit_line(times, joules);
  return {Watts(line.slope) * (end - start), Watts(line.slope_error), edges, EnergyMethod::counter, Fault::none, {}};
}

WindowEnergy integral_energy(const ZoneRecord& zone, Seconds start, Seconds end) {
  const auto begin = first_at(zone.samples, start);
  Joules sum;
  Seconds reached = start;
  std::optional<Watts> before;
  std::int64_t values = 0;
  for (auto at = begin; at != zone.samples.end() && at->time <= end; ++at) {
    if (!at->power) continue;
    sum += (before.value_or(*at->power) + *at->power) * 0.5 * (at->time - reached);
    before = at->power;
    reached = at->time;
    ++values;
  }
  for (auto at = begin; !before && at != zone.samples.begin();) {
    --at;
    if (start - at->time > stale) break;
    if (at->power) before = at->power, values = 1;
  }
  if (!before) return without(Fault::gap, zone.name + " gave no power within the window", EnergyMethod::integral);
  sum += *before * (end - reached);
  return {sum, std::nullopt, values, EnergyMethod::integral, Fault::none, {}};
}

}  // namespace

std::string_view name_of(EnergyMethod method) {
  switch (method) {
    case EnergyMethod::counter:
      return "counter";
    case EnergyMethod::integral:
      return "integral";
    case EnergyMethod::mean_power:
      break;
  }
  return "mean-power";
}

WindowEnergy window_energy(const ZoneRecord& zone, Seconds start, Seconds end, std::int64_t runs) {
  const EnergyMethod method = zone.zone.counter ? EnergyMethod::counter : EnergyMethod::integral;
  if (const Sample* fault = fault_in(zone.samples, start, end)) return without(fault->fault, fault->reason, method);
  return zone.zone.counter ? counter_energy(zone, start, end, runs) : integral_energy(zone, start, end);
}

WindowEnergy mean_power_energy(const ZoneRecord& zone, Seconds start, Seconds end) {
  const auto& samples = zone.samples;
  if (const Sample* fault = fault_in(samples, start, end)) return without(fault->fault, fault->reason, EnergyMethod::mean_power);
  const bool has_power = std::any_of(samples.begin(), samples.end(), [](const Sample& s) { return s.power.has_value(); });
  auto at = first_at(samples, start);
  std::optional<double> latest, previous;  // the value that shows: a power, or a counter in joules
  const auto show = [&](const Sample& s) {
    if (has_power ? s.power.has_value() : s.energy.has_value()) latest = has_power ? s.power->value() : s.energy->value();
  };
  for (auto back = at; !latest && back != samples.begin() && start - (back - 1)->time <= stale;) show(*--back);
  double sum = 0;
  std::int64_t logged = 0;
  for (std::int64_t k = 0;; ++k) {
    const Seconds tick = start + logger_period * static_cast<double>(k);
    if (tick > end) break;
    for (; at != samples.end() && at->time <= tick; ++at) show(*at);
    if (!latest) continue;
    if (has_power)
      sum += *latest, ++logged;
    else if (previous)
      sum += (*latest - *previous) / logger_period.value(), ++logged;
    previous = latest;
  }
  if (logged == 0)
    return without(Fault::gap, zone.name + " gave no power to a 20 Hz logger within the window", EnergyMethod::mean_power);
  return {
      Watts(sum / static_cast<double>(logged)) * (end - start), std::nullopt, logged, EnergyMethod::mean_power, Fault::none, {}};
}

bool CrossCheck::disagrees() const {
  const Joules apart = integral > counter ? integral - counter : counter - integral;
  return span >= Seconds(30) && apart > counter * 0.01 + tolerance;
}

std::optional<CrossCheck> cross_check(const ZoneRecord& zone) {
  const auto& samples = zone.samples;
  const auto is_edge = [](const Sample& s) { return s.energy.has_value(); };
  const auto first = std::find_if(samples.begin(), samples.end(), is_edge);
  const auto last = std::find_if(samples.rbegin(), samples.rend(), is_edge);
  if (first == samples.end() || !(last->time > first->time) || !(*last->energy > *first->energy)) return std::nullopt;
  if (fault_in(samples, first->time, last->time) != nullptr) return std::nullopt;
  const auto has_power = [](const Sample& s) { return s.power.has_value(); };
  const auto early = std::find_if(first, samples.end(), has_power);
  const auto late = std::find_if(last, samples.rend(), has_power);
  if (early == samples.end() || late == samples.rend() || !(late->time > early->time)) return std::nullopt;
  const WindowEnergy integral = integral_energy(zone, first->time, last->time);
  if (!integral.joules) return std::nullopt;
  const Watts step(std::abs(late->power->value() - early->power->value()));
  return CrossCheck{last->time - first->time, *last->energy - *first->energy, *integral.joules,
                    step * zone.zone.window.value_or(Seconds(1))};
}

}  // namespace eaq
