#include "eaq/meter/meter.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <utility>

namespace eaq {

std::string_view name_of(MeterLabel label) {
  constexpr std::array<std::string_view, 4> names{"measured", "assumed", "synthetic", "replayed"};
  return names.at(static_cast<std::size_t>(label));
}

std::string_view name_of(Fault fault) {
  constexpr std::array<std::string_view, 8> names{"none",  "denied", "wrapped",   "reset",
                                                  "stuck", "gap",    "unplugged", "unsupported"};
  return names.at(static_cast<std::size_t>(fault));
}

MeterOptions meter_options_from_environment() {
  MeterOptions options;
  if (const char* root = std::getenv("EAQ_SYSFS_ROOT"); root != nullptr && *root != '\0') options.sysfs_root = root;
  return options;
}

// Several meters may want to see the steps; the executor knows one listener.
class MeterSet::FanOut : public StepListener {
 public:
  void on_begin(std::string_view kind, std::string_view format, Seconds start) override {
    for (StepListener* listener : listeners) listener->on_begin(kind, format, start);
  }
  void on_step(std::string_view kind, std::string_view format, Seconds start, Seconds end) override {
    for (StepListener* listener : listeners) listener->on_step(kind, format, start, end);
  }
  std::vector<StepListener*> listeners;
};

MeterSet::MeterSet(std::vector<std::unique_ptr<Meter>> meters, std::string why_none, std::string missing)
    : meters_(std::move(meters)),
      why_none_(std::move(why_none)),
      missing_(std::move(missing)),
      fan_out_(std::make_shared<FanOut>()) {
  for (std::size_t m = 0; m < meters_.size(); ++m) {
    for (const Zone& zone : meters_[m]->zones()) {
      const std::string plain = meters_[m]->name() + ":" + zone.name;
      std::string name = plain;
      const auto taken = [&](const ZoneRef& other) { return other.full_name == name; };
      for (int n = 2; std::any_of(zones_.begin(), zones_.end(), taken); ++n) name = plain + "#" + std::to_string(n);
      zones_.push_back({m, name, zone});
    }
    if (StepListener* listener = meters_[m]->listener()) fan_out_->listeners.push_back(listener);
  }
}

std::string MeterSet::why_no_headline(ZoneRole device) const {
  if (empty()) return why_none_;
  if (!headline(device).empty()) return {};
  std::string names;
  for (const ZoneRef& zone : zones_) names += (names.empty() ? "" : ", ") + zone.full_name;
  const std::string what = device == ZoneRole::cpu ? "processor" : device == ZoneRole::gpu ? "graphics card" : "device";
  return "no meter covers the " + what + ", only " + names +
         (missing_.empty() ? ". To see joules: --assume-watts 65 (the machine's power, as you state it)" : missing_);
}

std::vector<Reading> MeterSet::read() {
  std::vector<Reading> readings(zones_.size());
  std::span<Reading> rest(readings);
  for (const auto& meter : meters_) {
    const std::size_t n = meter->zones().size();
    meter->read(rest.first(n));
    rest = rest.subspan(n);
  }
  return readings;
}

void learn(Zone& zone, const ZoneTraits& traits) {
  if (traits.period) zone.period = traits.period;
  if (traits.window) zone.window = traits.window;
  if (traits.lag) zone.lag = traits.lag;
  if (traits.aliases) zone.aliases = *traits.aliases;
}

StepListener* MeterSet::listener() {
  if (!fan_out_ || fan_out_->listeners.empty()) return nullptr;
  return fan_out_->listeners.size() == 1 ? fan_out_->listeners.front() : fan_out_.get();
}

Condition MeterSet::condition() {
  Condition all;
  for (const auto& meter : meters_) {
    Condition one = meter->condition();
    if (!all.temperature) all.temperature = one.temperature;
    if (!all.clock) all.clock = one.clock;
    std::move(one.voiding.begin(), one.voiding.end(), std::back_inserter(all.voiding));
    std::move(one.labelling.begin(), one.labelling.end(), std::back_inserter(all.labelling));
    if (all.disturbance.empty()) all.disturbance = std::move(one.disturbance);
  }
  return all;
}

std::vector<std::size_t> MeterSet::zones_of(ZoneRole role) const {
  std::vector<std::size_t> found;
  for (std::size_t z = 0; z < zones_.size(); ++z) {
    if (zones_[z].zone.role != role) continue;
    if (!found.empty() && zones_[found.front()].meter != zones_[z].meter) break;
    found.push_back(z);
    // Only packages and cards complete each other; zones named by the user may be views of one thing.
    if (role == ZoneRole::any || role == ZoneRole::board) break;
  }
  return found;
}

std::vector<std::size_t> MeterSet::headline(ZoneRole device) const {
  for (const ZoneRole role : {device, ZoneRole::any})
    if (auto found = zones_of(role); !found.empty()) return found;
  // A recording stands for whatever computes, also one from another machine.
  for (std::size_t z = 0; z < zones_.size(); ++z)
    if (meters_[zones_[z].meter]->label() == MeterLabel::replayed) return {z};
  return zones_of(ZoneRole::board);
}

namespace {

bool is_optional(const MeterKind& kind) { return kind.argument.starts_with('['); }

// "rapl", "replay:FILE", "nvml[:GPU-UUID]"
std::string usage_of(std::string_view name, const MeterKind& kind) {
  std::string text(name);
  if (kind.argument.empty()) return text;
  return is_optional(kind) ? text + "[:" + std::string(kind.argument.substr(1)) : text + ":" + std::string(kind.argument);
}

std::string enumerated_kinds() {
  std::string text;
  for (const auto& row : meter_kinds()) {
    if (row.entry == nullptr) continue;
    text += usage_of(row.name, *row.entry) + ", ";
  }
  return text + "none";
}

const MeterKind& kind_called(const std::string& name) {
  for (const auto& row : meter_kinds()) {
    if (row.name != name) continue;
    if (row.entry == nullptr) throw Error(ErrorKind::unavailable, "--meter " + name + ": " + std::string(row.left_out));
    return *row.entry;
  }
  throw Error(ErrorKind::usage, "--meter: there is no meter '" + printable(name) + "'; there are: " + enumerated_kinds());
}

// Every sensor that is there, and in one sentence what is not and what would bring it.
MeterSet open_sensors(const MeterOptions& options) {
  std::vector<std::unique_ptr<Meter>> meters;
  std::string reasons, advice;
  for (const auto& row : meter_kinds()) {
    if (row.entry == nullptr || !row.entry->sensor) continue;
    bool available = false;
    for (const MeterProbe& probe : row.entry->probe(options)) {
      available = available || probe.available;
      if (probe.available) continue;
      reasons += (reasons.empty() ? "" : "; ") + probe.name + ": " + probe.reason;
      // A command that opens a sensor goes before the statement of a power; what is neither does not bring joules.
      if (!probe.advice.starts_with("sudo") && !probe.advice.starts_with("--")) continue;
      if (advice.empty() || (probe.advice.starts_with("sudo") && !advice.starts_with("sudo"))) advice = probe.advice;
    }
    if (available) meters.push_back(row.entry->open("", options));
  }
  if (advice.empty()) advice = "--assume-watts 65 (the machine's power, as you state it)";
  const std::string missing = reasons.empty() ? std::string() : " (" + reasons + "). To see joules: " + advice;
  return MeterSet(std::move(meters), "no energy meter here" + missing, missing);
}

}  // namespace

MeterSpec parse_meter_spec(std::string_view text) {
  const auto colon = text.find(':');
  MeterSpec spec{std::string(text.substr(0, colon)), colon == text.npos ? "" : std::string(text.substr(colon + 1))};
  if (spec.kind == "none") {
    if (colon != text.npos) throw Error(ErrorKind::usage, "--meter none takes nothing after it");
    return spec;
  }
  const MeterKind& kind = kind_called(spec.kind);
  if (kind.argument.empty() && colon != text.npos)
    throw Error(ErrorKind::usage, "--meter " + spec.kind + " takes nothing after it, and got '" + printable(spec.argument) + "'");
  if (!kind.argument.empty() && !is_optional(kind) && spec.argument.empty())
    throw Error(ErrorKind::usage, "--meter " + spec.kind + " wants --meter " + spec.kind + ":" + std::string(kind.argument));
  return spec;
}

std::vector<MeterRow> probe_meters(const MeterOptions& options) {
  std::vector<MeterRow> rows;
  for (const auto& row : meter_kinds()) {
    const std::string name(row.name);
    if (row.entry == nullptr) {
      rows.push_back({name, {name, false, std::string(row.left_out), "", {}}});
      continue;
    }
    for (MeterProbe& probe : row.entry->probe(options)) rows.push_back({name, std::move(probe)});
  }
  return rows;
}

MeterSet open_meters(std::span<const std::string> specs, std::optional<Watts> assume, const MeterOptions& options) {
  std::vector<std::unique_ptr<Meter>> meters;
  bool none = false;
  for (const std::string& text : specs) {
    const MeterSpec spec = parse_meter_spec(text);
    if (spec.kind == "none")
      none = true;
    else
      meters.push_back(kind_called(spec.kind).open(spec.argument, options));
  }
  if (none && !meters.empty()) throw Error(ErrorKind::usage, "--meter none excludes every other --meter");
  if (assume) meters.push_back(kind_called("assumed").open(std::to_string(assume->value()), options));
  if (none) return MeterSet({}, "switched off by --meter none. To see joules: leave it out, or --assume-watts 65 in its place");
  return meters.empty() ? open_sensors(options) : MeterSet(std::move(meters));
}

}  // namespace eaq
