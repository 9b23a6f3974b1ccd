#include "eaq/study/study.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <optional>
#include <set>

#include "eaq/report/report.h"
#include "eaq/study/job.h"
#include "eaq/study/rows.h"

namespace eaq {
namespace {

Graph graph_like(Task task, std::int64_t context) {
  Graph graph;
  graph.task = task;
  graph.context = context;
  return graph;
}

TEST(TimedShapes, AreTheContractsWhereTheCommandLineIsSilent) {
  const auto distilbert = timed_shapes(graph_like(Task::classification, 512), {});
  ASSERT_EQ(distilbert.size(), 1u);
  EXPECT_EQ(distilbert[0].batch, 32);
  EXPECT_EQ(distilbert[0].seq, 128);
  const auto gpt2 = timed_shapes(graph_like(Task::language_model, 1024), {});
  ASSERT_EQ(gpt2.size(), 2u);
  EXPECT_EQ(gpt2[0].batch, 1);
  EXPECT_EQ(gpt2[0].seq, 128);
  EXPECT_EQ(gpt2[1].phase, Phase::decode);
  EXPECT_EQ(gpt2[1].seq, 128);
  EXPECT_EQ(gpt2[1].new_tokens, 128);
  // Elsewhere than on a CPU, forward passes are large; a short context has shorter ones.
  EXPECT_EQ(timed_shapes(graph_like(Task::language_model, 1024), {.device = "cuda"})[0].batch, 8);
  EXPECT_EQ(timed_shapes(graph_like(Task::language_model, 1024), {.device = "cuda"})[0].seq, 1024);
  EXPECT_EQ(timed_shapes(graph_like(Task::language_model, 256), {.device = "cuda"})[0].batch, 4);
  EXPECT_EQ(timed_shapes(graph_like(Task::language_model, 256), {.device = "cuda"})[0].seq, 256);
  EXPECT_EQ(timed_shapes(graph_like(Task::language_model, 64), {})[1].seq, 32);
}

TEST(TimedShapes, ListsAreCrossedAndUnpaddedHasNoLength) {
  EXPECT_EQ(timed_shapes(graph_like(Task::classification, 512), {.batch = {1, 8}, .seq = {32, 64, 128}}).size(), 6u);
  const auto unpadded = timed_shapes(graph_like(Task::classification, 512), {.unpadded = true});
  ASSERT_EQ(unpadded.size(), 1u);
  EXPECT_EQ(unpadded[0].seq, 0);
}

TEST(TimedShapes, WhatExceedsTheContextIsAnError) {
  EXPECT_THROW(timed_shapes(graph_like(Task::classification, 64), {.seq = {65}}), Error);
  EXPECT_THROW(timed_shapes(graph_like(Task::language_model, 256), {.seq = {129}, .phases = {Phase::decode}}), Error);
}

StudyOptions quick(const std::string& model, std::vector<std::string> formats) {
  StudyOptions options;
  options.models = {model};
  options.formats = std::move(formats);
  options.data.limit = 40;
  options.data.cache = false;
  options.batch = {2};
  options.seq = {16};
  options.blocks = 2;
  options.min_seconds = 0.02;
  return options;
}

TEST(TimedData, CyclesThroughAtLeast32DifferentBatches) {
  for (const char* model : {"tiny-distilbert", "tiny-gpt2"}) {
    const Job job = prepare_job(model, quick(model, {"fp32"}), open_device("cpu"));
    for (const TimedShape& shape : job.shapes) {
      const TimedData data = make_timed_data(job, shape, 0);
      std::set<std::vector<std::int32_t>> different;
      for (const OwnedBatch& batch : data.batches) {
        std::vector<std::int32_t> key = batch.ids;
        key.insert(key.end(), batch.positions.begin(), batch.positions.end());
        different.insert(key);
      }
      EXPECT_GE(different.size(), shape.phase == Phase::decode ? 16u : 32u) << model;
    }
  }
}

TEST(TimedData, OutputsAgreeWithEvaluationsInEveryPhase) {
  StudyOptions options = quick("tiny-gpt2", {"fp32"});
  options.phases = {Phase::forward, Phase::prefill, Phase::decode};
  const Device device = open_device("cpu");
  for (const char* model : {"tiny-distilbert", "tiny-gpt2"}) {
    options.models = {model, "tiny-gpt2"};
    const Job job = prepare_job(model, options, device);
    const auto packed = std::make_shared<const PackedModel>(job.model, job.recipes.front(), device);
    for (const TimedShape& shape : job.shapes) {
      bool agrees = false;
      const auto data = std::make_shared<const TimedData>(make_timed_data(job, shape, 1));
      const std::string says = compare_with_evaluation(job, packed, data, agrees);
      EXPECT_TRUE(agrees) << model << " " << name_of(shape.phase) << ": " << says;
    }
  }
}

// On a device that records (the tests have one, emulated or real, where they are built with CUDA), nothing is left to a trial.
TEST(TimedData, EveryBatchIsRecordedAheadOfTheTrials) {
  for (const std::string name : {"cpu", "cuda"}) {
    std::optional<Device> device;
    try {
      device = open_device(name);
    } catch (const Error&) {
      continue;  // not here; Cuda.IsHereWhereItIsRequired tells
    }
    for (const char* model : {"tiny-distilbert", "tiny-gpt2"}) {
      StudyOptions options = quick(model, {"fp32"});
      options.unpadded = model == std::string("tiny-distilbert");  // batches of different sizes
      if (options.unpadded) options.seq.clear();
      options.phases = {Phase::forward};
      if (!options.unpadded) options.phases.push_back(Phase::decode);
      const Job job = prepare_job(model, options, *device);
      const auto packed = std::make_shared<const PackedModel>(job.model, job.recipes.front(), *device);
      for (const TimedShape& shape : job.shapes) {
        const auto data = std::make_shared<const TimedData>(make_timed_data(job, shape, 1));
        const bool feeds_back = session_options(shape, *device).feeds_back;
        const int all = feeds_back ? 1 : static_cast<int>(data->batches.size());
        EXPECT_EQ(TimedProgram(packed, data).record(), name == "cpu" ? 0 : all);
        const auto program = std::make_shared<TimedProgram>(packed, data);
        const Workload workload = workload_of(program);  // what a study visits
        EXPECT_EQ(program->record(), 0) << model << " on " << name << ", " << name_of(shape.phase);
        for (int run = 0; run < static_cast<int>(data->batches.size()); ++run) workload.run(run, nullptr);
        workload.finish();
        // What is named as having run begins anew with each.
        EXPECT_FALSE(packed->report().kernels.empty());
        workload_of(std::make_shared<TimedProgram>(packed, data));
        EXPECT_EQ(packed->report().kernels.empty(), name == "cpu") << model << ", " << name_of(shape.phase);
        EXPECT_EQ(program->record(), 0) << model << " on " << name << ", " << name_of(shape.phase);
      }
    }
  }
}

// Decoding reads its prompt once, before it is timed, by kernels of many rows, and evaluation has others still.
TEST(Study, ARowNamesTheKernelsAndTheArithmeticOfItsOwnPhase) {
  for (const std::string name : {"cpu", "cuda"}) {
    StudyOptions options = quick("tiny-gpt2", {"int8"});
    if (name == "cuda") options.formats = {"fp16"};
    options.device = name;
    options.phases = {Phase::forward, Phase::decode};
    options.data.limit = 1, options.batch = {1};
    std::optional<Device> device;
    try {
      device = open_device(name);
    } catch (const Error&) {
      continue;  // not here; Cuda.IsHereWhereItIsRequired tells
    }
    MeterSet none;
    const Study study = run_study(options, none).study;
    ASSERT_EQ(study.runs.size(), 2u);
    ASSERT_EQ(study.runs[1].phase, "decode");
    for (const auto& run : study.runs) EXPECT_FALSE(run.kernels.empty()) << name;
    if (name != "cuda") continue;
    const auto has_one_row = [](const auto& run) {
      return std::find(run.kernels.begin(), run.kernels.end(), "eaq one row") != run.kernels.end();
    };
    EXPECT_FALSE(has_one_row(study.runs[0]));
    EXPECT_TRUE(has_one_row(study.runs[1]));
    EXPECT_NE(study.runs[0].arithmetic, "f32");
    EXPECT_EQ(study.runs[1].arithmetic, "f32");
  }
}

TEST(Study, EveryRowHasQualityTimeSizeAndTheMemoryOfItsFormatAlone) {
  MeterSet none;
  const StudyOutcome outcome = run_study(quick("tiny-distilbert", {"fp32", "int8"}), none);
  ASSERT_EQ(outcome.study.runs.size(), 2u);
  for (const auto& row : outcome.study.runs) {
    ASSERT_TRUE(row.quality && row.latency_ms);
    EXPECT_EQ(row.quality->n, 40);
    EXPECT_TRUE(row.peak_memory_bytes || !row.peak_memory_unavailable.empty());
    EXPECT_FALSE(row.energy);
    EXPECT_NE(row.energy_unavailable, "");
    bool checked = false;
    for (const std::string& note : row.notes) checked = checked || note.starts_with("timed outputs agree");
    EXPECT_TRUE(checked) << row.format;
  }
  EXPECT_EQ(*outcome.study.runs[0].quality->kl_mean, 0);
  EXPECT_GT(*outcome.study.runs[1].quality->kl_mean, 0);
  EXPECT_EQ(outcome.visits.size(), 2u * 2 * 2);
  ASSERT_EQ(outcome.study.comparisons.size(), 1u);
  EXPECT_TRUE(outcome.study.comparisons[0].p_value && outcome.study.comparisons[0].speedup);
}

TEST(Study, SaysOfTheOriginalStudysClaimsWhatItSaw) {
  MeterSet none;
  const StudyOutcome outcome = run_study(quick("tiny-distilbert", {"fp32", "fp16"}), none);
  bool halved = false;
  for (const ClaimRecord& claim : outcome.study.claims)
    halved = halved || (claim.claim == "DistilBERT: fp16 halves the size" && claim.verdict == "confirmed");
  EXPECT_TRUE(halved);
  EXPECT_NE(markdown_report(outcome.study).find("DistilBERT: fp16 halves the size"), std::string::npos);
  // Without times there is nothing that it could say of joules and speed.
  StudyOptions quality = quick("tiny-distilbert", {"fp32"});
  quality.timing = false, quality.data.limit = 1;
  EXPECT_TRUE(run_study(quality, none).study.claims.empty());
}

TEST(Study, NamesTheDeviceAsItDescribesItself) {
  MeterSet none;
  StudyOptions options = quick("tiny-gpt2", {"fp32"});
  options.timing = false;
  options.data.limit = 1;
  for (const char* name : {"cpu", "ref"}) {
    options.device = name;
    const DeviceRecord record = run_study(options, none).study.manifest.device;
    const DeviceDescription device = open_device(name).context->description();
    EXPECT_EQ(record.kind, name);
    EXPECT_EQ(record.name, device.name);
    EXPECT_EQ(record.isa, device.isa);
    EXPECT_EQ(record.uuid, "");
    EXPECT_GE(record.threads, 1);
  }
}

TEST(Zone, OfACardIsTheCardsAndOfAllElseTheProcessors) {
  EXPECT_EQ(zone_of({.kind = "cuda"}), ZoneRole::gpu);
  EXPECT_EQ(zone_of({.kind = "cpu"}), ZoneRole::cpu);
  EXPECT_EQ(zone_of({.kind = "ref"}), ZoneRole::cpu);
}

TEST(Study, RandomWeightsAreTimedAndNotJudged) {
  MeterSet none;
  for (const char* model : {"synthetic:gpt2?layers=1&width=32&heads=2&vocabulary=50&context=41",
                            "synthetic:distilbert?layers=1&width=32&heads=2&vocabulary=50&context=41"}) {
    const StudyOutcome outcome = run_study(quick(model, {"fp32", "int8"}), none);
    ASSERT_GE(outcome.study.runs.size(), 2u) << model;
    for (const auto& row : outcome.study.runs) {
      EXPECT_EQ(row.model, model);
      EXPECT_EQ(row.task, "random");
      EXPECT_TRUE(row.latency_ms) << model;
      EXPECT_FALSE(row.quality);
      EXPECT_EQ(row.quality_unavailable, "random weights: their answers mean nothing");
      bool checked = false;
      for (const std::string& note : row.notes) checked = checked || note.starts_with("timed outputs agree");
      EXPECT_TRUE(checked) << model;
    }
    EXPECT_TRUE(outcome.study.comparisons[0].speedup);
    EXPECT_FALSE(outcome.study.comparisons[0].quality_delta);
    EXPECT_EQ(outcome.study.manifest.data[0].name, "random tokens");
  }
}

TEST(Job, DataForRandomWeightsIsSeededFullAndOfTheShapesAsked) {
  StudyOptions options = quick("synthetic:distilbert?layers=1&width=32&heads=2&vocabulary=50&context=41", {"fp32"});
  options.seq = {16, 41};
  const Device device = open_device("cpu");
  const Job job = prepare_job(options.models[0], options, device), same = prepare_job(options.models[0], options, device);
  options.seed = 1;
  const Job other = prepare_job(options.models[0], options, device);
  EXPECT_EQ(job.sentences.ids, same.sentences.ids);
  EXPECT_NE(job.sentences.ids, other.sentences.ids);
  for (const TimedShape& shape : job.shapes) {
    const TimedData data = make_timed_data(job, shape, 0);
    EXPECT_GE(data.batches.size(), 32u);
    for (const OwnedBatch& batch : data.batches) {
      EXPECT_EQ(batch.ids.size(), static_cast<std::size_t>(shape.batch * shape.seq));
      for (const std::uint8_t seen : batch.key_mask) EXPECT_EQ(seen, 1);  // no padding
    }
  }
}

TEST(Job, WhatNeedsATokenizerIsRefusedForRandomWeights) {
  const auto kind_of = [](const StudyOptions& options) {
    try {
      prepare_job("synthetic:distilbert?layers=1", options, open_device("cpu"));
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::bug;
  };
  const std::string model = "synthetic:distilbert?layers=1";
  EXPECT_EQ(kind_of({.models = {model}, .unpadded = true}), ErrorKind::usage);
  EXPECT_EQ(kind_of({.models = {model}, .data = {.task = "sst2"}}), ErrorKind::usage);
  EXPECT_EQ(kind_of({.models = {model}, .data = {.file = "x.tsv"}}), ErrorKind::usage);
  EXPECT_EQ(kind_of({.models = {model}, .timing = false}), ErrorKind::input);
}

TEST(Study, KlIsAgainstFp32AlsoWhereFp32IsNoRow) {
  MeterSet none;
  StudyOptions options = quick("tiny-gpt2", {"bf16"});
  options.timing = false;
  options.data.limit = 2;
  const StudyOutcome outcome = run_study(options, none);
  ASSERT_EQ(outcome.study.runs.size(), 1u);
  EXPECT_GT(*outcome.study.runs[0].quality->kl_mean, 0);
}

// Presses Ctrl-C after so many steps, as seen by a meter that wants steps.
class Impatient : public Meter, public StepListener {
 public:
  explicit Impatient(int steps) : left_(steps) {}
  std::string name() const override { return "impatient"; }
  MeterLabel label() const override { return MeterLabel::synthetic; }
  std::span<const Zone> zones() const override { return zones_; }
  void read(std::span<Reading>) override {}
  StepListener* listener() override { return this; }
  void on_step(std::string_view, std::string_view, Seconds, Seconds) override {
    if (--left_ == 0) std::raise(SIGINT);
  }

 private:
  std::vector<Zone> zones_{{.name = "x"}};
  int left_;
};

TEST(Study, CtrlCKeepsWhatWasMeasured) {
  catch_interrupts();
  std::vector<std::unique_ptr<Meter>> meters;
  meters.push_back(std::make_unique<Impatient>(400));
  MeterSet set(std::move(meters));
  StudyOptions options = quick("tiny-gpt2", {"fp32"});
  options.data.limit = 3;
  options.blocks = 100000;
  const StudyOutcome outcome = run_study(options, set);
  clear_interrupt();
  EXPECT_TRUE(outcome.study.interrupted);
  ASSERT_EQ(outcome.study.runs.size(), 2u);  // forward, in which it was interrupted, and decode, which never began
  EXPECT_TRUE(outcome.study.runs[0].quality);
  EXPECT_FALSE(outcome.study.runs[1].latency_ms);
  EXPECT_NE(outcome.study.runs[1].timing_unavailable, "");
}

TEST(QualityResult, HasNoLargestValueWhereNoneWasFinite) {
  Quality quality;
  quality.ranges = {{"fine", 3, 0}, {"some", 2, 1}, {"none", 0, 7}, {"zero", 0, 0}};
  const auto overflows = quality_result(quality).overflows;
  ASSERT_EQ(overflows.size(), 4u);
  EXPECT_EQ(overflows[0].max_abs, 3);
  EXPECT_EQ(overflows[1].max_abs, 2);
  EXPECT_TRUE(std::isnan(overflows[2].max_abs));
  EXPECT_EQ(overflows[2].count, 7);
  EXPECT_EQ(overflows[3].max_abs, 0);
}

TEST(ResultFolder, LeavesNothingWhereNothingWasWritten) {
  const auto base = std::filesystem::temp_directory_path() / ("eaq-folder-" + std::to_string(::getpid()));
  std::filesystem::create_directories(base);
  { const ResultFolder folder(base / "a"); }
  EXPECT_FALSE(std::filesystem::exists(base / "a"));
  std::filesystem::create_directories(base / "b");
  { const ResultFolder folder(base / "b"); }
  EXPECT_TRUE(std::filesystem::exists(base / "b"));  // it was there before
  std::ofstream(base / "b" / "study.json") << "{}";
  EXPECT_THROW(ResultFolder(base / "b"), Error);
  std::filesystem::remove_all(base);
}

TEST(ResultFolder, IsOneStudysAtATime) {
  const auto base = std::filesystem::temp_directory_path() / ("eaq-lock-" + std::to_string(::getpid()));
  std::filesystem::create_directories(base);
  {
    const ResultFolder first(base / "a");
    try {
      const ResultFolder second(base / "a");
      ADD_FAILURE() << "two studies in one folder";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_NE(std::string(error.what()).find((base / "a").string()), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("another study"), std::string::npos) << error.what();
    }
    EXPECT_TRUE(std::filesystem::exists(base / "a"));  // it is the first one's
    const ResultFolder beside(base / "b");
  }
  EXPECT_FALSE(std::filesystem::exists(base / "a"));
  { const ResultFolder again(base / "a"); }
  std::filesystem::remove_all(base);
}

TEST(ResultFolder, IsFreeOnceItsProcessIsGoneHoweverItEnded) {
  const auto base = std::filesystem::temp_directory_path() / ("eaq-killed-" + std::to_string(::getpid()));
  std::filesystem::create_directories(base);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const ResultFolder folder(base / "a");
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THROW(ResultFolder(base / "a"), Error);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  { const ResultFolder folder(base / "a"); }
  std::filesystem::remove_all(base);
}

TEST(ResultFolder, TheDefaultPassesOverOneThatIsAnothers) {
  const auto base = std::filesystem::temp_directory_path() / ("eaq-default-" + std::to_string(::getpid()));
  std::filesystem::create_directories(base);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(base);
  {
    const ResultFolder first(std::nullopt), second(std::nullopt);
    EXPECT_EQ(second.path().string(), first.path().string() + "-2");
  }
  std::filesystem::current_path(before);
  std::filesystem::remove_all(base);
}

TEST(ProfileRun, WhatAWaySawIsToldBeforeTheNextPartBegins) {
  ProfileOptions options;
  options.study.models = {"tiny-distilbert"};
  options.study.formats = {"fp32"};
  options.study.batch = {1}, options.study.seq = {8};
  options.study.data.limit = 4, options.study.blocks = 1, options.study.min_seconds = 0.002;
  options.ways = {Way::loops};
  options.impact = {"int8"}, options.ablations = false;
  std::vector<std::string> told;
  options.on_weighed = [&](const WeighingRecord& record) { told.push_back(std::to_string(record.visits.size()) + " visits"); };
  options.on_part = [&](const Profile&) { told.emplace_back("part"); };
  MeterSet none;
  const ProfileOutcome outcome = run_profile(options, none);
  ASSERT_GE(told.size(), 3U);
  ASSERT_EQ(outcome.weighings.size(), 1U);
  EXPECT_EQ(told[0], std::to_string(outcome.weighings[0].visits.size()) + " visits");
  EXPECT_EQ(told[1], "part");
}

}  // namespace
}  // namespace eaq
