// What a real card said: an NVIDIA H200 (driver 580) under known loads, recorded by bench/energy (plateau, bursts, pairs; the
// card's own number is taken out). Estimates of what the synthetic sensor can only imitate.
#include <gtest/gtest.h>

#include <cmath>

#include "eaq/measure/lattice.h"
#include "eaq/measure/measure.h"

namespace eaq {
namespace {

const std::filesystem::path folder = std::filesystem::path(EAQ_SOURCE_DIR) / "eaq/measure/testdata/h200";

const ZoneRecord& zone_of(const SampleRecord& record, std::string_view end) {
  for (const ZoneRecord& zone : record.zones)
    if (zone.name.ends_with(end)) return zone;
  throw Error(ErrorKind::bug, "no zone ends so");
}

double watts(const ZoneRecord& zone, double from, double to) {
  const WindowEnergy e = window_energy(zone, Seconds(from), Seconds(to));
  if (!e.joules) throw Error(ErrorKind::bug, e.reason);
  return e.joules->value() / (to - from);
}

TEST(RealCard, WindowsOfFiveToSixtySecondsAgreeToATenthOfAPercent) {
  const SampleRecord record = read_samples(folder / "plateau.csv.zst");
  const ZoneRecord& counter = zone_of(record, "GPU-h200");
  for (const double length : {5.0, 10.0, 30.0, 60.0})
    for (double from = 2; from + length <= 65; from += length)
      EXPECT_NEAR(watts(counter, from, from + length), 691.5, 0.7) << length << " s from " << from;
}

TEST(RealCard, CounterAndIntegralsAgreeOverAMinute) {
  const SampleRecord record = read_samples(folder / "plateau.csv.zst");
  const auto check = cross_check(zone_of(record, "GPU-h200"));
  ASSERT_TRUE(check.has_value());
  EXPECT_GT(check->span, Seconds(60));
  EXPECT_LT(std::abs(check->difference()), 0.002);
  EXPECT_FALSE(check->disagrees());
  EXPECT_NEAR(watts(zone_of(record, "/instant"), 2, 62), 691.5, 0.002 * 691.5);
}

TEST(RealCard, TheCounterKeepsABeatOfATenthOfASecond) {
  const SampleRecord record = read_samples(folder / "plateau.csv.zst");
  std::vector<Edge> edges;
  for (const Sample& s : zone_of(record, "GPU-h200").samples)
    if (s.energy) edges.push_back({s.time.value(), s.energy->value()});
  const auto lattice = find_lattice(edges);
  ASSERT_TRUE(lattice.has_value());
  EXPECT_NEAR(lattice->period, 0.1, 1e-5);
  EXPECT_NEAR(lattice->scatter, 0.004, 0.001);  // a look takes 4 ms
}

// At its power limit the card's power swings by 1 % with a period of 1 s: why a visit is not shorter than that.
TEST(RealCard, AWholeSecondIsSharperThanHalfOfOneByMoreThanItsLength) {
  const SampleRecord record = read_samples(folder / "plateau.csv.zst");
  const auto scatter = [&](double length) {
    std::vector<double> all;
    for (double from = 2; from + length <= 65; from += 1) all.push_back(watts(zone_of(record, "GPU-h200"), from, from + length));
    double sum = 0;
    for (const double w : all) sum += (w - mean(all)) * (w - mean(all));
    return std::sqrt(sum / static_cast<double>(all.size() - 1)) / mean(all);
  };
  std::printf("scatter of a window: 0.5 s %.2f %%, 1 s %.2f %%\n", 100 * scatter(0.5), 100 * scatter(1));
  EXPECT_LT(scatter(1), 0.003);
  EXPECT_GT(scatter(0.5), 2 * scatter(1));
}

TEST(RealCard, BurstsThatKeepStepWithThePowerSensorAreReadWrongAndTheCounterSeesThem) {
  const SampleRecord record = read_samples(folder / "bursts.csv.zst");
  // 25 ms of load in every 100 ms, from 0.1 s on, for four seconds.
  const double counter = watts(zone_of(record, "GPU-h200"), 0.6, 4.0), instant = watts(zone_of(record, "/instant"), 0.6, 4.0);
  EXPECT_NEAR(counter, 350, 10);
  EXPECT_LT(instant, 0.95 * counter);
}

TEST(RealCard, VisitsAreWeighedAgainFromTheRecord) {
  const SampleRecord record = read_samples(folder / "blocks.csv.zst");
  std::vector<Visit> published = read_visits(folder / "blocks-visits.csv"), again = published;
  ASSERT_EQ(published.size(), 36u);  // six blocks of three workloads, there and back
  for (Visit& v : again) v.joules.reset(), v.edges = 0;
  weigh_visits(again, record, {.headline = {0}});
  for (std::size_t i = 0; i < again.size(); ++i) {
    ASSERT_TRUE(again[i].joules.has_value()) << again[i].void_reason;
    EXPECT_NEAR(again[i].joules->value(), published[i].joules->value(), 1e-6 * published[i].joules->value());
    EXPECT_EQ(again[i].edges, published[i].edges);
  }
}

TEST(RealCard, ARecordingThatIsReplayedGivesTheSamePower) {
  VirtualClock clock;
  const std::vector<std::string> specs{"replay:" + (folder / "plateau.csv.zst").string()};
  MeterSet meters = open_meters(specs, std::nullopt, {.clock = &clock});
  ASSERT_EQ(meters.headline(ZoneRole::gpu), std::vector<std::size_t>{0});
  Sampler sampler(meters, clock);
  clock.sleep_until(clock.now() + Seconds(62));
  const SampleRecord record = sampler.stop();
  EXPECT_NEAR(watts(zone_of(record, "GPU-h200"), 2, 60), 691.5, 0.7);
  EXPECT_EQ(record.zones[0].label, MeterLabel::replayed);
}

}  // namespace
}  // namespace eaq
