// Visits and the condition of what they ran on: a tally that moves within a visit voids it, whichever clock passes.
#include <gtest/gtest.h>

#include <array>
#include <atomic>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

// 100 W, and a brake that the workload pulls.
class Braked final : public Meter {
 public:
  Braked(Clock& clock, const std::atomic<int>& pulled) : clock_(clock), pulled_(pulled) {
    zones_[0].name = "card", zones_[0].counter = true, zones_[0].period = Seconds(0.01);
  }
  std::string name() const override { return "braked"; }
  MeterLabel label() const override { return MeterLabel::synthetic; }
  std::span<const Zone> zones() const override { return zones_; }
  void read(std::span<Reading> out) override {
    const Seconds now = clock_.now();
    out[0].time = now, out[0].energy = Watts(100) * now;
  }
  Condition condition() override {
    Condition condition;
    condition.temperature = Celsius(60);
    condition.voiding.push_back({"brake", std::to_string(pulled_.load())});
    return condition;
  }

 private:
  Clock& clock_;
  const std::atomic<int>& pulled_;
  std::array<Zone, 1> zones_;
};

MeasureResult measured(Clock& clock) {
  std::atomic<int> pulled = 0;
  std::vector<std::unique_ptr<Meter>> meters;
  meters.push_back(std::make_unique<Braked>(clock, pulled));
  MeterSet set(std::move(meters));
  const auto workload = [&](const std::string& name, bool brakes) {
    return Workload{.name = name,
                    .model = "toy",
                    .format = name,
                    .phase = "forward",
                    .run = [&clock, &pulled, brakes](std::int64_t, StepListener*) {
                      clock.sleep_until(clock.now() + Seconds(0.005));
                      if (brakes) ++pulled;
                    }};
  };
  const std::vector<Workload> workloads{workload("calm", false), workload("braking", true)};
  return measure_blocks(workloads, set, clock, {.blocks = 3, .min_seconds = Seconds(0.15), .control_trials = 0, .idle = false});
}

TEST(Conditions, ATallyThatMovesWithinAVisitVoidsItAndNoOther) {
  VirtualClock clock;
  const MeasureResult result = measured(clock);
  ASSERT_EQ(result.visits.size(), 12u);
  for (const Visit& visit : result.visits) {
    EXPECT_EQ(visit.void_reason.find("brake") != std::string::npos, visit.format == "braking") << visit.void_reason;
    EXPECT_TRUE(visit.temperature);
  }
}

TEST(Conditions, AreReadOfEveryVisitAlsoWhereTheNextHasBegun) {
  const MeasureResult result = measured(monotonic_clock());
  ASSERT_EQ(result.visits.size(), 12u);
  for (const Visit& visit : result.visits) {
    if (visit.format == "braking") {
      EXPECT_NE(visit.void_reason.find("brake"), std::string::npos);
    }
    EXPECT_TRUE(visit.temperature);
  }
}

}  // namespace
}  // namespace eaq
