// A profile, in the order in which it happens:
//
//   prepare    the model, its data and the shape are opened and checked
//   rows       every site and every other step of the graph, with what it holds; steps that fusions took into others say so
//   weigh      time and joules of each step of the program, by each way
//   judge      prediction impact: each site alone in each format, each site and step ablated
//   conclude   roofline, correlations, guidelines, claims: from the rows alone
#include <algorithm>
#include <cmath>

#include "eaq/study/rows.h"

namespace eaq {
namespace {

constexpr std::int64_t enough_windows = 64;  // of a text, where nobody says how many: a t-interval of 64 values

class Profiler {
 public:
  Profiler(const ProfileOptions& options, MeterSet& meters, Clock& clock)
      : options_(options),
        study_(with_defaults(options.study)),
        meters_(meters),
        clock_(clock),
        device_(open_device(study_.device, {.threads = study_.threads})),
        job_(prepare_job(study_.models.front(), study_, device_)) {}

  ProfileOutcome run();

 private:
  static StudyOptions with_defaults(StudyOptions study);
  void go_on_from(const Profile& earlier);
  void add_rows();
  void add_row(const std::string& site, StepKind kind, const std::string& fused_into);
  bool weigh(Way way);
  void keep(const StepWeighing& weighing, Way way);
  bool judge();  ///< whether something was left to be judged
  void keep(const Impact& impact);
  void tell_part();
  SiteRecord* row_of(const std::string& site);
  SessionOptions session_options_as_asked() const;
  /// Does it, and says in the profile how it came to be, unless there was nothing to do.
  void record_part(const std::string& what, const std::function<bool()>& work);
  bool has(Way way) const;

  const ProfileOptions& options_;
  StudyOptions study_;
  MeterSet& meters_;
  Clock& clock_;
  Device device_;
  Job job_;
  std::shared_ptr<const PackedModel> packed_;
  TimedData data_;
  ProfileOutcome outcome_;
  std::unique_ptr<Progress> progress_;
  double begun_at_ = 0, part_ = 1;  // of the progress: where the part in hand begins, and how long it is
};

StudyOptions Profiler::with_defaults(StudyOptions study) {
  if (study.phases.empty()) study.phases = {Phase::forward};
  if (study.formats.empty() && study.recipes.empty()) study.formats = {"fp32"};
  if (study.data.limit == 0 && open_model(study.models.front()).graph.task == Task::language_model)
    study.data.limit = enough_windows;
  return study;
}

SiteRecord* Profiler::row_of(const std::string& site) {
  auto& rows = outcome_.profile.sites;
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const SiteRecord& r) { return r.site == site; });
  return row == rows.end() ? nullptr : &*row;
}

SessionOptions Profiler::session_options_as_asked() const {
  SessionOptions options = session_options(data_.shape, device_);
  options.feeds_back = false;
  options.fusions = options_.fusions;
  return options;
}

void Profiler::record_part(const std::string& what, const std::function<bool()>& work) {
  std::vector<PartRecord>& parts = outcome_.profile.parts;
  const Manifest& m = outcome_.profile.manifest;
  const Seconds begun = clock_.now();
  parts.push_back({what, m.eaq, m.commit, timestamp_utc(), 0, m.device, study_.command});
  if (work())
    parts.back().seconds = (clock_.now() - begun).value();
  else
    parts.pop_back();
}

void Profiler::add_row(const std::string& name, StepKind kind, const std::string& fused_into) {
  SiteRecord row;
  row.site = name, row.kind = name_of(kind), row.fused_into = fused_into;
  const Graph& graph = job_.model.graph;
  if (const Site* site = graph.site(name)) {
    row.parameters = site->parameters;
    row.format = packed_->recipe().format_of(name);
    if (!site->tied_to.empty()) row.notes.push_back("shares its weights with " + site->tied_to);
  } else if (kind == StepKind::norm) {
    row.parameters = 2 * graph.width;
  }
  outcome_.profile.sites.push_back(std::move(row));
}

