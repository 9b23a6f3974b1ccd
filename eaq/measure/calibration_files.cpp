#include "eaq/base/json.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

constexpr std::string_view schema = "eaq.calibration/1";
constexpr std::size_t most_runs = 50;  // of the reference; older ones are let go
constexpr std::array<MeterLabel, 4> labels{MeterLabel::measured, MeterLabel::assumed, MeterLabel::synthetic,
                                           MeterLabel::replayed};

// JSON wants milliseconds, millijoules and milliwatts.
constexpr double milli = 1e3;

template <class Q>
double number_of(Q x) {
  return x.value();
}
double number_of(double x) { return x; }

// `key`: the value or null; `key`_95 its range; missing[`key`] why there is none.
template <class Q>
void put(Json& object, Json& missing, const std::string& key, const Found<Q>& found, double scale) {
  object[key] = found.value ? Json(number_of(*found.value) * scale) : Json();
  if (found.value && number_of(found.high) > number_of(found.low))
    object[key + "_95"] = {number_of(found.low) * scale, number_of(found.high) * scale};
  if (!found.value && !found.missing.empty()) missing[key] = printable(found.missing);
}

template <class Q>
void take(const Json& object, const std::string& name, const std::string& key, Found<Q>& found, double scale) {
  const auto at = object.find(key);
  if (at != object.end() && !at->is_null()) {
    const Q value(get<double>(object, key, name) / scale);
    found = {value, value, value, {}};
  }
  if (const auto range = object.find(key + "_95"); range != object.end()) {
    if (!range->is_array() || range->size() != 2 || !(*range)[0].is_number() || !(*range)[1].is_number())
      throw Error(ErrorKind::input, name + ": " + key + "_95 is not a pair of numbers");
    found.low = Q((*range)[0].get<double>() / scale);
    found.high = Q((*range)[1].get<double>() / scale);
  }
  if (const auto missing = object.find("missing"); missing != object.end() && missing->is_object())
    found.missing = get_or<std::string>(*missing, key, name, "");
}

Json json_of(const SensorFigures<Joules>& f) {
  Json object, missing = Json::object();
  put(object, missing, "period_ms", f.period, milli);
  put(object, missing, "lag_ms", f.lag, milli);
  put(object, missing, "resolution_mJ", f.resolution, milli);
  put(object, missing, "noise_mJ", f.noise, milli);
  object["missing"] = missing;
  return object;
}

Json json_of(const SensorFigures<Watts>& f) {
  Json object, missing = Json::object();
  put(object, missing, "period_ms", f.period, milli);
  put(object, missing, "window_ms", f.window, milli);
  put(object, missing, "lag_ms", f.lag, milli);
  put(object, missing, "resolution_mW", f.resolution, milli);
  put(object, missing, "noise_mW", f.noise, milli);
  put(object, missing, "phase_spread", f.phase_spread, 1);
  object["aliases"] = f.aliases() ? Json(*f.aliases()) : Json();
  object["missing"] = missing;
  return object;
}

const Json* object_at(const Json& root, const std::string& key, const std::string& name) {
  const auto at = root.find(key);
  if (at == root.end() || at->is_null()) return nullptr;
  if (!at->is_object()) throw Error(ErrorKind::input, name + ": '" + key + "' is not an object");
  return &*at;
}

