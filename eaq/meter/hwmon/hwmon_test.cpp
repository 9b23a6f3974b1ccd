#include <gtest/gtest.h>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

TEST(Hwmon, ReadsPowerEnergyAndShuntPairs) {
  const Folder tree;
  tree.write("class/hwmon/hwmon0/name", "power_meter\n");
  tree.write("class/hwmon/hwmon0/power1_average", "123456789\n");
  tree.write("class/hwmon/hwmon0/power1_input", "1\n");  // the same channel: its average is taken
  tree.write("class/hwmon/hwmon1/name", "ina3221\n");
  tree.write("class/hwmon/hwmon1/in1_label", "VDD_CPU_CV\n");
  tree.write("class/hwmon/hwmon1/in1_input", "19000\n");
  tree.write("class/hwmon/hwmon1/curr1_input", "500\n");
  tree.write("class/hwmon/hwmon2/name", "xe\n");
  tree.write("class/hwmon/hwmon2/energy1_input", "42000000\n");
  tree.write("class/hwmon/hwmon2/energy1_label", "pkg\n");
  tree.write("class/hwmon/hwmon3/name", "BAT0\n");
  tree.write("class/hwmon/hwmon3/in0_input", "12000\n");
  tree.write("class/hwmon/hwmon3/curr0_input", "900\n");
  VirtualClock clock;
  MeterSet meters = open_one("hwmon", {.sysfs_root = tree.path(), .clock = &clock});
  ASSERT_EQ(meters.zones().size(), 3u);
  const auto readings = meters.read();
  EXPECT_EQ(meters.zones()[0].full_name, "hwmon:power_meter:power1");
  EXPECT_EQ(meters.zones()[0].zone.role, ZoneRole::board);
  EXPECT_NEAR(readings[0].power->value(), 123.456789, 1e-9);
  EXPECT_EQ(meters.zones()[1].zone.role, ZoneRole::cpu);
  EXPECT_NEAR(readings[1].power->value(), 9.5, 1e-9);
  EXPECT_EQ(meters.zones()[2].zone.role, ZoneRole::gpu);
  EXPECT_TRUE(meters.zones()[2].zone.counter);
  EXPECT_NEAR(readings[2].energy->value(), 42, 1e-9);
}

}  // namespace
}  // namespace eaq
