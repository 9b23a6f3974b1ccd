#include <gtest/gtest.h>

#include <cmath>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

std::string synthetic_error(const std::string& json) {
  const Folder folder;
  const auto file = folder.write("s.json", json);
  return message_of([&] { open_one("synthetic:" + file.string()); });
}

TEST(Synthetic, ChecksItsDescription) {
  EXPECT_TRUE(contains(synthetic_error(R"({"schema":"eaq.synthetic/2","watts":{"*":{"*":1}}})"), "eaq.synthetic/1"));
  EXPECT_TRUE(
      contains(synthetic_error(R"({"schema":"eaq.synthetic/1","watts":{"*":{"*":1}},"noise":1})"), "unknown key 'noise'"));
  EXPECT_TRUE(contains(synthetic_error(R"({"schema":"eaq.synthetic/1","watts":{"lineal":{"*":1}}})"), "'lineal'"));
  EXPECT_TRUE(contains(synthetic_error(R"({"schema":"eaq.synthetic/1"})"), "watts"));
  EXPECT_TRUE(contains(synthetic_error(R"({"schema":"eaq.synthetic/1","watts":{"*":{"*":1}},"period_ms":0})"), "period_ms"));
  EXPECT_TRUE(contains(synthetic_error(R"({"schema":"eaq.synthetic/1","watts":{"*":{"*":-1}}})"), "below 0"));
  EXPECT_TRUE(contains(
      synthetic_error(R"({"schema":"eaq.synthetic/1","watts":{"*":{"*":1}},"faults":[{"t_s":1,"kind":"fire"}]})"), "'fire'"));
  EXPECT_TRUE(
      contains(synthetic_error(R"({"schema":"eaq.synthetic/1","watts":{"*":{"*":1}},"faults":[{"t":1,"kind":"gap"}]})"), "'t'"));
}

struct SyntheticLab {
  explicit SyntheticLab(const std::string& json)
      : meters(open_one("synthetic:" + folder.write("s.json", json).string(), {.clock = &clock})) {}
  void step(const char* kind, const char* format, double seconds) {
    const Seconds start = clock.now();
    meters.listener()->on_begin(kind, format, start);
    clock.sleep_until(start + Seconds(seconds));
    meters.listener()->on_step(kind, format, start, clock.now());
  }
  Folder folder;
  VirtualClock clock;
  MeterSet meters;
};

TEST(Synthetic, AStepHasTheWattsOfItsKindAndFormat) {
  SyntheticLab lab(
      R"({"schema":"eaq.synthetic/1","idle_W":10,"watts":{"linear":{"fp32":300,"*":200},"*":{"*":50}},"period_ms":1,"step_mJ":0.001})");
  for (const auto& [kind, format, watts] : std::vector<std::tuple<const char*, const char*, double>>{
           {"linear", "fp32", 300}, {"linear", "int8", 200}, {"norm", "fp32", 50}}) {
    lab.step(kind, format, 0.01);
    const Joules before = *lab.meters.read()[0].energy;
    lab.step(kind, format, 1);
    EXPECT_NEAR((*lab.meters.read()[0].energy - before).value(), watts, 1.0) << kind << ' ' << format;
  }
  const Joules before = *lab.meters.read()[0].energy;
  lab.clock.sleep_until(lab.clock.now() + Seconds(1));
  EXPECT_NEAR((*lab.meters.read()[0].energy - before).value(), 10, 1.0);
}

TEST(Synthetic, AStepWithoutWattsIsAnError) {
  SyntheticLab lab(R"({"schema":"eaq.synthetic/1","watts":{"linear":{"fp32":300}}})");
  EXPECT_TRUE(contains(message_of([&] { lab.step("norm", "fp32", 0.1); }), "'norm'"));
}

TEST(Synthetic, AStepToldLateCountsWhole) {
  SyntheticLab lab(R"({"schema":"eaq.synthetic/1","idle_W":0,"watts":{"*":{"*":100}},"period_ms":10})");
  const Seconds start = lab.clock.now();
  for (int i = 0; i < 30; ++i) {  // read all the while, and told only afterwards
    lab.clock.sleep_until(lab.clock.now() + Seconds(0.1));
    lab.meters.read();
  }
  lab.meters.listener()->on_step("linear", "fp32", start, lab.clock.now());
  lab.clock.sleep_until(lab.clock.now() + Seconds(2));
  EXPECT_NEAR(lab.meters.read()[0].energy->value(), 300, 1.1);
}

TEST(Synthetic, TheCounterMovesInItsStepsAtItsPeriod) {
  SyntheticLab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"*":{"*":100}},"period_ms":100,"step_mJ":500})");
  std::vector<double> values;
  lab.meters.listener()->on_begin("linear", "fp32", lab.clock.now());
  for (int i = 0; i < 1000; ++i) {
    lab.clock.sleep_until(lab.clock.now() + Seconds(0.005));
    const auto energy = lab.meters.read()[0].energy;
    if (energy && (values.empty() || values.back() != energy->value())) values.push_back(energy->value());
  }
  EXPECT_NEAR(static_cast<double>(values.size()), 50, 2);
  for (const double v : values) EXPECT_NEAR(std::remainder(v, 0.5), 0, 1e-9);
}

TEST(Synthetic, PowerAveragesOverItsWindow) {
  SyntheticLab lab(R"({"schema":"eaq.synthetic/1","idle_W":100,"watts":{"*":{"*":500}},"period_ms":10,"window_ms":1000})");
  lab.step("linear", "x", 0.001);
  lab.clock.sleep_until(lab.clock.now() + Seconds(3));
  EXPECT_NEAR(lab.meters.read()[0].power->value(), 100, 1);
  lab.step("linear", "x", 0.5);
  EXPECT_NEAR(lab.meters.read()[0].power->value(), 300, 5);  // half of the second
  lab.step("linear", "x", 1.5);
  EXPECT_NEAR(lab.meters.read()[0].power->value(), 500, 5);
}

}  // namespace
}  // namespace eaq
