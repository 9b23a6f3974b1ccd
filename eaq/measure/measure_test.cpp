#include "eaq/measure/measure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;
using lab::Load;
using lab::plain;
using lab::quick;

TEST(MeasureBlocks, RecoversTheKnownJoulesOfTwoFormats) {
  Lab lab(plain);
  lab.add({.format = "fp32", .parts = {{"linear", 0.02}}, .samples_per_run = 4});
  lab.add({.format = "int8", .parts = {{"linear", 0.01}}, .samples_per_run = 4});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  ASSERT_TRUE(r.workloads[0].energy && r.workloads[1].energy);
  EXPECT_NEAR(r.workloads[0].energy->mJ_per_sample.ci95.mean, 300 * 0.02 / 4 * 1e3, 3);
  EXPECT_NEAR(r.workloads[1].energy->mJ_per_sample.ci95.mean, 180 * 0.01 / 4 * 1e3, 1);
  EXPECT_NEAR(r.workloads[0].energy->dynamic_mJ_per_sample->ci95.mean, 220 * 0.02 / 4 * 1e3, 4);
  EXPECT_NEAR(r.workloads[0].energy->idle_power->value(), 80, 0.5);
  EXPECT_NEAR(r.workloads[0].energy->mean_power.value(), 300, 0.6);
  EXPECT_EQ(r.workloads[0].energy->label, MeterLabel::synthetic);
  EXPECT_EQ(r.workloads[0].energy->method, EnergyMethod::counter);
  ASSERT_EQ(r.pairs.size(), 1u);
  EXPECT_NEAR(r.pairs[0].energy_ratio->mean, 300 * 0.02 / (180 * 0.01), 0.01);
  EXPECT_NEAR(r.pairs[0].speedup.mean, 2, 1e-6);
  EXPECT_NEAR(r.workloads[0].throughput_per_s.mean, 200, 1e-6);
}

TEST(MeasureBlocks, RecoversTwoKindsOfStepOfUnequalPower) {
  // One mix of two kinds, and the same with one kind doubled: the difference is that kind's joules.
  Lab lab(plain);
  lab.add({.parts = {{"linear", 0.006}, {"attention", 0.004}}});
  lab.add({.parts = {{"linear", 0.012}, {"attention", 0.004}}});
  lab.add({.parts = {{"linear", 0.006}, {"attention", 0.008}}});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick(8));
  const auto mJ = [&](int w) { return r.workloads[w].energy->mJ_per_sample.ci95.mean; };
  EXPECT_NEAR(mJ(1) - mJ(0), 300 * 6, 0.02 * 1800);
  EXPECT_NEAR(mJ(2) - mJ(0), 150 * 4, 0.02 * 600 + 10);
  EXPECT_NEAR(mJ(0), 300 * 6 + 150 * 4, 0.005 * 2400);
}

TEST(MeasureBlocks, KnowsItsJoulesAlsoWhereStepsAreOnlyReportedAfterwards) {
  Lab lab(plain);
  lab.add({.parts = {{"linear", 0.02}}, .announced = false});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  EXPECT_NEAR(r.workloads[0].energy->mJ_per_sample.ci95.mean, 6000, 30);
}

TEST(MeasureBlocks, VisitsEveryWorkloadOnceThenInReverse) {
  Lab lab("");
  for (const char* format : {"a", "b", "c"}) lab.add({.format = format});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick(20));
  ASSERT_EQ(r.visits.size(), 20u * 6);
  std::vector<int> firsts(3);
  for (int block = 0; block < 20; ++block) {
    const Visit* v = &r.visits[static_cast<std::size_t>(block) * 6];
    for (int i = 0; i < 3; ++i) EXPECT_EQ(v[i].workload, v[5 - i].workload);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(v[i].position, i);
    ++firsts[v[0].workload];
  }
  for (const int n : firsts) EXPECT_GT(n, 0);  // the order is drawn anew for each block
}

TEST(MeasureBlocks, TheSameSeedGivesTheSameOrder) {
  std::vector<std::size_t> orders[2];
  for (auto& order : orders) {
    Lab lab("");
    for (const char* format : {"a", "b", "c", "d"}) lab.add({.format = format});
    for (const Visit& v : measure_blocks(lab.workloads, lab.meters, lab.clock, quick()).visits) order.push_back(v.workload);
  }
  EXPECT_EQ(orders[0], orders[1]);
}

