#include "eaq/meter/nvml/nvml.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace eaq::meter_nvml {
namespace {

// Between +-5 and +-10 %, by card and by load (see docs/measurement.md); cancels in ratios on one card.
constexpr double scale_uncertainty = 0.05;

Fault fault_of(Return code) {
  switch (code) {
    case not_supported:
    case function_not_found:
      return Fault::unsupported;
    case no_permission:
      return Fault::denied;
    case gpu_is_lost:
      return Fault::unplugged;
    default:
      return Fault::gap;
  }
}

// One card's numbers. What a field or call cannot give is found out once, at the opening.
class Sensor {
 public:
  Sensor(const Api& api, Card card) : api_(api), card_(std::move(card)) {
    std::array<FieldValue, 3> fields = ask();
    energy_by_field_ = fields[0].result == success;
    average_by_field_ = fields[1].result == success;
    instant_ = fields[2].result == success;
    unsigned long long energy = 0;
    counter_ = energy_by_field_ || (api.energy != nullptr && api.energy(card_.device, &energy) == success);
  }

  const Card& card() const { return card_; }
  bool has_counter() const { return counter_; }
  bool has_instant() const { return instant_; }

  // Whether the joules are this process's card's: an instance of a shared one has no counter of its own.
  bool partitioned() const {
    std::uint32_t current = 0, pending = 0;
    return api_.mig_mode != nullptr && api_.mig_mode(card_.device, &current, &pending) == success && current != 0;
  }

  void read(Clock& clock, Reading& whole, Reading* instant) const {
    const Seconds before = clock.now();
    const std::array<FieldValue, 3> fields = ask();
    unsigned long long millijoules = 0;
    std::uint32_t milliwatts = 0;
    Return energy = fields[0].result, power = fields[1].result;
    if (counter_ && !energy_by_field_) energy = api_.energy(card_.device, &millijoules);
    if (!average_by_field_) power = api_.power == nullptr ? function_not_found : api_.power(card_.device, &milliwatts);
    // The middle of the call: values hold somewhere within its milliseconds.
    const Seconds time = before + (clock.now() - before) * 0.5;
    whole = {time, std::nullopt, std::nullopt, Fault::none, {}};
    if (counter_) {
      if (energy == success)
        whole.energy = Joules((energy_by_field_ ? fields[0].number() : static_cast<double>(millijoules)) * 1e-3);
      else
        fail(whole, energy, "energy counter");
    }
    if (power == success)
      whole.power = Watts((average_by_field_ ? fields[1].number() : static_cast<double>(milliwatts)) * 1e-3);
    else if (!counter_)
      fail(whole, power, "power");
    if (instant == nullptr) return;
    *instant = {time, std::nullopt, std::nullopt, Fault::none, {}};
    if (fields[2].result == success)
      instant->power = Watts(fields[2].number() * 1e-3);
    else
      fail(*instant, fields[2].result, "instantaneous power");
  }

 private:
  std::array<FieldValue, 3> ask() const {
    std::array<FieldValue, 3> fields{FieldValue(field::energy), FieldValue(field::power_average),
                                     FieldValue(field::power_instant)};
    const Return code =
        api_.field_values == nullptr ? function_not_found : api_.field_values(card_.device, fields.size(), fields.data());
    if (code != success)
      for (FieldValue& f : fields) f.result = code;
    return fields;
  }

  void fail(Reading& reading, Return code, const char* what) const {
    reading.fault = fault_of(code);
    reading.reason = "nvml:" + card_.uuid + ": " + what + ": " + api_.explain(code);
  }

  const Api& api_;
  Card card_;
  bool energy_by_field_ = false, average_by_field_ = false, counter_ = false, instant_ = false;
};

// Why a window on this card is not to be believed: tallies that moved, and others who computed.
class Watch {
 public:
  Watch(const Api& api, const Card& card) : api_(api), card_(card) {}

  void add_to(Condition& condition) {
    std::uint32_t value = 0;
    constexpr int gpu_sensor = 0, sm_clock = 1;
    if (!condition.temperature && api_.temperature != nullptr && api_.temperature(card_.device, gpu_sensor, &value) == success)
      condition.temperature = Celsius(value);
    if (!condition.clock && api_.clock != nullptr && api_.clock(card_.device, sm_clock, &value) == success)
      condition.clock = Hertz(value * 1e6);
    struct Counted {
      std::uint32_t id;
      const char* name;
      bool voids;
    };
    static constexpr std::array<Counted, 7> tallies{{{field::thermal_policy, "thermal policy", true},
                                                     {field::software_thermal, "software thermal slowdown", true},
                                                     {field::hardware_thermal, "hardware thermal slowdown", true},
                                                     {field::power_brake, "power brake slowdown", true},
                                                     {field::reliability_policy, "reliability policy", true},
                                                     {field::board_limit_policy, "board limit", true},
                                                     {field::power_policy, "power cap", false}}};
    std::array<FieldValue, tallies.size()> values;
    for (std::size_t i = 0; i < tallies.size(); ++i) values[i] = FieldValue(tallies[i].id);
    if (api_.field_values != nullptr && api_.field_values(card_.device, values.size(), values.data()) == success)
      for (std::size_t i = 0; i < tallies.size(); ++i) {
        if (values[i].result != success) continue;
        (tallies[i].voids ? condition.voiding : condition.labelling)
            .push_back({std::string(tallies[i].name) + " of " + card_.uuid, std::to_string(values[i].u64)});
      }
    if (std::string others = other_computing(); !others.empty()) condition.disturbance = std::move(others);
  }

