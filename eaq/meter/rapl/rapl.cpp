// rapl: the energy counters of Intel and AMD processors through powercap.
//   /sys/class/powercap/intel-rapl:N          a package ("package-0") or the platform ("psys")
//   /sys/class/powercap/intel-rapl:N:M        a part of it ("core", "uncore", "dram")
//     name                  the zone's name
//     energy_uj             microjoules, about every millisecond; readable by root only since Linux 5.10
//     max_energy_range_uj   where it wraps, after minutes under load
// core and uncore lie inside their package and would count twice; intel-rapl-mmio shows the packages once more. DRAM lies outside
// the package on servers. So: packages, psys and dram, each a zone of its own. Source: Documentation/power/powercap/powercap.rst
// and ABI/testing/sysfs-class-powercap of the Linux kernel.
#include <algorithm>

#include "eaq/meter/sysfs.h"

namespace eaq::meter_rapl {
namespace {

constexpr Seconds update_period(0.001);
// No package draws more: a rise that would need it is not a wrap but a reset, and a pause in which it could go round is not
// unwrapped.
constexpr Watts most_power(2000);
constexpr Joules slack(1);

struct Found {
  std::filesystem::path folder;
  Zone zone;
};

std::vector<Found> find_zones(const std::filesystem::path& root) {
  std::vector<Found> found;
  for (const auto& folder : sysfs_entries(root / "class/powercap", "intel-rapl:")) {
    const std::string id = folder.filename().string().substr(std::string_view("intel-rapl:").size());
    const std::string name = sysfs_text(folder / "name").value_or("");
    const bool part = id.find(':') != std::string::npos;
    Zone zone{.name = name, .role = ZoneRole::cpu, .counter = true, .period = update_period};
    if (name == "psys")
      zone.role = ZoneRole::board;
    else if (part && name == "dram")
      zone.name += "-" + id.substr(0, id.find(':')), zone.role = ZoneRole::memory;
    else if (part || !name.starts_with("package"))
      continue;
    if (const auto range = SysfsNumber(folder / "max_energy_range_uj").read(); range && *range > 0)
      zone.range = Joules(*range / 1e6);
    found.push_back({folder, zone});
  }
  return found;
}

class Counter {
 public:
  Counter(const std::filesystem::path& file, std::optional<Joules> range) : number_(file), range_(range) {}

  Reading read(Seconds now) {
    Reading reading{now, std::nullopt, std::nullopt, Fault::none, {}};
    const auto microjoules = number_.read();
    if (!microjoules) {
      reading.fault = number_.fault();
      reading.reason = number_.reason();
      return reading;
    }
    const Joules raw(*microjoules / 1e6);
    if (last_) advance(raw, now, reading);
    last_ = raw;
    last_time_ = now;
    if (reading.fault == Fault::none) reading.energy = total_;
    return reading;
  }

 private:
  void advance(Joules raw, Seconds now, Reading& reading) {
    const Joules possible = most_power * (now - last_time_) + slack;
    if (range_ && possible >= *range_) {
      reading.fault = Fault::wrapped;
      reading.reason = number_.path().string() + ": not read for " + std::to_string((now - last_time_).value()) +
                       " s, in which it may have wrapped at " + std::to_string(range_->value()) + " J";
      return;
    }
    Joules rise = raw - *last_;
    if (rise < Joules(0) && range_) rise += *range_;
    if (rise >= Joules(0) && (raw >= *last_ || rise <= possible)) {
      total_ += rise;
      return;
    }
    reading.fault = Fault::reset;
    reading.reason =
        number_.path().string() + ": fell from " + std::to_string(last_->value()) + " to " + std::to_string(raw.value()) + " J";
  }

