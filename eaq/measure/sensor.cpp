// What a sensor does, from the times and values that it gave and the times at which the load went on and off.
#include "eaq/measure/sensor.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

namespace eaq {
namespace sensor {
namespace {

constexpr double longest_period = 1;
constexpr double mean_delay = 0.54;  // of a look after a change, in looks: they stand 0.5 to 1.5 apart

std::string ms_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f ms", seconds * 1e3);
  return text;
}

}  // namespace

OnTime::OnTime(const std::vector<LoadSwitch>& switches) {
  double sum = 0;
  for (const LoadSwitch& s : switches) {
    if (!on_.empty() && on_.back()) sum += s.time.value() - times_.back();
    times_.push_back(s.time.value());
    sums_.push_back(sum);
    on_.push_back(s.on);
  }
}

double OnTime::operator()(double t) const {
  const auto after = std::upper_bound(times_.begin(), times_.end(), t);
  if (after == times_.begin()) return 0;
  const auto i = static_cast<std::size_t>(after - times_.begin()) - 1;
  return on_[i] ? sums_[i] + (t - times_[i]) : sums_[i];
}

std::vector<Point> changes(const ZoneRecord& zone, bool counter) {
  std::vector<Point> points;
  bool known = false;  // what came before
  double before = 0;
  for (const Sample& s : zone.samples) {
    if (s.fault != Fault::none) known = false;
    if (counter ? !s.energy : !s.power) continue;
    const double v = counter ? s.energy->value() : s.power->value();
    if (known && v != before) points.push_back({s.time.value(), v});
    known = true;
    before = v;
  }
  return points;
}

Comb find_comb(const std::vector<Point>& points, double look) {
  Comb comb;
  comb.times.reserve(points.size());
  for (const Point& p : points) comb.times.push_back(p.t - mean_delay * look);
  if (points.size() < 10) {
    comb.period.missing = "only " + std::to_string(points.size()) + " new values were seen";
    return comb;
  }
  std::vector<double> distances;
  for (std::size_t i = 1; i < points.size(); ++i) distances.push_back(points[i].t - points[i - 1].t);
  // A value that happens to equal the one before is not seen: distances are whole multiples of the period. Where nothing moves
  // for long, as a power without noise does under steady load, they say nothing.
  constexpr double longest_multiple = 8;
  double period = percentile(distances, 0.2), matched = 0, near = 0;
  for (int round = 0; round < 8; ++round) {
    double sum = 0, teeth = 0;
    matched = near = 0;
    for (const double d : distances) {
      const double k = std::max(1.0, std::round(d / period));
      if (k > longest_multiple) continue;
      ++near;
      if (std::abs(d - k * period) > std::min(std::max(1.6 * look, 0.2 * period), 0.45 * period)) continue;
      sum += d;
      teeth += k;
      ++matched;
    }
    if (teeth > 0) period = sum / teeth;
  }
  if (period < 2.5 * look) {
    comb.period.missing = "it moves at nearly every look, and they are " + ms_text(look) + " apart";
    return comb;
  }
  if (period > longest_period) {
    comb.period.missing = "it moves seldom, or only when the load does";
    return comb;
  }
  if (matched < 5 || matched < 0.6 * near) {
    comb.period.missing = "new values come at no regular distance (half of them within " + ms_text(median(distances)) + ")";
    return comb;
  }
  // An even comb through more and more of them, as far as each tooth's number is certain.
  const double origin = points.front().t;
  std::vector<double> n(points.size()), late(points.size());
  double start = 0, doubt = look / std::sqrt(std::max(matched, 1.0));
  std::size_t count = 0;
  while (count < points.size()) {
    const double certain = origin + 0.25 * period / doubt * period;
    std::size_t next = count;
    while (next < points.size() && points[next].t <= certain) ++next;
    if (next == count) break;
    count = next;
    std::vector<double> good_n, good_t;
    for (std::size_t i = 0; i < count; ++i) {
      const double t = points[i].t - origin;
      n[i] = std::round((t - start) / period);
      if (std::abs(t - start - n[i] * period) < std::max(1.6 * look, 0.2 * period)) good_n.push_back(n[i]), good_t.push_back(t);
    }
    if (good_n.size() < 8 || good_n.back() <= good_n.front()) break;
    const Line line = fit_line(good_n, good_t);
    period = line.slope;
    start = line.intercept;
    doubt = std::max(2 * line.slope_error, 1e-7);
  }
  for (std::size_t i = 0; i < points.size(); ++i) late[i] = points[i].t - origin - n[i] * period;
  comb.period = {Seconds(period), Seconds(period - doubt), Seconds(period + doubt), {}};
  if (count < points.size()) return comb;  // gaps too long to number the teeth beyond

  // Each tooth where its neighbours say that it stands, if the sensor is as regular as the looks can tell.
  constexpr std::ptrdiff_t reach = 16;
  const auto size = static_cast<std::ptrdiff_t>(points.size());
  std::vector<double> even(points.size()), off(points.size());
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const std::ptrdiff_t r = std::min({reach, i, size - 1 - i});  // symmetric, so that a slope does not bend it
    const auto at = static_cast<std::size_t>(i);
    const double smooth = median(std::span(late).subspan(at - static_cast<std::size_t>(r), static_cast<std::size_t>(2 * r + 1)));
    even[at] = origin + n[at] * period + smooth;
    off[at] = late[at] - smooth;
  }
  // Looks come up to a distance after the tooth, and far later only when other programs held them up.
  const double early = -percentile(off, 0.05), late_half = percentile(off, 0.75);
  if (std::max(early, late_half) > look) return comb;
  const double delay = std::min(mean_delay * look, 1.11 * early);
  for (std::size_t i = 0; i < even.size(); ++i) comb.times[i] = even[i] - delay;
  return comb;
}

