// The statistics of joules, proven on a sensor whose truth is known: simulated minutes, thousands of times.
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;
using lab::Load;

// A sensor drawn at random: quantised, lagged, part-time, noisy, drifting.
std::string random_sensor(Rng& rng, double watts_a, double watts_b) {
  std::ostringstream json;
  json << R"({"schema":"eaq.synthetic/1","idle_W":)" << 40 + 80 * rng.uniform() << R"(,"watts":{"*":{"a":)" << watts_a
       << R"(,"b":)" << watts_b << R"(}},"period_ms":)" << 40 + 40 * rng.uniform() << R"(,"window_ms":)"
       << 10 + 30 * rng.uniform() << R"(,"lag_ms":)" << 40 * rng.uniform() << R"(,"step_mJ":)" << 1 + 100 * rng.uniform()
       << R"(,"noise_W":)" << 0.5 + 3 * rng.uniform() << R"(,"drift_per_minute":)" << 0.04 * (rng.uniform() - 0.5)
       << R"(,"seed":)" << rng.below(1u << 30) << "}";
  return json.str();
}

// 8 blocks of visits of a second; what is cheap to simulate is coarse: runs of some 40 ms, looks every 10 ms.
BlockOptions simulated(std::uint64_t seed) {
  return {.min_seconds = Seconds(1), .seed = seed, .warm_up_bound = Seconds(1), .control_trials = 0, .poll = Seconds(0.01)};
}

struct Simulation {
  double watts_a = 300, watts_b = 300, seconds_a = 0.04, seconds_b = 0.04;
  double truth() const { return watts_a * seconds_a / (watts_b * seconds_b); }
};

MeasureResult simulate(const Simulation& s, std::uint64_t seed) {
  Rng rng(seed);
  Lab lab(random_sensor(rng, s.watts_a, s.watts_b), rng.next());
  lab.add({.format = "a", .parts = {{"linear", s.seconds_a}}, .jitter = 0.01});
  lab.add({.format = "b", .parts = {{"linear", s.seconds_b}}, .jitter = 0.01});
  return measure_blocks(lab.workloads, lab.meters, lab.clock, simulated(rng.next()));
}

bool differs(const Interval& ratio) { return ratio.low > 1 || ratio.high < 1; }

TEST(Proof, IntervalsOfRatiosCoverTheTruth) {
  constexpr int runs = 1000;
  int energy = 0, time = 0;
  for (int i = 0; i < runs; ++i) {
    const Simulation s{.watts_a = 310, .watts_b = 190, .seconds_a = 0.045, .seconds_b = 0.03};
    const MeasureResult r = simulate(s, 10000 + static_cast<std::uint64_t>(i));
    const Interval& ratio = *r.pairs.at(0).energy_ratio;
    energy += ratio.low <= s.truth() && s.truth() <= ratio.high;
    time += r.pairs[0].speedup.low <= 1.5 && 1.5 <= r.pairs[0].speedup.high;
  }
  RecordProperty("energy_coverage_per_mille", energy);
  std::printf("coverage of 95 %% intervals over %d runs: energy ratio %.1f %%, speedup %.1f %%\n", runs, 0.1 * energy,
              0.1 * time);
  EXPECT_GE(energy, 930);
  EXPECT_LE(energy, 970);
  EXPECT_GE(time, 930);
  EXPECT_LE(time, 970);
}

TEST(Proof, IntervalsOfJoulesAndOfDynamicJoulesCoverTheTruth) {
  constexpr int runs = 1000;
  int total = 0, dynamic = 0;
  for (int i = 0; i < runs; ++i) {
    Rng rng(50000 + static_cast<std::uint64_t>(i));
    std::ostringstream json;  // without drift, or there would be no one truth
    json << R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":250}},"period_ms":)" << 40 + 40 * rng.uniform()
         << R"(,"lag_ms":)" << 40 * rng.uniform() << R"(,"step_mJ":)" << 1 + 100 * rng.uniform() << R"(,"noise_W":)"
         << 1 + 3 * rng.uniform() << R"(,"seed":)" << rng.below(1u << 30) << "}";
    Lab lab(json.str(), rng.next());
    lab.add({.format = "a", .parts = {{"linear", 0.04}}, .jitter = 0.01});
    const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, simulated(rng.next()));
    const Interval &whole = r.workloads[0].energy->mJ_per_sample.ci95,
                   &above = r.workloads[0].energy->dynamic_mJ_per_sample->ci95;
    const double stretch = std::exp(0.5 * 0.01 * 0.01);  // the mean of a lognormal run time
    total += whole.low <= 10000 * stretch && 10000 * stretch <= whole.high;
    dynamic += above.low <= 6800 * stretch && 6800 * stretch <= above.high;
  }
  std::printf("coverage of 95 %% intervals over %d runs: mJ %.1f %%, dynamic mJ %.1f %%\n", runs, 0.1 * total, 0.1 * dynamic);
  EXPECT_GE(total, 930);
  EXPECT_LE(total, 970);
  EXPECT_GE(dynamic, 930);
  EXPECT_LE(dynamic, 970);
}

