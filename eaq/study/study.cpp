// The main job, in the order in which it happens:
//
//   prepare    every model, recipe, shape and data set is opened and checked: what was asked wrongly ends here
//   alone      each format by itself: does it run here, how much memory does it take, how long does a run take
//   evaluate   all formats of a model in lockstep on the same data, fp32 as the reference
//              (from here on the packed weights are fixed)
//   measure    all formats of a model interleaved, shape by shape
//   conclude   rows, comparisons, manifest
#include "eaq/study/study.h"

#include <malloc.h>

#include <algorithm>

#include "eaq/study/rows.h"

namespace eaq {
namespace {

// What one job needs in seconds, so that the time left is of the whole study.
struct Cost {
  double evaluate = 0, measure = 0;
};

class Runner {
 public:
  Runner(const StudyOptions& options, MeterSet& meters, Clock& clock)
      : options_(options), meters_(meters), clock_(clock), device_(open_device(options.device, {.threads = options.threads})) {}

  StudyOutcome run();

 private:
  std::vector<Row> try_alone(const Job& job);
  Row try_alone(const Job& job, const Recipe& recipe);
  bool start_peak();
  Cost cost_of(const Job& job, const std::vector<Row>& rows) const;
  void evaluate(const Job& job, std::vector<Row>& rows);
  TimedRows measure(const Job& job, const TimedShape& shape, const std::vector<Row>& rows);
  void conclude(const Job& job, const std::vector<Row>& rows, const std::vector<TimedRows>& timed);
  void describe(const std::vector<Job>& jobs);
  void keep(MeasureResult& result, Seconds begun);