Found<double> common_step(const std::vector<Point>& points) {
  Found<double> found;
  double largest = 0;
  for (const Point& p : points) largest = std::max(largest, std::abs(p.v));
  const double blur = std::max(64 * std::numeric_limits<double>::epsilon() * largest, 1e-9);
  double step = 0;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const double d = std::abs(points[i].v - points[i - 1].v);
    double a = std::max(d, step), b = std::min(d, step);
    while (b > 4 * blur) {  // Euclid's, on numbers with rounding
      double rest = std::fmod(a, b);
      if (b - rest < 4 * blur || rest < 4 * blur) rest = 0;
      a = std::exchange(b, rest);
    }
    step = a;
    if (step > 4 * blur && d > step) step = d / std::round(d / step);
  }
  if (points.size() < 10)
    found.missing = "too few values were seen";
  else if (step < 100 * blur)
    found.missing = "no common step is seen";
  else
    found = {step, step, step, {}};
  return found;
}

}  // namespace sensor

namespace {

using sensor::Comb;
using sensor::Observation;
using sensor::OnTime;
using sensor::Point;
using Part = CalibrationSection::Part;

const CalibrationSection* section_of(const LoadTimeline& timeline, Part part) {
  for (const CalibrationSection& s : timeline.sections)
    if (s.part == part) return &s;
  return nullptr;
}

template <class Q>
Found<Q> as_quantity(const Found<double>& x) {
  Found<Q> found;
  if (x.value) found = {Q(*x.value), Q(x.low), Q(x.high), {}};
  found.missing = x.missing;
  return found;
}

// Scatter around a straight line, in the second half of the steady load: what averages has then settled.
Found<double> plateau_noise(const std::vector<Point>& points, const std::vector<double>& times, const LoadTimeline& timeline) {
  Found<double> found;
  const CalibrationSection* steady = section_of(timeline, Part::steady);
  std::vector<double> t, v;
  for (std::size_t i = 0; steady != nullptr && i < points.size(); ++i) {
    if (times[i] < (steady->start.value() + steady->end.value()) / 2 || times[i] > steady->end.value()) continue;
    t.push_back(times[i] - steady->start.value());
    v.push_back(points[i].v);
  }
  if (t.size() < 6) {
    found.missing = "only " + std::to_string(t.size()) + " new values under steady load";
    return found;
  }
  const Line line = fit_line(t, v);
  double squares = 0;
  for (std::size_t i = 0; i < t.size(); ++i) {
    const double off = v[i] - line.intercept - line.slope * t[i];
    squares += off * off;
  }
  const double sd = std::sqrt(squares / static_cast<double>(t.size() - 2));
  return {sd, sd, sd, {}};
}

// A counter's differences as powers with windows of their own, at least 10 ms long.
std::vector<Observation> counter_observations(const std::vector<Point>& points, const std::vector<double>& times,
                                              const CalibrationSection& steps) {
  std::vector<Observation> all;
  std::optional<std::size_t> before;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (times[i] < steps.start.value() || times[i] > steps.end.value()) continue;
    if (before && times[i] - times[*before] < 0.01) continue;
    const double span = before ? times[i] - times[*before] : 0;
    if (before) all.push_back({times[i], (points[i].v - points[*before].v) / span, span});
    before = i;
  }
  return all;
}