 private:
  // Processes with a context that are not this one. One that cannot be told apart (a container hides its own number) is taken
  // for this one where it is the only one.
  std::vector<std::uint32_t> others() const {
    if (api_.processes == nullptr) return {};
    std::vector<ProcessInfo> list(64);
    auto count = static_cast<std::uint32_t>(list.size());
    if (api_.processes(card_.device, &count, list.data()) != success) return {};
    list.resize(std::min<std::size_t>(count, list.size()));
    std::vector<std::uint32_t> pids;
    const auto self = static_cast<std::uint32_t>(::getpid());
    bool found = false;
    for (const ProcessInfo& p : list)
      if (p.pid == self)
        found = true;
      else
        pids.push_back(p.pid);
    if (!found && pids.size() == 1) pids.clear();
    return pids;
  }

  std::string other_computing() {
    const std::vector<std::uint32_t> pids = others();
    if (pids.empty()) return {};
    std::vector<ProcessUtilization> samples(512);
    auto count = static_cast<std::uint32_t>(samples.size());
    const Return code = api_.process_utilization == nullptr
                            ? not_supported
                            : api_.process_utilization(card_.device, samples.data(), &count, last_us_);
    const auto whose = [](std::uint32_t pid) { return "process " + std::to_string(pid) + " computes on the card, too"; };
    if (code == not_found) return {};                 // nobody computed since the last look
    if (code != success) return whose(pids.front());  // cannot be told: it is there
    samples.resize(std::min<std::size_t>(count, samples.size()));
    std::string found;
    for (const ProcessUtilization& s : samples) {
      last_us_ = std::max<unsigned long long>(last_us_, s.timestamp_us);
      if (s.sm > 0 && std::find(pids.begin(), pids.end(), s.pid) != pids.end()) found = whose(s.pid);
    }
    return found;
  }

  const Api& api_;
  const Card& card_;
  unsigned long long last_us_ = 0;
};

class NvmlMeter : public Meter {
 public:
  NvmlMeter(std::shared_ptr<const Api> api, std::vector<Card> cards, Clock& clock) : api_(std::move(api)), clock_(clock) {
    for (Card& card : cards) sensors_.emplace_back(*api_, std::move(card));
    for (const Sensor& sensor : sensors_) {
      if (sensor.partitioned())
        throw MeterError(
            Fault::unsupported,
            "nvml:" + sensor.card().uuid + ": MIG is on, and the counter is of the whole card, with everybody else's instances");
      zones_.push_back(
          {.name = sensor.card().uuid, .role = ZoneRole::gpu, .counter = sensor.has_counter(), .uncertainty = scale_uncertainty});
      if (sensor.has_instant())
        zones_.push_back({.name = sensor.card().uuid + "/instant", .role = ZoneRole::other, .uncertainty = scale_uncertainty});
      watches_.emplace_back(*api_, sensor.card());
    }
  }

  std::string name() const override { return "nvml"; }
  MeterLabel label() const override { return MeterLabel::measured; }
  std::span<const Zone> zones() const override { return zones_; }

  void read(std::span<Reading> out) override {
    std::size_t z = 0;
    for (const Sensor& sensor : sensors_) {
      Reading& whole = out[z++];
      sensor.read(clock_, whole, sensor.has_instant() ? &out[z++] : nullptr);
    }
  }

  Condition condition() override {
    Condition condition;
    for (Watch& watch : watches_) watch.add_to(condition);
    return condition;
  }

  std::vector<Fact> facts() const override {
    std::vector<Fact> facts;
    std::array<char, text_size> text{};
    if (api_->driver_version != nullptr && api_->driver_version(text.data(), text.size()) == success)
      facts.push_back({"driver", printable(text.data())});
    for (const Sensor& sensor : sensors_) add_facts(sensor.card(), facts);
    return facts;
  }

