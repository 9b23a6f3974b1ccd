// A study through the built program: its files, and that they hold to the schema in docs/.
#include "eaq/base/json.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "eaq/base/base.h"
#include "eaq/cli/program.h"
#include "eaq/result/result.h"

namespace eaq {
namespace {

using program::Outcome;
using program::run;

constexpr const char* synthetic_meter =
    R"({"schema": "eaq.synthetic/1", "idle_W": 10, "watts": {"linear": {"fp32": 300, "int8": 100}, "*": {"*": 50}},
        "period_ms": 5, "window_ms": 5, "lag_ms": 0, "step_mJ": 0.1, "noise_W": 0, "drift_per_minute": 0, "faults": [], "seed": 0})";
constexpr const char* quick = " --limit 40 --batch 2 --seq 16 --blocks 2 --min-seconds 0.05 --quiet ";

std::filesystem::path fresh(const std::string& name) {
  std::filesystem::path path = program::folder() / name;
  std::filesystem::remove_all(path);
  return path;
}

void expect_schema(const std::string& json) {
  EXPECT_EQ(program::schema_errors(read_text(std::string(EAQ_SOURCE_DIR) + "/docs/study.schema.json"), json), "");
}

TEST(StudyCommand, WithoutAMeterWritesTheContractsFilesWithoutJoules) {
  const auto out = fresh("plain");
  const Outcome outcome =
      run("study tiny-distilbert tiny-gpt2 --formats fp32,int8 --meter none --out plain" + std::string(quick));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* file : {"study.json", "study.md", "study.csv", "visits.csv", "samples.csv.zst"})
    EXPECT_TRUE(std::filesystem::exists(out / file)) << file;
  expect_schema(read_text(out / "study.json"));
  const Study study = read_study(out / "study.json");
  EXPECT_FALSE(study.interrupted);
  ASSERT_EQ(study.runs.size(), 6u);  // two formats: forward of both, decode of one
  for (const auto& row : study.runs) {
    EXPECT_TRUE(row.latency_ms && row.throughput_per_s && row.quality) << row.model << " " << row.format;
    EXPECT_FALSE(row.energy);
    EXPECT_NE(row.energy_unavailable, "");
    EXPECT_GT(row.samples, 0);
    EXPECT_FALSE(row.kernels.empty());
    EXPECT_EQ(row.latency_ms->ms.trials.size(), 2u);
  }
  EXPECT_EQ(study.runs[0].unit, "sentence");
  EXPECT_EQ(study.runs[4].unit, "token");
  EXPECT_EQ(study.comparisons.size(), 3u);
  EXPECT_GT(study.runs[1].size_ratio, 1);
  // The table: no energy columns, and one line says why.
  EXPECT_EQ(outcome.out.find("mJ/"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("No energy columns: "), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("Written: plain/{study.json, study.md, study.csv"), std::string::npos) << outcome.out;
}

TEST(StudyCommand, OfRandomWeightsLeavesQualityEmptyAndSaysWhyOnce) {
  const auto out = fresh("random");
  const Outcome outcome =
      run("study 'synthetic:gpt2?layers=1&width=32&heads=2&vocabulary=101&context=41' --formats fp32,int8 "
          "--meter none --blocks 2 --min-seconds 0.02 --quiet --out random");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_schema(read_text(out / "study.json"));
  for (const auto& row : read_study(out / "study.json").runs) EXPECT_TRUE(row.latency_ms && !row.quality) << row.format;
  const std::string reason = "No quality: random weights: their answers mean nothing";
  const auto first = outcome.out.find(reason), second = outcome.out.find(reason, first + 1);  // a table of forward, one of decode
  EXPECT_NE(second, std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find(reason, second + 1), std::string::npos) << outcome.out;
}