std::vector<Observation> power_observations(const std::vector<Point>& points, const std::vector<double>& times,
                                            const CalibrationSection& steps) {
  std::vector<Observation> all;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (times[i] >= steps.start.value() && times[i] <= steps.end.value()) all.push_back({times[i], points[i].v, 0});
  return all;
}

// Mean of the power that shows between two times.
std::optional<double> shown_mean(const ZoneRecord& zone, double from, double to) {
  double sum = 0, reached = from;
  std::optional<double> shown;
  for (const Sample& s : zone.samples) {
    if (!s.power) continue;
    const double t = s.time.value();
    if (t > to) break;
    if (t > from) {
      if (!shown) return std::nullopt;
      sum += *shown * (t - reached);
      reached = t;
    }
    shown = s.power->value();
  }
  if (!shown || to <= from) return std::nullopt;
  return (sum + *shown * (to - reached)) / (to - from);
}

// Against what the load really was over the time that the readings are of: no pulse is exactly a quarter long.
Found<double> phase_spread(const ZoneRecord& zone, const LoadTimeline& timeline, const SensorFigures<Watts>& power,
                           const sensor::StepFit& levels) {
  Found<double> found;
  if (!power.period.value || !power.window.value || !power.lag.value) {
    found.missing = "bursts need the sensor's period, window and lag";
    return found;
  }
  const OnTime on(timeline.switches);
  const double window = power.window.value->value(), lag = power.lag.value->value(), period = power.period.value->value();
  std::vector<double> ratios;
  for (const CalibrationSection& s : timeline.sections) {
    if (s.part != Part::bursts || !s.locked || std::abs(s.burst_period.value() / period - 1) > 0.02) continue;
    const double from = s.start.value() + window + lag + period, to = s.end.value();
    const auto shown = shown_mean(zone, from, to);
    if (!shown) continue;
    const double first = from - lag - window, share = (on(to - lag) - on(first)) / (to - lag - first);
    ratios.push_back(*shown / (levels.idle + (levels.loaded - levels.idle) * share));
  }
  if (ratios.size() < 3) {
    found.missing = "the load could not pulse in step with it";
    return found;
  }
  const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
  const double spread = (*high - *low) / mean(ratios);
  return {spread, spread, spread, {}};
}

template <class Q>
sensor::StepFit analyse_quantity(const ZoneRecord& zone, const LoadTimeline& timeline, double look, bool counter,
                                 SensorFigures<Q>& figures) {
  const std::vector<Point> points = sensor::changes(zone, counter);
  const Comb comb = sensor::find_comb(points, look);
  figures.period = comb.period;
  figures.resolution = as_quantity<Q>(sensor::common_step(points));
  figures.noise = as_quantity<Q>(plateau_noise(points, comb.times, timeline));
  sensor::StepFit fit;
  if (const CalibrationSection* steps = section_of(timeline, Part::steps))
    fit = sensor::fit_steps(
        counter ? counter_observations(points, comb.times, *steps) : power_observations(points, comb.times, *steps),
        OnTime(timeline.switches));
  else
    fit.lag.missing = fit.window.missing = "no steps were driven";
  // Looks tell when a value was new to a fraction of their distance, and no fit can know better.
  for (Found<Seconds>* found : {&fit.lag, &fit.window}) {
    if (!found->value) continue;
    found->low = std::max(Seconds(0), found->low - Seconds(look / 4));
    found->high += Seconds(look / 4);
  }
  figures.lag = fit.lag;
  if (!counter) figures.window = fit.window;
  return fit;
}

