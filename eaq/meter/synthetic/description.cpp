#include <algorithm>
#include <array>
#include <cmath>

#include "eaq/base/json.h"
#include "eaq/meter/synthetic/synthetic.h"

namespace eaq::meter_synthetic {
namespace {

constexpr std::array<std::string_view, 9> step_kinds{"linear",    "attention", "norm",  "activation", "residual",
                                                     "embedding", "head",      "other", "*"};
constexpr std::array<std::string_view, 5> fault_kinds{"wrap", "denied", "reset", "stuck", "gap"};

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : name_(printable(path.string())), root_(read_json(path)) {}

  Description read() const {
    if (!root_.is_object()) fail("is not a JSON object");
    only_keys(root_,
              {"schema", "idle_W", "watts", "period_ms", "window_ms", "lag_ms", "step_mJ", "noise_W", "drift_per_minute",
               "counter", "faults", "seed"},
              "");
    if (const auto schema = get<std::string>(root_, "schema", name_); schema != "eaq.synthetic/1")
      fail("schema is '" + printable(schema) + "', and this program reads eaq.synthetic/1");
    Description d;
    d.idle = Watts(at_least(0, "idle_W", 0));
    d.period = Seconds(above(0, "period_ms", 100) / 1e3);
    d.window = Seconds(above(0, "window_ms", d.period.value() * 1e3) / 1e3);
    d.lag = Seconds(at_least(0, "lag_ms", 0) / 1e3);
    d.step = Joules(at_least(0, "step_mJ", 1) / 1e3);
    d.noise = Watts(at_least(0, "noise_W", 0));
    d.drift_per_minute = get_or<double>(root_, "drift_per_minute", name_, 0.0);
    d.counter = get_or<bool>(root_, "counter", name_, true);
    const int seed = get_or<int>(root_, "seed", name_, 0);
    if (seed < 0) fail("seed is " + std::to_string(seed) + ", below 0");
    d.seed = static_cast<std::uint64_t>(seed);
    read_watts(d);
    read_faults(d);
    return d;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::input, name_ + ": " + what); }

  void only_keys(const Json& object, std::initializer_list<std::string_view> known, const std::string& where) const {
    for (const auto& [key, value] : object.items())
      if (std::find(known.begin(), known.end(), key) == known.end()) fail(where + "unknown key '" + printable(key) + "'");
  }
  double at_least(double least, std::string_view key, double fallback) const {
    const double value = get_or<double>(root_, key, name_, fallback);
    if (!(value >= least) || !std::isfinite(value))
      fail(std::string(key) + " is " + std::to_string(value) + ", below " + std::to_string(least));
    return value;
  }
  double above(double bound, std::string_view key, double fallback) const {
    const double value = at_least(bound, key, fallback);
    if (value == bound) fail(std::string(key) + " must be above " + std::to_string(bound));
    return value;
  }

  void read_watts(Description& d) const {
    const auto table = root_.find("watts");
    if (table == root_.end() || !table->is_object() || table->empty()) fail("'watts' must map kinds of step to formats to watts");
    for (const auto& [kind, formats] : table->items()) {
      if (std::find(step_kinds.begin(), step_kinds.end(), kind) == step_kinds.end())
        fail("watts: unknown kind of step '" + printable(kind) + "'");
      if (!formats.is_object() || formats.empty()) fail("watts: '" + printable(kind) + "' must map formats to watts");
      for (const auto& [format, value] : formats.items()) {
        const double watts = get<double>(formats, format, name_ + ": watts: " + kind);
        if (!(watts >= 0)) fail("watts: " + kind + ": " + printable(format) + " is below 0");
        d.watts[kind][format] = Watts(watts);
      }
    }
  }

  void read_faults(Description& d) const {
    const auto list = root_.find("faults");
    if (list == root_.end() || list->is_null()) return;
    if (!list->is_array()) fail("'faults' must be a list");
    for (const Json& fault : *list) {
      if (!fault.is_object()) fail("faults: each is an object {\"t_s\", \"kind\"}");
      only_keys(fault, {"t_s", "kind"}, "faults: ");
      const auto kind = get<std::string>(fault, "kind", name_ + ": faults");
      const auto at = std::find(fault_kinds.begin(), fault_kinds.end(), kind);
      if (at == fault_kinds.end())
        fail("faults: unknown kind '" + printable(kind) + "'; there are wrap, denied, reset, stuck, gap");
      const double time = get<double>(fault, "t_s", name_ + ": faults");
      if (!(time >= 0)) fail("faults: t_s is below 0");
      d.faults.push_back({Seconds(time), static_cast<PlannedFault::Kind>(at - fault_kinds.begin())});
    }
    std::stable_sort(d.faults.begin(), d.faults.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
  }

  std::string name_;
  Json root_;
};

}  // namespace

Description read_description(const std::filesystem::path& path) { return Reader(path).read(); }

}  // namespace eaq::meter_synthetic
