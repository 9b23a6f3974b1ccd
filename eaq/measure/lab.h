// A laboratory for tests: workloads of known time and power on a clock that only simulates, under the synthetic meter.
#pragma once

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "eaq/measure/measure.h"

namespace eaq::lab {

/// A meter's description: joules that differ by kind of step and format, without noise.
inline constexpr const char* plain =
    R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"linear":{"fp32":300,"int8":180},"attention":{"*":150},"*":{"*":120}},"seed":1})";

inline BlockOptions quick(int blocks = 4) { return {.blocks = blocks, .control_trials = 0}; }

/// What one simulated run consists of.
struct Part {
  std::string kind;
  double seconds;
};

struct Load {
  std::string format = "fp32";
  std::vector<Part> parts{{"linear", 0.01}};
  double jitter = 0;  ///< standard deviation of a run's time, relative
  std::int64_t samples_per_run = 1;
  bool announced = true;  ///< on_begin is called, too
};

class Lab {
 public:
  /// `description`: the synthetic meter's JSON; empty: no meter.
  explicit Lab(const std::string& description, std::uint64_t seed = 0) : rng_(seed) {
    if (description.empty()) return;
    static int files = 0;
    file_ = std::filesystem::temp_directory_path() /
            ("eaq-lab-" + std::to_string(::getpid()) + "-" + std::to_string(files++) + ".json");
    std::ofstream(file_) << description;  // not write_text, whose care for the disk would take most of the time
    const std::vector<std::string> specs{"synthetic:" + file_.string()};
    meters = open_meters(specs, std::nullopt, {.clock = &clock});
  }
  ~Lab() {
    std::error_code ignored;
    if (!file_.empty()) std::filesystem::remove(file_, ignored);
  }
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  void add(const Load& load) {
    workloads.push_back({.name = load.format,
                         .model = "toy",
                         .format = load.format,
                         .phase = "forward",
                         .samples_per_run = load.samples_per_run,
                         .run = [this, load](std::int64_t, StepListener* listener) {
                           const double stretch = std::exp(load.jitter * rng_.normal());
                           for (const Part& part : load.parts) {
                             const Seconds start = clock.now();
                             if (listener != nullptr && load.announced) listener->on_begin(part.kind, load.format, start);
                             clock.sleep_until(start + Seconds(part.seconds * stretch));
                             if (listener != nullptr) listener->on_step(part.kind, load.format, start, clock.now());
                           }
                         }});
  }

  VirtualClock clock;
  MeterSet meters;
  std::vector<Workload> workloads;

 private:
  std::filesystem::path file_;
  Rng rng_;
};

}  // namespace eaq::lab
