// Results as JSON and back, for the files of this folder. Each type lists its fields once, in fields(); a Writer or a Reader
// visits them, so that what is written is what is read.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "eaq/base/json.h"
#include "eaq/result/result.h"

namespace eaq::written {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_map : std::false_type {};
template <class T>
struct is_map<std::map<std::string, T>> : std::true_type {};

using Bounds = std::pair<double, double>;
using Zones = std::vector<std::pair<std::string, double>>;
using Texts = std::map<std::string, std::string>;

class Writer {
 public:
  static constexpr bool writes = true;
  Json object = Json::object();

  template <class T>
  void operator()(const char* key, const T& value) {
    object[key] = to(value);
  }
  void reason(const char* key, const std::string& why) {  // stands only where it says something
    if (!why.empty()) object[key] = why;
  }
  template <class T>
  void some(const char* key, const std::vector<T>& values) {
    if (!values.empty()) object[key] = to(values);
  }
  void flat(const std::string& key, const std::optional<Figure>& figure) {
    object[key] = figure ? to(figure->mean) : Json();
    object[key + "_ci95"] = figure ? to(figure->ci95) : Json();
  }
  void json(const char* key, const std::string& text) { object[key] = text.empty() ? Json() : parse_json(text, key); }
  void schema(const char* name) { object["schema"] = name; }

  static Json to(double v) { return std::isfinite(v) ? Json(v) : Json(); }
  static Json to(bool v) { return v; }
  static Json to(int v) { return v; }
  static Json to(std::int64_t v) { return v; }
  static Json to(std::uint64_t v) { return v; }
  static Json to(const std::string& v) { return is_utf8(v) ? v : printable(v); }
  static Json to(const Bounds& v) { return Json::array({to(v.first), to(v.second)}); }
  static Json to(const Zones& v) {
    Json all = Json::object();
    for (const auto& [name, value] : v) all[name] = to(value);
    return all;
  }
  template <class T>
  static Json to(const T& v);
};

class Reader {
 public:
  static constexpr bool writes = false;
  Reader(const Json& object, std::string_view name) : object_(object), name_(name) {
    if (!object.is_object()) fail("an object", object);
  }

  template <class T>
  void operator()(const char* key, T& value) {
    const auto it = object_.find(key);
    if (it == object_.end()) throw Error(ErrorKind::input, printable(name_) + ": '" + key + "' is missing");
    from(*it, value, key);
  }
  void reason(const char* key, std::string& why) { why = get_or<std::string>(object_, key, name_, ""); }
  template <class T>
  void some(const char* key, std::vector<T>& values) {
    if (object_.contains(key)) (*this)(key, values);
  }
  void flat(const std::string& key, std::optional<Figure>& figure) {
    std::optional<double> mean;
    (*this)(key.c_str(), mean);
    figure.reset();
    if (mean) (*this)((key + "_ci95").c_str(), figure.emplace(Figure{*mean, {}, {}}).ci95);
  }
  void json(const char* key, std::string& text) {
    const auto it = object_.find(key);
    text = it == object_.end() || it->is_null() ? "" : it->dump();
  }
  void schema(const char* wanted) {
    const std::string found = get_or<std::string>(object_, "schema", name_, "none");
    if (found != wanted)
      throw Error(ErrorKind::input, printable(name_) + ": its schema is '" + printable(found) + "', not " + wanted);
  }

