#include <gtest/gtest.h>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

TEST(Replay, ShowsEachRowUntilTheNextAndIsUnpluggedAfterTheLast) {
  const Folder folder;
  const auto file =
      folder.write("samples.csv", "t_s,zone,joules,watts\n0,gpu,10,\n0,wall,,70\n1,gpu,20.5,100\n2,gpu,30,\n2,wall,,80\n");
  VirtualClock clock(Seconds(50));
  MeterSet meters = open_one("replay:" + file.string(), {.clock = &clock});
  ASSERT_EQ(meters.zones().size(), 2u);
  EXPECT_TRUE(meters.zones()[0].zone.counter);
  EXPECT_FALSE(meters.zones()[1].zone.counter);
  EXPECT_EQ(meters.zones()[0].zone.role, ZoneRole::gpu);
  EXPECT_EQ(meters.read()[0].energy, Joules(10));
  clock.sleep_until(Seconds(51.5));
  const auto readings = meters.read();
  EXPECT_EQ(readings[0].energy, Joules(20.5));
  EXPECT_EQ(readings[0].power, Watts(100));
  EXPECT_EQ(readings[0].time, Seconds(51));
  EXPECT_EQ(readings[1].power, Watts(70));
  EXPECT_FALSE(readings[1].energy.has_value());
  clock.sleep_until(Seconds(90));
  EXPECT_EQ(meters.read()[0].fault, Fault::unplugged);
  EXPECT_FALSE(meters.read()[0].energy.has_value());
}

TEST(Replay, ARecordingOfAnotherDeviceStandsForWhateverComputes) {
  const Folder folder;
  const auto file = folder.write("s.csv", "t_s,zone,joules,watts\n0,gpu,1,\n0,psys,1,\n1,gpu,2,\n").string();
  const std::vector<std::string> twice{"replay:" + file, "replay:" + file};
  const MeterSet meters = open_meters(twice, std::nullopt, {});
  EXPECT_EQ(meters.headline(ZoneRole::cpu), std::vector<std::size_t>{0});
  EXPECT_EQ(meters.zones()[2].full_name, "replay:gpu#2");  // names stay unique
}

TEST(Replay, AMalformedLineIsNamedByItsNumber) {
  const Folder folder;
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "line 1"},
           {"time,zone\n", "line 1"},
           {"t_s,zone,joules,watts\n", "no row"},
           {"t_s,zone,joules,watts\n0,a,1,\n1,a,2\n", "line 3"},
           {"t_s,zone,joules,watts\n0,a,1,2,3\n", "line 2"},
           {"t_s,zone,joules,watts\n0,a,x,\n", "line 2: joules"},
           {"t_s,zone,joules,watts\n0,a,,nan\n", "line 2: watts"},
           {"t_s,zone,joules,watts\n,a,1,\n", "line 2: t_s"},
           {"t_s,zone,joules,watts\n0,,1,\n", "line 2: the zone"},
           {"t_s,zone,joules,watts\n1,a,1,\n0.5,a,2,\n", "line 3: time runs backwards"}}) {
    const auto file = folder.write("bad.csv", text);
    EXPECT_TRUE(contains(message_of([&] { open_one("replay:" + file.string()); }), part)) << text;
  }
}

TEST(Replay, ARowWithNeitherIsAGapAndNotZero) {
  const Folder folder;
  VirtualClock clock;
  MeterSet meters =
      open_one("replay:" + folder.write("s.csv", "t_s,zone,joules,watts\n0,a,,\n9,a,1,\n").string(), {.clock = &clock});
  const Reading reading = meters.read()[0];
  EXPECT_EQ(reading.fault, Fault::gap);
  EXPECT_FALSE(reading.energy.has_value());
}

}  // namespace
}  // namespace eaq
