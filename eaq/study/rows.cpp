#include "eaq/study/rows.h"

#include <algorithm>
#include <cmath>

namespace eaq {
namespace {

Figure figure(const Estimate& estimate) { return figure(estimate.ci95, estimate.trials); }

Energy energy_of(const EnergyResult& e) {
  Energy energy;
  energy.meter = e.meter;
  energy.label = name_of(e.label);
  energy.method = name_of(e.method);
  energy.mJ_per_sample = figure(e.mJ_per_sample);
  if (e.dynamic_mJ_per_sample) energy.dynamic_mJ_per_sample = figure(*e.dynamic_mJ_per_sample);
  energy.mean_power_W = e.mean_power.value();
  if (e.idle_power) energy.idle_power_W = e.idle_power->value();
  energy.mean_power_method_mJ = e.mean_power_method_mJ;
  energy.scale_uncertainty = e.scale_uncertainty;
  energy.zones = e.zones;
  return energy;
}

void add_timing(Run& run, const TimedRows& timed, std::size_t index) {
  run.phase = name_of(timed.shape.phase);
  run.unit = timed.unit;
  run.batch = timed.shape.batch;
  run.seq = timed.shape.seq + timed.shape.new_tokens;
  const std::string interrupted = "interrupted before it was timed";
  if (index >= timed.result.workloads.size() || timed.result.workloads[index].samples == 0) {
    run.timing_unavailable = run.energy_unavailable = interrupted;
    return;
  }
  const WorkloadResult& w = timed.result.workloads[index];
  run.samples = w.samples;
  run.latency_ms = Latency{figure(w.latency_ms), w.p50_ms, w.p90_ms, w.p99_ms};
  run.throughput_per_s = figure(w.throughput_per_s);
  if (w.energy) run.energy = energy_of(*w.energy);
  run.energy_unavailable = w.energy_unavailable;
  run.notes.insert(run.notes.end(), w.notes.begin(), w.notes.end());
  if (!timed.notes[index].empty()) run.notes.push_back(timed.notes[index]);
  if (timed.shape.phase == Phase::decode)
    run.notes.push_back("decode after a prompt of " + std::to_string(timed.shape.seq) + " tokens, " +
                        std::to_string(timed.shape.new_tokens) + " new ones");
  for (const Visit& visit : timed.result.visits) {
    if (visit.workload != index) continue;
    for (const std::string& reason : {visit.void_reason, visit.label})
      if (!reason.empty() && std::find(run.throttled.begin(), run.throttled.end(), reason) == run.throttled.end())
        run.throttled.push_back(reason);
  }
}

}  // namespace

Figure figure(const Interval& interval, std::vector<double> trials) {
  Figure figure{interval.mean, {}, std::move(trials)};
  if (std::isfinite(interval.low) && std::isfinite(interval.high)) figure.ci95 = {interval.low, interval.high};
  return figure;
}

QualityResult quality_result(const Quality& q) {
  QualityResult quality;
  quality.metric = q.metric;
  quality.value = q.value;
  if (q.low < q.high) quality.ci95 = {q.low, q.high};
  quality.n = q.n;
  if (q.metric == "accuracy") quality.correct = q.correct;
  quality.kl_mean = q.kl_mean;
  quality.flips = q.flips;
  quality.nan_inf = q.nan_inf;
  // Where no value was finite there is no largest one.
  for (const SiteRange& range : q.ranges)
    quality.overflows.push_back({range.site, range.non_finite > 0 && range.max_abs == 0 ? NAN : range.max_abs, range.non_finite});
  return quality;
}

Run make_run(const Job& job, const Row& row, const TimedRows* timed, std::size_t index) {
  Run run;
  run.model = job.model.name;
  run.task = job.task;
  run.format = row.recipe.name;
  run.recipe = recipe_json(row.recipe);
  const KernelReport report = timed != nullptr && index < timed->reports.size() ? timed->reports[index] : row.packed->report();
  run.emulated = report.emulated;
  run.storage = report.storage;
  run.arithmetic = report.arithmetic;
  run.kernels = report.kernels;
  run.size_bytes = stored_bytes(job.model.graph, row.recipe);
  run.size_ratio = static_cast<double>(stored_bytes(job.model.graph, uniform_recipe(job.model.graph, "fp32"))) /
                   static_cast<double>(run.size_bytes);
  run.peak_memory_bytes = row.peak_memory;
  run.peak_memory_unavailable = row.peak_memory_unavailable;
  if (row.quality) run.quality = quality_result(*row.quality);
  run.quality_unavailable = row.quality_unavailable;
  if (!row.quality_note.empty()) run.notes.push_back(row.quality_note);
  if (timed != nullptr) {
    add_timing(run, *timed, index);
    return run;
  }
  run.phase = "forward";
  run.unit = job.classifies() ? "sentence" : "window";
  run.timing_unavailable = run.energy_unavailable = "not asked for: quality alone was evaluated";
  return run;
}

std::vector<Comparison> make_comparisons(const Job& job, const std::vector<Row>& rows, const TimedRows* timed) {
  std::vector<Comparison> comparisons;
  std::vector<double> p_values;
  std::vector<std::size_t> with_p;
  for (std::size_t a = 0; a < rows.size(); ++a) {
    for (std::size_t b = a + 1; b < rows.size(); ++b) {
      Comparison c;
      c.model = job.model.name;
      c.a = rows[a].recipe.name;
      c.b = rows[b].recipe.name;
      c.phase = timed != nullptr ? name_of(timed->shape.phase) : "forward";
      if (timed != nullptr) {
        c.batch = timed->shape.batch;
        c.seq = timed->shape.seq + timed->shape.new_tokens;
        for (const PairResult& pair : timed->result.pairs) {
          if (pair.a != a || pair.b != b) continue;
          c.speedup = figure(pair.speedup);
          c.speedup_p = pair.speedup_p;
          if (pair.energy_ratio) c.energy_ratio = figure(*pair.energy_ratio);
          c.energy_p = pair.energy_p;
        }
      }
      if (rows[a].quality && rows[b].quality && rows[a].quality->n > 0 && rows[a].quality->n == rows[b].quality->n) {
        const QualityDelta delta = quality_delta(*rows[a].quality, *rows[b].quality);
        c.quality_delta = delta.delta;
        c.test = rows[a].quality->metric == "accuracy" ? "McNemar" : "paired t";
        if (std::isfinite(delta.p_value)) {
          p_values.push_back(delta.p_value);
          with_p.push_back(comparisons.size());
        }
      }
      comparisons.push_back(std::move(c));
    }
  }
  // Holm over what is asked of the table: every format against the first. Pairs among the others are adjusted as one more family.
  for (const bool against_first : {true, false}) {
    std::vector<double> family;
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < with_p.size(); ++i) {
      if ((comparisons[with_p[i]].a == rows.front().recipe.name) != against_first) continue;
      family.push_back(p_values[i]);
      members.push_back(with_p[i]);
    }
    if (family.empty()) continue;
    const std::vector<double> adjusted = holm(family);
    for (std::size_t i = 0; i < members.size(); ++i) comparisons[members[i]].p_value = adjusted[i];
  }
  return comparisons;
}

}  // namespace eaq