TEST(StudyCommand, WithASyntheticMeterItsJoulesAreKnownAndLabelled) {
  write_text(program::folder() / "meter.json", synthetic_meter);
  const auto out = fresh("synthetic");
  const Outcome outcome =
      run("study tiny-distilbert --formats fp32,int8 --meter synthetic:meter.json --out synthetic --limit 40 --batch 1 --seq 8 "
          "--blocks 3 --min-seconds 0.3 --quiet");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_schema(read_text(out / "study.json"));
  const Study study = read_study(out / "study.json");
  ASSERT_EQ(study.runs.size(), 2u);
  for (const auto& row : study.runs) {
    ASSERT_TRUE(row.energy) << row.energy_unavailable;
    EXPECT_EQ(row.energy->label, "synthetic");
    // Between the power of idling and of the hungriest step, and mJ = W x ms.
    EXPECT_GT(row.energy->mean_power_W, 10);
    EXPECT_LT(row.energy->mean_power_W, 300);
    EXPECT_NEAR(row.energy->mJ_per_sample.mean, row.energy->mean_power_W * row.latency_ms->ms.mean,
                0.25 * row.energy->mJ_per_sample.mean);
  }
  ASSERT_EQ(study.comparisons.size(), 1u);
  ASSERT_TRUE(study.comparisons[0].energy_ratio);
  EXPECT_NE(outcome.out.find("mJ (synthetic)"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("energy: "), std::string::npos);
}

TEST(StudyCommand, AssumedWattsAreLabelledInEveryForm) {
  const auto out = fresh("assumed");
  const Outcome outcome = run("study tiny-distilbert --formats fp32 --assume-watts 65 --out assumed" + std::string(quick));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Study study = read_study(out / "study.json");
  ASSERT_TRUE(study.runs.at(0).energy) << study.runs[0].energy_unavailable;
  EXPECT_EQ(study.runs[0].energy->label, "assumed");
  for (const std::string& text : {outcome.out, read_text(out / "study.md")})
    EXPECT_NE(text.find("mJ (assumed)"), std::string::npos) << text;
  EXPECT_NE(read_text(out / "study.csv").find(",assumed,"), std::string::npos);
}

TEST(StudyCommand, TheClosingLineNamesWhatBringsJoulesHere) {
  const std::string command = "study tiny-distilbert --formats fp32 --out ";
  // A machine whose RAPL counters are only root's, and a user who is not root.
  const std::filesystem::path sys = fresh("sys"), zone = sys / "class/powercap/intel-rapl:0";
  std::filesystem::create_directories(zone);
  write_text(zone / "name", "package-0\n");
  write_text(zone / "max_energy_range_uj", "262143328850\n");
  write_text(zone / "energy_uj", "12345678\n");
  std::filesystem::permissions(zone / "energy_uj", std::filesystem::perms::none);
  std::filesystem::permissions(program::folder(), std::filesystem::perms::all);
  const std::string user = ::geteuid() == 0 ? "setpriv --reuid 65534 --regid 65534 --clear-groups" : "";
  const Outcome denied = run(command + "denied" + quick, "EAQ_SYSFS_ROOT='" + sys.string() + "' " + user);
  ASSERT_EQ(denied.code, 0) << denied.err;
  EXPECT_NE(denied.out.find("sudo chmod"), std::string::npos) << denied.out;
  EXPECT_NE(denied.out.find("energy_uj"), std::string::npos) << denied.out;
  // No counter at all, as in most virtual machines.
  const Outcome nothing = run(command + "nothing" + quick, "EAQ_SYSFS_ROOT=/nowhere");
  EXPECT_EQ(nothing.code, 0) << nothing.err;
  EXPECT_NE(nothing.out.find("--assume-watts"), std::string::npos) << nothing.out;
}

TEST(StudyCommand, TheClosingLineNamesACommandForEveryCause) {
  // A sensor, but of something else than the processor.
  const std::filesystem::path other = fresh("other-sys") / "class/hwmon/hwmon0";
  std::filesystem::create_directories(other);
  write_text(other / "name", "nvme\n");
  write_text(other / "power1_input", "3000000\n");
  // A counter that does not move.
  const std::filesystem::path zone = fresh("stuck-sys") / "class/powercap/intel-rapl:0";
  std::filesystem::create_directories(zone);
  write_text(zone / "name", "package-0\n");
  write_text(zone / "max_energy_range_uj", "262143328850\n");
  write_text(zone / "energy_uj", "12345678\n");
  const std::string command =
      "study tiny-distilbert --formats fp32 --blocks 2 --limit 8 --batch 2 --seq 16 --min-seconds 0.7 --quiet --out ";
  for (const char* cause : {"other", "stuck"}) {
    const Outcome outcome =
        run(command + cause, "EAQ_SYSFS_ROOT=" + (program::folder() / (cause + std::string("-sys"))).string());
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("No energy columns: "), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("--assume-watts 65"), std::string::npos) << outcome.out;
  }
  const Outcome off = run(command + "off --meter none");
  EXPECT_NE(off.out.find("--assume-watts 65"), std::string::npos) << off.out;
}

TEST(StudyCommand, JsonIsAllThatStandsOnStandardOutput) {
  const Outcome outcome = run("study tiny-distilbert --formats fp32 --meter none --json --out json" + std::string(quick));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_schema(outcome.out);
  EXPECT_EQ(outcome.out, read_text(program::folder() / "json/study.json"));
}

TEST(StudyCommand, AFinishedStudyIsNeverOverwritten) {
  const std::string command = "study tiny-distilbert --formats fp32 --meter none" + std::string(quick);
  ASSERT_EQ(run(command + "--out kept").code, 0);
  const std::string before = read_text(program::folder() / "kept/study.json");
  const Outcome again = run(command + "--out kept");
  EXPECT_EQ(again.code, 2);
  EXPECT_NE(again.err.find("not overwritten"), std::string::npos);
  EXPECT_EQ(read_text(program::folder() / "kept/study.json"), before);
  // The default name moves on.
  const Outcome first = run(command), second = run(command);
  EXPECT_EQ(first.code, 0);
  EXPECT_NE(second.out.find("-2/{study.json"), std::string::npos) << second.out;
}