// The steps that run, and what fusions made part of them. Whatever a fused node gives is written by the step that it went into;
// where a selection of rows moved up, its value is another one by then, and the step is the one before it.
void Profiler::add_rows() {
  const Session session(packed_, session_options_as_asked());
  const Program& program = session.program_for(data_.batches.front().view());
  const auto writer = [&](Value value) -> const Step* {
    for (const Step& step : program.steps)
      for (const Value written : writes_of(step.op))
        if (written == value) return &step;
    return nullptr;
  };
  std::string before;  // the latest node that runs as a step
  for (const Node& node : job_.model.graph.nodes) {
    const bool runs =
        std::any_of(program.steps.begin(), program.steps.end(), [&](const Step& step) { return step.site == node.site; });
    if (runs) before = node.site;
    const Step* step = writer(std::visit([](const auto& op) { return op.out; }, node.op));
    const bool selects = std::holds_alternative<SelectOp>(node.op);
    add_row(node.site, node.kind, runs || selects ? "" : step != nullptr ? step->site : before);
    if (selects && !runs)
      outcome_.profile.sites.back().notes.emplace_back("rows are selected further up: nothing of it is left to do");
    if (const auto* embedding = std::get_if<EmbeddingNode>(&node.op))
      add_row(embedding->position_site, StepKind::embedding, node.site);
  }
}

void Profiler::go_on_from(const Profile& earlier) {
  Profile& now = outcome_.profile;
  const auto same = [](const Profile& a, const Profile& b) {
    return a.run.model == b.run.model && a.run.format == b.run.format && a.run.phase == b.run.phase &&
           a.run.batch == b.run.batch && a.run.seq == b.run.seq && a.manifest.protocol.name == b.manifest.protocol.name &&
           a.manifest.device.name == b.manifest.device.name && !a.manifest.models.empty() &&
           a.manifest.models.front().hash == b.manifest.models.front().hash;
  };
  if (!same(earlier, now))
    throw Error(ErrorKind::usage, "the earlier profile is of another model, format, shape or device (" + earlier.run.model +
                                      " in " + earlier.run.format + " on " + earlier.manifest.device.name +
                                      "); name another folder");
  // Impact is of the data that it was judged on.
  const bool same_data = earlier.manifest.protocol.quality == now.manifest.protocol.quality;
  for (const SiteRecord& row : earlier.sites) {
    SiteRecord* mine = row_of(row.site);
    if (mine == nullptr) continue;
    const SiteRecord fresh = *mine;
    *mine = row;
    if (!same_data) mine->impact.clear(), mine->ablation.reset();
    mine->notes = row.notes.empty() ? fresh.notes : row.notes;
  }
  now.additivity = earlier.additivity;
  now.parts = earlier.parts;
  // All that was typed, one after the other, as a study's --like has it.
  std::vector<std::string> command = earlier.manifest.command;
  command.emplace_back("--then");
  command.insert(command.end(), now.manifest.command.begin(), now.manifest.command.end());
  now.manifest.command = std::move(command);
  now.run = earlier.run;
  now.manifest.seconds = earlier.manifest.seconds;
  // Of the visits that its figures rest on.
  now.manifest.protocol.blocks = earlier.manifest.protocol.blocks;
  now.manifest.protocol.visit_s = earlier.manifest.protocol.visit_s;
}

bool Profiler::has(Way way) const {
  const Profile& profile = outcome_.profile;
  if (!meters_.empty()) return profile.additivity.count(std::string(name_of(way))) > 0;
  // Without a meter either way tells times alone.
  return std::any_of(profile.sites.begin(), profile.sites.end(), [](const SiteRecord& row) { return row.time_ms.has_value(); });
}

void Profiler::tell_part() {
  if (!options_.on_part) return;
  outcome_.profile.interrupted = true;
  options_.on_part(outcome_.profile);
  outcome_.profile.interrupted = false;
}

