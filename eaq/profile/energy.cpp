// Steps of a program weighed: the runs that the design asks for, over copies of weights, under the meters.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "eaq/profile/profile.h"

namespace eaq {
namespace {

constexpr int timed_runs = 20, fewest_timed_runs = 5;  // for each step's time by itself,
constexpr Seconds timed_within(10);                    // as many as this has room for
constexpr Seconds long_enough(1.0);                    // a run in place, of as many passes as that takes

// Copies of a site's weights, so many that between two uses of one lies what lies there in the model: all that a run of the
// program moves; or four caches, which hold nothing of it any more.
class WeightCopies {
 public:
  WeightCopies(const Weighed& weighed, double apart) : weighed_(weighed), apart_(apart) {}

  /// For a step of which a run moves `bytes` and that is repeated so many times.
  void want(const Step& step, double bytes, int repeats) {
    const int enough = static_cast<int>(std::min(std::ceil(apart_ / std::max(bytes, 1.0)), static_cast<double>(repeats)));
    wanted_[step.site] = std::max(wanted_[step.site], enough);
  }

  std::shared_ptr<const Product> get(const Step& step, int n) {
    const int wanted = wanted_[step.site];
    auto& copies = copies_[step.site];
    while (static_cast<int>(copies.size()) < wanted && !full_) {
      try {
        copies.push_back(weighed_.packed->pack_again(*weighed_.model, step.site));
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::unavailable) throw;
        full_ = true;
        note_ = "not every weight rotates over as many copies as it should, for want of memory: repeats of '" + step.site +
                "' and of those after it may find theirs in the cache (" + error.what() + ")";
      }
    }
    if (copies.empty()) return nullptr;
    // In order, so that the copy used longest ago comes next; the step's own is one of them.
    const std::size_t turn = static_cast<std::size_t>(n) % (copies.size() + 1);
    return turn == 0 ? nullptr : copies[turn - 1];
  }
  const std::string& note() const { return note_; }

 private:
  const Weighed& weighed_;
  double apart_;
  std::map<std::string, int> wanted_;
  std::map<std::string, std::vector<std::shared_ptr<const Product>>> copies_;
  bool full_ = false;
  std::string note_;
};

// What runs: one session, and a prepared batch for each workload of the design.
struct Bench {
  Session session;
  std::vector<PreparedBatch> prepared = {};

  Bench(const Weighed& weighed) : session(weighed.packed, weighed.session) {
    if (weighed.prompt != nullptr) session.run(weighed.prompt->view());
  }
  ExecutionContext& context() const { return *session.packed().device().context; }
  void run(std::size_t workload, StepListener* listener) {
    session.submit(prepared[workload], {.listener = listener});
    context().finish_runs(context().most_ahead());
  }
};

std::vector<StepFigures> describe(const Program& program, const Batch& batch) {
  std::vector<StepFigures> steps;
  for (const Step& step : program.steps) {
    const StepCost cost = cost_of(step, program.values, batch);
    steps.push_back({.site = step.site, .kind = step.kind, .format = step.format, .flops = cost.flops, .bytes = cost.bytes});
  }
  return steps;
}

double bytes_apart(const std::vector<StepFigures>& steps, const DeviceDescription& device) {
  constexpr double caches = 4;
  double pass = 0;
  for (const StepFigures& step : steps) pass += step.bytes;
  return device.cache_bytes > 0 ? std::min(pass, caches * static_cast<double>(device.cache_bytes)) : pass;
}

int passes_of(std::span<const Seconds> alone, int most) {
  const Seconds pass = std::accumulate(alone.begin(), alone.end(), Seconds(0));
  return pass > Seconds(0) ? static_cast<int>(std::clamp(std::ceil(long_enough / pass), 1.0, static_cast<double>(most))) : most;
}

std::vector<Workload> workloads_of(const Weighed& weighed, const Design& design, const std::shared_ptr<Bench>& bench, Way way) {
  std::vector<Workload> workloads;
  const auto passes = static_cast<std::int64_t>(design.workloads.front().size());
  for (std::size_t w = 0; w < design.workloads.size(); ++w)
    workloads.push_back(
        {.name = weighed.model->name + (design.names[w].empty() ? "" : ", " + design.names[w]),
         .model = weighed.model->name,
         .format = weighed.packed->recipe().name,
         .phase = weighed.phase + " " + std::string(name_of(way)) + (design.names[w].empty() ? "" : " ") + design.names[w],
         .samples_per_run = weighed.samples_per_run * passes,
         .run = [bench, w](std::int64_t, StepListener* listener) { bench->run(w, listener); },
         .finish = [bench] { bench->context().finish_runs(0); },
         .ahead = bench->context().most_ahead()});
  return workloads;
}

// What was timed is all passes of a run; a run of the program is one.
void divide_latency(WorkloadResult& workload, double passes) {
  for (double* ms : {&workload.latency_ms.ci95.mean, &workload.latency_ms.ci95.low, &workload.latency_ms.ci95.high,
                     &workload.p50_ms, &workload.p90_ms, &workload.p99_ms})
    *ms /= passes;
  for (double& ms : workload.latency_ms.trials) ms /= passes;
}

void add_parts(StepWeighing& weighing, Way way, const Design& design, std::optional<Interval> StepFigures::*figure,
               std::optional<PartsAndWhole>& total, const std::function<std::optional<double>(const Visit&)>& value) {
  const auto parts = parts_of(design, weighing.result.visits, value);
  if (!parts) return;
  if (parts->left_out > 0)
    weighing.notes.push_back(fmt::format("{}: {} of {} visits do not count in {}, as all others contradict them", name_of(way),
                                         parts->left_out, parts->visits, figure == &StepFigures::ms ? "time" : "joules"));
  for (std::size_t i = 0; i < weighing.steps.size(); ++i) weighing.steps[i].*figure = parts->steps[i];
  total = parts->total;
}

}  // namespace

