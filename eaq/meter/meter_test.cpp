#include "eaq/meter/meter.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>

namespace eaq {
namespace {

namespace fs = std::filesystem;

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    static int made = 0;
    path_ = fs::temp_directory_path() / ("eaq-meter-" + std::to_string(::getpid()) + "-" + std::to_string(made++));
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  fs::path write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  fs::path path_;
};

MeterSet open_one(const std::string& spec, const MeterOptions& options = {}) {
  const std::vector<std::string> specs{spec};
  return open_meters(specs, std::nullopt, options);
}

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

// --- specs --------------------------------------------------------------------------------------------------------------------

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

TEST(Assumed, RefusesWhatIsNoPower) {
  for (const char* watts : {"0", "-3", "abc", "nan", "inf", "65W"})
    EXPECT_THROW(open_one(std::string("assumed:") + watts), Error) << watts;
}

// --- replay -------------------------------------------------------------------------------------------------------------------

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

// --- synthetic ----------------------------------------------------------------------------------------------------------------

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

// --- exec ---------------------------------------------------------------------------------------------------------------------

TEST(Exec, ReadsLinesAndTellsTheEnd) {
  MeterSet meters = open_one("exec:printf '0,10\\n0.1,20.5\\n'; exit 3");
  EXPECT_EQ(meters.read()[0].power, Watts(10));
  EXPECT_EQ(meters.read()[0].power, Watts(20.5));
  Reading last;
  for (int i = 0; i < 500 && last.fault == Fault::none; ++i) {
    ::usleep(10000);
    last = meters.read()[0];
  }
  EXPECT_EQ(last.fault, Fault::unplugged);
  EXPECT_TRUE(contains(last.reason, "exit code 3"));
  EXPECT_FALSE(last.power.has_value());
}

TEST(Exec, ACommandThatIsNotThereSaysSo) {
  EXPECT_TRUE(contains(message_of([] { open_one("exec:/no/such/wattmeter 2>/dev/null"); }), "exit code 127"));
}

TEST(Exec, AnotherLineIsAnErrorWithItsNumber) {
  EXPECT_TRUE(contains(message_of([] { open_one("exec:echo watts: 5"); }), "line 1: 'watts: 5'"));
}

TEST(Exec, LeavesNoProcessBehind) {
  const Folder folder;
  const auto file = folder.path() / "pid";
  { open_one("exec:echo $$ > " + file.string() + "; echo 0,1; sleep 1000 & trap '' TERM; sleep 1000"); }
  pid_t group = 0;
  std::ifstream(file) >> group;
  ASSERT_GT(group, 1);
  // Whatever ignored the first signal was ended by the second; an orphan may wait a moment for its reaper.
  bool gone = false;
  for (int i = 0; i < 500 && !gone; ++i) {
    gone = ::kill(-group, 0) != 0;
    if (!gone) ::usleep(10000);
  }
  if (!gone) {  // in a container whose first process reaps nobody, zombies of orphans remain; no process of the group runs
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream stat(entry.path() / "stat");
      std::string line;
      if (!std::getline(stat, line) || line.rfind(')') == std::string::npos) continue;
      char state = 0;
      int parent = 0, its_group = 0;
      std::sscanf(line.c_str() + line.rfind(')') + 1, " %c %d %d", &state, &parent, &its_group);
      if (its_group == group) {
        EXPECT_EQ(state, 'Z') << line;
        EXPECT_NE(parent, ::getpid()) << "our own zombie: " << line;
      }
    }
  }
}

// --- rapl ---------------------------------------------------------------------------------------------------------------------

struct RaplTree {
  RaplTree() {
    add("intel-rapl:0", "package-0", 1000000);
    add("intel-rapl:0:0", "core", 400000);
    add("intel-rapl:0:1", "dram", 200000);
    add("intel-rapl:1", "package-1", 5000000);
    add("intel-rapl:1:0", "dram", 300000);
    add("intel-rapl:2", "psys", 9000000);
    add("intel-rapl-mmio:0", "package-0", 1000000);
  }
  void add(const std::string& zone, const std::string& name, long energy) const {
    folder.write("class/powercap/" + zone + "/name", name + "\n");
    folder.write("class/powercap/" + zone + "/max_energy_range_uj", "10000000000\n");
    set(zone, energy);
  }
  void set(const std::string& zone, long energy) const {
    folder.write("class/powercap/" + zone + "/energy_uj", std::to_string(energy) + "\n");
  }
  MeterOptions options() const { return {.sysfs_root = folder.path(), .clock = &clock}; }
  Folder folder;
  mutable VirtualClock clock;
};

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

// Runs `act` as a user whom file permissions bind.
void as_nobody(const std::function<void()>& act) {
  const bool root = ::geteuid() == 0;
  ASSERT_TRUE(!root || ::seteuid(65534) == 0);
  act();
  ASSERT_TRUE(!root || ::seteuid(0) == 0);
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

// --- hwmon --------------------------------------------------------------------------------------------------------------------

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
