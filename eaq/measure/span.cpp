#include <algorithm>
#include <cmath>
#include <utility>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

constexpr std::size_t fewest_points = 3, most_points = 21;  // of a quiet side

// A counter's edge, or the integral of a power up to one of its values.
struct Point {
  double time, joules;
};
using Points = std::vector<Point>;

Points points_of(const ZoneRecord& zone, const Span& span) {
  Points points;
  std::optional<double> power;
  bool edges = false;  // a counter's first value in a record, or after a fault, was there before: no edge
  for (const Sample& s : zone.samples) {
    const bool within = s.time >= span.quiet_from && s.time <= span.quiet_until;
    const double time = s.time.value();
    if (s.fault != Fault::none) {
      edges = false;
    } else if (zone.zone.counter) {
      if (!s.energy) continue;
      if (std::exchange(edges, true) && within) points.push_back({time, s.energy->value()});
    } else if (s.power && within) {
      const double now = s.power->value();
      points.push_back(
          {time, points.empty() ? 0 : points.back().joules + 0.5 * (now + power.value_or(now)) * (time - points.back().time)});
      power = now;
    }
  }
  return points;
}

const Sample* fault_of(const ZoneRecord& zone, const Span& span) {
  const Sample* lasting = nullptr;
  for (const Sample& s : zone.samples) {
    if (s.time > span.quiet_until) break;
    if (s.fault != Fault::none)
      lasting = &s;
    else if (s.time < span.quiet_from)
      lasting = nullptr;
  }
  return lasting;
}

double typical_cell(const Points& points) {
  std::vector<double> lengths;
  for (std::size_t i = 1; i < points.size(); ++i) lengths.push_back(points[i].time - points[i - 1].time);
  return lengths.empty() ? 0 : median(lengths);
}

// A stretch of steady power: its power, and what its cells say of the sensor.
struct Quiet {
  Points points;
  double watts = 0, least = 0, most = 0;  // of the cells, too
  double squares = 0;                     // of the cells' joules about the stretch's power
  std::size_t cells = 0;

  explicit Quiet(Points taken) : points(std::move(taken)) {
    if (points.size() < fewest_points) return;
    cells = points.size() - 1;
    watts = (points.back().joules - points.front().joules) / (points.back().time - points.front().time);
    least = most = watts;
    for (std::size_t i = 1; i < points.size(); ++i) {
      const double length = points[i].time - points[i - 1].time, joules = points[i].joules - points[i - 1].joules;
      squares += (joules - watts * length) * (joules - watts * length);
      least = std::min(least, joules / length);
      most = std::max(most, joules / length);
    }
  }
  bool holds() const { return cells > 0; }
};

// The value at one end of the span, and its standard error.
struct EndValue {
  double joules = 0, error = 0;
};

EndValue extrapolated(const Quiet& side, const Point& nearest, double end, double range, double period) {
  const double distance = std::abs(end - nearest.time);
  return {nearest.joules + side.watts * (end - nearest.time), range * std::max(period, distance) / std::sqrt(12.0)};
}

std::optional<EndValue> interpolated(const Points& points, double end) {
  const auto after = std::lower_bound(points.begin(), points.end(), end, [](const Point& p, double t) { return p.time < t; });
  if (after == points.end() || (after == points.begin() && after->time > end)) return std::nullopt;
  if (after->time == end) return EndValue{after->joules, 0};
  const auto before = after - 1;
  double least = 1e300, most = -1e300;
  const auto first = before == points.begin() ? before : before - 1;
  const auto last = after + 1 == points.end() ? after : after + 1;
  for (auto at = first; at != last; ++at) {
    const double watts = (at[1].joules - at->joules) / (at[1].time - at->time);
    least = std::min(least, watts);
    most = std::max(most, watts);
  }
  const double cell = after->time - before->time, share = (end - before->time) / cell;
  return EndValue{before->joules + share * (after->joules - before->joules), (most - least) * cell / std::sqrt(12.0)};
}

// Standard deviation of a cell's joules, from how much the powers of neighbours differ.
std::optional<double> neighbours_scatter(const Points& points, double start, double end, double cell) {
  std::vector<double> watts;
  for (std::size_t i = 1; i < points.size(); ++i)
    if (points[i - 1].time >= start && points[i].time <= end)
      watts.push_back((points[i].joules - points[i - 1].joules) / (points[i].time - points[i - 1].time));
  if (watts.size() < 3) return std::nullopt;
  double squares = 0;
  for (std::size_t i = 1; i < watts.size(); ++i) squares += (watts[i] - watts[i - 1]) * (watts[i] - watts[i - 1]);
  return std::sqrt(squares / (2 * static_cast<double>(watts.size() - 1))) * cell;
}

Points part(const Points& points, double from, double until) {
  Points taken;
  for (const Point& p : points)
    if (p.time >= from && p.time <= until) taken.push_back(p);
  return taken;
}

std::optional<Uncertain> idle_power(const Points& before) {
  const Quiet quiet(before);
  if (!quiet.holds()) return std::nullopt;
  const auto n = static_cast<double>(quiet.cells);
  const double length = before.back().time - before.front().time, scatter = std::sqrt(quiet.squares / (n - 1));
  return Uncertain{quiet.watts, scatter * std::sqrt(n + 1) / length, n - 1};  // a walk over n cells, and its two ends
}

}  // namespace