 private:
  [[noreturn]] void fail(std::string_view wanted, const Json& found) const {
    throw Error(ErrorKind::input, printable(name_) + ": expected " + std::string(wanted) +
                                      (where_.empty() ? "" : " at '" + where_ + "'") + ", found " +
                                      std::string(found.type_name()));
  }
  template <class T>
  void from(const Json& json, T& value, const std::string& where) {
    where_ = where;
    if constexpr (is_optional<T>::value) {
      if (json.is_null()) return value.reset();
      from(json, value.emplace(), where);
    } else if constexpr (is_map<T>::value) {
      if (!json.is_object()) fail("an object", json);
      for (const auto& [name, element] : json.items()) from(element, value[name], where);
    } else if constexpr (std::is_same_v<T, Zones>) {
      if (!json.is_object()) fail("an object", json);
      for (const auto& [name, number] : json.items()) from(number, value.emplace_back(name, 0.0).second, where);
    } else if constexpr (is_vector<T>::value) {
      if (!json.is_array()) fail("an array", json);
      value.clear();
      for (const Json& element : json) from(element, value.emplace_back(), where);
    } else if constexpr (std::is_same_v<T, Bounds>) {
      if (!json.is_array() || json.size() != 2) fail("two numbers", json);
      from(json[0], value.first, where);
      from(json[1], value.second, where);
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string()) fail("a string", json);
      value = json.get<std::string>();
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) fail("true or false", json);
      value = json.get<bool>();
    } else if constexpr (std::is_same_v<T, double>) {
      if (json.is_null())  // what a number that is not finite is written as
        value = std::numeric_limits<double>::quiet_NaN();
      else if (json.is_number())
        value = json.get<double>();
      else
        fail("a number", json);
    } else if constexpr (std::is_integral_v<T>) {
      if (!json.is_number_integer()) fail("a whole number", json);
      if (std::is_unsigned_v<T> && !json.is_number_unsigned()) fail("a number from 0 on", json);
      value = json.get<T>();
    } else {
      Reader inner(json, name_);
      fields(inner, value);
    }
  }

  const Json& object_;
  std::string_view name_;
  std::string where_;
};

// --- the fields of what several results hold, in the order in which they are written

template <class A, class F>
void fields_of_figure(A& a, F& f) {
  a("mean", f.mean);
  a("ci95", f.ci95);
}

template <class A>
void fields(A& a, Figure& f) {
  fields_of_figure(a, f);
  a.some("trials", f.trials);
}

template <class A>
void fields(A& a, Latency& l) {
  fields_of_figure(a, l.ms);
  a("p50", l.p50);
  a("p90", l.p90);
  a("p99", l.p99);
  a("trials", l.ms.trials);
}

template <class A>
void fields(A& a, Energy& e) {
  a("meter", e.meter);
  a("label", e.label);
  a("method", e.method);
  a("mJ_per_sample", e.mJ_per_sample);
  a("dynamic_mJ_per_sample", e.dynamic_mJ_per_sample);
  a("mean_power_W", e.mean_power_W);
  a("idle_power_W", e.idle_power_W);
  a("mean_power_method_mJ", e.mean_power_method_mJ);
  a("scale_uncertainty", e.scale_uncertainty);
  a("zones", e.zones);
}

template <class A>
void fields(A& a, Overflow& o) {
  a("site", o.site);
  a("max_abs", o.max_abs);
  a("count", o.count);
}

template <class A>
void fields(A& a, QualityResult& q) {
  a("metric", q.metric);
  a("value", q.value);
  a("ci95", q.ci95);
  a("n", q.n);
  a("correct", q.correct);
  a("kl_mean", q.kl_mean);
  a("flips", q.flips);
  a("nan_inf", q.nan_inf);
  a("overflows", q.overflows);
}

template <class A>
void fields(A& a, Run& r) {
  a("model", r.model);
  a("task", r.task);
  a("format", r.format);
  a.json("recipe", r.recipe);
  a("emulated", r.emulated);
  a("storage", r.storage);
  a("arithmetic", r.arithmetic);
  a("kernels", r.kernels);
  a("phase", r.phase);
  a("unit", r.unit);
  a("batch", r.batch);
  a("seq", r.seq);
  a("samples", r.samples);
  a("latency_ms", r.latency_ms);
  a("throughput_per_s", r.throughput_per_s);
  a.reason("timing_unavailable", r.timing_unavailable);
  a("energy", r.energy);
  a.reason("energy_unavailable", r.energy_unavailable);
  a("quality", r.quality);
  a.reason("quality_unavailable", r.quality_unavailable);
  a("size_bytes", r.size_bytes);
  a("size_ratio", r.size_ratio);
  a("peak_memory_bytes", r.peak_memory_bytes);
  a.reason("peak_memory_unavailable", r.peak_memory_unavailable);
  a("throttled", r.throttled);
  a("notes", r.notes);
}

