#include <gtest/gtest.h>

#include <algorithm>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

TEST(MeterSpec, SplitsAtTheFirstColon) {
  const MeterSpec spec = parse_meter_spec("exec:cat a:b");
  EXPECT_EQ(spec.kind, "exec");
  EXPECT_EQ(spec.argument, "cat a:b");
}

TEST(MeterSpec, NamesWhatThereIs) {
  const std::string text = message_of([] { parse_meter_spec("wattmeter"); });
  for (const char* kind : {"rapl", "hwmon", "exec:COMMAND", "replay:FILE", "synthetic:FILE", "none"})
    EXPECT_TRUE(contains(text, kind));
}

TEST(MeterSpec, WantsAnArgumentWhereThereIsOneAndNoneElsewhere) {
  EXPECT_TRUE(contains(message_of([] { parse_meter_spec("replay"); }), "replay:FILE"));
  EXPECT_TRUE(contains(message_of([] { parse_meter_spec("rapl:0"); }), "takes nothing"));
}

TEST(MeterSpec, NoneExcludesOthers) {
  const std::vector<std::string> specs{"none", "assumed:3"};
  EXPECT_THROW(open_meters(specs, std::nullopt, {}), Error);
}

TEST(OpenMeters, SwitchedOffSaysSo) { EXPECT_TRUE(contains(open_one("none").why_none(), "--meter none")); }

TEST(OpenMeters, WithoutAnySensorNameTheWayToJoules) {
  const Folder empty;
  const MeterSet none = open_meters({}, std::nullopt, {.sysfs_root = empty.path()});
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(contains(none.why_none(), "--assume-watts"));
  EXPECT_TRUE(contains(none.why_none(), "rapl: no "));

  fs::create_directories(empty.path() / "class/powercap");
  EXPECT_TRUE(contains(open_meters({}, std::nullopt, {.sysfs_root = empty.path()}).why_none(), "modprobe"));
}

TEST(OpenMeters, AnotherDevicesSensorDoesNotHideTheCommandThatOpensTheProcessors) {
  const RaplTree tree;
  tree.folder.write("class/hwmon/hwmon0/name", "amdgpu\n");
  tree.folder.write("class/hwmon/hwmon0/power1_average", "30000000\n");
  const auto file = tree.folder.path() / "class/powercap/intel-rapl:1/energy_uj";
  fs::permissions(file, fs::perms::none);
  as_nobody([&] {
    const MeterSet meters = open_meters({}, std::nullopt, tree.options());
    EXPECT_EQ(meters.zones().size(), 1u);
    EXPECT_TRUE(meters.headline(ZoneRole::cpu).empty());
    EXPECT_TRUE(contains(meters.why_no_headline(ZoneRole::cpu), "sudo chmod a+r " + file.string()));
    EXPECT_EQ(meters.why_no_headline(ZoneRole::gpu), "");
  });
  fs::permissions(file, fs::perms::owner_all);
}

TEST(OpenMeters, WithoutASpecTakeEverySensorThatIsThere) {
  const RaplTree tree;
  const MeterSet meters = open_meters({}, std::nullopt, tree.options());
  ASSERT_EQ(meters.meters().size(), 1u);
  EXPECT_EQ(meters.meters()[0]->name(), "rapl");
}

TEST(MeterKinds, EveryKindExplainsItselfAndProbesWithoutThrowing) {
  const Folder empty;
  const auto rows = probe_meters({.sysfs_root = empty.path()});
  for (const auto& row : meter_kinds()) {
    ASSERT_NE(row.entry, nullptr);
    EXPECT_FALSE(row.entry->summary.empty());
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const MeterRow& r) { return r.kind == row.name; }));
  }
  for (const MeterRow& row : rows) EXPECT_FALSE(!row.probe.available && row.probe.reason.empty()) << row.kind;
}

}  // namespace
}  // namespace eaq
