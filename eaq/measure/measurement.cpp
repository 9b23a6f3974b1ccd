#include <algorithm>
#include <cmath>
#include <cstdio>

#include "eaq/measure/protocol.h"

namespace eaq {

namespace {

// Flat: the line through the latest windows rises or falls by at most 0.2 % per window, or by no more than its own noise.
bool is_flat(std::span<const double> windows) {
  constexpr std::size_t looked_at = 5;
  if (windows.size() < looked_at) return false;
  const std::span<const double> last = windows.last(looked_at);
  const std::vector<double> x{0, 1, 2, 3, 4};
  const Line line = fit_line(x, last);
  return std::abs(line.slope) <= std::max(0.002 * mean(last), 2 * line.slope_error);
}

// The first tally that moved within a window, in words; empty where none did.
std::string moved(const std::vector<Tally>& before, const std::vector<Tally>& after) {
  for (std::size_t i = 0; i < std::min(before.size(), after.size()); ++i)
    if (before[i].value != after[i].value) return after[i].name;
  return {};
}

std::string disagreement(const ZoneRecord& zone, const CrossCheck& check) {
  char text[160];
  std::snprintf(text, sizeof text, ": the integral of its power is %+.1f %% off its counter over %.0f s; one of the two is wrong",
                100 * check.difference(), check.span.value());
  return zone.name + text;
}

}  // namespace

Measurement::Measurement(std::span<const Workload> workloads, MeterSet& meters, Clock& clock, ZoneRole device, Seconds poll,
                         std::uint64_t seed)
    : workloads_(workloads),
      meters_(meters),
      clock_(clock),
      listener_(meters.listener()),
      origin_(clock.now()),
      typical_(workloads.size()),
      next_(workloads.size()),
      latencies_ms_(workloads.size()),
      halves_(workloads.size()),
      controls_(workloads.size()) {
  analysis_.seed = seed;
  analysis_.headline = meters.headline(device);
  unavailable_ = meters.why_no_headline(device);
  if (meters.empty()) return;
  sampler_.emplace(meters, clock, Sampler::Options{poll});
  origin_ = sampler_->origin();
}

bool Measurement::only_assumed() const {
  return reads_energy() && std::all_of(analysis_.headline.begin(), analysis_.headline.end(), [&](std::size_t z) {
           return meters_.meters()[meters_.zones()[z].meter]->label() == MeterLabel::assumed;
         });
}

std::optional<Seconds> Measurement::period() const {
  Seconds slowest;
  for (const std::size_t z : analysis_.headline) {
    const auto& period = meters_.zones()[z].zone.period;
    if (!period) return std::nullopt;
    slowest = std::max(slowest, *period);
  }
  return slowest;
}

Seconds Measurement::memory() const {
  Seconds longest;
  for (const std::size_t z : analysis_.headline) {
    const Zone& zone = meters_.zones()[z].zone;
    const Seconds window = zone.counter ? Seconds(0) : zone.window.value_or(Seconds(0));
    longest = std::max(longest, window + zone.lag.value_or(Seconds(0)));
  }
  return longest;
}

void Measurement::warm_up(std::size_t workload, std::int64_t iterations) {
  for (std::int64_t i = 0; i < iterations; ++i) {
    const Seconds start = clock_.now();
    workloads_[workload].run(i, listener_);
    workloads_[workload].finish();
    typical_[workload] = clock_.now() - start;
  }
}

void Measurement::first_pass(std::int64_t iterations) {
  for (std::size_t w = 0; w < workloads_.size() && !interrupted(); ++w) warm_up(w, iterations);
}

WarmUp Measurement::settle(std::size_t workload, Seconds bound) {
  const Seconds window = std::max(Seconds(reads_energy() && !only_assumed() ? 0.5 : 0.1), typical_[workload]),
                begun = clock_.now();
  std::vector<double> latencies, powers;
  WarmUp warm;
  while (!interrupted() && !warm.flat && clock_.now() - begun < bound) {
    const Seconds start = clock_.now();
    std::int64_t runs = 0;
    do {
      workloads_[workload].run(warm.iterations++, listener_);
      ++runs;
    } while (clock_.now() - start < window);
    workloads_[workload].finish();
    latencies.push_back((clock_.now() - start).value() / static_cast<double>(runs));
    std::optional<Watts> power;
    if (reads_energy() && !only_assumed()) power = sampler_->recent_power(analysis_.headline, start);
    if (power) powers.push_back(power->value());
    warm.flat = is_flat(latencies) && (powers.empty() || is_flat(powers));
  }
  warm.duration = clock_.now() - begun;
  return warm;
}

Visit Measurement::describe(std::size_t workload, int block, int position) const {
  Visit v;
  v.block = block;
  v.position = position;
  v.workload = workload;
  if (workload == idle_workload) {
    v.format = "idle";
    return v;
  }
  v.model = workloads_[workload].model;
  v.format = workloads_[workload].format;
  v.phase = workloads_[workload].phase;
  return v;
}

// A card's condition takes tens of milliseconds to read. Meanwhile the next visit begins: a pause would let clock and power jump,
// and a regulator at the power cap takes half a second to come to rest after each.
void Measurement::read_condition() {
  if (dynamic_cast<VirtualClock*>(&clock_) == nullptr) {
    condition_ = std::async(std::launch::async, [this] { return meters_.condition(); });
    return;
  }
  std::promise<Condition> read;  // what simulates has one thread
  read.set_value(meters_.condition());
  condition_ = read.get_future();
}

// The condition in which a visit began, which is that in which the one before it ended.
Condition Measurement::condition_now() {
  if (!condition_.valid()) return meters_.condition();
  Condition now = condition_.get();
  Visit& v = visits_[ended_];
  v.temperature = now.temperature;
  v.clock = now.clock;
  v.void_reason = now.disturbance.empty() ? moved(begun_in_.voiding, now.voiding) : now.disturbance;
  v.label = moved(begun_in_.labelling, now.labelling);
  return now;
}

void Measurement::visit(std::size_t workload, int block, int position, const VisitPlan& plan) {
  const Workload& w = workloads_[workload];
  Visit v = describe(workload, block, position);
  std::optional<Condition> before;
  if (!condition_.valid()) before = meters_.condition();
  const auto run = [&] { w.run(next_[workload]++, listener_); };
  const Seconds begun = clock_.now();
  while (clock_.now() - begun < plan.drop) run();
  if (!before) before = condition_now();
  // The window holds its runs whole, and no other: what still runs is over before it begins.
  w.finish();
  std::vector<double> latencies;
  Seconds ended = clock_.now();  // the latest run
  const auto end_of_run = [&] {
    const Seconds now = clock_.now();
    latencies.push_back((now - ended).value() * 1e3);
    ended = now;
  };
  v.start = since_start(ended);
  do {
    run();
    if (++v.iterations > w.ahead) end_of_run();
  } while (clock_.now() - begun < plan.length && v.iterations != plan.iterations);
  if (w.ahead > 0) w.finish(), end_of_run();
  v.end = since_start(ended);
  typical_[workload] = (v.end - v.start) / static_cast<double>(v.iterations);  // the first pass's may have held a recording
  auto& all = latencies_ms_[workload];
  all.insert(all.end(), latencies.begin(), latencies.end());
  if (const std::size_t half = latencies.size() / 2; half > 0) {
    const std::span<const double> runs(latencies);
    halves_[workload].push_back(std::log(mean(runs.first(half)) / mean(runs.last(half))));
  }
  ended_ = visits_.size();
  visits_.push_back(std::move(v));
  begun_in_ = std::move(*before);
  read_condition();
}

void Measurement::idle(int block, int position, const VisitPlan& plan) {
  condition_now();
  Visit v = describe(idle_workload, block, position);
  const Seconds begun = clock_.now();
  clock_.sleep_until(begun + plan.length);
  v.start = since_start(begun + plan.drop);
  v.end = since_start(clock_.now());
  visits_.push_back(std::move(v));
}

void Measurement::control(std::size_t workload, int trials, std::int64_t iterations, Seconds bound) {
  condition_now();
  for (int t = 0; t < trials && !interrupted(); ++t) {
    Visit v = describe(workload, t, 0);
    const Seconds begun = clock_.now();
    Seconds end = begun;
    while (v.iterations < iterations && end - begun < bound) {
      workloads_[workload].run(v.iterations++, listener_);
      end = clock_.now();
    }
    workloads_[workload].finish();
    end = clock_.now();
    v.start = since_start(begun);
    v.end = since_start(end);
    controls_[workload].push_back(std::move(v));
  }
}

void Measurement::add_percentiles(WorkloadResult& result, std::size_t w) const {
  const auto& runs = latencies_ms_[w];
  if (runs.empty()) return;
  result.p50_ms = percentile(runs, 0.5);
  result.p90_ms = percentile(runs, 0.9);
  result.p99_ms = percentile(runs, 0.99);
  if (halves_[w].size() < 2) return;
  const Interval logs = block_interval(halves_[w], analysis_.seed);
  result.carry_over = Interval{std::exp(logs.mean), std::exp(logs.low), std::exp(logs.high)};
}

void Measurement::add_control(WorkloadResult& result, std::size_t w, const SampleRecord& record) const {
  if (!result.energy || controls_[w].empty()) return;
  std::vector<double> values;
  for (const Visit& v : controls_[w]) {
    Joules sum;
    bool whole = v.iterations > 0;
    for (const std::size_t z : analysis_.headline) {
      const WindowEnergy e = mean_power_energy(record.zones[z], v.start, v.end);
      whole = whole && e.joules;
      sum += e.joules.value_or(Joules(0));
    }
    if (whole) values.push_back(sum.value() * 1e3 / static_cast<double>(v.iterations * workloads_[w].samples_per_run));
  }
  if (!values.empty()) result.energy->mean_power_method_mJ = mean(values);
}

// Fewer than four values of a sampled power in some visit.
bool Measurement::seldom(std::size_t w, const WorkloadResult& result) const {
  if (!result.energy || result.energy->method != EnergyMethod::integral || only_assumed()) return false;
  return std::any_of(visits_.begin(), visits_.end(), [&](const Visit& v) { return v.workload == w && v.joules && v.edges < 4; });
}

bool Measurement::aliases() const {
  return std::any_of(analysis_.headline.begin(), analysis_.headline.end(),
                     [&](std::size_t z) { return meters_.zones()[z].zone.aliases; });
}

MeasureResult Measurement::finish(bool mean_power) {
  condition_now();
  SampleRecord record;
  if (sampler_) record = sampler_->stop();
  analysis_.mean_power = mean_power;
  weigh_visits(visits_, record, analysis_);
  std::vector<std::int64_t> samples;
  for (const Workload& w : workloads_) samples.push_back(w.samples_per_run);
  MeasureResult result = analyse(visits_, record, samples, analysis_);
  for (std::size_t w = 0; w < workloads_.size(); ++w) {
    WorkloadResult& one = result.workloads[w];
    one.name = workloads_[w].name;
    one.model = workloads_[w].model;
    one.format = workloads_[w].format;
    one.phase = workloads_[w].phase;
    add_percentiles(one, w);
    add_control(one, w, record);
    if (mean_power && one.energy) one.energy->mean_power_method_mJ = one.energy->mJ_per_sample.ci95.mean;
    if (!one.energy && !unavailable_.empty()) one.energy_unavailable = unavailable_;
    if (!one.energy && one.energy_unavailable.empty()) one.energy_unavailable = "no visit gave joules";
    if (seldom(w, one))
      one.notes.emplace_back(
          "the power moves seldom within a visit and mixes in the one before: lengthen the visits (--min-seconds)");
    if (one.energy && one.energy->method != EnergyMethod::counter && aliases())
      one.notes.emplace_back("the power sensor aliases: work that keeps step with it is read wrong (eaq meter --calibrate)");
    if (one.void_visits > 0)
      one.notes.push_back(std::to_string(one.void_visits) + " visits are void for energy; visits.csv says why");
  }
  for (const std::size_t z : analysis_.headline)
    if (const auto check = cross_check(record.zones[z]); check && check->disagrees())
      for (WorkloadResult& one : result.workloads) one.notes.push_back(disagreement(record.zones[z], *check));
  result.visits = std::move(visits_);
  result.record = std::move(record);
  result.energy_unavailable = unavailable_;
  result.interrupted = interrupted();
  return result;
}

}  // namespace eaq
