// hwmon: power and energy inputs of boards, cards and regulators.
//   /sys/class/hwmon/hwmonN/name                        the chip: "power_meter", "amdgpu", "ina3221", ...
//     energyK_input                                     microjoules, a counter
//     powerK_average, powerK_input                      microwatts
//     inK_input, currK_input                            millivolts and milliamperes of one channel (INA3221 on Jetson-class
//     boards) energyK_label, powerK_label, inK_label            what it is
// Source: Documentation/hwmon/sysfs-interface.rst of the Linux kernel. Rails of one board overlap and are never added.
#include <algorithm>
#include <cctype>
#include <memory>

#include "eaq/meter/sysfs.h"

namespace eaq::meter_hwmon {
namespace {

struct Found {
  Zone zone;
  std::vector<std::filesystem::path> files;  // one; or voltage and current
  double scale;                              // to joules or watts, of the product of the files
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

ZoneRole role_of(const std::string& chip, const std::string& label) {
  const std::string c = lower(chip), l = lower(label);
  if (c == "power_meter" || l.find("vdd_in") != std::string::npos || l.starts_with("vin")) return ZoneRole::board;
  if (c == "amdgpu" || c == "i915" || c == "xe" || c == "nouveau" || l.find("gpu") != std::string::npos) return ZoneRole::gpu;
  if (l.starts_with("esocket") || c == "fam15h_power" || (l.find("cpu") != std::string::npos)) return ZoneRole::cpu;
  return ZoneRole::other;
}

// "power1_input" -> "1" where the name has this kind and ending; nothing otherwise.
std::optional<std::string> channel(const std::filesystem::path& file, std::string_view kind, std::string_view ending) {
  const std::string name = file.filename().string();
  if (!name.starts_with(kind) || !name.ends_with(ending) || name.size() <= kind.size() + ending.size()) return std::nullopt;
  const std::string digits = name.substr(kind.size(), name.size() - kind.size() - ending.size());
  if (!std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) return std::nullopt;
  return digits;
}

class Device {
 public:
  explicit Device(std::filesystem::path folder)
      : folder_(std::move(folder)), chip_(sysfs_text(folder_ / "name").value_or("hwmon")) {}

  std::vector<Found> find() {
    for (const auto& file : sysfs_entries(folder_, "energy"))
      if (const auto k = channel(file, "energy", "_input")) add("energy", *k, {file}, 1e-6, true);
    for (const std::string_view ending : {"_average", "_input"})  // an average, where there is one, misses nothing in between
      for (const auto& file : sysfs_entries(folder_, "power"))
        if (const auto k = channel(file, "power", ending)) add("power", *k, {file}, 1e-6, false);
    for (const auto& file : sysfs_entries(folder_, "curr"))
      if (const auto k = channel(file, "curr", "_input"); k && std::filesystem::exists(folder_ / ("in" + *k + "_input")))
        add("in", *k, {folder_ / ("in" + *k + "_input"), file}, 1e-6, false);
    return std::move(found_);
  }

 private:
  void add(const std::string& kind, const std::string& k, std::vector<std::filesystem::path> files, double scale, bool counter) {
    const std::string label = sysfs_text(folder_ / (kind + k + "_label")).value_or("");
    const std::string name = chip_ + ":" + (label.empty() ? kind + k : label);
    if (lower(label).starts_with("ecore")) return;  // inside its socket
    for (const Found& f : found_)
      if (f.zone.name == name) return;
    // A battery or a fan controller has currents, too; without a label nobody knows what they feed.
    if (kind == "in" && label.empty()) return;
    found_.push_back({{.name = name, .role = role_of(chip_, label), .counter = counter}, std::move(files), scale});
  }

