// Sensors with known ways, driven by a known load on a clock that only simulates.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;

struct Truth {
  double period_ms = 100, window_ms = 100, lag_ms = 0, step_mJ = 1, noise_W = 0.5, drift = 0;
  bool counter = true;
  int seed = 1;

  std::string json() const {
    std::ostringstream text;
    text << R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"linear":{"bf16":300}},"period_ms":)" << period_ms
         << R"(,"window_ms":)" << window_ms << R"(,"lag_ms":)" << lag_ms << R"(,"step_mJ":)" << step_mJ << R"(,"noise_W":)"
         << noise_W << R"(,"drift_per_minute":)" << drift << R"(,"counter":)" << (counter ? "true" : "false") << R"(,"seed":)"
         << seed << "}";
    return text.str();
  }
};

CalibrationRun run(const Truth& truth, const CalibrationOptions& options = {}) {
  Lab lab(truth.json());
  const CalibrationLoad load{"2 ms", [&lab] {
                               StepListener* listener = lab.meters.listener();
                               const Seconds start = lab.clock.now();
                               listener->on_begin("linear", "bf16", start);
                               lab.clock.sleep_until(start + Seconds(0.002));
                               listener->on_step("linear", "bf16", start, lab.clock.now());
                             }};
  return calibrate(lab.meters, lab.clock, load, options);
}

ZoneCalibration calibrated(const Truth& truth) { return run(truth).zones.at(0); }

bool within(const Found<Seconds>& found, double truth_ms, double relative, double least_ms) {
  return found.value && std::abs(found.value->value() * 1e3 - truth_ms) <= std::max(relative * truth_ms, least_ms);
}

std::string text_of(const Found<Seconds>& found) {
  std::ostringstream text;
  if (!found.value) return "none (" + found.missing + ")";
  text << found.value->value() * 1e3 << " [" << found.low.value() * 1e3 << ", " << found.high.value() * 1e3 << "]";
  return text.str();
}

Truth drawn(Rng& rng) {
  Truth t;
  t.period_ms = 20 + 130 * rng.uniform();
  t.window_ms = std::max(1.0, 1200 * rng.uniform());
  t.lag_ms = 150 * rng.uniform();
  t.step_mJ = 1 + 99 * rng.uniform();
  t.noise_W = 0.2 + 2.8 * rng.uniform();
  t.drift = 0.04 * (rng.uniform() - 0.5);
  t.seed = static_cast<int>(rng.below(1u << 30));
  return t;
}

TEST(Calibration, RecoversPeriodWindowAndLagOfSensorsDrawnAtRandom) {
  constexpr int sensors = 60;
  int period = 0, window = 0, lag = 0, counter_period = 0, counter_lag = 0, resolution = 0, covered = 0;
  for (int i = 0; i < sensors; ++i) {
    Rng rng(700 + static_cast<std::uint64_t>(i));
    Truth truth = drawn(rng);
    if (i % 4 == 3) truth.window_ms = 1 + rng.uniform() * truth.period_ms;  // shorter than the period, or nearly
    const ZoneCalibration c = calibrated(truth);
    ASSERT_TRUE(c.power && c.counter) << c.unusable;
    const bool good[] = {within(c.power->period, truth.period_ms, 0.02, 0), within(c.power->window, truth.window_ms, 0.1, 15),
                         within(c.power->lag, truth.lag_ms, 0.1, 15), within(c.counter->period, truth.period_ms, 0.02, 0),
                         within(c.counter->lag, truth.lag_ms, 0.1, 15)};
    period += good[0], window += good[1], lag += good[2], counter_period += good[3], counter_lag += good[4];
    resolution += c.counter->resolution.value && std::abs(c.counter->resolution.value->value() * 1e3 / truth.step_mJ - 1) < 1e-3;
    covered += c.power->window.low.value() * 1e3 <= truth.window_ms && truth.window_ms <= c.power->window.high.value() * 1e3;
    if (!good[0] || !good[1] || !good[2] || !good[3] || !good[4])
      std::printf("%s\n  power: period %s, window %s, lag %s; counter: period %s, lag %s\n", truth.json().c_str(),
                  text_of(c.power->period).c_str(), text_of(c.power->window).c_str(), text_of(c.power->lag).c_str(),
                  text_of(c.counter->period).c_str(), text_of(c.counter->lag).c_str());
  }
  std::printf("of %d sensors: power period %d, window %d (range covers %d), lag %d; counter period %d, lag %d, resolution %d\n",
              sensors, period, window, covered, lag, counter_period, counter_lag, resolution);
  for (const int found : {period, window, lag, counter_period, counter_lag, resolution}) EXPECT_GE(found, 57);
  EXPECT_GE(covered, 54);
}

