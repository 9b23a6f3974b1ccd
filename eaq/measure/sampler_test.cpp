// What is read from the sensors while work runs, and whether two ways of reading agree.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;

TEST(Sampler, OnARealClockRecordsFromAThreadOfItsOwn) {
  MeterSet meters = open_meters({}, Watts(10), {});
  Sampler sampler(meters, monotonic_clock());
  monotonic_clock().sleep_until(monotonic_clock().now() + Seconds(0.2));
  const SampleRecord record = sampler.stop();
  ASSERT_FALSE(record.zones[0].samples.empty());
  for (const Sample& s : record.zones[0].samples) EXPECT_EQ(s.power, Watts(10));
}

TEST(Sampler, ReadsWhileStepsAreToldFromAnotherThread) {
  const auto file = std::filesystem::temp_directory_path() / ("eaq-real-" + std::to_string(::getpid()) + ".json");
  write_text(file, R"({"schema":"eaq.synthetic/1","idle_W":50,"period_ms":5,"watts":{"*":{"*":100}}})");
  const std::vector<std::string> specs{"synthetic:" + file.string()};
  MeterSet meters = open_meters(specs, std::nullopt, {});
  std::filesystem::remove(file);
  const std::vector<Workload> workloads{{"x", "toy", "x", "forward", 1, [](std::int64_t, StepListener* listener) {
                                           const Seconds start = monotonic_clock().now();
                                           monotonic_clock().sleep_until(start + Seconds(0.001));
                                           listener->on_step("linear", "x", start, monotonic_clock().now());
                                         }}};
  const MeasureResult r =
      measure_blocks(workloads, meters, monotonic_clock(),
                     {.blocks = 2, .min_seconds = Seconds(0.1), .warm_up_iterations = 5, .control_trials = 1});
  EXPECT_EQ(r.visits.size(), 6u);  // two blocks of two visits and a pause
  for (const Visit& v : r.visits) EXPECT_TRUE(v.joules.has_value() || !v.void_reason.empty());
}

TEST(Sampler, RecordsEdgesOnly) {
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":100,"watts":{"*":{"*":100}}})");
  Sampler sampler(lab.meters, lab.clock);
  lab.clock.sleep_until(lab.clock.now() + Seconds(10));
  const SampleRecord record = sampler.stop();
  const auto& samples = record.zones[0].samples;
  const auto edges = std::count_if(samples.begin(), samples.end(), [](const Sample& s) { return s.energy.has_value(); });
  EXPECT_GE(edges, 85);   // idleness shows a second late
  EXPECT_LE(edges, 105);  // of some 2000 polls
}

// A counter of 300 W with a power beside it that reads `watts`, over so many seconds.
ZoneRecord two_ways(double seconds, double watts) {
  ZoneRecord zone{"nvml:GPU-a", {.name = "GPU-a", .role = ZoneRole::gpu, .counter = true}, MeterLabel::measured, "nvml", {}};
  for (int i = 0; i * 0.1 <= seconds; ++i)
    zone.samples.push_back({Seconds(i * 0.1), Joules(30.0 * i), Watts(watts), Fault::none, {}});
  return zone;
}

TEST(CrossCheck, CounterAndIntegralMustAgreeToOnePercent) {
  EXPECT_FALSE(cross_check(two_ways(60, 302))->disagrees());
  EXPECT_TRUE(cross_check(two_ways(60, 306))->disagrees());
  EXPECT_TRUE(cross_check(two_ways(60, 294))->disagrees());
  EXPECT_NEAR(cross_check(two_ways(60, 306))->difference(), 0.02, 1e-6);
  EXPECT_FALSE(cross_check(two_ways(20, 306))->disagrees());  // too short to tell
}

TEST(CrossCheck, ForgivesWhatAnAveragingSensorHoldsBackAtTheEnds) {
  ZoneRecord zone = two_ways(40, 300);
  zone.samples.front().power = Watts(80);
  for (std::size_t i = 0; i < 10; ++i) zone.samples[i].power = Watts(80);  // it still shows the idle second before
  EXPECT_FALSE(cross_check(zone)->disagrees());
}

TEST(CrossCheck, NeedsBothAndNoFault) {
  ZoneRecord counter_alone = two_ways(60, 300), faulty = two_ways(60, 300);
  for (Sample& s : counter_alone.samples) s.power.reset();
  EXPECT_FALSE(cross_check(counter_alone).has_value());
  faulty.samples[300] = {Seconds(30), std::nullopt, std::nullopt, Fault::gap, "gone"};
  EXPECT_FALSE(cross_check(faulty).has_value());
}

}  // namespace
}  // namespace eaq
