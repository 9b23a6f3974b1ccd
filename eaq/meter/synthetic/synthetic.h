// synthetic: a sensor whose joules are known. It is told which steps run, gives each its watts by kind and format, and shows the
// sum as a real sensor would: every period, lagged, averaged over a window, quantised, with noise and drift, and with faults on
// request. The description is a JSON file (schema eaq.synthetic/1, docs of `--meter synthetic:FILE`).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "eaq/meter/meter.h"

namespace eaq::meter_synthetic {

struct PlannedFault {
  enum class Kind { wrap, denied, reset, stuck, gap };
  Seconds time;  // since the opening
  Kind kind;
};

struct Description {
  Watts idle{};
  std::map<std::string, std::map<std::string, Watts, std::less<>>, std::less<>> watts;  // kind -> format -> watts; "*" is any
  Seconds period{0.1};
  Seconds window{0.1};          // that a power value averages over; the counter sees everything
  Seconds lag{0};               // what shows at t is what held at t - lag
  Joules step{0.001};           // the counter's resolution; 0: none
  Watts noise{};                // standard deviation of a value; the counter adds it up, period by period
  double drift_per_minute = 0;  // of the gain
  bool counter = true;          // false: power only
  std::vector<PlannedFault> faults;
  std::uint64_t seed = 0;
};

/// Error{input} "FILE: ...": unknown keys, kinds and faults, values out of range.
Description read_description(const std::filesystem::path& path);

/// True power over time: idle, but for the steps told.
class PowerTrace {
 public:
  PowerTrace(Seconds start, Watts idle) : idle_(idle), points_{{start, Joules(0), idle}} {}
  void set(Seconds from, Watts power);  // from then on; times before the latest point count as it
  Seconds latest() const { return points_.back().time; }
  Joules energy(Seconds t) const;  // since the start; idle before it
  void forget(Seconds before);     // keeps what energy() needs from there on

 private:
  struct Point {
    Seconds time;
    Joules energy;  // up to here
    Watts power;    // from here
  };
  Watts idle_;
  std::deque<Point> points_;
};

}  // namespace eaq::meter_synthetic