TEST(Calibration, NamesASensorThatLooksOnlyPartOfTheTime) {
  for (const auto& [period, window] : {std::pair{100.0, 25.0}, {100.0, 5.0}, {40.0, 10.0}, {150.0, 60.0}}) {
    for (const bool counter : {true, false}) {
      const ZoneCalibration c = calibrated({.period_ms = period, .window_ms = window, .lag_ms = 20, .counter = counter});
      ASSERT_TRUE(c.power && c.power->aliases()) << period << " " << window << " " << c.power->phase_spread.missing;
      EXPECT_TRUE(*c.power->aliases()) << period << " " << window << " spread " << *c.power->phase_spread.value;
    }
  }
}

TEST(Calibration, DoesNotNameASensorThatAlwaysLooks) {
  for (const auto& [period, window] : {std::pair{100.0, 100.0}, {100.0, 1000.0}, {40.0, 40.0}, {150.0, 600.0}}) {
    for (const double noise : {0.0, 2.0}) {
      const ZoneCalibration c = calibrated({.period_ms = period, .window_ms = window, .lag_ms = 30, .noise_W = noise});
      ASSERT_TRUE(c.power && c.power->aliases()) << period << " " << window << " " << c.power->phase_spread.missing;
      EXPECT_FALSE(*c.power->aliases()) << period << " " << window << " spread " << *c.power->phase_spread.value;
    }
  }
}

TEST(Calibration, OfAPowerWithoutACounterHasNoCountersFigures) {
  const ZoneCalibration c = calibrated({.window_ms = 500, .lag_ms = 40, .counter = false});
  EXPECT_FALSE(c.counter);
  ASSERT_TRUE(c.power);
  EXPECT_TRUE(within(c.power->period, 100, 0.02, 0)) << text_of(c.power->period);
  EXPECT_TRUE(within(c.power->window, 500, 0.1, 15)) << text_of(c.power->window);
  EXPECT_TRUE(within(c.power->lag, 40, 0.1, 15)) << text_of(c.power->lag);
  EXPECT_NEAR(c.power->noise.value->value(), 0.5, 0.2);
  EXPECT_NEAR(c.idle->value(), 80, 1);
  EXPECT_NEAR(c.loaded->value(), 300, 1);
  EXPECT_EQ(c.repeats, 5);
  EXPECT_NEAR(c.reference.at(0).J_per_unit.at(0), 0.6, 0.01);
}

TEST(Calibration, OfACounterWithoutAPowerHasNoPowersFigures) {
  CalibrationRun all = run({.lag_ms = 60});
  for (Sample& s : all.record.zones[0].samples) s.power.reset();
  std::erase_if(all.record.zones[0].samples, [](const Sample& s) { return !s.energy; });
  const ZoneCalibration c = analyse_calibration(all.record.zones[0], all.timeline, all.record.polls_per_s);
  EXPECT_FALSE(c.power);
  ASSERT_TRUE(c.counter);
  EXPECT_TRUE(within(c.counter->period, 100, 0.02, 0)) << text_of(c.counter->period);
  EXPECT_TRUE(within(c.counter->lag, 60, 0.1, 15)) << text_of(c.counter->lag);
  EXPECT_EQ(c.unusable, "");
  EXPECT_EQ(c.repeats, 5);
  ASSERT_TRUE(c.between_run_sd);
  EXPECT_LT(*c.between_run_sd, 0.01);
  ASSERT_TRUE(c.between_run_sd_time);
  EXPECT_LT(*c.between_run_sd_time, 0.01);
}

