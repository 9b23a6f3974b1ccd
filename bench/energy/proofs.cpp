// The method of measurement against a real card: each experiment of docs/measurement.md, one per name, so that anyone can repeat
// it.
//   energy_proofs EXPERIMENT... [--device cuda] [--meter SPEC] [--pairs N] [--more PERCENT] [--seed N]
// Every experiment prints one line of text per figure and, last, the same as one line of JSON.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/kernel/kernel.h"
#include "eaq/measure/measure.h"
#include "eaq/meter/meter.h"
#include "eaq/stats/stats.h"

namespace {

using namespace eaq;

struct Settings {
  std::string device = "cuda";
  std::vector<std::string> meters;
  int pairs = 20;
  double more_percent = 0;
  double visit = 0.6;
  int blocks = 8;
  std::int64_t rows = 0;
  bool idle = false;
  std::uint64_t seed = 1;
  std::string record;  // folder for recordings; empty: none
};

// The device's load under its meters, with the zones that are charged.
struct Bench {
  explicit Bench(const Settings& s)
      : settings(s),
        load(open_load(s.device, {.rows = s.rows})),
        role(s.device == "cpu" ? ZoneRole::cpu : ZoneRole::gpu),
        clock(monotonic_clock()) {
    MeterOptions options = meter_options_from_environment();
    if (role == ZoneRole::gpu) options.gpu = load->device();
    meters = open_meters(settings.meters, std::nullopt, options);
    headline = meters.headline(role);
    if (headline.empty()) throw Error(ErrorKind::unavailable, meters.why_no_headline(role));
    const Seconds begun = clock.now();
    load->run(20);
    unit = (clock.now() - begun) / 20;
  }

  void busy_until(Seconds t) {
    while (clock.now() < t) load->run(chunk());
  }
  void busy_for(Seconds t) { busy_until(clock.now() + t); }
  void idle_for(Seconds t) { clock.sleep_until(clock.now() + t); }
  std::int64_t chunk() const { return std::max<std::int64_t>(1, static_cast<std::int64_t>(0.004 / unit.value())); }
  const ZoneRecord& main_zone(const SampleRecord& record) const { return record.zones.at(headline.front()); }
  const ZoneRecord* instant(const SampleRecord& record) const {
    for (const ZoneRecord& zone : record.zones)
      if (zone.name.ends_with("/instant")) return &zone;
    return nullptr;
  }

