// eaq meter --calibrate.
#include <algorithm>

#include "eaq/base/json.h"

#include <fmt/format.h>

#include "eaq/cli/cli.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

using Part = CalibrationSection::Part;

std::string with_range(const Found<Seconds>& found) {
  const int digits = *found.value < Seconds(0.1) ? 1 : 0;
  std::string text = fmt::format("{:.{}f} ms", found.value->value() * 1e3, digits);
  if (found.high > found.low)
    text += fmt::format(" [{:.{}f}, {:.{}f}]", found.low.value() * 1e3, digits, found.high.value() * 1e3, digits);
  return text;
}

template <class Q>
std::string line_of(const SensorFigures<Q>& f, const std::string& unit) {
  std::vector<std::string> parts;
  parts.push_back(f.period.value ? fmt::format("every {:.1f} ms", f.period.value->value() * 1e3) : f.period.missing);
  if (f.window.value) parts.push_back("mean of " + with_range(f.window));
  if (f.lag.value) parts.push_back(with_range(f.lag) + " late");
  if (!f.lag.value) parts.push_back("lag and window unknown: " + f.lag.missing);
  if (f.resolution.value) parts.push_back(fmt::format("steps of {:.3g} m{}", f.resolution.value->value() * 1e3, unit));
  if (f.noise.value) parts.push_back(fmt::format("noise {:.2g} {}", f.noise.value->value(), unit));
  if (f.aliases().value_or(false))
    parts.push_back(
        fmt::format("ALIASES: bursts that keep step with it read {:.0f} % apart by their phase", *f.phase_spread.value * 100));
  if (f.aliases() && !*f.aliases()) parts.push_back(fmt::format("no aliasing ({:.1f} % by phase)", *f.phase_spread.value * 100));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string lines_of(const ZoneCalibration& c) {
  std::string text = printable(c.zone) + (c.label == MeterLabel::synthetic ? " (synthetic)" : "") + "\n";
  if (!c.unusable.empty()) return text + "  not calibrated: " + printable(c.unusable) + "\n";
  if (c.counter) text += "  counter: " + line_of(*c.counter, "J") + "\n";
  if (c.power) text += "  power:   " + line_of(*c.power, "W") + "\n";
  if (c.between_run_sd)
    text += fmt::format("  runs:    differ by {:.2f} % (standard deviation of {} repeats of {})\n", *c.between_run_sd * 100,
                        c.repeats, printable(c.load));
  return text;
}

// The power that shows, or what a counter's edges make of it.
std::vector<Curve::Point> curve_of(const ZoneRecord& zone, bool power) {
  std::vector<Curve::Point> points;
  std::optional<Sample> edge;
  for (const Sample& s : zone.samples) {
    if (power && s.power) points.push_back({s.time.value(), s.power->value()});
    if (power || !s.energy) continue;
    // At least 10 ms apart: closer edges show the looks more than the load.
    if (edge && s.time - edge->time < Seconds(0.01)) continue;
    if (edge) points.push_back({edge->time.value(), ((*s.energy - *edge->energy) / (s.time - edge->time)).value()});
    edge = s;
  }
  return points;
}

std::string pictures_of(const ZoneRecord& zone, const CalibrationRun& all, bool power) {
  Curve curve{.values = curve_of(zone, power), .load = {}};
  for (const LoadSwitch& s : all.timeline.switches) curve.load.push_back({s.time.value(), s.on});
  const std::string what = power ? "power" : "counter's slope";
  std::string text;
  const CalibrationSection *steps = nullptr, *first = nullptr, *last = nullptr;
  for (const CalibrationSection& s : all.timeline.sections) {
    if (s.part == Part::steps) steps = &s;
    if (s.part == Part::bursts) last = &s, first = first == nullptr ? &s : first;
  }
  if (steps != nullptr) {
    const double length = (steps->end - steps->start).value();
    curve.from = steps->start.value() - length * 0.02;
    curve.to = steps->start.value() + length * 0.25;
    text += "  " + what + " over steps\n" + draw(curve);
  }
  if (first != nullptr && power) {
    curve.from = first->start.value();
    curve.to = last->end.value();
    text += "  " + what + " over bursts in step with it, at six phases, and a little slower\n" + draw(curve);
  }
  return text;
}

}  // namespace

std::string zone_traits(const Zone& zone) {
  std::vector<std::string> parts;
  if (zone.period) parts.push_back(fmt::format("every {:.3g} ms", zone.period->value() * 1e3));
  if (zone.window) parts.push_back(fmt::format("power is the mean of {:.3g} ms", zone.window->value() * 1e3));
  if (zone.lag) parts.push_back(fmt::format("{:.0f} ms late", zone.lag->value() * 1e3));
  if (zone.aliases) parts.emplace_back("power ALIASES");
  return fmt::format("{}", fmt::join(parts, ", "));
}

int run_calibration(const CalibrateCommand& command) {
  const std::string& device = command.options.device;
  if (find_entry(backends(), device) != nullptr && find_entry(compute_devices(), device) == nullptr)
    throw Error(ErrorKind::unavailable,
                "--device " + printable(device) + ": there is no load for it; loads here: " + names_of(compute_devices()));
  const std::shared_ptr<Load> driven = open_load(command.options.device, {.threads = command.options.threads});
  MeterSet meters = open_chosen_meters(command.meters, driven->device().starts_with("GPU-") ? driven->device() : "");
  if (meters.empty()) throw Error(ErrorKind::unavailable, "nothing to calibrate: " + meters.why_none());
  const CalibrationLoad load = make_load(driven, meters.listener());
  catch_interrupts();
  CalibrationRun all;
  {
    Progress progress("calibrate", 1);
    all = calibrate(meters, monotonic_clock(), load, {.seconds_scale = command.seconds_scale},
                    [&](double done, std::string_view what) { progress.update(done, what); });
  }
  const std::filesystem::path folder = calibration_folder();
  Json list = Json::array();
  std::string text, reasons;
  for (ZoneCalibration& c : all.zones) {
    Json file;
    if (!c.unusable.empty())
      reasons += (reasons.empty() ? "" : "; ") + c.unusable;
    else if (!folder.empty())
      file = printable(store_calibration(folder, c).string());
    Json one = parse_json(to_json(c), c.zone);
    one["file"] = file;
    list.push_back(std::move(one));
    text += lines_of(c);
    for (const ZoneRecord& zone : all.record.zones)
      if (zone.name == c.zone && c.unusable.empty()) text += pictures_of(zone, all, c.power.has_value());
    if (file.is_string()) text += "  written: " + file.get<std::string>() + "\n";
  }
  if (std::all_of(all.zones.begin(), all.zones.end(), [](const ZoneCalibration& c) { return !c.unusable.empty(); }))
    throw Error(ErrorKind::unavailable, "no sensor shows the load of --device " + command.options.device + ": " + reasons);
  if (folder.empty()) warn("note: nothing is kept: neither XDG_CACHE_HOME nor HOME is set");
  print(command.output.json ? Json{{"calibrations", list}}.dump(2) + "\n" : text);
  return 0;
}

}  // namespace eaq