TEST(Calibration, WithoutNoiseIsTheSame) {
  const ZoneCalibration c = calibrated({.window_ms = 300, .lag_ms = 10, .noise_W = 0});
  EXPECT_TRUE(within(c.power->period, 100, 0.02, 0)) << text_of(c.power->period);
  EXPECT_TRUE(within(c.power->window, 300, 0.1, 15)) << text_of(c.power->window);
  EXPECT_FALSE(c.power->noise.value);  // its values do not move under steady load
  EXPECT_NE(c.power->noise.missing, "");
}

TEST(Calibration, ASensorThatDoesNotSeeTheLoadIsSaidToBeOne) {
  Lab lab(Truth{.noise_W = 2}.json());
  const CalibrationLoad load{"unseen", [&lab] { lab.clock.sleep_until(lab.clock.now() + Seconds(0.002)); }};
  lab.meters.listener()->on_begin("linear", "bf16", lab.clock.now());  // busy throughout
  const CalibrationRun all = calibrate(lab.meters, lab.clock, load, {});
  EXPECT_NE(all.zones.at(0).unusable.find("does not show the load"), std::string::npos) << all.zones[0].unusable;
  EXPECT_TRUE(all.zones[0].reference.empty());
  EXPECT_FALSE(all.zones[0].between_run_sd);
}

TEST(Calibration, TakesNoLongerThanPromised) {
  const CalibrationRun all = run({.window_ms = 1000});
  EXPECT_LT(all.timeline.sections.back().end, Seconds(78));
  EXPECT_TRUE(std::is_sorted(all.timeline.switches.begin(), all.timeline.switches.end(),
                             [](const LoadSwitch& a, const LoadSwitch& b) { return a.time < b.time; }));
}

TEST(Calibration, OfNothingThatFollowsALoadIsNotAvailable) {
  VirtualClock clock;
  const CalibrationLoad load{"none", [] {}};
  MeterSet none;
  EXPECT_THROW(calibrate(none, clock, load, {}), Error);
  MeterSet assumed = open_meters({}, Watts(65), {.clock = &clock});
  try {
    calibrate(assumed, clock, load, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unavailable);
    EXPECT_NE(std::string(e.what()).find("eaq meter"), std::string::npos);
  }
}

// --- files --------------------------------------------------------------------------------------------------------------------

class CalibrationFile : public testing::Test {
 protected:
  CalibrationFile() : folder(std::filesystem::temp_directory_path() / ("eaq-calibration-" + std::to_string(::getpid()))) {}
  ~CalibrationFile() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  const std::filesystem::path folder;
};

TEST_F(CalibrationFile, ComesBackAsItWas) {
  const ZoneCalibration c = calibrated({.window_ms = 25, .lag_ms = 20});
  const std::string json = to_json(c);
  const ZoneCalibration back = parse_calibration(json, "file");
  EXPECT_EQ(to_json(back), json);
  EXPECT_EQ(back.power->window.value->value(), c.power->window.value->value());
  EXPECT_EQ(back.power->aliases(), std::optional<bool>(true));
  EXPECT_EQ(back.counter->period.high.value(), c.counter->period.high.value());
}

