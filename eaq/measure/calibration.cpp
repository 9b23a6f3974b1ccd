// Drives a device with known loads while its sensors are looked at.
#include <algorithm>
#include <array>
#include <cmath>

#include "eaq/measure/sensor.h"

namespace eaq {
namespace {

using Part = CalibrationSection::Part;

constexpr Seconds steady_length(6), shortest_step(1.5), longest_step(3.5), reference_length(2.5), reference_head(0.5), pause(1);
constexpr Seconds look(0.002);
constexpr int steps = 12, phases = 6;
constexpr double duty = 0.25;
constexpr Seconds scaled_expected(62), bursts_expected(13);

bool can_follow(MeterLabel label) { return label == MeterLabel::measured || label == MeterLabel::synthetic; }

void check(const MeterSet& meters) {
  if (meters.empty()) throw Error(ErrorKind::unavailable, "nothing to calibrate: " + meters.why_none());
  for (const auto& meter : meters.meters())
    if (can_follow(meter->label())) return;
  throw Error(ErrorKind::unavailable,
              "nothing to calibrate: a recording or a stated power does not follow a load. Name a sensor: "
              "`eaq meter` lists those of this machine");
}

class Driver {
 public:
  Driver(MeterSet& meters, Clock& clock, const CalibrationLoad& load, const CalibrationOptions& options,
         const ProgressCallback& progress)
      : clock_(clock),
        load_(load),
        options_(options),
        progress_(progress),
        rng_(options.seed),
        sampler_(meters, clock, {.poll = look}),
        origin_(sampler_.origin()) {}

  CalibrationRun run() {
    tell("steady load");
    steady();
    tell("steps");
    on_and_off();
    const SampleRecord so_far = sampler_.record_so_far();
    std::vector<ZoneCalibration> found;
    for (const ZoneRecord& zone : so_far.zones) found.push_back(analyse_calibration(zone, timeline_, so_far.polls_per_s));
    tell("bursts");
    bursts(found);
    tell("reference");
    references(found);
    sleep(scaled(Seconds(0.5)));
    if (interrupted()) throw Error(ErrorKind::interrupted, "interrupted before the calibration was whole; nothing is kept of it");
    CalibrationRun all;
    all.record = sampler_.stop();
    all.timeline = std::move(timeline_);
    for (const ZoneRecord& zone : all.record.zones) {
      if (!can_follow(zone.label)) continue;
      ZoneCalibration one = analyse_calibration(zone, all.timeline, all.record.polls_per_s);
      one.when = timestamp_utc();
      one.load = load_.name;
      for (ReferenceRun& run : one.reference) run.when = one.when, run.load = one.load;
      settle_between_runs(one);
      all.zones.push_back(std::move(one));
    }
    if (progress_) progress_(1, "");
    return all;
  }

 private:
  Seconds now() { return clock_.now() - origin_; }
  Seconds scaled(Seconds t) const { return t * options_.seconds_scale; }
  void sleep(Seconds length) { sleep_until(now() + length); }
  void sleep_until(Seconds t) {
    const Seconds end = origin_ + t;
    while (!interrupted() && clock_.now() < end) clock_.sleep_until(std::min(end, clock_.now() + Seconds(0.25)));
  }
  void tell(std::string_view what) {
    what_ = what;
    tell();
  }
  void tell() {
    if (progress_) progress_(std::min(0.99, now() / (scaled(scaled_expected) + bursts_expected)), what_);
  }

  // Units of work until a time, at least one; ends as near to it as whole units allow.
  std::int64_t work_until(Seconds end) {
    std::int64_t units = 0;
    timeline_.switches.push_back({now(), true});
    Seconds told = now();
    do {
      const Seconds start = now();
      load_.work();
      ++units;
      unit_ = units == 1 && unit_ == Seconds(0) ? now() - start : unit_ * 0.95 + (now() - start) * 0.05;
      if (now() - told > Seconds(0.5)) tell(), told = now();
    } while (!interrupted() && now() + unit_ * 0.5 < end);
    timeline_.switches.push_back({now(), false});
    return units;
  }

  void add(Part part, Seconds start) { timeline_.sections.push_back({.part = part, .start = start, .end = now()}); }

  void steady() {
    sleep(scaled(Seconds(0.3)));
    Seconds start = now();
    work_until(start + scaled(steady_length));
    add(Part::steady, start);
    start = now();
    sleep(scaled(steady_length));
    add(Part::steady, start);
  }