  SysfsNumber number_;
  std::optional<Joules> range_, last_;
  Seconds last_time_;
  Joules total_;
};

class RaplMeter : public Meter {
 public:
  RaplMeter(const std::vector<Found>& found, std::filesystem::path root, Clock& clock) : root_(std::move(root)), clock_(clock) {
    for (const Found& f : found) {
      zones_.push_back(f.zone);
      counters_.emplace_back(f.folder / "energy_uj", f.zone.range);
    }
    for (const auto& device : sysfs_entries(root_ / "class/hwmon", "hwmon")) {
      const std::string name = sysfs_text(device / "name").value_or("");
      if (name == "coretemp" || name == "k10temp" || name == "zenpower") temperature_.emplace_back(device / "temp1_input");
    }
    for (const auto& cpu : sysfs_entries(root_ / "devices/system/cpu", "cpu")) {
      constexpr std::size_t enough = 8;  // a mean over these; each read interrupts its core
      if (clocks_.size() < enough && std::filesystem::exists(cpu / "cpufreq/scaling_cur_freq"))
        clocks_.emplace_back(cpu / "cpufreq/scaling_cur_freq");
    }
  }

  std::string name() const override { return "rapl"; }
  MeterLabel label() const override { return MeterLabel::measured; }
  std::span<const Zone> zones() const override { return zones_; }
  void read(std::span<Reading> out) override {
    for (std::size_t z = 0; z < counters_.size(); ++z) out[z] = counters_[z].read(clock_.now());
  }
  Condition condition() override {
    Condition condition;
    for (SysfsNumber& file : temperature_)
      if (const auto milli = file.read())
        condition.temperature = std::max(condition.temperature.value_or(Celsius(*milli / 1e3)), Celsius(*milli / 1e3));
    double sum = 0;
    int read = 0;
    for (SysfsNumber& file : clocks_)
      if (const auto kilohertz = file.read()) sum += *kilohertz * 1e3, ++read;
    if (read > 0) condition.clock = Hertz(sum / read);
    return condition;
  }

 private:
  std::filesystem::path root_;
  Clock& clock_;
  std::vector<Zone> zones_;
  std::vector<Counter> counters_;
  std::vector<SysfsNumber> temperature_, clocks_;
};

std::vector<MeterProbe> probe(const MeterOptions& options) {
  MeterProbe result{"rapl", false, "", "", {}};
  const auto powercap = options.sysfs_root / "class/powercap";
  const std::vector<Found> found = find_zones(options.sysfs_root);
  const bool has_package = std::any_of(found.begin(), found.end(), [](const Found& f) { return f.zone.role == ZoneRole::cpu; });
  if (!has_package) {
    if (std::filesystem::is_directory(powercap)) {
      result.reason = "no " + (powercap / "intel-rapl:*").string() + " (the driver is not loaded, or this is a virtual machine)";
      result.advice =
          "sudo modprobe intel_rapl_msr (on a real machine; in a virtual one: --assume-watts 65, the power you state)";
    } else {
      result.reason = "no " + powercap.string() + " (a virtual machine or container hides the counters)";
      result.advice = "--assume-watts 65 (the machine's power, as you state it)";
    }
    return {result};
  }
  std::vector<std::filesystem::path> denied;
  for (const Found& f : found) {
    result.zones.push_back(f.zone);
    SysfsNumber number(f.folder / "energy_uj");
    if (number.read()) continue;
    if (number.fault() == Fault::denied) denied.push_back(number.path());
    if (result.reason.empty()) result.reason = number.reason();
  }
  result.available = result.reason.empty();
  if (!denied.empty()) result.advice = chmod_advice(denied);
  return {result};
}

std::unique_ptr<Meter> open(const std::string&, const MeterOptions& options) {
  const MeterProbe found = probe(options).front();
  if (!found.available) {
    const Fault fault = found.advice.starts_with("sudo chmod") ? Fault::denied : Fault::unsupported;
    throw MeterError(fault, "meter rapl: " + found.reason + (found.advice.empty() ? "" : "; " + found.advice));
  }
  return std::make_unique<RaplMeter>(find_zones(options.sysfs_root), options.sysfs_root,
                                     options.clock != nullptr ? *options.clock : monotonic_clock());
}

}  // namespace

const MeterKind& entry() {
  static const MeterKind kind{
      "energy counters of Intel and AMD processors (powercap)", "", true, probe, open, "tested against recorded trees only"};
  return kind;
}

}  // namespace eaq::meter_rapl
