#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

using ByBlock = std::map<int, double>;

// Values of one workload's visits, block by block; a block counts once it holds all its visits (two, or one in sequence).
ByBlock block_means(const std::map<int, std::vector<double>>& values, std::size_t visits_per_block) {
  ByBlock means;
  for (const auto& [block, list] : values)
    if (list.size() == visits_per_block) means[block] = mean(list);
  return means;
}

WindowEnergy energy_of(const Visit& visit, const ZoneRecord& zone, const AnalysisOptions& options) {
  return options.mean_power ? mean_power_energy(zone, visit.start, visit.end)
                            : window_energy(zone, visit.start, visit.end, visit.iterations);
}

std::vector<double> values_of(const ByBlock& blocks) {
  std::vector<double> values;
  for (const auto& [block, value] : blocks) values.push_back(value);
  return values;
}

Estimate estimate(const ByBlock& blocks, std::uint64_t seed) {
  Estimate e{{}, values_of(blocks)};
  e.ci95 = block_interval(e.trials, seed);
  return e;
}

Interval reciprocal(const Interval& x, double numerator) {
  return {numerator / x.mean, std::isinf(x.high) ? 0 : numerator / x.high,
          x.low > 0 ? numerator / x.low : std::numeric_limits<double>::infinity()};
}

// One workload's visits, gathered.
struct Gathered {
  std::map<int, std::vector<double>> seconds, joules, dynamic;  // per sample
  std::vector<double> watts;
  const Visit* first = nullptr;
  std::int64_t samples = 0;
  int voids = 0;
  std::string void_reason;  // of the first void visit
};

struct Analysis {
  const std::vector<Visit>& visits;
  const SampleRecord& record;
  std::span<const std::int64_t> samples_per_run;
  const AnalysisOptions& options;
  std::size_t visits_per_block = 1;
  std::map<int, std::vector<double>> idle;  // watts, by block
  std::vector<Gathered> gathered;
  std::vector<ByBlock> seconds, joules;

  void gather() {
    gathered.resize(samples_per_run.size());
    for (const Visit& v : visits)
      if (v.workload == idle_workload && v.joules && v.void_reason.empty())
        idle[v.block].push_back(v.joules->value() / (v.end - v.start).value());
    for (const Visit& v : visits) {
      if (v.workload == idle_workload || v.iterations == 0) continue;
      Gathered& g = gathered.at(v.workload);
      if (g.first == nullptr) g.first = &v;
      const double samples = static_cast<double>(v.iterations * samples_per_run[v.workload]), length = (v.end - v.start).value();
      g.samples += v.iterations * samples_per_run[v.workload];
      g.seconds[v.block].push_back(length / samples);
      visits_per_block = std::max(visits_per_block, g.seconds[v.block].size());
      if (!v.void_reason.empty()) {
        if (g.voids++ == 0) g.void_reason = v.void_reason;
        continue;
      }
      if (!v.joules) continue;
      g.joules[v.block].push_back(v.joules->value() / samples);
      g.watts.push_back(v.joules->value() / length);
      if (const auto at = idle.find(v.block); at != idle.end())
        g.dynamic[v.block].push_back((v.joules->value() - mean(at->second) * length) / samples);
    }
  }

  WorkloadResult result(std::size_t w) {
    const Gathered& g = gathered[w];
    WorkloadResult r;
    if (g.first == nullptr) {
      r.energy_unavailable = "not measured";
      return r;
    }
    r.model = g.first->model;
    r.format = g.first->format;
    r.phase = g.first->phase;
    r.samples = g.samples;
    r.void_visits = g.voids;
    const auto runs = static_cast<double>(samples_per_run[w]);
    ByBlock per_run = seconds[w];
    // An interrupted first block: what there is, with an unbounded interval.
    if (per_run.empty()) per_run = {{g.first->block, mean(g.seconds.at(g.first->block))}};
    for (auto& [block, value] : per_run) value *= runs * 1e3;
    r.latency_ms = estimate(per_run, options.seed);
    if (r.latency_ms.trials.size() == 1) r.latency_ms.ci95.low = 0;
    r.throughput_per_s = reciprocal(r.latency_ms.ci95, runs * 1e3);
    add_energy(r, w);
    return r;
  }

  void add_energy(WorkloadResult& r, std::size_t w) {
    const Gathered& g = gathered[w];
    if (joules[w].empty()) {
      if (g.voids > 0) r.energy_unavailable = "no block without a void visit: " + g.void_reason;
      return;
    }
    EnergyResult e;
    for (const std::size_t z : options.headline) {
      const ZoneRecord& zone = record.zones.at(z);
      e.meter += (e.meter.empty() ? "" : "+") + zone.name;
      e.label = zone.label;
      e.method = zone.zone.counter ? EnergyMethod::counter : EnergyMethod::integral;
      e.scale_uncertainty = zone.zone.uncertainty;
    }
    if (options.mean_power) e.method = EnergyMethod::mean_power;
    e.mJ_per_sample = estimate(scaled(joules[w]), options.seed);
    if (const ByBlock dynamic = block_means(g.dynamic, visits_per_block); !dynamic.empty())
      e.dynamic_mJ_per_sample = estimate(scaled(dynamic), options.seed);
    e.mean_power = Watts(mean(g.watts));
    std::vector<double> idle_watts;
    for (const auto& [block, list] : idle) idle_watts.insert(idle_watts.end(), list.begin(), list.end());
    if (!idle_watts.empty()) e.idle_power = Watts(mean(idle_watts));
    e.zones = zone_means(w);
    r.energy = std::move(e);
  }

