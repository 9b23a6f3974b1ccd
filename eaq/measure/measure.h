// measure: workloads under meters. Who runs when (randomised blocks, or the original study's sequence), what the meters said
// meanwhile (a sampler with a thread of its own), and what follows from both (estimates that anyone can repeat from two files).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/meter/meter.h"
#include "eaq/stats/stats.h"

namespace eaq {

/// One thing to be timed and weighed: a program with its data resident.
struct Workload {
  std::string name;                  ///< as messages call it: "tiny-gpt2 int8"
  std::string model, format, phase;  ///< as visits.csv and the result name them
  std::int64_t samples_per_run = 1;  ///< sentences, windows or tokens that one run completes
  /// One run. `iteration` counts up without end; the program cycles through its real batches by
  /// it. The listener is null where no meter asks for steps.
  std::function<void(std::int64_t iteration, StepListener* listener)> run;
  /// Returns when every run is over: where `run` returns with some still under way on a device that works by itself.
  std::function<void()> finish = [] {};
  int ahead = 0;  ///< how many: run() returns at the end of the run that was submitted so many calls earlier
};

// --- what the meters said -----------------------------------------------------------------------------------------------------

/// One edge of a counter, one value of a power, or one fault.
struct Sample {
  Seconds time;                  ///< since the record's start
  std::optional<Joules> energy;  ///< the counter's new value, as the meter gave it
  std::optional<Watts> power;
  Fault fault = Fault::none;  ///< with neither energy nor power
  std::string reason;
};

/// Everything recorded of one zone, in order of time.
struct ZoneRecord {
  std::string name;  ///< "rapl:package-0"
  Zone zone;
  MeterLabel label = MeterLabel::measured;
  std::string meter;  ///< "rapl"
  std::vector<Sample> samples;
};

struct SampleRecord {
  std::vector<ZoneRecord> zones;
  double polls_per_s = 0;  ///< how often the sampler looked, by the median of its latest distances
};

/// Polls meters and keeps only what is new: edges of counters, and powers that changed or are 50 ms old. On a VirtualClock it
/// polls as that time passes, on any other clock from a thread of its own.
class Sampler {
 public:
  struct Options {
    Seconds poll{0};  ///< mean distance of looks; 0: 5 ms where there is a counter, 10 ms otherwise
  };
  Sampler(MeterSet& meters, Clock& clock) : Sampler(meters, clock, Options()) {}
  Sampler(MeterSet& meters, Clock& clock, const Options& options);
  ~Sampler();  ///< stops
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  Seconds origin() const;                              ///< the clock's time at which the record starts
  SampleRecord stop();                                 ///< a last look, then the whole record
  SampleRecord record_so_far();                        ///< a copy
  std::int64_t seen(std::size_t zone, Seconds since);  ///< edges of its counter, or values of its power, since that clock time
  /// Mean power of some zones, added up, from `since` (clock time) until now; nothing where one cannot tell yet.
  std::optional<Watts> recent_power(std::span<const std::size_t> zones, Seconds since);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// --- visits -------------------------------------------------------------------------------------------------------------------

/// A stretch of time in which one workload ran without pause, its first part already dropped: a row of visits.csv.
struct Visit {
  int block = 0;                     ///< from 0; in protocol `original` the trial
  int position = 0;                  ///< within the block
  std::size_t workload = 0;          ///< index into the workloads; idle_workload for a pause with everything resident
  std::string model, format, phase;  ///< "idle" as format where nothing ran
  Seconds start, end;                ///< since the record's start; edges of whole iterations
  std::int64_t iterations = 0;
  std::optional<Joules> joules;  ///< of the headline zones between start and end
  std::int64_t edges = 0;        ///< counter edges (or power values) that the joules rest on, of the zone that has fewest
  std::optional<Celsius> temperature;
  std::optional<Hertz> clock;
  std::string void_reason;  ///< empty where the joules stand: otherwise why this visit's energy does not count
  std::string label;        ///< what is told beside joules that stand: "power cap of GPU-..."
};
inline constexpr std::size_t idle_workload = static_cast<std::size_t>(-1);

// --- estimates ----------------------------------------------------------------------------------------------------------------

enum class EnergyMethod {
  counter,     ///< slope of a counter over its edges, or its rise where a visit holds few runs
  integral,    ///< integral of sampled power
  mean_power,  ///< mean of 20 Hz samples times run time: the original study's
};
std::string_view name_of(EnergyMethod method);  ///< "counter", "integral", "mean-power"

/// Joules of one zone within a window, or why there are none.
struct WindowEnergy {
  std::optional<Joules> joules;
  std::optional<Watts> error;  ///< standard error of the power (of a counter's slope only)
  std::int64_t edges = 0;
  EnergyMethod method = EnergyMethod::counter;
  Fault fault = Fault::none;  ///< why there are no joules
  std::string reason;
};

/// The energy of the window [start, end] of a plateau. Counter: ordinary least squares of joules on edge times inside the window
/// (at least 4 edges) gives the power, times the window's length. Edge times are put on the counter's own beat where it has one
/// (lattice.h): the slope of a 0.5 s window at 100 ms is then some five times sharper. Power: trapezoids over its values, held
/// past the outer ones.
/// `runs`: of so many runs of a program the window consists (0: that is not known). Fewer than 8 are no plateau where there are
/// more than two edges a run, as power moves within a run, and a line through one weighs its middle 1.5 times and its ends not at
/// all: then the counter's rise between its outer edges counts, and on to the window's ends at the power of the nearest period.
WindowEnergy window_energy(const ZoneRecord& zone, Seconds start, Seconds end, std::int64_t runs = 0);

/// The original study's arithmetic: mean of the power as a 20 Hz logger sees it, times the time. Where a zone gives no power, its
/// counter's differences over 50 ms stand for it.
WindowEnergy mean_power_energy(const ZoneRecord& zone, Seconds start, Seconds end);

/// Two ways to the same joules over the whole of a record: the counter's rise between its outer edges, and the integral of the
/// zone's power between them.
struct CrossCheck {
  Seconds span;
  Joules counter, integral;
  /// What an averaging sensor may hold back at the ends: the difference of the powers there, for its window (1 s if unknown).
  Joules tolerance;
  double difference() const { return integral / counter - 1; }
  /// At 30 s and more, over 1 % and what the ends explain: one of the two is wrong.
  bool disagrees() const;
};
/// Nothing where the zone has not both, or a read failed meanwhile.
std::optional<CrossCheck> cross_check(const ZoneRecord& zone);

// --- spans: a foreign command between two quiet stretches ---------------------------------------------------------------------

/// Nothing is known of what happens between start and end; before and after, the power is steady. Times since the record's start.
struct Span {
  Seconds quiet_from, start, end, quiet_until;
};

/// An estimate of a quantity with its standard error and that error's degrees of freedom.
struct Uncertain {
  double value = 0, error = 0, degrees = 1;
  Interval ci95() const;  ///< value +- t(degrees) error
};

/// Joules of one zone within a span, or why there are none.
struct SpanEnergy {
  std::optional<Uncertain> joules;
  std::optional<Uncertain> idle_watts;  ///< in the quiet stretch before; nothing where it is too short
  EnergyMethod method = EnergyMethod::counter;
  Fault fault = Fault::none;  ///< why there are no joules
  std::string reason;
};

/// The energy of a span: the difference of the counter's values at its ends. A sensor of power has no counter, and the integral
/// of its values (trapezoids) stands for one.
///
/// The value at an end is extrapolated from the quiet side: the nearest edge, and the quiet stretch's own power from there to the
/// end. What the load does, and when within a period it begins, does not enter. A counter that shows everything late by a lag L
/// moves both values alike, and only (power after - power before) x L is left; after the end, edges count from one period (of a
/// power: and its averaging window) on, so that no lag up to that hides joules.
///
/// Its error has two parts, added in squares:
///  - each end: the power near it lies within the range R of the quiet cells' powers (a cell is what lies between two edges),
///    wherever within a period the end falls: R x max(period, distance to the edge) / sqrt(12), the standard deviation of a
///    uniform place. R holds the detection and the rounding of edges, and the difference of the two stretches that a lag would
///    charge.
///  - the sensor: the scatter s of a cell's joules in the quiet stretches, accumulated over the cells of the span like a random
///    walk: s sqrt(n). For a power, whose values between the looks nobody has seen, s is at least what successive cells of the
///    span itself differ by (von Neumann 1941: sum of squared differences / 2(n - 1)).
///
/// Where a quiet side has fewer than 3 edges, the value at that end is interpolated between the edges around it. A step of power
/// dP at a place u within the cell then leaves an error u(1 - u) dP x period, at most R x period / sqrt(12) in the mean over u,
/// with R over the cells around the end. Without an edge on both sides there are no joules.
SpanEnergy span_energy(const ZoneRecord& zone, const Span& span);

/// The joules of several zones, each with its own independent error (degrees: the smallest), and a span's joules above idle.
Uncertain sum_of(std::span<const Uncertain> parts);
Uncertain above_idle(const Uncertain& joules, const Uncertain& idle_watts, Seconds length);

struct SpanOptions {
  std::vector<std::size_t> zones;  ///< whose values a quiet stretch must hold
  std::int64_t values = 8;         ///< so many of each
  Seconds least{0.3}, most{5};     ///< a quiet stretch lasts at least and at most this
  Seconds idle{0};                 ///< the first one lasts at least this
  int repeat = 1;
};

struct SpanRecord {
  std::vector<Span> spans;
  SampleRecord record;
};

/// Runs `act` between quiet stretches, `repeat` times or until it returns false or Ctrl-C was caught.
SpanRecord record_spans(MeterSet& meters, Clock& clock, const SpanOptions& options, const std::function<bool()>& act);

/// An estimate over blocks (or trials): mean and 95 % interval, and the values that it rests on.
struct Estimate {
  Interval ci95;               ///< its `mean` is the estimate
  std::vector<double> trials;  ///< one per block
};

struct EnergyResult {
  std::string meter;  ///< the headline zones' full names, "rapl:package-0+package-1"
  MeterLabel label = MeterLabel::measured;
  EnergyMethod method = EnergyMethod::counter;
  Estimate mJ_per_sample;
  std::optional<Estimate> dynamic_mJ_per_sample;  ///< above idle, block by block, so that the idle's own error is in the interval
  Watts mean_power{};                             ///< while this workload ran
  std::optional<Watts> idle_power;                ///< with everything resident, between visits
  std::optional<double> mean_power_method_mJ;     ///< per sample, by the original study's arithmetic, from runs of its own
  std::optional<double> scale_uncertainty;        ///< of the sensor, as a fraction; not part of any interval
  /// mJ per sample of every zone that was read, also those outside the headline, over the headline's own blocks (of
  /// another zone, those in which it has joules for every visit); zones are never added up.
  std::vector<std::pair<std::string, double>> zones;
};

struct WorkloadResult {
  std::string name, model, format, phase;
  std::int64_t samples = 0;                   ///< completed while timed
  Estimate latency_ms;                        ///< per run; trials are the blocks' means
  double p50_ms = 0, p90_ms = 0, p99_ms = 0;  ///< over single runs (percentile of type 7)
  Interval throughput_per_s;                  ///< samples a second, from the same blocks
  std::optional<EnergyResult> energy;
  std::string energy_unavailable;  ///< why `energy` is empty
  int void_visits = 0;             ///< visits whose energy does not count; reasons stand in the visits
  /// Mean run time in the first half of a visit over that in the second, from block to block: 1 where nothing carries over.
  std::optional<Interval> carry_over;
  std::vector<std::string> notes;
};

/// Two workloads of one model and phase. Ratios are a / b per sample: above 1, b is cheaper or faster.
struct PairResult {
  std::size_t a = 0, b = 0;  ///< indices into the workloads
  Interval speedup;          ///< seconds per sample of a over those of b
  double speedup_p = 1;      ///< paired t-test on block log-ratios, Holm-adjusted over all pairs of the model and phase
  std::optional<Interval> energy_ratio;  ///< joules per sample of a over those of b
  std::optional<double> energy_p;        ///< likewise
};

struct WarmUp {
  Seconds duration{};
  std::int64_t iterations = 0;
  bool flat = false;  ///< slopes came to rest before the bound
};

struct MeasureResult {
  std::vector<WorkloadResult> workloads;  ///< in the order given; without a single visit: samples = 0
  std::vector<PairResult> pairs;
  std::vector<Visit> visits;
  SampleRecord record;
  WarmUp warm_up;
  Seconds visit_length{};          ///< as planned, its dropped part included
  std::string energy_unavailable;  ///< for the whole measurement: why there is no meter
  bool interrupted = false;
};

// --- protocols ----------------------------------------------------------------------------------------------------------------

/// Told after every visit: the share done (0 to 1) and what comes next.
using ProgressCallback = std::function<void(double done, std::string_view what)>;

struct BlockOptions {
  int blocks = 8;  ///< each visits every workload once in random order and once in reverse
  /// A visit's length. 0: 2 s where a counter or power moves every 100 ms or its period is unknown, less for quicker ones (20
  /// periods, at least 0.3 s), 0.25 s where no energy is read. Its first quarter, at most 0.5 s, is dropped. Where more of the
  /// sensor is known, the visit is longer: it also drops the lag, and what a sampled power averages in of the visit before, and
  /// keeps as much as that and, where no length is given, 8 values.
  Seconds min_seconds{0};
  std::uint64_t seed = 0;
  ZoneRole device = ZoneRole::cpu;  ///< what computes: chooses the headline zone
  std::size_t hottest = 0;          ///< the workload that warms up
  /// Workloads are variants of one, which draw much the same power: each warms up by a single run, and where that outlasts a
  /// visit, and the sensor's memory by far, no other is dropped before it.
  bool variants = false;
  Seconds warm_up_bound{10};            ///< give up waiting for flat slopes after this
  std::int64_t warm_up_iterations = 0;  ///< above 0: this fixed count in place of flat slopes
  /// The mean-power column: so many runs of so many iterations, each within the bound, after the blocks. 0 trials: no such
  /// column.
  int control_trials = 5;
  std::int64_t control_iterations = 300;
  Seconds control_bound{4};  ///< at most 0.5 s where values come every 10 ms or faster
  Seconds poll{0};           ///< the sampler's, see there
  bool idle = true;          ///< each block ends with a pause, whose power dynamic joules are above
};

/// Randomised blocks (ABBA for two): slow drift meets every workload alike. Ctrl-C finishes the visit in hand; complete blocks
/// count. Errors of a workload pass through.
MeasureResult measure_blocks(std::span<const Workload> workloads, MeterSet& meters, Clock& clock, const BlockOptions& options,
                             const ProgressCallback& progress = {});

struct OriginalOptions {
  int trials = 5;
  std::int64_t iterations = 300;
  std::int64_t warm_up_iterations = 10;
  Seconds trial_bound{0};  ///< 0: none; otherwise a trial ends early after this
  std::uint64_t seed = 0;
  ZoneRole device = ZoneRole::cpu;
  bool mean_power = true;  ///< the headline method; false: counter or integral of each trial
  Seconds poll{0};
};

/// The original study's protocol: workload after workload, warm-up passes, then trials in sequence; energy = mean power x time.
MeasureResult measure_original(std::span<const Workload> workloads, MeterSet& meters, Clock& clock,
                               const OriginalOptions& options, const ProgressCallback& progress = {});

// --- from record and visits to results: pure ----------------------------------------------------------------------------------

struct AnalysisOptions {
  std::uint64_t seed = 0;             ///< of the bootstrap above 20 blocks
  std::vector<std::size_t> headline;  ///< zones of the record
  bool mean_power = false;            ///< the headline method is the original study's
};

/// Fills joules, edges and void_reason of visits from the record.
void weigh_visits(std::vector<Visit>& visits, const SampleRecord& record, const AnalysisOptions& options);

/// What a measurement publishes of energy and of mean times, recomputed from its record and its visits alone.
/// `samples_per_run` is one per workload index found in the visits.
MeasureResult analyse(const std::vector<Visit>& visits, const SampleRecord& record, std::span<const std::int64_t> samples_per_run,
                      const AnalysisOptions& options);

// --- files --------------------------------------------------------------------------------------------------------------------

/// `t_s,zone,joules,watts`, as the replay meter reads it, zstd-compressed where the name ends in .zst. A fault is a row with
/// neither. Numbers are written so that they read back as the same double.
void write_samples(const std::filesystem::path& path, const SampleRecord& record);
/// Reads it back; a zone with joules is a counter. Error{input} with the line's number.
SampleRecord read_samples(const std::filesystem::path& path);

/// `block,position,model,format,phase,start_s,end_s,iterations,joules,edges,temperature_C,clock_MHz,void`, quoted where needed.
void write_visits(const std::filesystem::path& path, std::span<const Visit> visits);
/// Reads it back. Workloads are numbered by (model, format, phase) in order of appearance.
std::vector<Visit> read_visits(const std::filesystem::path& path);

}  // namespace eaq

#include "eaq/measure/calibration.h"  // what sensors do with a known load; it needs the records above
