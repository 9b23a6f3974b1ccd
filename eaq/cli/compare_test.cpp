// `eaq compare` as a user runs it.
#include <gtest/gtest.h>

#include <cmath>

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/cli/program.h"
#include "eaq/measure/measure.h"
#include "eaq/result/result.h"

namespace eaq {
namespace {

using program::Outcome;
using program::run;

constexpr const char* quick = " --limit 40 --batch 1 --seq 8 --blocks 3 --min-seconds 0.1 --quiet";

// One study, once for all tests of this program.
const Study& measured() {
  static const Study study = [] {
    write_text(program::folder() / "meter.json",
               R"({"schema":"eaq.synthetic/1","idle_W":10,"watts":{"*":{"*":200}},"period_ms":5,"window_ms":5,"step_mJ":0.1})");
    const Outcome outcome =
        run("study tiny-distilbert --formats fp32 --meter synthetic:meter.json --out first" + std::string(quick));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return read_study(program::folder() / "first/study.json");
  }();
  return study;
}

void write_scaled(const std::string& name, double energy) {
  Study study = measured();
  Figure& figure = study.runs.at(0).energy.value().mJ_per_sample;
  figure.mean = 100 * energy;
  figure.ci95 = {{99.6 * energy, 100.4 * energy}};
  figure.trials.clear();  // figures of this machine would scatter with what else it does
  for (const double trial : {99.5, 100.5, 99.7, 100.3, 99.9, 100.1, 99.4, 100.6}) figure.trials.push_back(trial * energy);
  write_text(program::folder() / name, to_json(study));
}

// Eight repeats whose logarithms have this standard deviation, as `meter --calibrate` keeps them.
void calibrate(double sd) {
  ZoneCalibration calibration;
  calibration.zone = "synthetic:device";
  calibration.meter = "synthetic";
  calibration.label = MeterLabel::synthetic;
  ReferenceRun& reference = calibration.reference.emplace_back();
  for (int i = 0; i < 8; ++i) reference.J_per_unit.push_back(std::exp((i % 2 == 0 ? sd : -sd) * std::sqrt(7.0 / 8)));
  reference.s_per_unit = reference.J_per_unit;
  const std::filesystem::path folder = program::folder() / "cache/eaq/calibration";
  std::filesystem::remove_all(folder);
  store_calibration(folder, calibration);
}

Json pairs_of(const Outcome& outcome) {
  Json schema = parse_json(read_text(std::string(EAQ_SOURCE_DIR) + "/docs/outputs.schema.json"), "schema");
  schema["$ref"] = "#/$defs/compare";
  EXPECT_EQ(program::schema_errors(schema.dump(), outcome.out), "") << outcome.out << outcome.err;
  return parse_json(outcome.out, "standard output")["pairs"];
}

Json pair_of(const Json& pairs, const std::string& metric) {
  for (const Json& pair : pairs)
    if (pair["metric"] == metric) return pair;
  return {};
}

TEST(CompareCommand, WithoutACalibrationNothingAcrossFilesIsComparable) {
  write_scaled("a.json", 1);
  std::filesystem::remove_all(program::folder() / "cache/eaq/calibration");
  const Outcome outcome = run("compare a.json a.json --json");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const Json energy = pair_of(pairs_of(outcome), "energy");
  EXPECT_EQ(energy["verdict"], "not comparable");
  EXPECT_NE(energy["reason"].get<std::string>().find("eaq meter --calibrate"), std::string::npos);
  EXPECT_TRUE(energy["ratio"].is_null());
}

TEST(CompareCommand, ARegressionBeyondTheBoundIsFive) {
  write_scaled("a.json", 1);
  write_scaled("b.json", 1.5);
  calibrate(0.002);
  const Outcome within = run("compare a.json b.json --fail-over 80 --json"), over = run("compare a.json b.json --fail-over 20");
  EXPECT_EQ(within.code, 0) << within.err;
  const Json energy = pair_of(pairs_of(within), "energy");
  EXPECT_EQ(energy["verdict"], "worse") << energy.dump();
  EXPECT_NEAR(energy["ratio"]["mean"].get<double>(), 1 / 1.5, 1e-6);
  EXPECT_EQ(over.code, 5);
  EXPECT_NE(over.out.find("worse"), std::string::npos) << over.out;  // the table all the same
  EXPECT_NE(over.err.find("50.00 % worse"), std::string::npos) << over.err;
  EXPECT_EQ(run("compare b.json a.json --fail-over 0").code, 0);
  // Not shown is no regression, whatever the estimate says.
  calibrate(0.5);
  EXPECT_EQ(run("compare a.json b.json --fail-over 20").code, 0);
}

TEST(CompareCommand, ColoursAreForTerminalsWhoseOwnerDidNotDecline) {
  write_scaled("a.json", 1);
  write_scaled("b.json", 1.5);
  calibrate(0.002);
  const std::string compare = "compare a.json b.json", colour = "\x1b[";
  const Outcome coloured = program::run_on_terminal(compare);
  EXPECT_EQ(coloured.code, 0);
  EXPECT_NE(coloured.out.find(colour + "31mworse"), std::string::npos) << coloured.out;
  const std::string plain = run(compare).out;
  EXPECT_EQ(plain.find(colour), std::string::npos);
  for (const char* declined : {"NO_COLOR=1", "TERM=dumb", "TERM="}) {
    std::string out = program::run_on_terminal(compare, declined).out;
    std::erase(out, '\r');  // a terminal's line ends
    EXPECT_EQ(out, plain) << declined;
  }
  EXPECT_NE(program::run_on_terminal(compare, "NO_COLOR=").out.find(colour), std::string::npos);  // empty is not set
  EXPECT_EQ(program::run_on_terminal(compare + " --json").out.find(colour), std::string::npos);
}

TEST(CompareCommand, BadFilesAreThreeAndBadUsageTwo) {
  write_scaled("a.json", 1);
  EXPECT_EQ(run("compare a.json").code, 2);
  EXPECT_EQ(run("compare a.json ./nowhere.json").code, 3);
  EXPECT_EQ(run("compare a.json meter.json").code, 3);
  EXPECT_EQ(run("compare a.json a.json --fail-over x").code, 2);
  EXPECT_EQ(run("compare a.json a.json --out x").code, 2);
}

TEST(CompareCommand, LiveInterleavesTwoResultsThatDifferInTheFormat) {
  measured();
  const Outcome second =
      run("study tiny-distilbert --formats bf16 --meter synthetic:meter.json --out second" + std::string(quick));
  ASSERT_EQ(second.code, 0) << second.err;
  const Outcome outcome = run("compare first/study.json second/study.json --live --json --quiet --out both");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json pairs = pairs_of(outcome);
  ASSERT_EQ(pairs.size(), 4u);
  for (const Json& pair : pairs) {
    EXPECT_EQ(pair["format"], "fp32 / bf16");
    EXPECT_FALSE(pair["ratio"].is_null()) << pair.dump();
  }
  EXPECT_EQ(read_study(program::folder() / "both/study.json").runs.size(), 2u);
  const Outcome again = run("study --like both/study.json --out again --quiet");
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(read_study(program::folder() / "again/study.json").runs.size(), 2u);
}

TEST(CompareCommand, LiveSaysWhatIsNotPossible) {
  measured();
  const Outcome same = run("compare first/study.json first/study.json --live");
  EXPECT_EQ(same.code, 2);
  EXPECT_NE(same.err.find("same formats"), std::string::npos) << same.err;
  ASSERT_EQ(run("study tiny-distilbert --formats bf16 --meter none --limit 40 --batch 2 --seq 8 --blocks 3 --min-seconds 0.1 "
                "--quiet --out wider")
                .code,
            0);
  const Outcome other = run("compare first/study.json wider/study.json --live");
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("--batch"), std::string::npos) << other.err;
}

}  // namespace
}  // namespace eaq