TEST(MeasureBlocks, WithoutAMeterTimesTheWorkAndSaysWhyThereAreNoJoules) {
  Lab lab("");
  lab.meters = MeterSet({}, "switched off by --meter none");
  lab.add({.parts = {{"linear", 0.005}}});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  EXPECT_FALSE(r.workloads[0].energy.has_value());
  EXPECT_EQ(r.workloads[0].energy_unavailable, "switched off by --meter none");
  EXPECT_NEAR(r.workloads[0].latency_ms.ci95.mean, 5, 1e-6);
  EXPECT_NEAR(r.workloads[0].p99_ms, 5, 1e-6);
  EXPECT_LT(r.visit_length, Seconds(0.3));
  for (const Visit& v : r.visits) EXPECT_FALSE(v.joules.has_value());
}

TEST(MeasureBlocks, AssumedPowerIsLabelledAndNeedsNoLongVisits) {
  Lab lab("");
  lab.meters = open_meters({}, Watts(65), {.clock = &lab.clock});
  lab.add({.parts = {{"linear", 0.01}}});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  EXPECT_EQ(r.workloads[0].energy->label, MeterLabel::assumed);
  EXPECT_EQ(r.workloads[0].energy->method, EnergyMethod::integral);
  EXPECT_NEAR(r.workloads[0].energy->mJ_per_sample.ci95.mean, 650, 1e-6);
  EXPECT_LT(r.visit_length, Seconds(0.3));
  EXPECT_FALSE(r.workloads[0].energy->dynamic_mJ_per_sample.has_value());
}

TEST(MeasureBlocks, APowerOnlySensorIsIntegrated) {
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"counter":false,"watts":{"*":{"*":200}}})");
  lab.add({.parts = {{"linear", 0.01}}});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  EXPECT_EQ(r.workloads[0].energy->method, EnergyMethod::integral);
  EXPECT_NEAR(r.workloads[0].energy->mJ_per_sample.ci95.mean, 2000, 10);
}

TEST(MeasureBlocks, TheMeanPowerColumnUnderReadsShortRunsOfAnAveragingSensor) {
  // A sensor that averages over a second, and runs of 0.3 s: the measured defect of the common method.
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"window_ms":1000,"watts":{"*":{"*":400}}})");
  lab.add({.parts = {{"linear", 0.001}}});
  BlockOptions options{.blocks = 2, .control_trials = 5, .control_iterations = 300};
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, options);
  const EnergyResult& e = *r.workloads[0].energy;
  EXPECT_NEAR(e.mJ_per_sample.ci95.mean, 400, 4);
  ASSERT_TRUE(e.mean_power_method_mJ.has_value());
  EXPECT_LT(*e.mean_power_method_mJ, 0.95 * e.mJ_per_sample.ci95.mean);
}

TEST(MeasureBlocks, InterruptionFinishesTheVisitInHandAndKeepsIt) {
  Lab lab("");
  int visits = 0;
  lab.add({});
  lab.add({});
  catch_interrupts();
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick(), [&](double, std::string_view what) {
    if (what != "warm-up" && ++visits == 7) std::raise(SIGINT);
  });
  clear_interrupt();
  std::signal(SIGINT, SIG_DFL);
  EXPECT_TRUE(r.interrupted);
  EXPECT_EQ(r.visits.size(), 7u);  // a block of four, and three of the next
  // The block that was cut short is whole for one of the two only.
  EXPECT_EQ(r.workloads[0].latency_ms.trials.size() + r.workloads[1].latency_ms.trials.size(), 3u);
}

TEST(MeasureBlocks, ARunThatOutlastsItsVisitRunsOncePerVisit) {
  Lab lab("");
  lab.add({.parts = {{"linear", 3.0}}});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  for (const Visit& v : r.visits) EXPECT_EQ(v.iterations, 1);
}

// A run that is still under way when a visit begins to count, or when its last one was submitted, belongs to one window or to
// none: with three long runs in a visit, one more or less would be a third.
TEST(MeasureBlocks, AWindowHoldsItsRunsWholeOnADeviceThatWorksByItself) {
  Lab lab("");
  constexpr Seconds one(0.08);
  Seconds before, last;  // ends of the latest two runs
  lab.workloads.push_back({.name = "x",
                           .model = "toy",
                           .format = "x",
                           .phase = "forward",
                           .run =
                               [&](std::int64_t, StepListener*) {
                                 before = last;
                                 last = std::max(last, lab.clock.now()) + one;
                                 lab.clock.sleep_until(before);
                               },
                           .finish = [&] { lab.clock.sleep_until(last); },
                           .ahead = 1});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  for (const Visit& v : r.visits) EXPECT_NEAR(((v.end - v.start) / one), static_cast<double>(v.iterations), 1e-9);
  EXPECT_NEAR(r.workloads[0].latency_ms.ci95.mean, 80, 1e-6);
  EXPECT_NEAR(r.workloads[0].p50_ms, 80, 1e-6);
  EXPECT_NEAR(r.workloads[0].p99_ms, 80, 1e-6);
}

