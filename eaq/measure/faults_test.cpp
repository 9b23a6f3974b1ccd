// What a sensor that fails costs: the windows in which it did, each by name, and never a wrong number.
#include <gtest/gtest.h>

#include <string>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;
using lab::quick;

MeasureResult with_fault(const std::string& kind, double at) {
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":200}},"faults":[{"t_s":)" + std::to_string(at) +
          R"(,"kind":")" + kind + "\"}]}");
  lab.add({.format = "fp32"});
  lab.add({.format = "int8"});
  return measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
}

void expect_void(const MeasureResult& r, const std::string& kind) {
  int voids = 0;
  for (const Visit& v : r.visits)
    if (!v.void_reason.empty()) {
      ++voids;
      EXPECT_EQ(v.void_reason.substr(0, kind.size()), kind) << v.void_reason;
      EXPECT_FALSE(v.joules.has_value());
    }
  EXPECT_GT(voids, 0);
  for (const WorkloadResult& w : r.workloads) {
    if (!w.energy) continue;
    EXPECT_NEAR(w.energy->mJ_per_sample.ci95.mean, 2000, 10) << kind;  // never a wrong number for a fault
  }
}

TEST(Faults, AWrapVoidsItsWindowAndNoOther) { expect_void(with_fault("wrap", 12), "wrapped: "); }
TEST(Faults, AResetVoidsItsWindowAndNoOther) { expect_void(with_fault("reset", 12), "reset: "); }
TEST(Faults, AStuckCounterVoidsAllThatFollows) { expect_void(with_fault("stuck", 12), "stuck: "); }
TEST(Faults, AGapVoidsItsWindow) { expect_void(with_fault("gap", 12), "gap: "); }
TEST(Faults, PermissionDeniedVoidsAllThatFollows) { expect_void(with_fault("denied", 12), "denied: "); }

TEST(Faults, ZonesRestOnTheSameVisitsAsTheHeadline) {
  // Power drifts, so that one visit more or less shows.
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":200}},"drift_per_minute":2,
              "faults":[{"t_s":12,"kind":"wrap"}]})");
  lab.add({.format = "fp32"});
  lab.add({.format = "int8"});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick());
  ASSERT_GT(r.workloads[0].void_visits + r.workloads[1].void_visits, 0);
  for (const WorkloadResult& w : r.workloads) {
    ASSERT_TRUE(w.energy) << w.energy_unavailable;
    ASSERT_EQ(w.energy->zones.size(), 1u);
    EXPECT_DOUBLE_EQ(w.energy->zones[0].second, w.energy->mJ_per_sample.ci95.mean);
  }
}

TEST(Faults, DeniedFromTheStartLeavesNoJoulesButAReason) {
  const MeasureResult r = with_fault("denied", 0);
  EXPECT_FALSE(r.workloads[0].energy.has_value());
  EXPECT_NE(r.workloads[0].energy_unavailable.find("denied"), std::string::npos) << r.workloads[0].energy_unavailable;
}

TEST(WindowEnergy, RefusesAWindowWithTooFewEdges) {
  ZoneRecord zone{"x", {.name = "x", .counter = true}, MeterLabel::measured, "x", {}};
  for (int i = 0; i < 3; ++i) zone.samples.push_back({Seconds(i * 0.1), Joules(i), {}, Fault::none, {}});
  EXPECT_FALSE(window_energy(zone, Seconds(0), Seconds(1)).joules.has_value());
  zone.samples.push_back({Seconds(0.3), Joules(3), {}, Fault::none, {}});
  EXPECT_NEAR(window_energy(zone, Seconds(0), Seconds(1)).joules->value(), 10, 1e-9);
}

}  // namespace
}  // namespace eaq
