#include "eaq/base/json.h"

#include <cmath>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

std::string_view role_name(ZoneRole role) {
  switch (role) {
    case ZoneRole::any:
      return "any";
    case ZoneRole::cpu:
      return "cpu";
    case ZoneRole::gpu:
      return "gpu";
    case ZoneRole::memory:
      return "memory";
    case ZoneRole::board:
      return "board";
    case ZoneRole::other:
      return "other";
  }
  return "any";
}

Json milliseconds(const std::optional<Seconds>& time) { return time ? Json(time->value() * 1e3) : Json(); }

// A zone's time, or a probe's as a whole: that of its first zone which knows it.
Json first_known(const std::vector<Zone>& zones, std::optional<Seconds> Zone::*field) {
  for (const Zone& zone : zones)
    if (zone.*field) return milliseconds(zone.*field);
  return {};
}

// A row of `eaq meter`, and for each of its zones when it was calibrated, where it was.
struct CalibratedRow {
  MeterRow row;
  std::vector<std::string> when;  // one per zone
};

// What calibrations found out takes the place of what meters say.
CalibratedRow with_calibrations(MeterRow row) {
  MeterProbe& probe = row.probe;
  CalibratedRow result;
  for (Zone& zone : probe.zones) {
    auto found = load_calibration(calibration_folder(), row.kind + ":" + zone.name);
    if (!found && probe.name != row.kind) found = load_calibration(calibration_folder(), probe.name + ":" + zone.name);
    result.when.push_back(found ? found->when : "");
    if (found) learn(zone, traits_of(*found, zone.counter));
  }
  result.row = std::move(row);
  return result;
}

// The meters that were named, opened; otherwise all kinds.
std::vector<CalibratedRow> rows_of(const MeterChoice& choice) {
  std::vector<CalibratedRow> rows;
  if (choice.specs.empty() && choice.assume_watts <= 0) {
    for (MeterRow& row : probe_meters(meter_options_from_environment())) rows.push_back(with_calibrations(std::move(row)));
    return rows;
  }
  const MeterSet meters = open_chosen_meters(choice);
  for (std::size_t m = 0; m < meters.meters().size(); ++m) {
    const std::string name = meters.meters()[m]->name();
    MeterRow row{name.substr(0, name.find(':')), {name, true, "", "", {}}};
    for (const auto& ref : meters.zones())
      if (ref.meter == m) row.probe.zones.push_back(ref.zone);
    rows.push_back(with_calibrations(std::move(row)));
  }
  return rows;
}

// On what hardware a sensor of this kind has run; empty for what is no sensor.
std::string_view proven_on(const std::string& kind) {
  const MeterKind* entry = find_entry(meter_kinds(), kind);
  return entry == nullptr ? "" : entry->proven;
}

Json json_of(const CalibratedRow& calibrated) {
  const MeterRow& row = calibrated.row;
  Json zones = Json::array();
  for (std::size_t z = 0; z < row.probe.zones.size(); ++z) {
    const Zone& zone = row.probe.zones[z];
    const std::string& when = calibrated.when[z];
    zones.push_back({{"name", zone.name},
                     {"role", role_name(zone.role)},
                     {"counter", zone.counter},
                     {"period_ms", milliseconds(zone.period)},
                     {"window_ms", milliseconds(zone.window)},
                     {"range_J", zone.range ? Json(zone.range->value()) : Json()},
                     {"scale_uncertainty", zone.uncertainty ? Json(*zone.uncertainty) : Json()},
                     {"lag_ms", milliseconds(zone.lag)},
                     {"aliases", zone.aliases},
                     {"calibrated", when.empty() ? Json() : Json(when)}});
  }
  Json json{{"name", row.probe.name.empty() ? row.kind : row.probe.name}, {"kind", row.kind}, {"available", row.probe.available}};
  if (!row.probe.available) json["reason"] = printable(row.probe.reason);
  if (!row.probe.advice.empty()) json["advice"] = printable(row.probe.advice);
  if (const std::string_view proven = proven_on(row.kind); !proven.empty()) json["proven"] = proven;
  json["zones"] = std::move(zones);
  json["period_ms"] = first_known(row.probe.zones, &Zone::period);
  json["window_ms"] = first_known(row.probe.zones, &Zone::window);
  return json;
}

// What is no sensor of this machine is there for the asking.
std::string how_to_name(const std::string& kind) {
  const MeterKind* entry = find_entry(meter_kinds(), kind);
  if (entry == nullptr) return "";
  const std::string argument = entry->argument.empty() ? "" : ":" + std::string(entry->argument);
  return "--meter " + kind + argument + ": " + std::string(entry->summary);
}

std::string text_of(const CalibratedRow& calibrated) {
  const MeterRow& row = calibrated.row;
  const MeterProbe& probe = row.probe;
  std::string text = (probe.available ? "+ " : "- ") + (probe.name.empty() ? row.kind : probe.name);
  text.resize(std::max<std::size_t>(text.size(), 14), ' ');
  if (!probe.available) {
    text += " " + printable(probe.reason) + "\n";
    return probe.advice.empty() ? text : text + "               " + printable(probe.advice) + "\n";
  }
  std::string zones;
  for (const Zone& zone : probe.zones) {
    zones += (zones.empty() ? "" : ", ") + zone.name + " (" + (zone.counter ? "joules" : "watts");
    if (zone.period) zones += ", every " + std::to_string(std::lround(zone.period->value() * 1e3)) + " ms";
    zones += ")";
  }
  if (zones.empty()) zones = how_to_name(row.kind);
  text += " " + printable(zones) + "\n";
  if (const std::string_view proven = proven_on(row.kind); !proven.empty())
    text += "               " + std::string(proven) + "\n";
  for (std::size_t z = 0; z < probe.zones.size(); ++z)
    if (const std::string& when = calibrated.when[z]; !when.empty())
      text += "               " + printable(probe.zones[z].name) + ": " + zone_traits(probe.zones[z]) + " (calibrated on " +
              printable(when.substr(0, when.find('T'))) + ")\n";
  return text;
}

int run(const CalibrateCommand& command) {
  Json meters = Json::array();
  std::string text;
  for (const CalibratedRow& row : rows_of(command.meters)) {
    meters.push_back(json_of(row));
    text += text_of(row);
  }
  print(command.output.json
            ? Json{{"meters", meters}}.dump(2) + "\n"
            : text + "A study uses the sensors marked +. Others are named: --meter KIND:ARGUMENT, or --assume-watts W.\n");
  return 0;
}

}  // namespace

void define_meter(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<CalibrateCommand>();
  auto calibrating = std::make_shared<bool>(false);
  auto* flag = app.add_flag("--calibrate", *calibrating,
                            "drive the device for some 75 s and find each sensor's period, window, lag, noise and aliasing");
  add_device_options(app, command->options, false);
  add_meter_options(app, command->meters);
  app.add_option("--seconds-scale", command->seconds_scale, "with --calibrate: shorter or longer than 75 s, by this factor")
      ->check(CLI::Range(0.05, 20.0))
      ->type_name("X")
      ->needs(flag)
      ->capture_default_str();
  add_output_options(app, command->output);
  app.callback([&chosen, command, calibrating] {
    chosen = [command, calibrating] { return *calibrating ? run_calibration(*command) : run(*command); };
  });
}

}  // namespace eaq