bool Profiler::weigh(Way way) {
  // Of decoding a step in the middle, whose cache is as full as the average one's.
  const OwnedBatch& batch = data_.batches[data_.shape.phase == Phase::decode ? data_.batches.size() / 2 : 0];
  const Weighed weighed{.model = &job_.model,
                        .packed = packed_,
                        .session = session_options_as_asked(),
                        .prompt = data_.prompt.ids.empty() ? nullptr : &data_.prompt,
                        .batch = &batch,
                        .phase = std::string(name_of(data_.shape.phase)),
                        .samples_per_run = data_.samples_per_run};
  StepWeighing weighing =
      weigh_steps(weighed, meters_, clock_,
                  {.way = way,
                   .blocks = study_.blocks,
                   .visit = Seconds(study_.min_seconds),
                   .seed = study_.seed,
                   .device = zone_of(device_.context->description())},
                  [&](double done, std::string_view what) {
                    progress_->update(begun_at_ + part_ * done, std::string(name_of(way)) + ": " + std::string(what));
                  });
  outcome_.profile.manifest.protocol.blocks = study_.blocks;
  outcome_.profile.manifest.protocol.visit_s = weighing.result.visit_length.value();
  keep(weighing, way);
  outcome_.weighings.push_back({way, std::move(weighing.result.visits), std::move(weighing.result.record)});
  if (options_.on_weighed) options_.on_weighed(outcome_.weighings.back());
  return true;
}

AdditivityRecord additivity(const PartsAndWhole& parts) { return {figure(parts.sum), figure(parts.whole), figure(parts.error)}; }

void Profiler::keep(const StepWeighing& weighing, Way way) {
  Profile& profile = outcome_.profile;
  Seconds all(0);
  for (const StepFigures& step : weighing.steps) all += step.alone;
  for (const StepFigures& step : weighing.steps) {
    SiteRecord* row = row_of(step.site);
    if (row == nullptr) throw Error(ErrorKind::bug, "step '" + step.site + "' is no part of the graph");
    row->format = step.format;
    row->flops = step.flops, row->bytes = step.bytes;
    if (step.ms && (way == Way::loops || !row->time_ms)) row->time_ms = figure(*step.ms);
    auto& joules = way == Way::loops ? row->mJ : row->mJ_in_place;
    if (step.mJ) joules = figure(*step.mJ);
    if (weighing.mJ && all > Seconds(0)) row->mJ_time_share = step.alone / all * weighing.mJ->whole.mean;
  }
  if (weighing.mJ) profile.additivity[std::string(name_of(way))] = additivity(*weighing.mJ);

  if (way == Way::loops || profile.run.samples == 0) {
    TimedRows timed{data_.shape, data_.unit, weighing.result, {std::string()}};
    timed.result.workloads.resize(1);
    Row row;
    row.recipe = packed_->recipe(), row.packed = packed_;
    row.peak_memory_unavailable = row.quality_unavailable = "not asked for: a profile looks at the parts";
    profile.run = make_run(job_, row, &timed, 0);
  }
  profile.run.notes.insert(profile.run.notes.end(), weighing.notes.begin(), weighing.notes.end());
  // Shares are of one quantity for all rows: joules by loops, else in place, else time.
  const auto has = [&](std::optional<Figure> SiteRecord::*figure) {
    return std::any_of(profile.sites.begin(), profile.sites.end(),
                       [&](const SiteRecord& row) { return (row.*figure).has_value(); });
  };
  const auto best = has(&SiteRecord::mJ)            ? &SiteRecord::mJ
                    : has(&SiteRecord::mJ_in_place) ? &SiteRecord::mJ_in_place
                                                    : &SiteRecord::time_ms;
  double sum = 0;
  for (const SiteRecord& row : profile.sites) sum += row.*best ? (row.*best)->mean : 0;
  for (SiteRecord& row : profile.sites)
    if (row.*best && sum > 0) row.share = (row.*best)->mean / sum;
}

