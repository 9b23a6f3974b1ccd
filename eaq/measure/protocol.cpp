#include <algorithm>

#include "eaq/measure/protocol.h"

namespace eaq {
namespace {

constexpr double fewest_values = 8;  // of a sensor, within what a visit keeps

VisitPlan plan_visits(const Measurement& session, const BlockOptions& options) {
  const bool sensor = session.reads_energy() && !session.only_assumed();
  Seconds length = options.min_seconds;
  if (length <= Seconds(0)) {
    length = Seconds(0.25);
    if (sensor) {
      const auto period = session.period();
      length = period ? std::clamp(*period * 20, Seconds(0.3), Seconds(2)) : Seconds(2);
    }
  }
  // What an averaging sensor still remembers of the visit before is dropped; where only time counts, the caches' refill is.
  if (!sensor) return {length, length * 0.1, 0};
  VisitPlan plan{length, std::min(Seconds(0.5), length * 0.25), 0};
  const Seconds period = session.period().value_or(Seconds(0)), memory = session.memory();
  if (memory <= Seconds(0)) return plan;
  Seconds kept = std::max(length - plan.drop, memory);
  if (options.min_seconds <= Seconds(0)) kept = std::max(kept, period * fewest_values);
  plan.drop = std::max(plan.drop, memory + period);
  plan.length = plan.drop + kept;
  return plan;
}

void check(std::span<const Workload> workloads) {
  if (workloads.empty()) throw Error(ErrorKind::bug, "measure: no workload");
  for (const Workload& w : workloads)
    if (!w.run || w.samples_per_run < 1) throw Error(ErrorKind::bug, "measure: workload '" + w.name + "' cannot run");
}

}  // namespace

MeasureResult measure_blocks(std::span<const Workload> workloads, MeterSet& meters, Clock& clock, const BlockOptions& options,
                             const ProgressCallback& progress) {
  check(workloads);
  if (options.blocks < 1 || options.hottest >= workloads.size())
    throw Error(ErrorKind::bug, "measure: blocks or hottest out of range");
  Measurement session(workloads, meters, clock, options.device, options.poll, options.seed);
  const std::size_t n = workloads.size();
  const bool sensor = session.reads_energy() && !session.only_assumed();
  const double control_cost = sensor && options.control_trials > 0 ? 1.0 : 0.0;
  const double total = static_cast<double>(options.blocks) * 2 * static_cast<double>(n) + control_cost * static_cast<double>(n);
  double done = 0;
  const auto tell = [&](std::string_view what) {
    if (progress) progress(done / total, what);
  };

  tell("warm-up");
  session.first_pass(options.variants ? 1 : 2);
  WarmUp warm;
  if (options.warm_up_iterations > 0)
    session.first_pass(options.warm_up_iterations), warm.iterations = options.warm_up_iterations;
  else
    warm = session.settle(options.hottest, options.warm_up_bound);

  const VisitPlan plan = plan_visits(session, options);
  const Seconds remembered = session.memory() + session.period().value_or(Seconds(0));
  Rng rng(options.seed);
  for (int block = 0; block < options.blocks && !interrupted(); ++block) {
    std::vector<std::size_t> order = random_order(n, rng);
    for (std::size_t i = n; i-- > 0;) order.push_back(order[i]);  // and in reverse
    int position = 0;
    for (const std::size_t w : order) {
      if (interrupted()) break;
      tell(workloads[w].name);
      VisitPlan one = plan;
      // A run that outlasts the visit is not run twice where only time counts, or where what the sensor may still remember is a
      // small part of it, and of a variant's run.
      if (session.typical(w) >= plan.length && (!sensor || (options.variants && session.typical(w) >= remembered * 20)))
        one.drop = Seconds(0);
      session.visit(w, block, position++, one);
      ++done;
    }
    if (sensor && options.idle && !interrupted()) session.idle(block, position, plan);
  }
  // A sensor this quick has no memory that a longer control would show.
  const bool quick = session.period() && *session.period() <= Seconds(0.01);
  const Seconds control_bound = quick ? std::min(options.control_bound, Seconds(0.5)) : options.control_bound;
  for (std::size_t w = 0; w < n && sensor && !interrupted(); ++w) {
    tell(workloads[w].name + ", mean-power control");
    session.control(w, options.control_trials, options.control_iterations, control_bound);
    ++done;
  }
  MeasureResult result = session.finish(false);
  result.warm_up = warm;
  result.visit_length = plan.length;
  if (!interrupted()) done = total;
  tell("");
  return result;
}

MeasureResult measure_original(std::span<const Workload> workloads, MeterSet& meters, Clock& clock,
                               const OriginalOptions& options, const ProgressCallback& progress) {
  check(workloads);
  if (options.trials < 1 || options.iterations < 1) throw Error(ErrorKind::bug, "measure: trials or iterations below 1");
  Measurement session(workloads, meters, clock, options.device, options.poll, options.seed);
  const double total = static_cast<double>(options.trials) * static_cast<double>(workloads.size());
  const Seconds endless(1e12);
  const VisitPlan trial{options.trial_bound > Seconds(0) ? options.trial_bound : endless, Seconds(0), options.iterations};
  double done = 0;
  for (std::size_t w = 0; w < workloads.size() && !interrupted(); ++w) {
    session.warm_up(w, options.warm_up_iterations);
    for (int t = 0; t < options.trials && !interrupted(); ++t) {
      if (progress) progress(done++ / total, workloads[w].name);
      session.visit(w, t, static_cast<int>(w), trial);
    }
  }
  MeasureResult result = session.finish(options.mean_power);
  for (WorkloadResult& one : result.workloads) one.notes.emplace_back("measured in sequence: slow drift counts as a difference");
  result.warm_up.iterations = options.warm_up_iterations;
  if (progress) progress(interrupted() ? done / total : 1, "");
  return result;
}

}  // namespace eaq