  // The slowest of the periods found so far: switches fall on all its phases evenly, so that the lag is told as finely as steps
  // can tell it.
  Seconds slowest_period() {
    const SampleRecord record = sampler_.record_so_far();
    Seconds slowest;
    for (const ZoneRecord& zone : record.zones)
      for (const bool counter : {true, false}) {
        const auto comb = sensor::find_comb(sensor::changes(zone, counter), 1 / record.polls_per_s);
        if (comb.period.value) slowest = std::max(slowest, *comb.period.value);
      }
    return slowest;
  }

  void on_and_off() {
    const Seconds period = slowest_period(), start = now();
    Seconds last = start;
    for (int i = 1; i <= steps && !interrupted(); ++i) {
      Seconds end = last + scaled(shortest_step + (longest_step - shortest_step) * rng_.uniform());
      if (period > Seconds(0)) {
        const double phase = i * 0.6180339887498949, at = (end - start) / period;
        end += period * (std::ceil(at - (phase - std::floor(phase))) + (phase - std::floor(phase)) - at);
      }
      if (i % 2 == 1)
        work_until(end);
      else
        sleep_until(end);
      last = std::max(end, now());
      tell();
    }
    add(Part::steps, start);
  }

  void burst_section(Seconds first, Seconds period, Seconds length, bool locked) {
    sleep_until(first);
    const Seconds start = now();
    for (Seconds next = first; next + period <= first + length + period * 0.5 && !interrupted(); next += period) {
      sleep_until(next);
      work_until(next + period * duty);
    }
    sleep_until(first + length);
    timeline_.sections.push_back(
        {.part = Part::bursts, .start = start, .end = now(), .burst_period = period, .locked = locked, .units = 0});
    tell();
  }

  void bursts(const std::vector<ZoneCalibration>& found) {
    std::vector<Seconds> done;
    for (const ZoneCalibration& zone : found) {
      if (!zone.power || !zone.power->period.value || !zone.power->window.value) continue;
      const Seconds period = *zone.power->period.value;
      const auto near = [](Seconds a, Seconds b) { return std::abs(a / b - 1) < 0.02; };
      if (done.size() >= 3 || period * duty < unit_ * 1.5) continue;
      if (std::any_of(done.begin(), done.end(), [&](Seconds d) { return near(d, period); })) continue;
      done.push_back(period);
      Seconds memory;  // of the slowest sensor with this period
      for (const ZoneCalibration& other : found)
        if (other.power && other.power->period.value && other.power->window.value && near(*other.power->period.value, period))
          memory = std::max(memory, *other.power->window.value + *other.power->lag.value);
      const Seconds length = memory + period * 2 + std::max(period * 6, Seconds(0.3));
      const Seconds anchor = now();
      for (int phase = 0; phase < phases && !interrupted(); ++phase) {
        const double shift = static_cast<double>(phase) / phases;
        burst_section(anchor + period * (std::ceil((now() - anchor) / period - shift) + shift), period, length, true);
      }
      // A little slower than the sensor: its readings pass through all phases in a beat.
      burst_section(now(), period * (13.0 / 12), memory + period * 14, false);
    }
  }

  // The same number of units each time, after a head that no figure sees.
  void references(const std::vector<ZoneCalibration>& found) {
    Seconds head = scaled(reference_head);
    for (const ZoneCalibration& zone : found)
      if (zone.power && zone.power->window.value && !zone.counter)
        head = std::max(head, *zone.power->window.value + *zone.power->lag.value);
    const auto units = static_cast<std::int64_t>(std::max(1.0, scaled(reference_length) / unit_));
    for (int repeat = 0; repeat < options_.repeats && !interrupted(); ++repeat) {
      sleep(scaled(pause));
      const Seconds begun = now();
      timeline_.switches.push_back({begun, true});
      while (now() - begun < head && !interrupted()) load_.work();
      const Seconds start = now();
      for (std::int64_t i = 0; i < units && !interrupted(); ++i) load_.work();
      timeline_.sections.push_back({.part = Part::reference, .start = start, .end = now(), .units = units});
      timeline_.switches.push_back({now(), false});
      tell();
    }
  }

  Clock& clock_;
  const CalibrationLoad& load_;
  const CalibrationOptions options_;
  const ProgressCallback& progress_;
  Rng rng_;
  Sampler sampler_;
  const Seconds origin_;
  LoadTimeline timeline_;
  Seconds unit_{};  // of work
  std::string what_;
};

}  // namespace

CalibrationRun calibrate(MeterSet& meters, Clock& clock, const CalibrationLoad& load, const CalibrationOptions& options,
                         const ProgressCallback& progress) {
  check(meters);
  if (!load.work || options.seconds_scale <= 0 || options.repeats < 0) throw Error(ErrorKind::bug, "calibrate: bad options");
  load.work();  // pages, caches, plans
  return Driver(meters, clock, load, options, progress).run();
}

}  // namespace eaq