  Settings settings;
  std::unique_ptr<Load> load;
  ZoneRole role;
  Clock& clock;
  MeterSet meters;
  std::vector<std::size_t> headline;
  Seconds unit;
};

void keep(const Bench& b, const std::string& name, const SampleRecord& record) {
  if (!b.settings.record.empty()) write_samples(b.settings.record + "/" + name + ".csv.zst", record);
}

ZoneRecord as_power(ZoneRecord zone) {
  zone.zone.counter = false;
  return zone;
}

double stddev(std::span<const double> x) {
  const double m = mean(x);
  double sum = 0;
  for (const double v : x) sum += (v - m) * (v - m);
  return std::sqrt(sum / static_cast<double>(x.size() - 1));
}

double percent(double a, double b) { return 100 * (a / b - 1); }

double joules_of(const WindowEnergy& e) {
  if (!e.joules) throw Error(ErrorKind::unavailable, e.reason);
  return e.joules->value();
}

Json interval_json(const Interval& i) { return {{"mean", i.mean}, {"ci95", {i.low, i.high}}}; }

// What one look costs, and how far apart the values are.
Json looks(Bench& b) {
  std::vector<double> cost;
  const Seconds begun = b.clock.now();
  while (b.clock.now() - begun < Seconds(4)) {
    const Seconds start = b.clock.now();
    b.meters.read();
    cost.push_back((b.clock.now() - start).value() * 1e3);
  }
  fmt::print("looks: one takes {:.2f} ms (median), {:.2f} ms (p99)\n", percentile(cost, 0.5), percentile(cost, 0.99));
  return {{"look_ms", percentile(cost, 0.5)}, {"look_p99_ms", percentile(cost, 0.99)}};
}

// One long plateau: counter against integral, and the same power whatever the window's length.
Json plateau(Bench& b) {
  b.busy_for(Seconds(5));
  Sampler sampler(b.meters, b.clock);
  b.busy_for(Seconds(66));
  const SampleRecord record = sampler.stop();
  keep(b, "plateau", record);
  const ZoneRecord& zone = b.main_zone(record);
  Json rows = Json::array();
  for (const double length : {1.0, 2.0, 5.0, 10.0, 30.0, 60.0}) {
    std::vector<double> watts, average, instant;
    for (double start = 2; start + length <= 65; start += std::max(length, 1.0)) {
      const Seconds from(start), to(start + length);
      watts.push_back(joules_of(window_energy(zone, from, to)) / length);
      average.push_back(percent(joules_of(window_energy(as_power(zone), from, to)) / length, watts.back()));
      if (const ZoneRecord* short_window = b.instant(record))
        instant.push_back(percent(joules_of(window_energy(*short_window, from, to)) / length, watts.back()));
    }
    const double spread = watts.size() > 1 ? 100 * stddev(watts) / mean(watts) : 0;
    fmt::print("window {:>2.0f} s: {:.2f} W over {} windows (spread {:.3f} %); integral of the average power {:+.2f} %", length,
               mean(watts), watts.size(), spread, mean(average));
    if (!instant.empty()) fmt::print(", of the instantaneous {:+.2f} %", mean(instant));
    fmt::print("\n");
    rows.push_back({{"seconds", length},
                    {"watts", mean(watts)},
                    {"windows", watts.size()},
                    {"spread_percent", spread},
                    {"average_percent", mean(average)},
                    {"instant_percent", instant.empty() ? Json() : Json(mean(instant))}});
  }
  return rows;
}

// Bursts of a quarter of the sensor's period, phase-locked to it: what a mean of instantaneous power makes of them.
Json bursts(Bench& b) {
  const double period = 0.1, duty = 0.25;
  Json rows = Json::array();
  b.busy_for(Seconds(2));
  for (int phase = 0; phase < 8; ++phase) {
    b.idle_for(Seconds(1.5));
    Sampler sampler(b.meters, b.clock);
    const Seconds origin = sampler.origin();
    // Eight phases, evenly over the sensor's period: where its own beat lies does not matter.
    const Seconds begun = Seconds(std::ceil((b.clock.now() - origin).value() / period) * period + period * phase / 8) + origin;
    for (int i = 0; i < 40; ++i) {
      const Seconds start = begun + Seconds(period * i);
      b.clock.sleep_until(start);
      while (b.clock.now() < start + Seconds(period * duty)) b.load->run(b.chunk());
    }
    const SampleRecord record = sampler.stop();
    if (phase == 0) keep(b, "bursts", record);
    const Seconds from = begun - origin + Seconds(0.5), to = begun - origin + Seconds(period * 40);
    const double counter = joules_of(window_energy(b.main_zone(record), from, to)) / (to - from).value();
    const ZoneRecord* instant = b.instant(record);
    const double mean_instant =
        instant == nullptr ? std::nan("") : joules_of(window_energy(*instant, from, to)) / (to - from).value();
    fmt::print("bursts, phase {}/8: counter {:.0f} W, mean of instantaneous power {:.0f} W ({:+.0f} %)\n", phase, counter,
               mean_instant, percent(mean_instant, counter));
    rows.push_back({{"phase", phase / 8.0}, {"counter_W", counter}, {"instant_W", mean_instant}});
  }
  return rows;
}

// The common method against the counter, by how long a run lasts.
Json mean_power(Bench& b) {
  Json rows = Json::array();
  b.busy_for(Seconds(3));
  for (const double length : {0.5, 1.0, 2.0, 5.0, 10.0}) {
    std::vector<double> errors;
    for (int repeat = 0; repeat < 3; ++repeat) {
      b.idle_for(Seconds(2.5));  // an averaging sensor forgets
      Sampler sampler(b.meters, b.clock);
      const Seconds origin = sampler.origin(), quiet = b.clock.now();
      b.idle_for(Seconds(1.0 + 0.037 * repeat));
      const Seconds start = b.clock.now();
      b.busy_for(Seconds(length));
      const Seconds end = b.clock.now();
      b.idle_for(Seconds(1.3));
      const SampleRecord record = sampler.stop();
      if (length == 2 && repeat == 0) keep(b, "run", record);
      const SpanEnergy truth =
          span_energy(b.main_zone(record), {quiet - origin, start - origin, end - origin, b.clock.now() - origin});
      if (!truth.joules) throw Error(ErrorKind::unavailable, truth.reason);
      errors.push_back(
          percent(joules_of(mean_power_energy(b.main_zone(record), start - origin, end - origin)), truth.joules->value));
    }
    const Interval interval = t_interval(errors);
    fmt::print("mean power x time, runs of {:>4.1f} s: {:+.1f} % [{:+.1f}, {:+.1f}] against the counter\n", length, interval.mean,
               interval.low, interval.high);
    rows.push_back({{"seconds", length}, {"error_percent", interval_json(interval)}});
  }
  return rows;
}

Workload workload_of(Bench& b, const std::string& name, std::int64_t units) {
  return {.name = name,
          .model = "load",
          .format = name,
          .phase = "forward",
          .samples_per_run = 1,
          .run = [&b, units](std::int64_t, StepListener*) { b.load->run(units); }};
}

struct Found {
  std::vector<double> ratios, half_widths;
  int differ = 0, time_differ = 0;