TEST_F(CalibrationFile, KeepsTheReferencesOfEarlierCalibrations) {
  ZoneCalibration c;
  c.zone = "nvml:GPU-1/instant";
  c.load = "a";
  c.reference = {{"2026-01-01T00:00:00Z", "a", {1.0, 1.1}, {0.5, 0.6}}};
  const auto file = store_calibration(folder, c);
  EXPECT_EQ(file.filename(), "nvml%3AGPU-1%2Finstant.json");
  c.reference = {{"2026-01-02T00:00:00Z", "b", {5.0}, {}}};
  store_calibration(folder, c);
  EXPECT_FALSE(c.between_run_sd);  // one repeat of load b
  EXPECT_FALSE(c.between_run_sd_time);
  c.reference = {{"2026-01-03T00:00:00Z", "a", {1.2}, {0.7}}};
  store_calibration(folder, c);
  const auto back = load_calibration(folder, c.zone);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->reference.size(), 3u);
  EXPECT_EQ(back->repeats, 3);
  EXPECT_NEAR(*back->between_run_sd, std::sqrt(variance(std::vector<double>{0, std::log(1.1), std::log(1.2)})), 1e-12);
  ASSERT_TRUE(back->between_run_sd_time);
  EXPECT_NEAR(*back->between_run_sd_time, std::sqrt(variance(std::vector<double>{std::log(0.5), std::log(0.6), std::log(0.7)})),
              1e-12);
  // A file of a version that kept no seconds: joules alone.
  c.reference = {{"2026-01-04T00:00:00Z", "a", {1.3}, {}}};
  store_calibration(folder, c);
  EXPECT_TRUE(c.between_run_sd);
  EXPECT_FALSE(c.between_run_sd_time);
}

TEST_F(CalibrationFile, TellsAnOpenedMeterWhatWasFound) {
  Truth truth{.period_ms = 60, .window_ms = 700, .lag_ms = 50, .counter = false};
  ZoneCalibration c = calibrated(truth);
  store_calibration(folder, c);
  truth.period_ms = 61;  // what the meter itself says
  Lab lab(truth.json());
  apply_calibrations(lab.meters, folder);
  const Zone& zone = lab.meters.zones()[0].zone;
  EXPECT_NEAR(zone.period->value(), 0.060, 0.0005);
  EXPECT_NEAR(zone.window->value(), 0.7, 0.03);
  EXPECT_NEAR(zone.lag->value(), 0.05, 0.02);
}

TEST_F(CalibrationFile, ThatCannotBeReadIsIgnored) {
  std::filesystem::create_directories(folder);
  write_text(calibration_file(folder, "rapl:package-0"), "{");
  EXPECT_FALSE(load_calibration(folder, "rapl:package-0"));
  EXPECT_FALSE(load_calibration(folder, "rapl:package-1"));
  EXPECT_THROW(parse_calibration(R"({"schema":"eaq.calibration/2"})", "file"), Error);
  EXPECT_THROW(parse_calibration("[]", "file"), Error);
}

// --- visits -------------------------------------------------------------------------------------------------------------------

TEST_F(CalibrationFile, LetsVisitsDropWhatAnAveragingPowerStillRemembers) {
  // 300 W against 180 W seen through a second's average: visits of 2 s that drop 0.5 s would mix in a third of the one before.
  const Truth truth{.window_ms = 1000, .lag_ms = 20, .counter = false};
  ZoneCalibration c = calibrated(truth);
  store_calibration(folder, c);
  std::string json = truth.json();
  json.replace(json.find(R"("watts":)"), std::string(R"("watts":{"linear":{"bf16":300}})").size(),
               R"("watts":{"*":{"a":300,"b":180}})");
  Lab lab(json);
  apply_calibrations(lab.meters, folder);
  lab.add({.format = "a", .parts = {{"linear", 0.01}}});
  lab.add({.format = "b", .parts = {{"linear", 0.01}}});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, {.blocks = 4, .control_trials = 0});
  EXPECT_NEAR(r.pairs.at(0).energy_ratio->mean, 300.0 / 180, 0.01);
  for (const Visit& v : r.visits) EXPECT_GE(v.edges, 8) << v.position;
}

}  // namespace
}  // namespace eaq
