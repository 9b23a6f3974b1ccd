// What `eaq measure` weighs: a load of which nothing is known between two quiet stretches.
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;

struct Trial {
  SpanRecord spans;
  double truth = 0;  // joules of the spans, mean
};

// A load of `parts`, as often as fits into `seconds`, between quiet stretches; the meter knows the steps from a run before.
Trial weigh(Lab& lab, const lab::Load& load, double seconds, SpanOptions options = {}) {
  lab.add(load);
  lab.workloads[0].run(0, lab.meters.listener());
  lab.clock.sleep_until(lab.clock.now() + Seconds(1));
  options.zones = {0};
  Trial trial;
  trial.spans = record_spans(lab.meters, lab.clock, options, [&] {
    for (const Seconds begun = lab.clock.now(); lab.clock.now() - begun < Seconds(seconds);)
      lab.workloads[0].run(0, lab.meters.listener());
    return true;
  });
  return trial;
}

constexpr const char* exact =
    R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":300}},"period_ms":100,"noise_W":0,"step_mJ":1,"seed":3})";

TEST(Span, JoulesOfALoadOfAnyLengthAreTheKnownOnes) {
  for (const double seconds : {0.013, 0.1, 0.437, 2.0, 11.1}) {
    Lab lab(exact);
    const Trial t = weigh(lab, {.parts = {{"linear", seconds}}}, seconds / 2);
    const SpanEnergy e = span_energy(t.spans.record.zones[0], t.spans.spans.at(0));
    ASSERT_TRUE(e.joules) << e.reason;
    EXPECT_NEAR(e.joules->value, 300 * seconds, 1.5) << seconds << " s";
    EXPECT_NEAR(e.idle_watts->value, 80, 1);
    EXPECT_NEAR(above_idle(*e.joules, *e.idle_watts, Seconds(seconds)).value, 220 * seconds, 1.5 + 0.01 * 220 * seconds);
    EXPECT_EQ(e.method, EnergyMethod::counter);
  }
}

// Against interpolation between the edges around the ends, which smears the load's first and last step over a period.
TEST(Span, ALagOfTheCounterMovesNoJoules) {
  for (const int lag : {0, 30, 60, 90}) {
    std::ostringstream json;
    json << R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":500}},"period_ms":100,"step_mJ":1,"seed":4,"lag_ms":)"
         << lag << "}";
    Lab lab(json.str());
    const Trial t = weigh(lab, {.parts = {{"linear", 0.05}}}, 1.03);
    const Span& span = t.spans.spans.at(0);
    const SpanEnergy e = span_energy(t.spans.record.zones[0], span);
    ASSERT_TRUE(e.joules) << e.reason;
    EXPECT_NEAR(e.joules->value, 500 * (span.end - span.start).value(), 1.5) << lag;
  }
}

TEST(Span, IntervalsCoverTheKnownJoules) {
  constexpr int runs = 300;
  int covered = 0, above = 0;
  std::vector<double> widths;
  for (int i = 0; i < runs; ++i) {
    Rng rng(31000 + static_cast<std::uint64_t>(i));
    std::ostringstream json;
    const double idle = 40 + 80 * rng.uniform();
    json << R"({"schema":"eaq.synthetic/1","idle_W":)" << idle << R"(,"watts":{"linear":{"*":300},"*":{"*":130}},"period_ms":)"
         << 40 + 80 * rng.uniform() << R"(,"lag_ms":)" << 40 * rng.uniform() << R"(,"step_mJ":)" << 1 + 100 * rng.uniform()
         << R"(,"noise_W":)" << 0.2 + 4 * rng.uniform() << R"(,"seed":)" << rng.below(1u << 30) << "}";
    Lab lab(json.str(), rng.next());
    // Bursts and pauses of other lengths than the period, and the load as a whole of any length.
    const double busy = 0.01 + 0.2 * rng.uniform(), rest = 0.15 * rng.uniform();
    const Trial t = weigh(lab, {.parts = {{"linear", busy}, {"norm", rest}}}, 0.3 + 6 * rng.uniform());
    const Span& span = t.spans.spans.at(0);
    const double length = (span.end - span.start).value(), truth = length / (busy + rest) * (300 * busy + 130 * rest);
    const SpanEnergy e = span_energy(t.spans.record.zones[0], span);
    ASSERT_TRUE(e.joules) << e.reason;
    const Interval whole = e.joules->ci95(), more = above_idle(*e.joules, *e.idle_watts, span.end - span.start).ci95();
    covered += whole.low <= truth && truth <= whole.high;
    above += more.low <= truth - idle * length && truth - idle * length <= more.high;
    widths.push_back((whole.high - whole.low) / 2 / truth);
  }
  std::printf("coverage of 95 %% intervals over %d commands: joules %.1f %%, above idle %.1f %%; half-width %.2f %% (median)\n",
              runs, 100.0 * covered / runs, 100.0 * above / runs, 100 * median(widths));
  EXPECT_GE(covered, runs * 90 / 100);
  EXPECT_GE(above, runs * 90 / 100);
  EXPECT_LT(median(widths), 0.05);
}