std::vector<double> positive_numbers(const Json& object, const char* key, const std::string& name) {
  const auto values = object.find(key);
  if (values == object.end() || !values->is_array()) throw Error(ErrorKind::input, name + ": '" + key + "' is not a list");
  std::vector<double> numbers;
  for (const Json& value : *values) {
    if (!value.is_number() || !(value.get<double>() > 0))
      throw Error(ErrorKind::input, name + ": " + key + " holds " + value.dump() + ", which is no number above 0");
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

std::vector<ReferenceRun> read_reference(const Json& root, const std::string& name) {
  std::vector<ReferenceRun> runs;
  const auto at = root.find("reference");
  if (at == root.end()) return runs;
  if (!at->is_array()) throw Error(ErrorKind::input, name + ": 'reference' is not a list");
  for (const Json& one : *at) {
    ReferenceRun run{get<std::string>(one, "when", name), get<std::string>(one, "load", name), {}, {}};
    run.J_per_unit = positive_numbers(one, "J_per_unit", name);
    if (one.contains("s_per_unit")) run.s_per_unit = positive_numbers(one, "s_per_unit", name);
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace

std::string to_json(const ZoneCalibration& c) {
  Json root{{"schema", schema}, {"zone", printable(c.zone)}, {"meter", printable(c.meter)}, {"label", name_of(c.label)},
            {"when", c.when},   {"load", printable(c.load)}};
  if (!c.unusable.empty()) root["unusable"] = printable(c.unusable);
  root["counter"] = c.counter ? json_of(*c.counter) : Json();
  root["power"] = c.power ? json_of(*c.power) : Json();
  root["idle_W"] = c.idle ? Json(c.idle->value()) : Json();
  root["loaded_W"] = c.loaded ? Json(c.loaded->value()) : Json();
  root["between_run_sd"] = c.between_run_sd ? Json(*c.between_run_sd) : Json();
  root["between_run_sd_time"] = c.between_run_sd_time ? Json(*c.between_run_sd_time) : Json();
  root["repeats"] = c.repeats;
  root["reference"] = Json::array();
  for (const ReferenceRun& run : c.reference)
    root["reference"].push_back(
        {{"when", run.when}, {"load", printable(run.load)}, {"J_per_unit", run.J_per_unit}, {"s_per_unit", run.s_per_unit}});
  return root.dump(2) + "\n";
}

ZoneCalibration parse_calibration(std::string_view json, std::string_view name_view) {
  const std::string name(name_view);
  const Json root = parse_json(json, name);
  if (!root.is_object()) throw Error(ErrorKind::input, name + ": is not a JSON object");
  if (const auto is = get<std::string>(root, "schema", name); is != schema)
    throw Error(ErrorKind::input, name + ": schema is '" + printable(is) + "', and this program reads " + std::string(schema));
  ZoneCalibration c;
  c.zone = get<std::string>(root, "zone", name);
  c.meter = get<std::string>(root, "meter", name);
  c.when = get<std::string>(root, "when", name);
  c.load = get<std::string>(root, "load", name);
  c.unusable = get_or<std::string>(root, "unusable", name, "");
  const auto label = get<std::string>(root, "label", name);
  const auto is = std::find_if(labels.begin(), labels.end(), [&](MeterLabel l) { return name_of(l) == label; });
  if (is == labels.end()) throw Error(ErrorKind::input, name + ": there is no label '" + printable(label) + "'");
  c.label = *is;
  if (const Json* counter = object_at(root, "counter", name)) {
    SensorFigures<Joules>& f = c.counter.emplace();
    take(*counter, name, "period_ms", f.period, milli);
    take(*counter, name, "lag_ms", f.lag, milli);
    take(*counter, name, "resolution_mJ", f.resolution, milli);
    take(*counter, name, "noise_mJ", f.noise, milli);
  }
  if (const Json* power = object_at(root, "power", name)) {
    SensorFigures<Watts>& f = c.power.emplace();
    take(*power, name, "period_ms", f.period, milli);
    take(*power, name, "window_ms", f.window, milli);
    take(*power, name, "lag_ms", f.lag, milli);
    take(*power, name, "resolution_mW", f.resolution, milli);
    take(*power, name, "noise_mW", f.noise, milli);
    take(*power, name, "phase_spread", f.phase_spread, 1);
  }
  if (root.contains("idle_W") && !root["idle_W"].is_null()) c.idle = Watts(get<double>(root, "idle_W", name));
  if (root.contains("loaded_W") && !root["loaded_W"].is_null()) c.loaded = Watts(get<double>(root, "loaded_W", name));
  c.reference = read_reference(root, name);
  settle_between_runs(c);
  return c;
}

std::filesystem::path calibration_file(const std::filesystem::path& folder, std::string_view zone) {
  std::string safe;
  for (const char c : zone) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0 || c == '-' || c == '_' || (c == '.' && !safe.empty());
    char text[4];
    std::snprintf(text, sizeof text, plain ? "%c" : "%%%02X", byte);
    safe += text;
  }
  if (safe.size() > 200) safe = safe.substr(0, 130) + "-" + sha256(zone);
  return folder / (safe + ".json");
}

std::filesystem::path calibration_folder() {
  const std::filesystem::path cache = cache_folder();
  return cache.empty() ? cache : cache / "calibration";
}

std::filesystem::path store_calibration(const std::filesystem::path& folder, ZoneCalibration& calibration) {
  if (const auto earlier = load_calibration(folder, calibration.zone))
    calibration.reference.insert(calibration.reference.begin(), earlier->reference.begin(), earlier->reference.end());
  if (calibration.reference.size() > most_runs)
    calibration.reference.erase(calibration.reference.begin(),
                                calibration.reference.end() - static_cast<std::ptrdiff_t>(most_runs));
  settle_between_runs(calibration);
  std::error_code error;  // the file's own message says more
  std::filesystem::create_directories(folder, error);
  std::filesystem::path file = calibration_file(folder, calibration.zone);
  write_text(file, to_json(calibration));
  return file;
}

std::optional<ZoneCalibration> load_calibration(const std::filesystem::path& folder, std::string_view zone) {
  const std::filesystem::path file = calibration_file(folder, zone);
  std::error_code error;
  if (folder.empty() || !std::filesystem::is_regular_file(file, error)) return std::nullopt;
  try {
    ZoneCalibration calibration = parse_calibration(read_text(file, std::uint64_t{16} << 20), printable(file.string()));
    if (calibration.zone == zone) return calibration;
    warn("note: " + printable(file.string()) + " is of zone '" + printable(calibration.zone) + "' and is ignored");
  } catch (const Error& e) {
    warn(std::string("note: ") + e.what() + "; ignored, `eaq meter --calibrate` writes it anew");
  }
  return std::nullopt;
}

ZoneTraits traits_of(const ZoneCalibration& found, bool counter) {
  ZoneTraits traits;
  if (!found.unusable.empty()) return traits;
  if (found.power) {
    traits.window = found.power->window.value;
    traits.aliases = found.power->aliases();
  }
  if (counter && found.counter) traits.period = found.counter->period.value, traits.lag = found.counter->lag.value;
  if (!counter && found.power) traits.period = found.power->period.value, traits.lag = found.power->lag.value;
  return traits;
}

void apply_calibrations(MeterSet& meters, const std::filesystem::path& folder) {
  for (std::size_t z = 0; z < meters.zones().size(); ++z)
    if (const auto found = load_calibration(folder, meters.zones()[z].full_name))
      meters.learn(z, traits_of(*found, meters.zones()[z].zone.counter));
}

}  // namespace eaq