ImpactRecord record_of(const Impact& impact) {
  ImpactRecord record{impact.n, figure(impact.kl), impact.flips, {}, {}, impact.emulated};
  if (impact.delta_nll) record.delta_nll = figure(*impact.delta_nll);
  if (impact.accuracy_delta) record.accuracy_delta = figure(*impact.accuracy_delta);
  return record;
}

void Profiler::keep(const Impact& impact) {
  SiteRecord* row = row_of(impact.site);
  if (row == nullptr) throw Error(ErrorKind::bug, "impact of '" + impact.site + "', which is no row");
  if (impact.format.empty())
    row->ablation = record_of(impact);
  else
    row->impact[impact.format] = record_of(impact);
}

bool Profiler::judge() {
  const auto reference =
      std::make_shared<const PackedModel>(job_.model, uniform_recipe(job_.model.graph, "fp32", "fp32"), device_);
  ImpactData data;
  if (job_.classifies())
    data.sentences = &job_.sentences;
  else
    data.stream = &job_.stream, data.windows = job_.windows;
  const auto judged =
      impacts(job_.model, reference, data,
              {.formats = options_.impact,
               .ablations = options_.ablations,
               .is_known =
                   [&](const std::string& site, const std::string& format) {
                     const SiteRecord* row = row_of(site);
                     return row != nullptr && (format.empty() ? row->ablation.has_value() : row->impact.count(format) > 0);
                   },
               .on_result =
                   [&](const Impact& impact) {
                     keep(impact);
                     tell_part();
                   },
               .on_progress = [&](double done) { progress_->update(begun_at_ + part_ * done, "prediction impact"); }});
  return !judged.empty();
}

ProfileOutcome Profiler::run() {
  const Seconds begun = clock_.now();
  Profile& profile = outcome_.profile;
  progress_ = std::make_unique<Progress>("profile", static_cast<double>(options_.ways.size()) + 1);
  packed_ = std::make_shared<const PackedModel>(job_.model, job_.recipes.front(), device_);
  require_memory_for(packed_, job_.shapes.front());
  data_ = make_timed_data(job_, job_.shapes.front(), study_.seed);
  profile.manifest = make_manifest(study_, device_, meters_, std::span(&job_, 1));
  ProtocolRecord& protocol = profile.manifest.protocol;
  protocol.name = options_.fusions ? "profile" : "profile-unfused", protocol.method = "counter";
  protocol.blocks = study_.blocks, protocol.visits_per_block = 2;
  add_rows();
  {
    const TimedRows never{data_.shape, data_.unit, {}, {}};
    Row row;
    row.recipe = packed_->recipe(), row.packed = packed_;
    row.quality_unavailable = row.peak_memory_unavailable = "not asked for: a profile looks at the parts";
    profile.run = make_run(job_, row, &never, 0);
  }
  if (options_.earlier != nullptr) go_on_from(*options_.earlier);

  for (const Way way : options_.ways) {
    if (!has(way) && !interrupted()) {
      record_part(std::string(name_of(way)), [&] { return weigh(way); });
      tell_part();
    }
    begun_at_ += part_;
  }
  std::string judged;
  for (const std::string& format : options_.impact) judged += (judged.empty() ? "impact of " : ", ") + format;
  if (options_.ablations) judged += judged.empty() ? "ablations" : "; ablations";
  if (!judged.empty() && !job_.model.random && !interrupted()) record_part(judged, [&] { return judge(); });
  conclude(profile);
  progress_.reset();
  profile.interrupted = interrupted();
  profile.manifest.seconds += (clock_.now() - begun).value();
  return std::move(outcome_);
}

}  // namespace

ProfileOutcome run_profile(const ProfileOptions& options, MeterSet& meters, Clock& clock) {
  return Profiler(options, meters, clock).run();
}

}  // namespace eaq