TEST(StudyCommand, AFolderThatCannotBeWrittenEndsItBeforeAnythingIsMeasured) {
  write_text(program::folder() / "file", "x");
  const Outcome outcome = run("study --out file/inside");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("--out file/inside"), std::string::npos) << outcome.err;
  // What cannot be done as asked leaves no folder behind.
  EXPECT_EQ(run("study ./nowhere --out left").code, 3);
  EXPECT_FALSE(std::filesystem::exists(program::folder() / "left"));
}

TEST(StudyCommand, LikeRepeatsAResultAndOptionsOverride) {
  ASSERT_EQ(run("study tiny-distilbert --formats fp32,int8 --meter none --seed 7 --out one" + std::string(quick)).code, 0);
  const Outcome again = run("study --like one/study.json --formats fp32 --out two --quiet");
  ASSERT_EQ(again.code, 0) << again.err;
  const Study one = read_study(program::folder() / "one/study.json"), two = read_study(program::folder() / "two/study.json");
  ASSERT_EQ(two.runs.size(), 1u);
  EXPECT_EQ(two.manifest.seed, 7u);
  EXPECT_EQ(two.runs[0].batch, one.runs[0].batch);
  EXPECT_EQ(two.runs[0].quality->value, one.runs[0].quality->value);
  EXPECT_EQ(two.manifest.protocol.visit_s, one.manifest.protocol.visit_s);
  const Outcome third = run("study --like two/study.json --out three --quiet");
  ASSERT_EQ(third.code, 0) << third.err;
  EXPECT_EQ(read_study(program::folder() / "three/study.json").runs.size(), 1u);
}

TEST(StudyCommand, LikeFindsItsModelAndDataFromAnotherFolder) {
  const auto inside = fresh("models");
  std::filesystem::create_directories(inside);
  std::filesystem::copy(EAQ_SOURCE_DIR "/models/tiny-distilbert", inside / "mine", std::filesystem::copy_options::recursive);
  write_text(program::folder() / "few.tsv", "label\tsentence\n1\ta fine film\n0\ta dull film\n1\tgood\n0\tbad\n");
  fresh("here");
  fresh("elsewhere/there");
  const Outcome first = run("study models/mine --formats fp32 --meter none --data=few.tsv --out here" + std::string(quick));
  ASSERT_EQ(first.code, 0) << first.err;
  std::filesystem::create_directories(program::folder() / "elsewhere");
  const Outcome again = run("study --like ../here/study.json --out there --quiet", "cd elsewhere &&");
  ASSERT_EQ(again.code, 0) << again.err;
  const Study one = read_study(program::folder() / "here/study.json"),
              two = read_study(program::folder() / "elsewhere/there/study.json");
  ASSERT_EQ(two.manifest.models.size(), 1u);
  EXPECT_EQ(two.manifest.models[0].hash, one.manifest.models[0].hash);
  EXPECT_EQ(two.manifest.data.at(0).hash, one.manifest.data.at(0).hash);
}

TEST(StudyCommand, SweepsGiveARowForEachShape) {
  const Outcome outcome =
      run("study tiny-distilbert --formats fp32 --meter none --batch 1,2 --seq 8,16 --limit 40 --blocks 2 --min-seconds 0.02 "
          "--quiet --out sweep");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Study study = read_study(program::folder() / "sweep/study.json");
  ASSERT_EQ(study.runs.size(), 4u);
  EXPECT_EQ(study.runs[3].batch, 2);
  EXPECT_EQ(study.runs[3].seq, 16);
}

TEST(StudyCommand, TheOriginalProtocolRunsInSequence) {
  const Outcome outcome = run(
      "study tiny-distilbert --formats fp32,fp16 --meter none --protocol original --trials 3 --iterations 4 --batch 2 --seq 16 "
      "--limit 40 --quiet --out original");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Study study = read_study(program::folder() / "original/study.json");
  EXPECT_EQ(study.manifest.protocol.name, "original");
  EXPECT_EQ(study.runs.at(0).latency_ms->ms.trials.size(), 3u);
  EXPECT_EQ(study.runs.at(0).samples, 3 * 4 * 2);
}

TEST(StudyCommand, CtrlCEndsWith130AndMarksWhatItKeeps) {
  const auto out = fresh("interrupted");
  const Outcome outcome =
      run("study tiny-distilbert --formats fp32,int8 --meter none --limit 40 --batch 1 --seq 8 --blocks 10000 --out interrupted",
          "timeout --preserve-status -s INT 4");
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  if (std::filesystem::exists(out / "study.json")) {  // not where it was still preparing
    EXPECT_TRUE(read_study(out / "study.json").interrupted);
    expect_schema(read_text(out / "study.json"));
    EXPECT_NE(outcome.out.find("Interrupted"), std::string::npos);
  } else {
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

}  // namespace
}  // namespace eaq
