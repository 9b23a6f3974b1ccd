// assumed: a constant power that the user states (`--assume-watts 65`), for machines without a sensor. Its joules are time in
// another unit, and are labelled `assumed` wherever they show.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "eaq/meter/meter.h"

namespace eaq::meter_assumed {
namespace {

class AssumedMeter : public Meter {
 public:
  AssumedMeter(Watts power, Clock& clock) : power_(power), clock_(clock) {}
  std::string name() const override { return "assumed"; }
  MeterLabel label() const override { return MeterLabel::assumed; }
  std::span<const Zone> zones() const override { return {&zone_, 1}; }
  void read(std::span<Reading> out) override { out[0] = {clock_.now(), std::nullopt, power_, Fault::none, {}}; }

 private:
  Watts power_;
  Clock& clock_;
  Zone zone_{.name = "machine", .role = ZoneRole::any, .counter = false};
};

std::unique_ptr<Meter> open(const std::string& argument, const MeterOptions& options) {
  double watts = 0;
  const char* end = argument.data() + argument.size();
  const auto [at, error] = std::from_chars(argument.data(), end, watts);
  if (error != std::errc() || at != end || !std::isfinite(watts) || watts <= 0)
    throw Error(ErrorKind::usage,
                "--assume-watts wants a power above 0, as in --assume-watts 65, and got '" + printable(argument) + "'");
  return std::make_unique<AssumedMeter>(Watts(watts), options.clock != nullptr ? *options.clock : monotonic_clock());
}

std::vector<MeterProbe> probe(const MeterOptions&) {
  return {{"assumed", true, "on request: --assume-watts WATTS, a constant power that you state", "", {}}};
}

}  // namespace

const MeterKind& entry() {
  static const MeterKind kind{"a constant power that you state", "WATTS", false, probe, open};
  return kind;
}

}  // namespace eaq::meter_assumed