TEST(MeasureBlocks, IterationsGoOnFromVisitToVisit) {
  Lab lab("");
  std::vector<std::int64_t> seen;
  lab.workloads.push_back({"x", "toy", "x", "forward", 1, [&](std::int64_t i, StepListener*) {
                             seen.push_back(i);
                             lab.clock.sleep_until(lab.clock.now() + Seconds(0.1));
                           }});
  measure_blocks(lab.workloads, lab.meters, lab.clock, {.blocks = 2, .warm_up_iterations = 1, .control_trials = 0});
  for (std::size_t i = 4; i < seen.size(); ++i) EXPECT_EQ(seen[i], seen[i - 1] + 1);
}

// A profile's variants may take seconds each, and there are hundreds.
TEST(MeasureBlocks, VariantsOfOneProgramRunOnceToWarmUpAndOnceAVisitThatTheyOutlast) {
  for (const bool variants : {false, true}) {
    Lab lab(plain);
    std::vector<int> runs(2, 0);
    for (const std::size_t w : {std::size_t{0}, std::size_t{1}})
      lab.workloads.push_back({"x", "toy", "x", "forward", 1, [&lab, &runs, w](std::int64_t, StepListener*) {
                                 ++runs[w];
                                 lab.clock.sleep_until(lab.clock.now() + Seconds(3));
                               }});
    const MeasureResult r =
        measure_blocks(lab.workloads, lab.meters, lab.clock,
                       {.blocks = 2, .min_seconds = Seconds(1), .hottest = 0, .variants = variants, .control_trials = 0});
    for (const Visit& v : r.visits) {
      if (v.workload != idle_workload) {
        EXPECT_EQ(v.iterations, 1);
      }
    }
    EXPECT_EQ(runs[1], variants ? 1 + 4 : 2 + 2 * 4);
  }
}

TEST(WarmUp, WaitsUntilATimeThatStillFallsIsFlat) {
  Lab lab("");
  double level = 2;  // the first runs are slow, as on cold clocks
  lab.workloads.push_back({"x", "toy", "x", "forward", 1, [&](std::int64_t, StepListener*) {
                             lab.clock.sleep_until(lab.clock.now() + Seconds(0.01 * level));
                             level = 1 + (level - 1) * 0.99;
                           }});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  EXPECT_TRUE(r.warm_up.flat);
  EXPECT_LT(level, 1.02);
}

TEST(MeasureOriginal, IsMeanPowerTimesTimeOverFiveTrials) {
  Lab lab(plain);
  lab.add({.format = "fp32", .parts = {{"linear", 0.02}}, .samples_per_run = 2});
  const MeasureResult r = measure_original(lab.workloads, lab.meters, lab.clock, {});
  ASSERT_EQ(r.visits.size(), 5u);
  for (const Visit& v : r.visits) EXPECT_EQ(v.iterations, 300);
  const EnergyResult& e = *r.workloads[0].energy;
  EXPECT_EQ(e.method, EnergyMethod::mean_power);
  EXPECT_EQ(e.mJ_per_sample.trials.size(), 5u);
  EXPECT_NEAR(e.mJ_per_sample.ci95.mean, 3000, 30);
}

TEST(MeasureBlocks, ASensorThatSeldomSpeaksIsNoted) {
  const auto file = std::filesystem::temp_directory_path() / ("eaq-seldom-" + std::to_string(::getpid()) + ".csv");
  std::string text = "t_s,zone,joules,watts\n";
  for (int t = 0; t < 300; ++t) text += std::to_string(t) + ",wall,," + std::to_string(100 + t % 2) + "\n";
  write_text(file, text);
  Lab lab("");
  const std::vector<std::string> specs{"replay:" + file.string()};
  lab.meters = open_meters(specs, std::nullopt, {.clock = &lab.clock});
  std::filesystem::remove(file);
  lab.add({});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  ASSERT_FALSE(r.workloads[0].notes.empty());
  EXPECT_NE(r.workloads[0].notes[0].find("--min-seconds"), std::string::npos);
}

}  // namespace
}  // namespace eaq