// Under a steady load with the same work each time: joules of the whole over units of the whole.
ReferenceRun reference_of(const ZoneRecord& zone, const LoadTimeline& timeline) {
  ReferenceRun run;
  for (const CalibrationSection& s : timeline.sections) {
    if (s.part != Part::reference || s.units < 1) continue;
    const WindowEnergy energy = window_energy(zone, s.start, s.end);
    if (energy.joules && *energy.joules > Joules(0))
      run.J_per_unit.push_back(energy.joules->value() / static_cast<double>(s.units));
    run.s_per_unit.push_back((s.end - s.start).value() / static_cast<double>(s.units));
  }
  return run;
}

bool shows(const ZoneRecord& zone, std::optional<Joules> Sample::*field) {
  return std::any_of(zone.samples.begin(), zone.samples.end(), [&](const Sample& s) { return (s.*field).has_value(); });
}
bool shows(const ZoneRecord& zone, std::optional<Watts> Sample::*field) {
  return std::any_of(zone.samples.begin(), zone.samples.end(), [&](const Sample& s) { return (s.*field).has_value(); });
}

std::string first_fault(const ZoneRecord& zone) {
  for (const Sample& s : zone.samples)
    if (s.fault != Fault::none) return s.reason;
  return {};
}

}  // namespace

template <class Q>
std::optional<bool> SensorFigures<Q>::aliases() const {
  if (!phase_spread.value) return std::nullopt;
  return *phase_spread.value > aliasing_spread;
}
template struct SensorFigures<Joules>;
template struct SensorFigures<Watts>;

ZoneCalibration analyse_calibration(const ZoneRecord& zone, const LoadTimeline& timeline, double polls_per_s) {
  ZoneCalibration result;
  result.zone = zone.name;
  result.meter = zone.meter;
  result.label = zone.label;
  const double look = 1 / std::max(polls_per_s, 1.0);
  bool follows = false;
  if (shows(zone, &Sample::power)) {
    const sensor::StepFit fit = analyse_quantity(zone, timeline, look, false, result.power.emplace());
    result.power->phase_spread = phase_spread(zone, timeline, *result.power, fit);
    follows = fit.lag.value.has_value();
    if (follows) result.idle = Watts(fit.idle), result.loaded = Watts(fit.loaded);
  }
  if (shows(zone, &Sample::energy)) {
    const sensor::StepFit fit = analyse_quantity(zone, timeline, look, true, result.counter.emplace());
    follows = follows || fit.lag.value.has_value();
    if (fit.lag.value) result.idle = Watts(fit.idle), result.loaded = Watts(fit.loaded);
  }
  if (!follows) {
    const std::string fault = first_fault(zone);
    result.unusable = !fault.empty()                     ? fault
                      : !result.power && !result.counter ? zone.name + " gave no value"
                                                         : zone.name + " does not show the load";
    return result;
  }
  result.reference = {reference_of(zone, timeline)};
  if (result.reference.front().J_per_unit.empty()) result.reference.clear();
  settle_between_runs(result);
  return result;
}

void settle_between_runs(ZoneCalibration& calibration) {
  calibration.between_run_sd.reset();
  calibration.between_run_sd_time.reset();
  calibration.repeats = 0;
  if (calibration.reference.empty()) return;
  std::vector<double> logs, times;
  for (const ReferenceRun& run : calibration.reference) {
    if (run.load != calibration.reference.back().load) continue;
    for (const double joules : run.J_per_unit) logs.push_back(std::log(joules));
    for (const double seconds : run.s_per_unit) times.push_back(std::log(seconds));
  }
  calibration.repeats = static_cast<int>(logs.size());
  if (logs.size() >= 2) calibration.between_run_sd = std::sqrt(variance(logs));
  if (times.size() >= 2 && times.size() == logs.size()) calibration.between_run_sd_time = std::sqrt(variance(times));
}

}  // namespace eaq
