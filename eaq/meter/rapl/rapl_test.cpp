#include <gtest/gtest.h>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

TEST(Rapl, HasEveryZoneOnceAndNoPartOfAPackage) {
  const RaplTree tree;
  MeterSet meters = open_one("rapl", tree.options());
  std::vector<std::string> names;
  for (const auto& zone : meters.zones()) names.push_back(zone.full_name);
  EXPECT_EQ(names, (std::vector<std::string>{"rapl:package-0", "rapl:dram-0", "rapl:package-1", "rapl:dram-1", "rapl:psys"}));
}

TEST(Rapl, TheHeadlineOfACpuIsItsPackages) {
  const RaplTree tree;
  MeterSet meters = open_one("rapl", tree.options());
  std::vector<std::string> names;
  for (const std::size_t z : meters.headline(ZoneRole::cpu)) names.push_back(meters.zones()[z].zone.name);
  EXPECT_EQ(names, (std::vector<std::string>{"package-0", "package-1"}));
}

TEST(Rapl, UnwrapsAtItsRange) {
  const RaplTree tree;
  tree.set("intel-rapl:0", 9999000000);
  MeterSet meters = open_one("rapl", tree.options());
  const Joules before = *meters.read()[0].energy;
  tree.clock.sleep_until(tree.clock.now() + Seconds(0.1));
  tree.set("intel-rapl:0", 1000000);
  EXPECT_NEAR((*meters.read()[0].energy - before).value(), 2, 1e-9);
}

TEST(Rapl, AFallThatIsNoWrapIsAReset) {
  const RaplTree tree;
  tree.set("intel-rapl:0", 5000000000);
  MeterSet meters = open_one("rapl", tree.options());
  meters.read();
  tree.clock.sleep_until(tree.clock.now() + Seconds(0.1));
  tree.set("intel-rapl:0", 1000000);
  const Reading reading = meters.read()[0];
  EXPECT_EQ(reading.fault, Fault::reset);
  EXPECT_FALSE(reading.energy.has_value());
}

TEST(Rapl, APauseInWhichItMayHaveGoneRoundIsAFault) {
  const RaplTree tree;
  MeterSet meters = open_one("rapl", tree.options());
  meters.read();
  tree.clock.sleep_until(tree.clock.now() + Seconds(3600));
  tree.set("intel-rapl:0", 2000000);
  EXPECT_EQ(meters.read()[0].fault, Fault::wrapped);
}

TEST(Rapl, AFileWithoutANumberIsAFaultAndNotZero) {
  const RaplTree tree;
  MeterSet meters = open_one("rapl", tree.options());
  tree.folder.write("class/powercap/intel-rapl:0/energy_uj", "\n");
  const Reading reading = meters.read()[0];
  EXPECT_EQ(reading.fault, Fault::unsupported);
  EXPECT_FALSE(reading.energy.has_value());
}

TEST(Rapl, PermissionDeniedNamesTheCommandThatMendsIt) {
  const RaplTree tree;
  const auto file = tree.folder.path() / "class/powercap/intel-rapl:0/energy_uj";
  fs::permissions(file, fs::perms::none);
  as_nobody([&] {
    const auto& rapl = *find_entry(meter_kinds(), "rapl");
    const MeterProbe probe = rapl.probe(tree.options()).front();
    EXPECT_FALSE(probe.available);
    EXPECT_EQ(probe.advice, "sudo chmod a+r " + file.string());
    EXPECT_TRUE(contains(open_meters({}, std::nullopt, tree.options()).why_none(), "sudo chmod a+r " + file.string()));
    try {
      open_one("rapl", tree.options());
      ADD_FAILURE() << "no error";
    } catch (const MeterError& e) {
      EXPECT_EQ(e.fault(), Fault::denied);
      EXPECT_EQ(e.kind(), ErrorKind::unavailable);
    }
  });
  fs::permissions(file, fs::perms::owner_all);
}

TEST(Rapl, KnowsTemperatureAndClock) {
  const RaplTree tree;
  tree.folder.write("class/hwmon/hwmon3/name", "coretemp\n");
  tree.folder.write("class/hwmon/hwmon3/temp1_input", "61500\n");
  tree.folder.write("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000\n");
  tree.folder.write("devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2000000\n");
  const Condition condition = open_one("rapl", tree.options()).condition();
  EXPECT_EQ(condition.temperature, Celsius(61.5));
  EXPECT_EQ(condition.clock, Hertz(2.5e9));
}

}  // namespace
}  // namespace eaq
