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

Json json_of(const MeterRow& row) {
  Json zones = Json::array();
  for (const Zone& zone : row.probe.zones)
    zones.push_back({{"name", zone.name},
                     {"role", role_name(zone.role)},
                     {"counter", zone.counter},
                     {"period_ms", milliseconds(zone.period)},
                     {"window_ms", milliseconds(zone.window)},
                     {"range_J", zone.range ? Json(zone.range->value()) : Json()},
                     {"scale_uncertainty", zone.uncertainty ? Json(*zone.uncertainty) : Json()}});
  Json json{{"name", row.probe.name.empty() ? row.kind : row.probe.name}, {"kind", row.kind}, {"available", row.probe.available}};
  if (!row.probe.available) json["reason"] = printable(row.probe.reason);
  if (!row.probe.advice.empty()) json["advice"] = printable(row.probe.advice);
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

std::string text_of(const MeterRow& row) {
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
  return text + " " + printable(zones) + "\n";
}

int run(const OutputOptions& output) {
  const std::vector<MeterRow> rows = probe_meters(meter_options_from_environment());
  Json meters = Json::array();
  std::string text;
  for (const MeterRow& row : rows) {
    meters.push_back(json_of(row));
    text += text_of(row);
  }
  print(output.json
            ? Json{{"meters", meters}}.dump(2) + "\n"
            : text + "A study uses the sensors marked +. Others are named: --meter KIND:ARGUMENT, or --assume-watts W.\n");
  return 0;
}

}  // namespace

void define_meter(CLI::App& app, Action& chosen) {
  auto output = std::make_shared<OutputOptions>();
  add_output_options(app, *output);
  app.callback([&chosen, output] { chosen = [output] { return run(*output); }; });
}

}  // namespace eaq
