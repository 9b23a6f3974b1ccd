// The driver's library is played by a table of functions over one made-up machine: no card is needed, and every fault can be had.
#include "eaq/meter/nvml/nvml.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

namespace eaq::meter_nvml {
namespace {

struct FakeCard {
  std::string uuid = "GPU-aaaa", name = "NVIDIA H200";
  std::map<std::uint32_t, std::pair<Return, std::uint64_t>> fields{{field::energy, {success, 5'000'000}},
                                                                   {field::power_average, {success, 300'000}},
                                                                   {field::power_instant, {success, 310'000}},
                                                                   {field::thermal_policy, {success, 0}},
                                                                   {field::power_policy, {success, 0}}};
  Return energy_call = not_supported;
  std::vector<std::uint32_t> pids;
  std::vector<ProcessUtilization> utilization;
  Return utilization_call = success;
  std::uint32_t mig = 0;
};

struct Machine {
  std::vector<FakeCard> cards{FakeCard{}};
  Return init = success, count = success;
  int running = 0;  // inits without a shutdown
} machine;

FakeCard& card_of(Device device) { return machine.cards.at(reinterpret_cast<std::uintptr_t>(device) - 1); }
Return give(const std::string& text, char* out, std::uint32_t size) {
  std::snprintf(out, size, "%s", text.c_str());
  return success;
}

Api fake_api() {
  Api api;
  api.init = [] { return machine.init == success ? (++machine.running, success) : machine.init; };
  api.shutdown = [] { return --machine.running, success; };
  api.error_string = [](Return code) -> const char* { return code == not_supported ? "Not Supported" : "Some Error"; };
  api.driver_version = [](char* out, std::uint32_t size) { return give("580.1", out, size); };
  api.device_count = [](std::uint32_t* n) { return *n = static_cast<std::uint32_t>(machine.cards.size()), machine.count; };
  api.device_by_index = [](std::uint32_t i, Device* d) { return *d = reinterpret_cast<Device>(std::uintptr_t{i} + 1), success; };
  api.name = [](Device d, char* out, std::uint32_t size) { return give(card_of(d).name, out, size); };
  api.uuid = [](Device d, char* out, std::uint32_t size) { return give(card_of(d).uuid, out, size); };
  api.field_values = [](Device d, int n, FieldValue* values) {
    for (int i = 0; i < n; ++i) {
      const auto at = card_of(d).fields.find(values[i].id);
      values[i].result = at == card_of(d).fields.end() ? not_supported : at->second.first;
      values[i].type = ValueType::u64;
      values[i].u64 = at == card_of(d).fields.end() ? 77 : at->second.second;  // what a failed read leaves is not to be used
    }
    return success;
  };
  api.energy = [](Device d, unsigned long long* mJ) { return *mJ = 6'000'000, card_of(d).energy_call; };
  api.power = [](Device, std::uint32_t* mW) { return *mW = 200'000, success; };
  api.temperature = [](Device, int, std::uint32_t* c) { return *c = 61, success; };
  api.clock = [](Device, int, std::uint32_t* mhz) { return *mhz = 1980, success; };
  api.mig_mode = [](Device d, std::uint32_t* now, std::uint32_t* later) { return *now = *later = card_of(d).mig, success; };
  api.processes = [](Device d, std::uint32_t* count, ProcessInfo* list) {
    *count = static_cast<std::uint32_t>(card_of(d).pids.size());
    for (std::uint32_t i = 0; i < *count; ++i) list[i].pid = card_of(d).pids[i];
    return success;
  };
  api.process_utilization = [](Device d, ProcessUtilization* out, std::uint32_t* count, unsigned long long since) {
    std::uint32_t n = 0;
    for (const ProcessUtilization& u : card_of(d).utilization)
      if (u.timestamp_us > since) out[n++] = u;
    *count = n;
    return card_of(d).utilization_call != success ? card_of(d).utilization_call : n == 0 ? not_found : success;
  };
  return api;
}

class Nvml : public testing::Test {
 protected:
  void SetUp() override { machine = Machine(); }
  std::unique_ptr<Meter> open() {
    const auto api = start(fake_api());
    return open_cards(api, list_cards(*api), clock);
  }
  std::vector<Reading> read(Meter& meter) {
    std::vector<Reading> readings(meter.zones().size());
    meter.read(readings);
    return readings;
  }
  VirtualClock clock;
};

std::vector<std::string> names(const std::vector<Card>& cards) {
  std::vector<std::string> list;
  for (const Card& card : cards) list.push_back(card.uuid);
  return list;
}

TEST_F(Nvml, ACardIsACounterAndAShortWindowThatIsNeverCharged) {
  const auto meter = open();
  ASSERT_EQ(meter->zones().size(), 2u);
  EXPECT_EQ(meter->zones()[0].name, "GPU-aaaa");
  EXPECT_EQ(meter->zones()[0].role, ZoneRole::gpu);
  EXPECT_TRUE(meter->zones()[0].counter);
  EXPECT_EQ(meter->zones()[1].role, ZoneRole::other);
  const auto readings = read(*meter);
  EXPECT_EQ(readings[0].energy, Joules(5000));
  EXPECT_EQ(readings[0].power, Watts(300));
  EXPECT_EQ(readings[1].power, Watts(310));
  EXPECT_FALSE(readings[1].energy.has_value());
}

TEST_F(Nvml, AFieldThatFailsIsAFaultAndNeverItsLeftoverValue) {
  const auto meter = open();
  machine.cards[0].fields[field::energy] = {999, 0};
  machine.cards[0].fields[field::power_instant] = {gpu_is_lost, 0};
  const auto readings = read(*meter);
  EXPECT_EQ(readings[0].fault, Fault::gap);
  EXPECT_FALSE(readings[0].energy.has_value());
  EXPECT_EQ(readings[0].reason, "nvml:GPU-aaaa: energy counter: Some Error");
  EXPECT_EQ(readings[1].fault, Fault::unplugged);
  EXPECT_FALSE(readings[1].power.has_value());
}

TEST_F(Nvml, WithoutTheFieldsTheOlderCallsServe) {
  machine.cards[0].fields.clear();
  machine.cards[0].energy_call = success;
  const auto meter = open();
  ASSERT_EQ(meter->zones().size(), 1u);
  EXPECT_TRUE(meter->zones()[0].counter);
  const auto readings = read(*meter);
  EXPECT_EQ(readings[0].energy, Joules(6000));
  EXPECT_EQ(readings[0].power, Watts(200));
}

TEST_F(Nvml, ACardWithoutACounterGivesPowerToIntegrate) {
  machine.cards[0].fields.erase(field::energy);
  const auto meter = open();
  EXPECT_FALSE(meter->zones()[0].counter);
  EXPECT_EQ(read(*meter)[0].power, Watts(300));
  EXPECT_EQ(read(*meter)[0].fault, Fault::none);
}

TEST_F(Nvml, AnInstanceOfASharedCardHasNoJoulesOfItsOwn) {
  machine.cards[0].mig = 1;
  try {
    open();
    FAIL() << "opened";
  } catch (const MeterError& error) {
    EXPECT_NE(std::string(error.what()).find("MIG"), std::string::npos);
  }
}

TEST_F(Nvml, ThermalTalliesVoidAndThePowerCapLabels) {
  const auto meter = open();
  const Condition before = meter->condition();
  EXPECT_EQ(before.temperature, Celsius(61));
  EXPECT_EQ(before.clock, Hertz(1.98e9));
  machine.cards[0].fields[field::thermal_policy].second = 5;
  const Condition after = meter->condition();
  ASSERT_EQ(before.voiding.size(), 1u);
  EXPECT_NE(before.voiding[0].value, after.voiding[0].value);
  ASSERT_EQ(before.labelling.size(), 1u);
  EXPECT_EQ(before.labelling[0].value, after.labelling[0].value);
}

TEST_F(Nvml, AnotherProcessDisturbsOnlyWhileItComputes) {
  const auto meter = open();
  const auto self = static_cast<std::uint32_t>(::getpid());
  machine.cards[0].pids = {self, self + 1};
  EXPECT_EQ(meter->condition().disturbance, "");
  machine.cards[0].utilization = {{self, 10, 90, 0, 0, 0}};
  EXPECT_EQ(meter->condition().disturbance, "");
  machine.cards[0].utilization.push_back({self + 1, 20, 3, 0, 0, 0});
  EXPECT_EQ(meter->condition().disturbance, "process " + std::to_string(self + 1) + " computes on the card, too");
  EXPECT_EQ(meter->condition().disturbance, "");  // that was before this window
  machine.cards[0].utilization_call = not_supported;
  EXPECT_NE(meter->condition().disturbance, "");  // present, and nobody can tell
}

TEST_F(Nvml, TheOnlyProcessUnderAnotherNumberIsThisOne) {
  const auto meter = open();
  machine.cards[0].pids = {1};
  machine.cards[0].utilization_call = not_supported;
  EXPECT_EQ(meter->condition().disturbance, "");
}

TEST_F(Nvml, TheLibraryIsShutDownWithItsLastOwner) {
  {
    const auto meter = open();
    EXPECT_EQ(machine.running, 1);
  }
  EXPECT_EQ(machine.running, 0);
}

TEST_F(Nvml, ADriverThatDoesNotStartSaysWhy) {
  machine.init = driver_not_loaded;
  try {
    start(fake_api());
    FAIL() << "started";
  } catch (const MeterError& error) {
    EXPECT_STREQ(error.what(), "NVML does not start: Some Error");
  }
}

TEST_F(Nvml, OnlyVisibleCardsAreCharged) {
  machine.cards = {{.uuid = "GPU-aa"}, {.uuid = "GPU-ab"}, {.uuid = "GPU-cc"}};
  const auto api = start(fake_api());
  const auto all = list_cards(*api);
  using List = std::vector<std::string>;
  EXPECT_EQ(names(visible_cards(all, nullptr, false)), (List{"GPU-aa", "GPU-ab", "GPU-cc"}));
  EXPECT_EQ(names(visible_cards(all, "2,0", false)), (List{"GPU-cc", "GPU-aa"}));
  EXPECT_EQ(names(visible_cards(all, "GPU-c, 1", false)), (List{"GPU-cc", "GPU-ab"}));
  EXPECT_EQ(names(visible_cards(all, "1,9,0", false)), (List{"GPU-ab"}));
  EXPECT_EQ(names(visible_cards(all, "", false)), List{});
  EXPECT_EQ(names(visible_cards(all, "-1", false)), List{});
}

TEST_F(Nvml, NumbersOfUnlikeCardsNeedTheirOrder) {
  machine.cards = {{.uuid = "GPU-aa", .name = "NVIDIA T4"}, {.uuid = "GPU-ab", .name = "NVIDIA H200"}};
  const auto api = start(fake_api());
  EXPECT_THROW(visible_cards(list_cards(*api), "0", false), MeterError);
  EXPECT_EQ(names(visible_cards(list_cards(*api), "1", true)), (std::vector<std::string>{"GPU-ab"}));
  EXPECT_EQ(names(visible_cards(list_cards(*api), "GPU-aa", false)), (std::vector<std::string>{"GPU-aa"}));
}

TEST(NvmlKind, WithoutADriverIsNotAvailableAndSaysSo) {
  ::setenv("EAQ_NVML_LIBRARY", "/nowhere/libnvidia-ml.so.1", 1);
  const MeterKind* kind = find_entry(meter_kinds(), "nvml");
  ASSERT_NE(kind, nullptr);
  const auto probes = kind->probe({});
  ::unsetenv("EAQ_NVML_LIBRARY");
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_FALSE(probes[0].available);
  EXPECT_EQ(probes[0].reason, "/nowhere/libnvidia-ml.so.1 not found: there is no NVIDIA driver here");
}

}  // namespace
}  // namespace eaq::meter_nvml