Interval Uncertain::ci95() const {
  const double half = error > 0 ? t_quantile(0.975, degrees) * error : 0;
  return {value, value - half, value + half};
}

Uncertain sum_of(std::span<const Uncertain> parts) {
  Uncertain sum{0, 0, 1e9};
  for (const Uncertain& one : parts)
    sum = {sum.value + one.value, std::hypot(sum.error, one.error), std::min(sum.degrees, one.degrees)};
  return sum;
}

Uncertain above_idle(const Uncertain& joules, const Uncertain& idle_watts, Seconds length) {
  const double seconds = length.value();
  return {joules.value - idle_watts.value * seconds, std::hypot(joules.error, idle_watts.error * seconds),
          std::min(joules.degrees, idle_watts.degrees)};
}

SpanEnergy span_energy(const ZoneRecord& zone, const Span& span) {
  SpanEnergy result;
  result.method = zone.zone.counter ? EnergyMethod::counter : EnergyMethod::integral;
  if (const Sample* fault = fault_of(zone, span)) {
    result.fault = fault->fault;
    result.reason = fault->reason;
    return result;
  }
  const double start = span.start.value(), end = span.end.value();
  const Points points = points_of(zone, span), before_start = part(points, -1e300, start);
  const double cell = before_start.size() >= fewest_points ? typical_cell(before_start) : typical_cell(points);
  const double period = std::max(cell, zone.zone.period.value_or(Seconds(0)).value());
  const double window = zone.zone.counter ? 0 : zone.zone.window.value_or(Seconds(0)).value();
  Points first = before_start, last = part(points, end + period + window, 1e300);
  if (first.size() > most_points) first.erase(first.begin(), first.end() - most_points);
  if (last.size() > most_points) last.resize(most_points);
  const Quiet before(std::move(first)), after(std::move(last));

  double range = 0;
  if (before.holds() && after.holds())
    range = std::max(before.most, after.most) - std::min(before.least, after.least);
  else if (before.holds() || after.holds())
    range = before.holds() ? before.most - before.least : after.most - after.least;
  const auto at_start =
      before.holds() ? extrapolated(before, before.points.back(), start, range, period) : interpolated(points, start);
  const auto at_end = after.holds() ? extrapolated(after, after.points.front(), end, range, period) : interpolated(points, end);
  if (!at_start || !at_end) {
    result.fault = Fault::gap;
    result.reason = zone.name + " gave too few values around the command (" + std::to_string(points.size()) +
                    " in all): it is too slow for a command this short, or the wait after it was cut short";
    return result;
  }

  const std::size_t cells = before.cells + after.cells, sides = (before.holds() ? 1 : 0) + (after.holds() ? 1 : 0);
  double degrees = cells > sides ? static_cast<double>(cells - sides) : 0;
  double scatter = degrees > 0 ? std::sqrt((before.squares + after.squares) / degrees) : 0;
  const auto inside = neighbours_scatter(points, start, end, cell);
  if (inside && (degrees < 2 || (!zone.zone.counter && *inside > scatter))) {
    scatter = *inside;
    degrees = std::max(degrees, 2.0);
  }
  const double walk = cell > 0 ? scatter * std::sqrt((end - start) / cell) : 0;
  result.joules =
      Uncertain{at_end->joules - at_start->joules, std::hypot(at_start->error, at_end->error, walk), std::max(degrees, 2.0)};
  result.idle_watts = idle_power(before_start);
  return result;
}

SpanRecord record_spans(MeterSet& meters, Clock& clock, const SpanOptions& options, const std::function<bool()>& act) {
  SpanRecord result;
  Sampler sampler(meters, clock);
  const Seconds origin = sampler.origin();
  const auto be_quiet = [&](Seconds from, Seconds least) {
    const auto enough = [&] {
      for (const std::size_t z : options.zones) {
        const Zone& zone = meters.zones()[z].zone;
        const Seconds spoilt = zone.counter ? Seconds(0) : zone.window.value_or(Seconds(0));
        if (sampler.seen(z, from + spoilt) < options.values) return false;
      }
      return true;
    };
    const Seconds most = std::max(options.most, least);
    while (!interrupted()) {
      const Seconds passed = clock.now() - from;
      if (passed >= most || (passed >= least && enough())) return;
      clock.sleep_until(clock.now() + Seconds(0.01));
    }
  };
  bool more = true;
  for (int run = 0; run < options.repeat && more; ++run) {
    Span span{clock.now(), {}, {}, {}};
    be_quiet(span.quiet_from, run == 0 ? std::max(options.least, options.idle) : options.least);
    if (interrupted()) break;
    span.start = clock.now();
    more = act();
    span.end = clock.now();
    be_quiet(span.end, options.least);
    span.quiet_until = clock.now();
    for (Seconds* time : {&span.quiet_from, &span.start, &span.end, &span.quiet_until}) *time -= origin;
    result.spans.push_back(span);
  }
  result.record = sampler.stop();
  return result;
}

}  // namespace eaq
