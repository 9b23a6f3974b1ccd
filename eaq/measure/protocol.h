// What both protocols share: one visit, its condition, and the assembly of a result.
#pragma once

#include <algorithm>
#include <future>
#include <optional>
#include <vector>

#include "eaq/measure/measure.h"

namespace eaq {

/// How long one visit is. Iterations that begin within `drop` are run and not counted, but for one that is always counted.
struct VisitPlan {
  Seconds length{};             ///< the visit ends with the first iteration that reaches it (and has counted one)
  Seconds drop{};               ///< 0: nothing is dropped
  std::int64_t iterations = 0;  ///< above 0: at most this many
};

/// Runs workloads under meters and keeps what happened.
class Measurement {
 public:
  Measurement(std::span<const Workload> workloads, MeterSet& meters, Clock& clock, ZoneRole device, Seconds poll,
              std::uint64_t seed);

  bool reads_energy() const { return !analysis_.headline.empty(); }
  bool only_assumed() const;  ///< the headline is a constant that the user stated
  /// The slowest period among the headline zones; nothing where one is unknown.
  std::optional<Seconds> period() const;
  /// How long the headline still shows what ran before: of a sampled power its window and lag, of a counter its lag.
  Seconds memory() const;
  Seconds typical(std::size_t w) const { return typical_[w]; }  ///< one run, as the latest visit or the first passes took

  void warm_up(std::size_t workload, std::int64_t iterations);
  void first_pass(std::int64_t iterations);  ///< every workload: pages, caches, plans
  WarmUp settle(std::size_t workload, Seconds bound);
  void visit(std::size_t workload, int block, int position, const VisitPlan& plan);
  void idle(int block, int position, const VisitPlan& plan);
  /// mJ per sample of runs by the original study's arithmetic are computed once the record is whole.
  void control(std::size_t workload, int trials, std::int64_t iterations, Seconds bound);

  MeasureResult finish(bool mean_power);  ///< stops the sampler and analyses; once

 private:
  void read_condition();
  Condition condition_now();
  Seconds since_start(Seconds t) const { return t - origin_; }
  Visit describe(std::size_t workload, int block, int position) const;
  bool seldom(std::size_t w, const WorkloadResult& result) const;
  bool aliases() const;  // a headline zone does
  void add_percentiles(WorkloadResult& result, std::size_t w) const;
  void add_control(WorkloadResult& result, std::size_t w, const SampleRecord& record) const;

  std::span<const Workload> workloads_;
  MeterSet& meters_;
  Clock& clock_;
  StepListener* listener_;
  std::optional<Sampler> sampler_;
  Seconds origin_;
  AnalysisOptions analysis_;
  std::string unavailable_;
  std::vector<Seconds> typical_;
  std::vector<std::int64_t> next_;  // iteration numbers go on from visit to visit, so that all batches take part
  std::vector<Visit> visits_;
  std::future<Condition> condition_;  // at the end of the latest visit
  std::size_t ended_ = 0;             // that visit
  Condition begun_in_;                // and in which it began
  std::vector<std::vector<double>> latencies_ms_, halves_;
  std::vector<std::vector<Visit>> controls_;
};

}  // namespace eaq
