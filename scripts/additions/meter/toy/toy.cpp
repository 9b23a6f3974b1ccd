// toy: a constant power, given as its argument ("toy:25" is 25 W). An example of a meter, dropped in by scripts/check_additions.
#include <charconv>

#include "eaq/meter/meter.h"

namespace eaq::meter_toy {
namespace {

class ToyMeter : public Meter {
 public:
  ToyMeter(Watts power, Clock& clock) : power_(power), clock_(clock) {}
  std::string name() const override { return "toy"; }
  MeterLabel label() const override { return MeterLabel::assumed; }
  std::span<const Zone> zones() const override { return {&zone_, 1}; }
  void read(std::span<Reading> out) override { out[0] = {.time = clock_.now(), .power = power_}; }

 private:
  Watts power_;
  Clock& clock_;
  Zone zone_{.name = "box", .role = ZoneRole::any};
};

std::vector<MeterProbe> probe(const MeterOptions&) {
  return {{.name = "toy", .available = true, .zones = {{.name = "box", .role = ZoneRole::any}}}};
}

std::unique_ptr<Meter> open(const std::string& argument, const MeterOptions& options) {
  double watts = 0;
  const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), watts);
  if (error != std::errc{} || end != argument.data() + argument.size() || watts < 0)
    throw Error(ErrorKind::usage, "--meter toy:" + argument + ": expected watts, as in toy:25");
  return std::make_unique<ToyMeter>(Watts(watts), options.clock != nullptr ? *options.clock : monotonic_clock());
}

}  // namespace

const MeterKind& entry() {
  static const MeterKind kind{
      .summary = "a constant power (an example)", .argument = "WATTS", .sensor = false, .probe = probe, .open = open};
  return kind;
}

}  // namespace eaq::meter_toy