  static ByBlock scaled(ByBlock joules_by_block) {
    for (auto& [block, value] : joules_by_block) value *= 1e3;
    return joules_by_block;
  }

  // Of the visits that the headline rests on: those of its whole blocks.
  std::vector<std::pair<std::string, double>> zone_means(std::size_t w) const {
    std::vector<std::pair<std::string, double>> means;
    for (const ZoneRecord& zone : record.zones) {
      std::map<int, std::vector<double>> values;
      for (const Visit& v : visits) {
        if (v.workload != w || v.iterations == 0 || !v.void_reason.empty() || !joules[w].contains(v.block)) continue;
        const WindowEnergy e = energy_of(v, zone, options);
        if (e.joules) values[v.block].push_back(e.joules->value() * 1e3 / static_cast<double>(v.iterations * samples_per_run[w]));
      }
      if (const ByBlock blocks = block_means(values, visits_per_block); !blocks.empty())
        means.emplace_back(zone.name, mean(values_of(blocks)));
    }
    return means;
  }

  // Both sides of every block that both have whole.
  static void pair_up(const ByBlock& a, const ByBlock& b, std::vector<double>& left, std::vector<double>& right) {
    for (const auto& [block, value] : a)
      if (const auto at = b.find(block); at != b.end()) left.push_back(value), right.push_back(at->second);
  }

  std::optional<std::pair<Interval, double>> compare(const ByBlock& a, const ByBlock& b) const {
    std::vector<double> left, right, logs;
    pair_up(a, b, left, right);
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (!(left[i] > 0 && right[i] > 0)) return std::nullopt;  // joules below 0: noise alone, no ratio
      logs.push_back(std::log(left[i] / right[i]));
    }
    if (logs.empty()) return std::nullopt;
    Interval ratio = ratio_interval(left, right, options.seed);
    return std::pair(ratio, logs.size() < 2 ? 1.0 : t_test_p(logs));
  }

  std::vector<PairResult> pairs() const {
    std::vector<PairResult> all;
    for (std::size_t a = 0; a < gathered.size(); ++a)
      for (std::size_t b = a + 1; b < gathered.size(); ++b) {
        if (group(a) != group(b) || gathered[a].first == nullptr || gathered[b].first == nullptr) continue;
        const auto time = compare(seconds[a], seconds[b]);
        if (!time) continue;
        PairResult pair{a, b, time->first, time->second, std::nullopt, std::nullopt};
        if (const auto energy = compare(joules[a], joules[b])) {
          pair.energy_ratio = energy->first;
          pair.energy_p = energy->second;
        }
        all.push_back(pair);
      }
    adjust(all);
    return all;
  }

  std::pair<std::string, std::string> group(std::size_t w) const {
    const Visit* v = gathered[w].first;
    return v == nullptr ? std::pair<std::string, std::string>() : std::pair(v->model, v->phase);
  }

  // Holm's correction over all pairs of one model and phase, for times and for joules apart.
  void adjust(std::vector<PairResult>& all) const {
    std::map<std::pair<std::string, std::string>, std::vector<PairResult*>> families;
    for (PairResult& pair : all) families[group(pair.a)].push_back(&pair);
    for (auto& [name, family] : families) {
      std::vector<double> time, energy;
      for (const PairResult* pair : family) {
        time.push_back(pair->speedup_p);
        if (pair->energy_p) energy.push_back(*pair->energy_p);
      }
      const std::vector<double> adjusted_time = holm(time), adjusted_energy = holm(energy);
      std::size_t e = 0;
      for (std::size_t i = 0; i < family.size(); ++i) {
        family[i]->speedup_p = adjusted_time[i];
        if (family[i]->energy_p) family[i]->energy_p = adjusted_energy[e++];
      }
    }
  }
};

}  // namespace

void weigh_visits(std::vector<Visit>& visits, const SampleRecord& record, const AnalysisOptions& options) {
  if (options.headline.empty()) return;
  for (Visit& v : visits) {
    if (!v.void_reason.empty() || !(v.end > v.start)) continue;
    Joules sum;
    std::optional<std::int64_t> edges;
    for (const std::size_t z : options.headline) {
      const ZoneRecord& zone = record.zones.at(z);
      const WindowEnergy e = energy_of(v, zone, options);
      edges = std::min(edges.value_or(e.edges), e.edges);
      if (!e.joules) {
        v.void_reason = std::string(name_of(e.fault)) + ": " + e.reason;
        break;
      }
      sum += *e.joules;
    }
    v.edges = edges.value_or(0);
    if (v.void_reason.empty()) v.joules = sum;
  }
}

MeasureResult analyse(const std::vector<Visit>& visits, const SampleRecord& record, std::span<const std::int64_t> samples_per_run,
                      const AnalysisOptions& options) {
  Analysis analysis{visits, record, samples_per_run, options, 1, {}, {}, {}, {}};
  analysis.gather();
  for (const Gathered& g : analysis.gathered) {
    analysis.seconds.push_back(block_means(g.seconds, analysis.visits_per_block));
    analysis.joules.push_back(block_means(g.joules, analysis.visits_per_block));
  }
  MeasureResult result;
  for (std::size_t w = 0; w < samples_per_run.size(); ++w) result.workloads.push_back(analysis.result(w));
  result.pairs = analysis.pairs();
  return result;
}

}  // namespace eaq