TEST(Span, APowerSensorIsIntegratedAcrossItsAveragingWindow) {
  for (const int window : {100, 1000}) {
    std::ostringstream json;
    json << R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":300}},"period_ms":100,"counter":false,"window_ms":)"
         << window << "}";
    Lab lab(json.str());
    const Trial t = weigh(lab, {.parts = {{"linear", 0.01}}}, 2.37);
    const Span& span = t.spans.spans.at(0);
    const SpanEnergy e = span_energy(t.spans.record.zones[0], span);
    ASSERT_TRUE(e.joules) << e.reason;
    EXPECT_EQ(e.method, EnergyMethod::integral);
    EXPECT_NEAR(e.joules->value, 300 * (span.end - span.start).value(), 0.04 * 300 * 2.37) << window;
    const Interval ci = e.joules->ci95();
    EXPECT_TRUE(ci.low <= 300 * 2.37 && 300 * 2.37 <= ci.high) << ci.low << " " << ci.high;
  }
}

ZoneRecord record_of(std::initializer_list<std::pair<double, double>> edges) {
  ZoneRecord zone{"toy:zone", {.name = "zone", .counter = true}, MeterLabel::measured, "toy", {}};
  for (const auto& [time, joules] : edges) zone.samples.push_back({Seconds(time), Joules(joules), std::nullopt, Fault::none, {}});
  return zone;
}

TEST(Span, WithoutAQuietStretchValuesAreInterpolatedAndSaySoByTheirError) {
  const ZoneRecord zone = record_of({{0.5, -31}, {0.9, 9}, {1.9, 109}, {2.9, 209}, {3.9, 219}});
  const SpanEnergy e = span_energy(zone, {Seconds(0.8), Seconds(1), Seconds(3), Seconds(4)});
  ASSERT_TRUE(e.joules) << e.reason;
  EXPECT_NEAR(e.joules->value, 210 - 19, 1e-9);
  EXPECT_NEAR(e.joules->error, 90 / std::sqrt(12.0), 1e-9);  // the end between 100 W and 10 W; the start between equal powers
  EXPECT_FALSE(e.idle_watts);
}

TEST(Span, WithoutEdgesAroundItThereAreNoJoulesButAReason) {
  const ZoneRecord zone = record_of({{0.5, 0}, {1.5, 9}, {1.9, 109}});
  const SpanEnergy e = span_energy(zone, {Seconds(0.8), Seconds(1), Seconds(3), Seconds(4)});
  EXPECT_FALSE(e.joules);
  EXPECT_EQ(e.fault, Fault::gap);
  EXPECT_NE(e.reason.find("toy:zone"), std::string::npos);
}

TEST(Span, AFaultOfTheMeterIsTheReason) {
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":300}},"faults":[{"t_s":3,"kind":"denied"}]})");
  const Trial t = weigh(lab, {.parts = {{"linear", 0.01}}}, 2);
  const SpanEnergy e = span_energy(t.spans.record.zones[0], t.spans.spans.at(0));
  EXPECT_FALSE(e.joules);
  EXPECT_EQ(e.fault, Fault::denied);
  EXPECT_NE(e.reason, "");
}

TEST(Span, AStatedPowerGivesItsWattsTimesTheSeconds) {
  VirtualClock clock;
  MeterSet meters = open_meters({}, Watts(65), {.clock = &clock});
  const SpanRecord r = record_spans(meters, clock, {.zones = {0}, .repeat = 3}, [&] {
    clock.sleep_until(clock.now() + Seconds(1.234));
    return true;
  });
  ASSERT_EQ(r.spans.size(), 3u);
  for (const Span& span : r.spans) {
    const SpanEnergy e = span_energy(r.record.zones[0], span);
    ASSERT_TRUE(e.joules) << e.reason;
    EXPECT_NEAR(e.joules->value, 65 * 1.234, 1e-6);
    EXPECT_NEAR(e.joules->error, 0, 1e-6);
  }
}

TEST(Span, RunsEndWithTheOneThatSaysSo) {
  VirtualClock clock;
  MeterSet meters = open_meters({}, Watts(65), {.clock = &clock});
  int runs = 0;
  const SpanRecord r = record_spans(meters, clock, {.zones = {0}, .repeat = 5}, [&] { return ++runs < 2; });
  EXPECT_EQ(r.spans.size(), 2u);
}

TEST(Span, IdleLastsAsLongAsAsked) {
  VirtualClock clock;
  MeterSet meters = open_meters({}, Watts(65), {.clock = &clock});
  const SpanRecord r = record_spans(meters, clock, {.zones = {0}, .idle = Seconds(7)}, [] { return true; });
  EXPECT_GE((r.spans.at(0).start - r.spans[0].quiet_from).value(), 7);
}

}  // namespace
}  // namespace eaq