 private:
  void add_facts(const Card& card, std::vector<Fact>& facts) const {
    facts.push_back({"uuid", card.uuid});
    facts.push_back({"card", card.name});
    std::array<char, text_size> text{};
    if (api_->vbios != nullptr && api_->vbios(card.device, text.data(), text.size()) == success)
      facts.push_back({"vbios", printable(text.data())});
    std::uint32_t value = 0, pending = 0;
    if (api_->power_limit != nullptr && api_->power_limit(card.device, &value) == success)
      facts.push_back({"power limit W", std::to_string(value / 1000)});
    std::int32_t state = 0, later = 0;
    if (api_->performance_state != nullptr && api_->performance_state(card.device, &state) == success)
      facts.push_back({"performance state", "P" + std::to_string(state)});
    if (api_->ecc_mode != nullptr && api_->ecc_mode(card.device, &state, &later) == success)
      facts.push_back({"ecc", state != 0 ? "on" : "off"});
    if (api_->mig_mode != nullptr && api_->mig_mode(card.device, &value, &pending) == success)
      facts.push_back({"mig", value != 0 ? "on" : "off"});
    unsigned long long reasons = 0;
    if (api_->clock_reasons != nullptr && api_->clock_reasons(card.device, &reasons) == success)
      facts.push_back({"clock event reasons", std::to_string(reasons)});
  }

  std::shared_ptr<const Api> api_;
  Clock& clock_;
  std::vector<Sensor> sensors_;
  std::vector<Watch> watches_;
  std::vector<Zone> zones_;
};

std::vector<Card> cards_in_use(const Api& api, const std::string& named) {
  const std::vector<Card> all = list_cards(api);
  if (named.empty()) {
    const char* order = std::getenv("CUDA_DEVICE_ORDER");
    return visible_cards(all, std::getenv("CUDA_VISIBLE_DEVICES"), order != nullptr && std::string_view(order) == "PCI_BUS_ID");
  }
  for (const Card& card : all)
    if (card.uuid.starts_with(named)) return {card};
  std::string known;
  for (const Card& card : all) known += (known.empty() ? "" : ", ") + card.uuid + " (" + card.name + ")";
  throw MeterError(Fault::unsupported,
                   "there is no card " + printable(named) + "; there are: " + (known.empty() ? "none" : known));
}

std::vector<MeterProbe> probe(const MeterOptions& options) {
  MeterProbe missing{"nvml", false, "", "", {}};
  try {
    const auto api = load();
    const std::vector<Card> cards = cards_in_use(*api, options.gpu);
    std::vector<MeterProbe> probes;
    for (const Card& card : cards) {
      MeterProbe one{"nvml:" + card.uuid, true, "", "", {}};
      const auto meter = open_cards(api, {card}, monotonic_clock());
      std::vector<Reading> readings(meter->zones().size());
      meter->read(readings);
      one.zones.assign(meter->zones().begin(), meter->zones().end());
      if (readings.front().fault != Fault::none) one.available = false, one.reason = readings.front().reason;
      probes.push_back(std::move(one));
    }
    if (!probes.empty()) return probes;
    missing.reason = "the NVIDIA driver shows no card to this process";
    missing.advice = "nvidia-smi -L lists the cards; CUDA_VISIBLE_DEVICES hides them";
    if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"))
      missing.reason += " (CUDA_VISIBLE_DEVICES=" + printable(visible) + ")";
  } catch (const MeterError& error) {
    missing.reason = error.what();
    missing.advice = "where there is an NVIDIA card: install its driver (Debian: nvidia-driver); elsewhere nothing is missing";
    if (error.fault() == Fault::denied)
      missing.advice = "ask for access to /dev/nvidiactl and /dev/nvidia0 (group video, or the container's --gpus)";
  }
  return {missing};
}

std::unique_ptr<Meter> open(const std::string& argument, const MeterOptions& options) {
  try {
    auto api = load();
    std::vector<Card> cards = cards_in_use(*api, argument.empty() ? options.gpu : argument);
    if (cards.empty()) throw MeterError(Fault::unsupported, probe(options).front().reason);
    return open_cards(std::move(api), std::move(cards), options.clock != nullptr ? *options.clock : monotonic_clock());
  } catch (const MeterError& error) {
    throw MeterError(error.fault(), std::string("meter nvml: ") + error.what());
  }
}

}  // namespace

std::unique_ptr<Meter> open_cards(std::shared_ptr<const Api> api, std::vector<Card> cards, Clock& clock) {
  return std::make_unique<NvmlMeter>(std::move(api), std::move(cards), clock);
}

const MeterKind& entry() {
  static const MeterKind kind{"energy counter and power of NVIDIA's cards (libnvidia-ml)",
                              "[GPU-UUID]",
                              true,
                              probe,
                              open,
                              "ran on real cards: NVIDIA H200, driver 580"};
  return kind;
}

}  // namespace eaq::meter_nvml