StepWeighing weigh_steps(const Weighed& weighed, MeterSet& meters, Clock& clock, const WeighOptions& options,
                         const ProgressCallback& progress) {
  const auto bench = std::make_shared<Bench>(weighed);
  const Batch batch = weighed.batch->view();
  const Program& program = bench->session.program_for(batch);
  StepWeighing weighing;
  weighing.steps = describe(program, batch);
  if (progress) progress(0, "each step alone");
  {
    PreparedBatch plain = bench->session.prepare(batch);
    Seconds run;  // the second one's: the first chooses kernels
    for (int i = 0; i < 2; ++i) {
      const Seconds begun = clock.now();
      bench->session.submit(plain);
      bench->context().finish_runs(0);
      run = clock.now() - begun;
    }
    const double fit = timed_within / std::max(run, Seconds(1e-6));
    const std::vector<Seconds> alone =
        bench->session.step_times(plain, static_cast<int>(std::clamp(fit, double{fewest_timed_runs}, double{timed_runs})));
    for (std::size_t i = 0; i < alone.size(); ++i) weighing.steps[i].alone = alone[i];
  }
  std::vector<Seconds> alone;
  std::vector<std::string> sites;
  for (const StepFigures& step : weighing.steps) alone.push_back(step.alone), sites.push_back(step.site);
  const int passes = passes_of(alone, options.passes);
  if (options.way == Way::in_place && passes < options.passes)
    weighing.notes.push_back(
        fmt::format("in_place: a run has {} of {} passes, as so many take a second", passes, options.passes));
  const Design design =
      options.way == Way::loops ? design_loops(alone, sites, options.loop) : design_in_place(weighing.steps.size(), passes);

  WeightCopies copies(weighed, bytes_apart(weighing.steps, bench->context().description()));
  for (const auto& workload : design.workloads)
    for (std::size_t i = 0; i < weighing.steps.size(); ++i) {
      int extra = 0;
      for (const auto& times : workload) extra += times[i] - 1;
      if (extra > 0) copies.want(program.steps[i], weighing.steps[i].bytes, extra);
    }
  for (const auto& workload : design.workloads)
    bench->prepared.push_back(bench->session.prepare(
        batch, {.passes = workload, .weights = [&](const Step& step, int n) { return copies.get(step, n); }}));
  if (!copies.note().empty()) weighing.notes.push_back(copies.note());

  const std::vector<Workload> workloads = workloads_of(weighed, design, bench, options.way);
  weighing.result = measure_blocks(workloads, meters, clock,
                                   {.blocks = options.blocks,
                                    .min_seconds = options.visit,
                                    .seed = options.seed,
                                    .device = options.device,
                                    .variants = true,
                                    .control_trials = 0},
                                   progress);
  divide_latency(weighing.result.workloads.front(), static_cast<double>(design.workloads.front().size()));
  if (weighing.result.interrupted) {
    const auto whole = std::count_if(weighing.result.visits.begin(), weighing.result.visits.end(),
                                     [](const Visit& visit) { return visit.workload != idle_workload; });
    weighing.notes.push_back(fmt::format("{}: interrupted after {} of {} visits; its figures are of those", name_of(options.way),
                                         whole, 2 * workloads.size() * static_cast<std::size_t>(options.blocks)));
  }
  const auto ms = [](const Visit& visit) -> std::optional<double> {
    if (visit.iterations < 1) return std::nullopt;
    return (visit.end - visit.start).value() / static_cast<double>(visit.iterations) * 1e3;
  };
  const auto mJ = [](const Visit& visit) -> std::optional<double> {
    if (visit.iterations < 1 || !visit.joules || !visit.void_reason.empty()) return std::nullopt;
    return visit.joules->value() / static_cast<double>(visit.iterations) * 1e3;
  };
  add_parts(weighing, options.way, design, &StepFigures::ms, weighing.ms, ms);
  add_parts(weighing, options.way, design, &StepFigures::mJ, weighing.mJ, mJ);
  return weighing;
}

}  // namespace eaq