  void add(const PairResult& pair) {
    const Interval& ratio = pair.energy_ratio.value();
    differ += ratio.low > 1 || ratio.high < 1;
    time_differ += pair.speedup.low > 1 || pair.speedup.high < 1;
    ratios.push_back(ratio.mean);
    half_widths.push_back(100 * (ratio.high - ratio.low) / 2);
  }
  Json told(const char* what) const {
    fmt::print("{}: {} of {} differ in energy ({} in time); median half-width {:.3f} %; mean ratio {:.4f}\n", what, differ,
               ratios.size(), time_differ, percentile(half_widths, 0.5), mean(ratios));
    return {{"pairs", ratios.size()},
            {"differ", differ},
            {"time_differ", time_differ},
            {"median_half_width_percent", percentile(half_widths, 0.5)},
            {"ratios", ratios}};
  }
};

// Two workloads that are the same, and a third with so much more work, interleaved: how often the first two "differ", and how
// often the third is found out.
Json pairs(Bench& b) {
  const std::int64_t base = std::max<std::int64_t>(100, static_cast<std::int64_t>(0.02 / b.unit.value()) / 50 * 50);
  const auto more = static_cast<std::int64_t>(std::llround(static_cast<double>(base) * (1 + b.settings.more_percent / 100)));
  b.busy_for(Seconds(5));
  Found same, injected;
  int voids = 0;
  for (int i = 0; i < b.settings.pairs; ++i) {
    std::vector<Workload> workloads{workload_of(b, "a", base), workload_of(b, "b", base)};
    if (more != base) workloads.push_back(workload_of(b, "more", more));
    const MeasureResult r = measure_blocks(workloads, b.meters, b.clock,
                                           {.blocks = b.settings.blocks,
                                            .min_seconds = Seconds(b.settings.visit),
                                            .seed = b.settings.seed * 1000 + static_cast<std::uint64_t>(i),
                                            .device = b.role,
                                            .warm_up_bound = Seconds(0.1),
                                            .control_trials = 0,
                                            .idle = b.settings.idle});
    for (const WorkloadResult& w : r.workloads) voids += w.void_visits;
    if (i == 0) keep(b, "blocks", r.record);
    if (i == 0 && !b.settings.record.empty()) write_visits(b.settings.record + "/blocks-visits.csv", r.visits);
    for (const PairResult& pair : r.pairs) {
      if (!pair.energy_ratio) throw Error(ErrorKind::unavailable, "no energy: " + r.workloads[0].energy_unavailable);
      if (pair.a == 0) (pair.b == 1 ? same : injected).add(pair);
    }
    fmt::print("{:>2}: same {:.4f} +-{:.2f} %", i + 1, same.ratios.back(), same.half_widths.back());
    if (more != base) fmt::print(", more {:.4f} +-{:.2f} %", injected.ratios.back(), injected.half_widths.back());
    fmt::print("\n");
    std::fflush(stdout);
  }
  fmt::print("{} units a run, {} void visits\n", base, voids);
  Json all{{"void_visits", voids}, {"same", same.told("the same work")}};
  if (more == base) return all;
  all["truth"] = static_cast<double>(base) / static_cast<double>(more);
  all["more"] =
      injected.told(fmt::format("{:+.1f} % of work", 100 * (static_cast<double>(more) / static_cast<double>(base) - 1)).c_str());
  return all;
}

// Energy of the fixed workload, as a study would measure it.
Json fixed(Bench& b) {
  const std::vector<Workload> one{workload_of(b, "fixed", b.chunk())};
  const MeasureResult r = measure_blocks(one, b.meters, b.clock,
                                         {.blocks = b.settings.blocks,
                                          .min_seconds = Seconds(1),
                                          .seed = b.settings.seed,
                                          .device = b.role,
                                          .control_trials = 0,
                                          .idle = b.settings.idle});
  const WorkloadResult& w = r.workloads.at(0);
  if (!w.energy) throw Error(ErrorKind::unavailable, w.energy_unavailable + r.energy_unavailable);
  const auto units = static_cast<double>(b.chunk());
  const Interval& mJ = w.energy->mJ_per_sample.ci95;
  fmt::print("fixed workload: {:.3f} mJ [{:.3f}, {:.3f}] a unit, {:.4f} ms, {:.0f} W, {:.2f} pJ an operation\n", mJ.mean / units,
             mJ.low / units, mJ.high / units, w.latency_ms.ci95.mean / units, w.energy->mean_power.value(),
             mJ.mean / units * 1e9 / b.load->operations());
  return {{"mJ_per_unit", interval_json({mJ.mean / units, mJ.low / units, mJ.high / units})},
          {"ms_per_unit", w.latency_ms.ci95.mean / units},
          {"mean_power_W", w.energy->mean_power.value()}};
}

// What the sampler costs what is measured: stretches with it and without, in ABBA blocks.
Json overhead(Bench& b) {
  b.busy_for(Seconds(3));
  const std::int64_t units = std::max<std::int64_t>(1, static_cast<std::int64_t>(0.6 / b.unit.value()));
  const auto stretch = [&](bool with) {
    std::optional<Sampler> sampler;
    if (with) sampler.emplace(b.meters, b.clock);
    b.load->run(b.chunk());
    const Seconds start = b.clock.now();
    for (std::int64_t left = units; left > 0; left -= b.chunk()) b.load->run(std::min(left, b.chunk()));
    return (b.clock.now() - start).value();
  };
  std::vector<double> ratios;
  for (int block = 0; block < 16; ++block) {
    const bool first = block % 2 == 0;
    double with = 0, without = 0;
    for (const bool on : {first, !first, !first, first}) (on ? with : without) += stretch(on);
    ratios.push_back(percent(with, without));
  }
  const Interval interval = t_interval(ratios);
  fmt::print("sampler: {:+.3f} % [{:+.3f}, {:+.3f}] of the time of what is measured\n", interval.mean, interval.low,
             interval.high);
  return interval_json(interval);
}

const std::map<std::string, Json (*)(Bench&)>& experiments() {
  static const std::map<std::string, Json (*)(Bench&)> all{{"looks", looks},           {"plateau", plateau}, {"bursts", bursts},
                                                           {"mean-power", mean_power}, {"pairs", pairs},     {"fixed", fixed},
                                                           {"overhead", overhead}};
  return all;
}

int run(int count, char** arguments) {
  CLI::App app("The method of measurement against a real device");
  Settings settings;
  std::vector<std::string> chosen;
  std::vector<std::string> names;
  for (const auto& [name, experiment] : experiments()) names.push_back(name);
  app.add_option("EXPERIMENT", chosen)->required()->check(CLI::IsMember(names));
  app.add_option("--device", settings.device)->capture_default_str();
  app.add_option("--meter", settings.meters)->allow_extra_args(false);
  app.add_option("--pairs", settings.pairs)->capture_default_str();
  app.add_option("--more", settings.more_percent, "percent of work that the first of a pair has more");
  app.add_option("--visit", settings.visit, "seconds of a visit, in pairs")->capture_default_str();
  app.add_option("--blocks", settings.blocks, "of a pair")->capture_default_str();
  app.add_option("--rows", settings.rows, "of the product: few leave the card below its power limit");
  app.add_flag("--idle", settings.idle, "pauses between blocks, in pairs");
  app.add_option("--record", settings.record, "a folder that gets recordings of what the sensors said");
  app.add_option("--seed", settings.seed)->capture_default_str();
  CLI11_PARSE(app, count, arguments);
  Bench bench(settings);
  Json all{{"device", bench.load->device()}, {"load", bench.load->description()}, {"unit_ms", bench.unit.value() * 1e3}};
  fmt::print("{} ({}), {:.3f} ms a unit; charged: {}\n", bench.load->description(), bench.load->device(),
             bench.unit.value() * 1e3, bench.meters.zones()[bench.headline.front()].full_name);
  for (const std::string& name : chosen) {
    all[name] = experiments().at(name)(bench);
    std::fflush(stdout);
  }
  fmt::print("{}\n", all.dump());
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(count, arguments);
  } catch (const eaq::Error& error) {
    std::fprintf(stderr, "energy_proofs: %s\n", error.what());
    return error.exit_code();
  }
}
