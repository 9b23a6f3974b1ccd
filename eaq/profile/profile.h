// profile: where in a model the joules go (the energy and time of each step of its program), and which of its parts matter (the
// prediction impact of each site).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eaq/dataset/dataset.h"
#include "eaq/engine/engine.h"
#include "eaq/measure/measure.h"
#include "eaq/stats/stats.h"

namespace eaq {

// --- time and joules, step by step --------------------------------------------------------------------------------------------

/// How a step's part is told from the others'. In both, runs of the whole program in which steps run more than once, on a real
/// batch, are visited in randomised blocks; a repeated linear step multiplies by other copies of its weights; a visit's seconds
/// and joules per run are linear in how often each step runs, and least squares give each step's. Both times and joules are thus
/// what one run more costs in the company of all the others, at the clock and the power of the whole model: nothing is derived
/// from the whole by shares, and nothing makes the parts add up to it.
enum class Way {
  /// Loop slope: one step at a time runs in a loop of its own within the program, as long as `loop` of the program's time.
  loops,
  /// In place: of several passes through the program one has a random half of the steps doubled, by a two-level design in which
  /// every run tells of every step (rows of a Hadamard matrix; Plackett, Burman 1946), and runs with all and with no step
  /// doubled, which tell of the sum. The other passes keep the device in the state in which it runs the program; where one pass
  /// takes a second, it does that by itself.
  in_place,
};
std::string_view name_of(Way way);  ///< "loops", "in_place": keys of a profile's `additivity`

/// A program to be weighed, and the batch that it runs on.
struct Weighed {
  const Model* model = nullptr;  ///< packed again for copies of weights
  std::shared_ptr<const PackedModel> packed;
  SessionOptions session = {};
  const OwnedBatch* prompt = nullptr;  ///< fills the cache once; null: no cache
  const OwnedBatch* batch = nullptr;
  std::string phase;  ///< for visits.csv
  std::int64_t samples_per_run = 1;
};

struct WeighOptions {
  Way way = Way::loops;
  double loop = 0.5;  ///< loops: time of the repeats over that of the program
  int passes = 4;     ///< in place; fewer where a run takes a second without them
  int blocks = 1;
  Seconds visit{0};  ///< as BlockOptions::min_seconds
  std::uint64_t seed = 0;
  ZoneRole device = ZoneRole::cpu;
};

/// A step of the program as it runs, fused or not. Per run of the whole batch.
struct StepFigures {
  std::string site;
  StepKind kind{};
  std::string format;
  double flops = 0, bytes = 0;
  std::optional<Interval> ms, mJ;  ///< empty where too few visits stand
  Seconds alone{};                 ///< by events or the host's clock, each step by itself: what a timer in a module would say
};

struct PartsAndWhole {
  Interval sum, whole;
  Interval error;  ///< sum / whole - 1
};

struct StepWeighing {
  std::vector<StepFigures> steps;  ///< in the program's order
  std::optional<PartsAndWhole> ms, mJ;
  MeasureResult result;            ///< its first workload is the program as it is, latency of one pass, visits of all passes
  std::vector<std::string> notes;  ///< where weights could not rotate over enough copies, or an interrupt ended it
};

/// Weighs every step in one of the two ways. Joules are empty where there is no meter. Ctrl-C ends it with what the visits until
/// then can tell.
StepWeighing weigh_steps(const Weighed& weighed, MeterSet& meters, Clock& clock, const WeighOptions& options,
                         const ProgressCallback& progress = {});

/// The workloads of a way: how often each step runs in each pass. `alone` is each step's time, for the loops' lengths.
struct Design {
  std::vector<std::vector<std::vector<int>>> workloads;  ///< [workload][pass][step]; the first is the program as it is
  std::vector<std::string> names;                        ///< of the workloads: "", "transformer.h.0.mlp.c_fc x46"
};
Design design_loops(std::span<const Seconds> alone, std::span<const std::string> sites, double loop);
Design design_in_place(std::size_t steps, int passes);

/// From visits to each step's part of `value` (a visit's seconds or joules per run; nothing where it does not count): slow drift
/// that all workloads of a block share is taken out first. Nothing where the visits cannot tell the steps apart.
struct Parts {
  std::vector<Interval> steps;
  PartsAndWhole total;
  std::size_t visits = 0, left_out = 0;  ///< left out: those that all others contradict, as work of others slows them
};
std::optional<Parts> parts_of(const Design& design, std::span<const Visit> visits,
                              const std::function<std::optional<double>(const Visit&)>& value);

// --- prediction impact --------------------------------------------------------------------------------------------------------

/// What the model's answers lose when one site alone is in another format, or one site or other step is ablated, everything else
/// being as in the reference.
struct Impact {
  std::string site, format;  ///< of an ablation the format is empty
  std::int64_t n = 0;        ///< sentences or predicted tokens judged
  Interval kl;               ///< KL(reference || this), nats per sentence or predicted token; 95 % over sentences or windows
  std::int64_t flips = 0;    ///< another argmax than the reference's
  /// Nats per predicted token (paired by window) or of a sentence's label (paired by sentence), this less the reference.
  std::optional<Interval> delta_nll;
  /// Fraction of right answers, likewise; of a language model, of predicted tokens that were the likeliest.
  std::optional<Interval> accuracy_delta;
  bool emulated = false;  ///< the device has no kernel for the format: its values, by fp32 products
};

/// What the answers are judged on. Windows belong to the stream; sentences are for classifiers.
struct ImpactData {
  const Sentences* sentences = nullptr;
  const TokenStream* stream = nullptr;
  std::span<const Window> windows = {};
};

struct ImpactOptions {
  std::vector<std::string> formats = {};  ///< each site in each of them
  bool ablations = false;                 ///< then every site and other step without what it does: see ablated()
  /// Changes that run beside one run of the reference: more is quicker and takes more memory.
  std::size_t at_once = 8;
  /// Whether this one is known from an earlier run, and need not be done again.
  std::function<bool(const std::string& site, const std::string& format)> is_known = {};
  std::function<void(const Impact&)> on_result = {};  ///< as each is done: what to keep for a later run
  std::function<void(double part)> on_progress = {};  ///< 0..1
};

/// Every change that is asked for, sites by formats first, each in the graph's order. `reference` runs on the device that is to
/// be judged; formats that are refused there are emulated. Stops early, with what was done whole, when interrupted.
std::vector<Impact> impacts(const Model& model, const std::shared_ptr<const PackedModel>& reference, const ImpactData& data,
                            const ImpactOptions& options);

}  // namespace eaq

#include "eaq/profile/findings.h"  // what a profile's rows say