  const StudyOptions& options_;
  MeterSet& meters_;
  Clock& clock_;
  Device device_;
  StudyOutcome outcome_;
  Seconds begun_;
  std::unique_ptr<Progress> progress_;
  double spent_ = 0;  // expected seconds of what is done
};

// The shape on which a format is tried: the first that is timed, or a sentence or window of the data.
TimedShape trial_shape(const Job& job) {
  if (!job.shapes.empty()) return job.shapes.front();
  return job.classifies() ? TimedShape{Phase::forward, 32, 0, 0}
                          : TimedShape{Phase::forward, 1, std::min<std::int64_t>(128, job.windows.front().end), 0};
}

// Of the process where the device computes in the host's memory, else of the device's own.
bool Runner::start_peak() {
  if (device_.context->is_host()) return reset_peak_memory();
  return device_.context->peak_memory(true).has_value();
}

Row Runner::try_alone(const Job& job, const Recipe& recipe) {
  Row row;
  row.recipe = recipe;
  // Freed memory of the format before goes back first: it would count as this one's.
  ::malloc_trim(0);
  const bool peak_is_known = start_peak();
  const auto packed = std::make_shared<const PackedModel>(job.model, recipe, device_);
  for (const TimedShape& shape : job.shapes) require_memory_for(packed, shape);
  const auto data = std::make_shared<const TimedData>(make_timed_data(job, trial_shape(job), options_.seed));
  TimedProgram program(packed, data);
  program.run(0, nullptr);
  program.finish();
  if (peak_is_known) row.peak_memory = device_.context->is_host() ? peak_memory_bytes() : device_.context->peak_memory(false);
  if (!row.peak_memory)
    row.peak_memory_unavailable = device_.context->is_host()
                                      ? "the system does not let a process start its peak anew (/proc/self/clear_refs)"
                                      : "the device does not tell how much of its memory was in use";
  const Seconds start = clock_.now();
  program.run(1, nullptr);
  program.finish();
  row.seconds_per_row = (clock_.now() - start).value() / static_cast<double>(data->batches.front().ids.size());
  return row;
}

std::vector<Row> Runner::try_alone(const Job& job) {
  std::vector<Row> rows;
  for (const Recipe& recipe : job.recipes) {
    if (interrupted()) break;
    progress_->update(0, job.model.name + " " + recipe.name + " alone");
    try {
      rows.push_back(try_alone(job, recipe));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) throw;
      outcome_.study.refused.push_back({job.model.name, recipe.name, error.what()});
    }
  }
  return rows;
}

Cost Runner::cost_of(const Job& job, const std::vector<Row>& rows) const {
  Cost cost;
  const double tokens =
      job.classifies()
          ? static_cast<double>(job.sentences.ids.size())
          : static_cast<double>(std::min<std::int64_t>(static_cast<std::int64_t>(job.stream.ids.size()), job.windows.back().end));
  if (!job.model.random)
    for (const Row& row : rows) cost.evaluate += tokens * row.seconds_per_row * 1.3;  // softmax, KL, ranges
  const double visit = options_.min_seconds > 0 ? options_.min_seconds : meters_.empty() ? 0.25 : 2;
  const auto n = static_cast<double>(rows.size() * job.shapes.size());
  if (!options_.original) {
    cost.measure = n * options_.blocks * 2 * visit + static_cast<double>(job.shapes.size()) * 2;
    if (!meters_.empty()) cost.measure += n * 4;
    return cost;
  }
  for (const TimedShape& shape : job.shapes)
    for (const Row& row : rows)
      cost.measure += row.seconds_per_row * static_cast<double>(options_.trials * options_.iterations * shape.batch) *
                      static_cast<double>(shape.new_tokens > 0 ? 1 : std::max<std::int64_t>(shape.seq, 32));
  return cost;
}

void Runner::evaluate(const Job& job, std::vector<Row>& rows) {
  if (job.model.random) {
    for (Row& row : rows) row.quality_unavailable = "random weights: their answers mean nothing";
    return;
  }
  std::vector<std::shared_ptr<const PackedModel>> models;
  const auto fp32 = std::find_if(rows.begin(), rows.end(), [](const Row& row) { return row.recipe.name == "fp32"; });
  // KL and flips are against fp32, whether or not it is a row of its own.
  if (fp32 != rows.end())
    models.push_back(fp32->packed);
  else
    models.push_back(std::make_shared<const PackedModel>(job.model, uniform_recipe(job.model.graph, "fp32"), device_));
  std::vector<Row*> judged;
  if (fp32 != rows.end()) judged.push_back(&*fp32);
  for (Row& row : rows)
    if (&row != (fp32 != rows.end() ? &*fp32 : nullptr)) models.push_back(row.packed), judged.push_back(&row);

  EvaluateOptions options;
  const double cost = cost_of(job, rows).evaluate;
  options.on_progress = [&](double part) { progress_->update(spent_ + part * cost, job.model.name + " quality"); };
  std::vector<Quality> qualities = job.classifies() ? evaluate_classification(models, job.sentences, options)
                                                    : evaluate_perplexity(models, job.stream, job.windows, options);
  spent_ += cost;
  if (fp32 == rows.end()) qualities.erase(qualities.begin());
  for (std::size_t i = 0; i < judged.size(); ++i) {
    const auto done = job.classifies() ? qualities[i].item_correct.size() : qualities[i].item_nll.size();
    const auto whole = job.classifies() ? job.sentences.size() : job.windows.size();
    if (done < whole)
      judged[i]->quality_note = "partial: interrupted after " + std::to_string(done) + " of " + std::to_string(whole) +
                                (job.classifies() ? " sentences" : " windows");
    if (qualities[i].n == 0)
      judged[i]->quality_unavailable = "interrupted before it was evaluated";
    else
      judged[i]->quality = std::move(qualities[i]);
  }
}

// Puts a measurement's record and visits on the study's time axis: measurements follow each other, so their times do not meet.
void Runner::keep(MeasureResult& result, Seconds begun) {
  const Seconds shift = begun - begun_;
  for (Visit visit : result.visits) {
    visit.start += shift;
    visit.end += shift;
    outcome_.visits.push_back(std::move(visit));
  }
  SampleRecord& all = outcome_.samples;
  all.polls_per_s = result.record.polls_per_s;
  for (ZoneRecord& zone : result.record.zones) {
    for (Sample& sample : zone.samples) sample.time += shift;
    const auto same = std::find_if(all.zones.begin(), all.zones.end(), [&](const ZoneRecord& z) { return z.name == zone.name; });
    if (same == all.zones.end())
      all.zones.push_back(std::move(zone));
    else
      same->samples.insert(same->samples.end(), zone.samples.begin(), zone.samples.end());
  }
  result.record = {};
}

TimedRows Runner::measure(const Job& job, const TimedShape& shape, const std::vector<Row>& rows) {
  const auto data = std::make_shared<const TimedData>(make_timed_data(job, shape, options_.seed));
  TimedRows timed{shape, data->unit, {}, {}};
  std::vector<Workload> workloads;
  std::string phase(name_of(shape.phase));
  // In a sweep, visits.csv must tell shapes apart.
  if (std::count_if(job.shapes.begin(), job.shapes.end(), [&](const TimedShape& s) { return s.phase == shape.phase; }) > 1)
    phase += " " + std::to_string(shape.batch) + "x" + std::to_string(shape.seq);
  for (const Row& row : rows) {
    timed.reports.push_back(row.packed->report());  // what nothing is timed of was at least evaluated by these
    bool agrees = true;
    timed.notes.push_back(compare_with_evaluation(job, row.packed, data, agrees));
    if (!agrees) warn(job.model.name + " " + row.recipe.name + ": " + timed.notes.back());
    Workload& workload = workloads.emplace_back(workload_of(std::make_shared<TimedProgram>(row.packed, data)));
    workload.name = job.model.name + " " + row.recipe.name + " " + phase;
    workload.model = job.model.name;
    workload.format = row.recipe.name;
    workload.phase = phase;
  }
  const double cost = cost_of(job, rows).measure / static_cast<double>(job.shapes.size());
  const auto tell = [&](double part, std::string_view what) { progress_->update(spent_ + part * cost, what); };
  const Seconds begun = clock_.now();
  if (options_.original)
    timed.result = measure_original(workloads, meters_, clock_,
                                    {.trials = options_.trials,
                                     .iterations = options_.iterations,
                                     .warm_up_iterations = options_.warm_up,
                                     .seed = options_.seed,
                                     .device = zone_of(device_.context->description()),
                                     .mean_power = options_.mean_power},
                                    tell);
  else
    timed.result = measure_blocks(workloads, meters_, clock_,
                                  {.blocks = options_.blocks,
                                   .min_seconds = Seconds(options_.min_seconds),
                                   .seed = options_.seed,
                                   .device = zone_of(device_.context->description()),
                                   .warm_up_iterations = options_.warm_up_fixed ? options_.warm_up : 0},
                                  tell);
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (KernelReport ran = rows[i].packed->report(); !ran.kernels.empty()) timed.reports[i] = std::move(ran);
  spent_ += cost;
  keep(timed.result, begun);
  ProtocolRecord& protocol = outcome_.study.manifest.protocol;
  if (!options_.original) protocol.visit_s = timed.result.visit_length.value();
  return timed;
}

void Runner::conclude(const Job& job, const std::vector<Row>& rows, const std::vector<TimedRows>& timed) {
  Study& study = outcome_.study;
  const auto add = [&](const TimedRows* at_shape) {
    for (std::size_t i = 0; i < rows.size(); ++i) study.runs.push_back(make_run(job, rows[i], at_shape, i));
    for (Comparison& c : make_comparisons(job, rows, at_shape)) study.comparisons.push_back(std::move(c));
  };
  if (job.shapes.empty()) add(nullptr);
  for (const TimedRows& at_shape : timed) add(&at_shape);
  // Interrupted before their turn: rows without times.
  for (std::size_t s = timed.size(); s < job.shapes.size(); ++s) {
    const TimedRows never{job.shapes[s], unit_of(job, job.shapes[s]), {}, {}};
    add(&never);
  }
}

void Runner::describe(const std::vector<Job>& jobs) {
  outcome_.study.manifest = make_manifest(options_, device_, meters_, jobs);
  Manifest& m = outcome_.study.manifest;
  ProtocolRecord& p = m.protocol;
  p.name = !options_.timing ? "quality" : options_.original ? "original" : "blocks";
  if (options_.timing) p.method = options_.mean_power ? "mean-power" : "counter";
  if (options_.timing && options_.original) p.trials = options_.trials, p.iterations = options_.iterations;
  if (options_.timing && !options_.original) p.blocks = options_.blocks, p.visits_per_block = 2;
  if (options_.original || options_.warm_up_fixed) p.warm_up_iterations = options_.warm_up;
}

StudyOutcome Runner::run() {
  begun_ = clock_.now();
  const std::string started = timestamp_utc();
  std::vector<std::string> models = options_.models;
  if (models.empty()) models = {"tiny-distilbert", "tiny-gpt2"};
  progress_ = std::make_unique<Progress>(options_.timing ? "study" : "evaluate", 1);

  std::vector<Job> jobs;
  jobs.reserve(models.size());
  for (const std::string& model : models) jobs.push_back(prepare_job(model, options_, device_));
  describe(jobs);
  outcome_.study.manifest.started = started;

  std::vector<std::vector<Row>> rows;
  double total = 0;
  for (const Job& job : jobs) {
    rows.push_back(try_alone(job));
    const Cost cost = cost_of(job, rows.back());
    total += cost.evaluate + cost.measure;
  }
  progress_ = std::make_unique<Progress>(options_.timing ? "study" : "evaluate", total);

  for (std::size_t j = 0; j < jobs.size() && !interrupted(); ++j) {
    if (rows[j].empty()) continue;
    for (Row& row : rows[j]) row.packed = std::make_shared<const PackedModel>(jobs[j].model, row.recipe, device_);
    evaluate(jobs[j], rows[j]);
    std::vector<TimedRows> timed;
    for (const TimedShape& shape : jobs[j].shapes) {
      if (interrupted()) break;
      timed.push_back(measure(jobs[j], shape, rows[j]));
    }
    conclude(jobs[j], rows[j], timed);
    rows[j].clear();  // the next model needs the memory
  }
  progress_.reset();
  outcome_.study.interrupted = interrupted();
  outcome_.study.claims = compare_with_original(outcome_.study);
  outcome_.study.manifest.seconds = (clock_.now() - begun_).value();
  return std::move(outcome_);
}

}  // namespace

StudyOutcome run_study(const StudyOptions& options, MeterSet& meters, Clock& clock) {
  return Runner(options, meters, clock).run();
}

}  // namespace eaq
