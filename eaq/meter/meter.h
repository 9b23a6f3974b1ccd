// meter: where joules come from. One room per kind of meter (rapl/, hwmon/, exec/, replay/, synthetic/, assumed/); dropping in a
// folder adds a kind. A meter has zones; a zone gives joules from a counter of its own, or watts that somebody integrates.
// A read that failed is a fault with a reason, never 0.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"

namespace eaq {

/// Told which steps of a program run. `kind` is linear, attention, norm, activation, residual, embedding, head or other (a fused
/// step has the kind of its product); `format` is the step's format name. Times are those of monotonic_clock().
/// Called from the thread that runs the program, while a meter may be read from another.
class StepListener {
 public:
  virtual ~StepListener() = default;
  /// A step that now begins. Optional for the caller; with it a meter that knows its steps is exact at any moment, without it
  /// such a meter knows a step's joules only once on_step has told them.
  virtual void on_begin(std::string_view /*kind*/, std::string_view /*format*/, Seconds /*start*/) {}
  /// A step that has run.
  virtual void on_step(std::string_view kind, std::string_view format, Seconds start, Seconds end) = 0;
};

/// How a figure came about; it is shown wherever joules show.
enum class MeterLabel { measured, assumed, synthetic, replayed };
std::string_view name_of(MeterLabel label);

/// What went wrong with a read.
enum class Fault {
  none,
  denied,       ///< permission was refused
  wrapped,      ///< the counter passed its range and cannot be unwrapped for certain
  reset,        ///< the counter fell, and not at its range: a driver reload, a reset
  stuck,        ///< the counter stopped
  gap,          ///< values did not come for several periods
  unplugged,    ///< the source is gone: a file vanished, a command ended, a recording is over
  unsupported,  ///< the device does not have this field
};
std::string_view name_of(Fault fault);

/// A fault as an exception; ErrorKind::unavailable.
class MeterError : public Error {
 public:
  MeterError(Fault fault, const std::string& message) : Error(ErrorKind::unavailable, message), fault_(fault) {}
  Fault fault() const { return fault_; }

 private:
  Fault fault_;
};

/// One look at one zone. With neither energy, power nor fault there was nothing new.
struct Reading {
  Seconds time;                  ///< monotonic: when the values held
  std::optional<Joules> energy;  ///< a running total with an arbitrary origin, unwrapped
  std::optional<Watts> power;
  Fault fault = Fault::none;
  std::string reason;  ///< for a fault: what and where, in one line
};

/// What a zone covers. Zones of different roles overlap or complete each other in ways that differ by machine: they are never
/// added.
enum class ZoneRole {
  any,     ///< whatever computes: the user said so by naming the meter (exec, replay, synthetic, assumed)
  cpu,     ///< a processor package
  gpu,     ///< a graphics card
  memory,  ///< DRAM, where it lies outside the package
  board,   ///< the whole machine or board
  other,   ///< a part that is shown and never charged
};

struct Zone {
  std::string name;  ///< "package-0"
  ZoneRole role = ZoneRole::any;
  bool counter = false;                 ///< joules come from the zone's own counter; otherwise from the integral of its power
  std::optional<Seconds> period;        ///< between two new values, where known
  std::optional<Seconds> window;        ///< that a power value averages over, where known
  std::optional<Joules> range;          ///< at which the raw counter wraps, where known
  std::optional<double> uncertainty{};  ///< of its scale, as a fraction, where known
  std::optional<Seconds> lag{};         ///< by which a new value is behind when it appears, where known
  bool aliases = false;                 ///< known to read bursts wrong by their phase: part of the time it does not look
};

/// What a calibration finds out about a zone.
struct ZoneTraits {
  std::optional<Seconds> period, window, lag;
  std::optional<bool> aliases;
};
/// Takes the place of what a meter says of its zone; what is not given stays.
void learn(Zone& zone, const ZoneTraits& traits);

/// A running tally of something that spoils windows ("thermal slowdown of GPU-...", "1200000").
struct Tally {
  std::string name, value;
};

/// The state of the device at one moment, for visits.csv, and reasons not to believe a window.
struct Condition {
  std::optional<Celsius> temperature;
  std::optional<Hertz> clock;
  std::vector<Tally> voiding;    ///< one that differs at a window's ends voids it
  std::vector<Tally> labelling;  ///< one that differs is told beside the window's figures, which stand
  std::string disturbance;       ///< not empty: why the window that ends now is void, "process 77 computes on the card, too"
};

/// What a manifest keeps of a meter's device: "driver" "580.95", "power limit W" "700".
struct Fact {
  std::string name, value;
};

/// An opened meter. read() is called by one thread at a time.
class Meter {
 public:
  virtual ~Meter() = default;
  virtual std::string name() const = 0;  ///< "rapl", "exec:wattmeter": zones are then "rapl:package-0"
  virtual MeterLabel label() const = 0;
  virtual std::span<const Zone> zones() const = 0;      ///< fixed once opened
  virtual void read(std::span<Reading> out) = 0;        ///< one per zone; does not throw for a failed read
  virtual StepListener* listener() { return nullptr; }  ///< where steps are to be told, if the meter wants them
  virtual Condition condition() { return {}; }          ///< maybe while another thread is in read(), or a workload runs
  virtual std::vector<Fact> facts() const { return {}; }
};

struct MeterOptions {
  std::filesystem::path sysfs_root = "/sys";  ///< tests and EAQ_SYSFS_ROOT point elsewhere
  Clock* clock = nullptr;                     ///< null: monotonic_clock()
  std::string gpu;                            ///< UUID of the card in use; empty: every card that CUDA_VISIBLE_DEVICES shows
};
/// Options with sysfs_root from the environment variable EAQ_SYSFS_ROOT where it is set.
MeterOptions meter_options_from_environment();

/// What a look for meters found: one per device of a kind that has it, one that says why where there is none.
struct MeterProbe {
  std::string name;  ///< "rapl", "hwmon:ina3221"
  bool available = false;
  std::string reason;  ///< why it is not available, with the place
  std::string advice;  ///< what to do about it: an exact command where there is one, else empty
  std::vector<Zone> zones;
};

/// A kind of meter: the registry's entry.
struct MeterKind {
  std::string_view summary;                               ///< one line
  std::string_view argument;                              ///< what follows "KIND:", e.g. "FILE", "[CARD]" where it may; or empty
  bool sensor;                                            ///< a sensor of this machine, looked for where no meter is named
  std::vector<MeterProbe> (*probe)(const MeterOptions&);  ///< never throws for what a machine lacks
  /// Error{usage} for a bad argument, Error{input} for a bad file, MeterError for what is not available, with the advice.
  std::unique_ptr<Meter> (*open)(const std::string& argument, const MeterOptions&);
  std::string_view proven = {};  ///< of a sensor: on what hardware it has run, "NVIDIA H200, driver 580"
};

std::span<const RegistryRow<MeterKind>> meter_kinds();

/// `--meter KIND[:ARGUMENT]`. Error{usage} names what there is.
struct MeterSpec {
  std::string kind;
  std::string argument;
};
MeterSpec parse_meter_spec(std::string_view text);

/// One row of `eaq meter`: every kind known, also what this build left out.
struct MeterRow {
  std::string kind;
  MeterProbe probe;
};
std::vector<MeterRow> probe_meters(const MeterOptions& options);

/// The meters of one measurement. Zones of all meters stand in one list, in order.
class MeterSet {
 public:
  struct ZoneRef {
    std::size_t meter;      ///< index into meters()
    std::string full_name;  ///< "rapl:package-0"
    Zone zone;
  };