  std::filesystem::path folder_;
  std::string chip_;
  std::vector<Found> found_;
};

std::vector<Found> find_zones(const std::filesystem::path& root) {
  std::vector<Found> all;
  for (const auto& folder : sysfs_entries(root / "class/hwmon", "hwmon"))
    for (Found& f : Device(folder).find()) {
      std::replace(f.zone.name.begin(), f.zone.name.end(), ',', '_');  // names stand in CSV files
      const auto same = [&](const Found& other) { return other.zone.name == f.zone.name; };
      const std::string plain = f.zone.name;
      for (int n = 2; std::any_of(all.begin(), all.end(), same); ++n) f.zone.name = plain + "#" + std::to_string(n);
      all.push_back(std::move(f));
    }
  return all;
}

struct Input {
  std::vector<SysfsNumber> files;
  double scale;
  bool counter;

  Reading read(Seconds now) {
    Reading reading{now, std::nullopt, std::nullopt, Fault::none, {}};
    double product = scale;
    for (SysfsNumber& file : files) {
      const auto value = file.read();
      if (!value) {
        reading.fault = file.fault();
        reading.reason = file.reason();
        return reading;
      }
      product *= *value;
    }
    if (counter)
      reading.energy = Joules(product);
    else
      reading.power = Watts(product);
    return reading;
  }
};

class HwmonMeter : public Meter {
 public:
  HwmonMeter(const std::vector<Found>& found, Clock& clock) : clock_(clock) {
    for (const Found& f : found) {
      zones_.push_back(f.zone);
      Input input{{}, f.scale, f.zone.counter};
      for (const auto& file : f.files) input.files.emplace_back(file);
      inputs_.push_back(std::move(input));
    }
  }
  std::string name() const override { return "hwmon"; }
  MeterLabel label() const override { return MeterLabel::measured; }
  std::span<const Zone> zones() const override { return zones_; }
  void read(std::span<Reading> out) override {
    for (std::size_t z = 0; z < inputs_.size(); ++z) out[z] = inputs_[z].read(clock_.now());
  }

 private:
  Clock& clock_;
  std::vector<Zone> zones_;
  std::vector<Input> inputs_;
};

// What can be read, and what permission refuses.
struct Look {
  std::vector<Found> readable;
  std::vector<std::filesystem::path> denied;
};

Look look(const MeterOptions& options) {
  Look result;
  for (Found& f : find_zones(options.sysfs_root)) {
    bool readable = true;
    for (const auto& file : f.files) {
      SysfsNumber number(file);
      if (number.read()) continue;
      readable = false;
      if (number.fault() == Fault::denied) result.denied.push_back(file);
    }
    if (readable) result.readable.push_back(std::move(f));
  }
  return result;
}

std::vector<MeterProbe> probe(const MeterOptions& options) {
  const Look found = look(options);
  MeterProbe result{"hwmon", !found.readable.empty(), "", "", {}};
  for (const Found& f : found.readable) result.zones.push_back(f.zone);
  if (!found.denied.empty()) {
    result.reason = found.denied.front().string() + ": permission denied";
    result.advice = chmod_advice(found.denied);
  } else if (!result.available) {
    result.reason = "no power or energy input under " + (options.sysfs_root / "class/hwmon").string();
    result.advice = "--assume-watts 65 (the machine's power, as you state it)";
  }
  return {result};
}

std::unique_ptr<Meter> open(const std::string&, const MeterOptions& options) {
  const Look found = look(options);
  if (found.readable.empty()) {
    const MeterProbe why = probe(options).front();
    throw MeterError(found.denied.empty() ? Fault::unsupported : Fault::denied,
                     "meter hwmon: " + why.reason + (why.advice.empty() ? "" : "; " + why.advice));
  }
  return std::make_unique<HwmonMeter>(found.readable, options.clock != nullptr ? *options.clock : monotonic_clock());
}

}  // namespace

const MeterKind& entry() {
  static const MeterKind kind{
      "power and energy inputs of boards and cards (hwmon)", "", true, probe, open, "tested against recorded trees only"};
  return kind;
}

}  // namespace eaq::meter_hwmon
