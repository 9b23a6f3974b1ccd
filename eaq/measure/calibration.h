// Calibration: what a sensor does with a known load. measure.h's own room: it includes this file at its end, and everybody else
// includes measure.h.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eaq/measure/measure.h"

namespace eaq {

// --- what was driven ----------------------------------------------------------------------------------------------------------

/// The load went on or off.
struct LoadSwitch {
  Seconds time;  ///< since the record's start
  bool on;
};

/// A stretch of a calibration with one purpose.
struct CalibrationSection {
  enum class Part {
    steady,     ///< on all the time, or off: period, resolution, noise
    steps,      ///< on and off for random lengths: window, lag
    bursts,     ///< a quarter of every `burst_period` on: aliasing
    reference,  ///< `units` of work without pause: joules per unit
  };
  Part part{};
  Seconds start, end;
  Seconds burst_period{};
  bool locked = false;     ///< the bursts keep step with the sensor, so that each section shows one phase
  std::int64_t units = 0;  ///< completed between start and end
};

struct LoadTimeline {
  std::vector<LoadSwitch> switches;  ///< in order of time; off before the first
  std::vector<CalibrationSection> sections;
};

// --- what was found -----------------------------------------------------------------------------------------------------------

/// A figure with the range that the data allows (95 %), or why there is none.
template <class Q>
struct Found {
  std::optional<Q> value;
  Q low{}, high{};      ///< equal to the value where no range was found
  std::string missing;  ///< why there is no value
};

/// Of a counter (Q = Joules) or of a power (Q = Watts).
template <class Q>
struct SensorFigures {
  Found<Seconds> period;  ///< between two new values
  Found<Seconds> window;  ///< that a value averages over; a counter has none (and no reason)
  Found<Seconds> lag;     ///< by which a new value is behind the load when it appears
  Found<Q> resolution;    ///< what all increments are multiples of
  Found<Q> noise;         ///< standard deviation of a value around a straight line under steady load
  /// By how much the mean reading of bursts that keep step with the sensor depends on their phase: (largest - smallest) / mean.
  Found<double> phase_spread;
  std::optional<bool> aliases() const;  ///< the mean depends on the phase by more than 10 %
};
inline constexpr double aliasing_spread = 0.1;

/// A reference's repeats in one calibration.
struct ReferenceRun {
  std::string when;                ///< UTC
  std::string load;                ///< runs of different loads are never compared
  std::vector<double> J_per_unit;  ///< one per repeat
  std::vector<double> s_per_unit;  ///< likewise; fewer where an earlier version wrote none
};

struct ZoneCalibration {
  std::string zone, meter;  ///< full name "nvml:GPU-..."; "nvml"
  MeterLabel label = MeterLabel::measured;
  std::string when, load;
  std::string unusable;  ///< why nothing was found: not empty where the load does not show, say
  std::optional<SensorFigures<Joules>> counter;
  std::optional<SensorFigures<Watts>> power;
  std::optional<Watts> idle, loaded;          ///< levels of the steps
  std::vector<ReferenceRun> reference;        ///< this calibration's last, earlier ones before it
  std::optional<double> between_run_sd;       ///< of log joules per unit, over all repeats of the last load
  std::optional<double> between_run_sd_time;  ///< of log seconds per unit, likewise; nothing where not every repeat has them
  int repeats = 0;                            ///< that between_run_sd rests on
};

/// What one zone's record tells, given the load. Sees times and values only.
ZoneCalibration analyse_calibration(const ZoneRecord& zone, const LoadTimeline& timeline, double polls_per_s);

/// Standard deviation of log joules per unit over all repeats with the last one's load, and how many they are.
void settle_between_runs(ZoneCalibration& calibration);

// --- driving ------------------------------------------------------------------------------------------------------------------

/// A load of a device: `work` does one short unit (about 1 to 5 ms) with everything that computes, and returns when it is done.
struct CalibrationLoad {
  std::string name;  ///< with the shapes: "fp32 product 256 x 768 x 768 on 2 threads"
  std::function<void()> work;
};

struct CalibrationOptions {
  double seconds_scale = 1;  ///< of all lengths that the sensor does not dictate; for tests
  int repeats = 5;           ///< of the reference
  std::uint64_t seed = 0;    ///< of the steps' lengths
};

struct CalibrationRun {
  std::vector<ZoneCalibration> zones;
  SampleRecord record;
  LoadTimeline timeline;
};

/// Drives the device, some 75 s long, and analyses every zone. Error{interrupted} on Ctrl-C; Error{unavailable} where no zone
/// could follow a load (there is none, a stated power, a recording).
CalibrationRun calibrate(MeterSet& meters, Clock& clock, const CalibrationLoad& load, const CalibrationOptions& options,
                         const ProgressCallback& progress = {});

// --- files --------------------------------------------------------------------------------------------------------------------

/// JSON of schema eaq.calibration/1 (docs/outputs.schema.json), and back. Error{input}.
std::string to_json(const ZoneCalibration& calibration);
ZoneCalibration parse_calibration(std::string_view json, std::string_view name);

/// FOLDER/ZONE.json, where what is no letter, digit, '.', '_' or '-' stands as %XX.
std::filesystem::path calibration_file(const std::filesystem::path& folder, std::string_view zone);
/// $XDG_CACHE_HOME/eaq/calibration; empty where there is no cache.
std::filesystem::path calibration_folder();

/// Puts the earlier references of the zone's file in front, if there is one, settles between_run_sd and writes the file. Returns
/// its path.
std::filesystem::path store_calibration(const std::filesystem::path& folder, ZoneCalibration& calibration);
/// A zone's calibration; nothing where there is none. A file that cannot be read is told (warn) and ignored.
std::optional<ZoneCalibration> load_calibration(const std::filesystem::path& folder, std::string_view zone);
/// What it says about a zone that measures by its counter, or by its power.
ZoneTraits traits_of(const ZoneCalibration& calibration, bool counter);
/// Tells every zone of the set what was found out about it.
void apply_calibrations(MeterSet& meters, const std::filesystem::path& folder);

}  // namespace eaq