class SameAgainstSame : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SameAgainstSame, DiffersInFivePercentOfPairs) {
  constexpr int pairs = 2000;
  int energy = 0;
  for (int i = 0; i < pairs; ++i)
    energy += differs(*simulate({}, GetParam() * 1000000 + static_cast<std::uint64_t>(i)).pairs.at(0).energy_ratio);
  std::printf("seed %d: %.2f %% of %d A/A pairs differ in energy\n", static_cast<int>(GetParam()), 100.0 * energy / pairs, pairs);
  EXPECT_NEAR(100.0 * energy / pairs, 5, 1.5);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SameAgainstSame, testing::Range<std::uint64_t>(1, 6));

TEST(Proof, OnePercentMoreIsFoundInNineOfTen) {
  constexpr int tries = 300;
  int found = 0;
  for (int i = 0; i < tries; ++i) {
    const MeasureResult r = simulate({.watts_a = 303, .watts_b = 300}, 77000 + static_cast<std::uint64_t>(i));
    found += r.pairs.at(0).energy_ratio->low > 1;
  }
  std::printf("+1 %% found in %.1f %% of %d tries\n", 100.0 * found / tries, tries);
  EXPECT_GE(found, tries * 9 / 10);
}

// What blocks are for: in sequence, a drift of the sensor becomes a difference.
TEST(Proof, InSequenceADriftLooksLikeADifference) {
  int in_sequence = 0, in_blocks = 0;
  constexpr int runs = 40;
  for (int i = 0; i < runs; ++i) {
    const std::string sensor =
        R"({"schema":"eaq.synthetic/1","idle_W":80,"noise_W":1,"drift_per_minute":0.02,"watts":{"*":{"*":300}},"seed":)" +
        std::to_string(i) + "}";
    for (const bool blocks : {false, true}) {
      Lab lab(sensor, static_cast<std::uint64_t>(i));
      lab.add({.format = "a", .parts = {{"linear", 0.02}}});
      lab.add({.format = "b", .parts = {{"linear", 0.02}}});
      const MeasureResult r = blocks
                                  ? measure_blocks(lab.workloads, lab.meters, lab.clock, simulated(static_cast<std::uint64_t>(i)))
                                  : measure_original(lab.workloads, lab.meters, lab.clock, {.mean_power = false});
      (blocks ? in_blocks : in_sequence) += differs(*r.pairs.at(0).energy_ratio);
    }
  }
  EXPECT_GE(in_sequence, runs * 9 / 10);
  EXPECT_LE(in_blocks, runs / 5);
}

// The same steady load over windows of any length gives the same power.
TEST(Proof, PowerDoesNotDependOnTheWindow) {
  Lab lab(
      R"({"schema":"eaq.synthetic/1","idle_W":80,"period_ms":100,"lag_ms":30,"step_mJ":100,"noise_W":0.5,"watts":{"*":{"*":300}}})");
  lab.add({.parts = {{"linear", 0.01}}});
  Sampler sampler(lab.meters, lab.clock);
  const Seconds begun = lab.clock.now();
  while (lab.clock.now() - begun < Seconds(130)) lab.workloads[0].run(0, lab.meters.listener());
  const SampleRecord record = sampler.stop();
  for (const double seconds : {5.0, 10.0, 30.0, 60.0})
    for (const double start : {1.0, 17.3, 60.0}) {
      const WindowEnergy e = window_energy(record.zones[0], Seconds(start), Seconds(start + seconds));
      ASSERT_TRUE(e.joules.has_value()) << e.reason;
      EXPECT_NEAR(e.joules->value() / seconds, 300, 300 * 0.002) << seconds << " s from " << start;
    }
}

// Against two reads at the ends of the window: the reason for the slope.
TEST(Proof, TheSlopeBeatsTwoReadsAtTheEnds) {
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"period_ms":100,"watts":{"*":{"*":300}}})");
  lab.add({.parts = {{"linear", 0.01}}});
  Sampler sampler(lab.meters, lab.clock, {.poll = Seconds(0.002)});
  const Seconds begun = lab.clock.now();
  while (lab.clock.now() - begun < Seconds(200)) lab.workloads[0].run(0, lab.meters.listener());
  const SampleRecord record = sampler.stop();
  const auto counter_at = [&](double t) {
    double value = 0;
    for (const Sample& s : record.zones[0].samples)
      if (s.energy && s.time.value() <= t) value = s.energy->value();
    return value;
  };
  std::vector<double> slope, ends;
  for (double start = 1; start < 190; start += 1.037) {
    const double length = 5 + 0.1 * std::fmod(start, 1.0);  // no multiple of the period, as real windows are
    slope.push_back(
        std::abs(window_energy(record.zones[0], Seconds(start), Seconds(start + length)).joules->value() / (300 * length) - 1));
    ends.push_back(std::abs((counter_at(start + length) - counter_at(start)) / (300 * length) - 1));
  }
  std::printf("error of a 5 s window: slope %.3f %%, two reads %.3f %%\n", 100 * percentile(slope, 0.95),
              100 * percentile(ends, 0.95));
  EXPECT_LT(percentile(slope, 0.95), 0.001);
  EXPECT_GT(percentile(ends, 0.95), 5 * percentile(slope, 0.95));
}

}  // namespace
}  // namespace eaq