template <class A>
void fields(A& a, ClaimRecord& c) {
  a("claim", c.claim);
  a("verdict", c.verdict);
  a("evidence", c.evidence);
}

template <class A>
void fields(A& a, Refused& r) {
  a("model", r.model);
  a("format", r.format);
  a("reason", r.reason);
}

template <class A>
void fields(A& a, HostRecord& h) {
  a("name", h.name);
  a("os", h.os);
  a("kernel", h.kernel);
  a("cpu", h.cpu);
  a("flags", h.flags);
  a("cores", h.cores);
  a("memory_bytes", h.memory_bytes);
  a("compiler", h.compiler);
  a("libraries", h.libraries);
}

template <class A>
void fields(A& a, DeviceRecord& d) {
  a("kind", d.kind);
  a("name", d.name);
  a("isa", d.isa);
  a.reason("uuid", d.uuid);
  a("threads", d.threads);
}

template <class A>
void fields(A& a, MeterRecord& m) {
  a("name", m.name);
  a("label", m.label);
  a("zones", m.zones);
  a("headline", m.headline);
  a("facts", m.facts);
}

template <class A>
void fields(A& a, ProtocolRecord& p) {
  a("name", p.name);
  a("method", p.method);
  a("blocks", p.blocks);
  a("visits_per_block", p.visits_per_block);
  a("visit_s", p.visit_s);
  a("trials", p.trials);
  a("iterations", p.iterations);
  a("warm_up_iterations", p.warm_up_iterations);
  a("quality", p.quality);
}

template <class A>
void fields(A& a, ModelRecord& m) {
  a("name", m.name);
  a("task", m.task);
  a("hash", m.hash);
  a("parameters", m.parameters);
  a.reason("source", m.source);
}

template <class A>
void fields(A& a, DataRecord& d) {
  a("task", d.task);
  a("name", d.name);
  a("hash", d.hash);
  a("items", d.items);
  a("tokens", d.tokens);
}

template <class A>
void fields(A& a, Manifest& m) {
  a("eaq", m.eaq);
  a("commit", m.commit);
  a("host", m.host);
  a("device", m.device);
  a("driver", m.driver);
  a("meters", m.meters);
  a.reason("no_meter", m.no_meter);
  a("seed", m.seed);
  a("protocol", m.protocol);
  a("started", m.started);
  a("seconds", m.seconds);
  a("command", m.command);
  a("models", m.models);
  a("data", m.data);
  if constexpr (A::writes) {
    std::vector<std::pair<std::string, std::string>> models, data;
    for (const ModelRecord& model : m.models) models.emplace_back(model.name, model.hash);
    for (const DataRecord& set : m.data) data.emplace_back(set.name, set.hash);
    a("hashes", Texts{{"model", combined_hash(models)}, {"data", combined_hash(data)}});
  }
}

template <class T>
Json Writer::to(const T& v) {
  if constexpr (is_optional<T>::value) {
    return v ? to(*v) : Json();
  } else if constexpr (is_map<T>::value) {
    Json all = Json::object();
    for (const auto& [name, element] : v) all[name] = to(element);
    return all;
  } else if constexpr (is_vector<T>::value) {
    Json all = Json::array();
    for (const auto& element : v) all.push_back(to(element));
    return all;
  } else {
    Writer inner;
    // fields() takes what it visits by reference for the Reader's sake; a Writer changes nothing.
    fields(inner, const_cast<T&>(v));
    return std::move(inner.object);
  }
}

}  // namespace eaq::written