  MeterSet() = default;  ///< no meter; why_none() is then "no meter was opened"
  explicit MeterSet(std::vector<std::unique_ptr<Meter>> meters, std::string why_none = "no meter was opened",
                    std::string missing = {});

  std::span<const std::unique_ptr<Meter>> meters() const { return meters_; }
  std::span<const ZoneRef> zones() const { return zones_; }
  void learn(std::size_t zone, const ZoneTraits& traits) { eaq::learn(zones_.at(zone).zone, traits); }
  bool empty() const { return meters_.empty(); }
  const std::string& why_none() const {
    return why_none_;
  }  ///< for the result, where there is no meter: why, and what brings one

  std::vector<Reading> read();
  StepListener* listener();  ///< tells every meter that wants steps; null where none does
  Condition condition();     ///< the first temperature and clock that a meter knows, and everybody's tallies

  /// The zones whose joules are the headline when a device of this role computes: of the first meter that has zones of the role
  /// (several packages add up), else of the first with role `any`, else of the first with role `board`. Empty where there is
  /// none.
  std::vector<std::size_t> headline(ZoneRole device) const;
  /// Where headline() is empty: why, in one line that ends with what brings joules; empty otherwise.
  std::string why_no_headline(ZoneRole device) const;

 private:
  class FanOut;
  std::vector<std::size_t> zones_of(ZoneRole role) const;  // of the first meter that has any
  std::vector<std::unique_ptr<Meter>> meters_;
  std::vector<ZoneRef> zones_;
  std::string why_none_ = "no meter was opened", missing_;
  std::shared_ptr<FanOut> fan_out_;
};

/// Opens what was asked for: every spec, and a constant power where `assume` is given. With neither, every sensor of this machine
/// that is available; where there is none, an empty set whose why_none() says why and names the exact command that brings joules.
MeterSet open_meters(std::span<const std::string> specs, std::optional<Watts> assume, const MeterOptions& options);

/// One line of a recording (`t_s,zone,joules,watts`; header line required; zstd-compressed where the name ends in .zst).
struct RecordingRow {
  Seconds time;  ///< since the opening
  std::string zone;
  std::optional<Joules> energy;
  std::optional<Watts> power;  ///< neither: a read that failed
};
/// Rows in order of time. Error{input} "FILE: line N: what" for anything malformed: a missing header, a wrong number of cells,
/// what is not a finite number, time that runs backwards, a zone without a name, no row at all.
std::vector<RecordingRow> read_recording(const std::filesystem::path& path);

}  // namespace eaq
