// result: what a study or a profile found, as data. study.json and profile.json are these types written down (schemas:
// docs/study.schema.json, docs/profile.schema.json); whoever reads a result (tables, comparisons, pages) reads them and nothing
// else.
//
// Units are in the names. Absence is an empty optional beside a reason, never 0. Fractions are fractions, sizes are bytes, a
// sample is one `unit`, KL is in nats per predicted token or sentence. Intervals are two-sided at 95 %.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eaq/base/base.h"

namespace eaq {

/// An estimate with its interval, and the blocks' or trials' values behind it where they are kept.
struct Figure {
  double mean = 0;
  std::optional<std::pair<double, double>> ci95;  ///< empty where one value gives no interval
  std::vector<double> trials;
};

struct Latency {
  Figure ms;  ///< per run (a batch, or a token)
  double p50 = 0, p90 = 0, p99 = 0;
};

struct Energy {
  std::string meter;   ///< the zones whose joules these are: "rapl:package-0"
  std::string label;   ///< "measured", "assumed", "synthetic", "replayed" or "predicted": shown wherever the joules show
  std::string method;  ///< "counter", "integral" or "mean-power"
  Figure mJ_per_sample;
  std::optional<Figure> dynamic_mJ_per_sample;  ///< above idle
  double mean_power_W = 0;
  std::optional<double> idle_power_W;
  std::optional<double> mean_power_method_mJ;         ///< what mean sampled power x run time would have said
  std::optional<double> scale_uncertainty;            ///< of the sensor, as a fraction; in no interval
  std::vector<std::pair<std::string, double>> zones;  ///< mJ per sample of every zone that was read; never summed
};

/// A site's largest finite activation (NaN, in JSON null, where none was), and how many values were not finite.
struct Overflow {
  std::string site;
  double max_abs = 0;
  std::int64_t count = 0;
};

struct QualityResult {
  std::string metric;  ///< "accuracy" or "perplexity"
  double value = 0;
  std::optional<std::pair<double, double>> ci95;
  std::int64_t n = 0;                   ///< sentences, or predicted tokens
  std::optional<std::int64_t> correct;  ///< accuracy only
  std::optional<double> kl_mean;        ///< KL(fp32 || this)
  std::optional<std::int64_t> flips;    ///< predictions that differ from fp32's
  std::int64_t nan_inf = 0;             ///< logits that are not finite
  std::vector<Overflow> overflows;
};

/// One model in one format at one shape: a row of the table.
struct Run {
  std::string model, task, format;
  std::string recipe;  ///< eaq.recipe/1 as JSON text
  bool emulated = false;
  std::string storage, arithmetic;   ///< of what ran: "bf16", "f32"
  std::vector<std::string> kernels;  ///< as the primitives named themselves
  std::string phase, unit;           ///< "forward|prefill|decode", "sentence|window|token"
  std::int64_t batch = 0, seq = 0;   ///< seq 0: every sentence at its own length
  std::int64_t samples = 0;          ///< completed while timed
  std::optional<Latency> latency_ms;
  std::optional<Figure> throughput_per_s;
  std::string timing_unavailable;  ///< why the two above are empty
  std::optional<Energy> energy;
  std::string energy_unavailable;
  std::optional<QualityResult> quality;
  std::string quality_unavailable;
  std::int64_t size_bytes = 0;
  double size_ratio = 0;  ///< fp32's bytes over these: above 1 is smaller
  std::optional<std::int64_t> peak_memory_bytes;
  std::string peak_memory_unavailable;
  std::vector<std::string> throttled, notes;
};

/// Asked for, not runnable here.
struct Refused {
  std::string model, format, reason;
};

/// Two formats of one model at one shape. Ratios are a / b: above 1, b is cheaper or faster.
struct Comparison {
  std::string model, a, b;
  std::string phase;
  std::int64_t batch = 0, seq = 0;
  std::optional<Figure> energy_ratio, speedup;
  std::optional<double> energy_p, speedup_p;  ///< paired t-tests on blocks, Holm-adjusted over the formats
  std::optional<double> quality_delta;        ///< of b against a: accuracy as a fraction, or perplexity
  std::optional<double> p_value;              ///< of that difference: McNemar, or a paired t-test; Holm-adjusted over the formats
  std::string test;                           ///< "McNemar" or "paired t": where p_value comes from
};

struct HostRecord {
  std::string name, os, kernel, cpu;
  std::vector<std::string> flags;  ///< instruction sets that matter here
  std::int64_t cores = 0, memory_bytes = 0;
  std::string compiler;
  std::map<std::string, std::string> libraries;
};

struct DeviceRecord {
  std::string kind, name;  ///< "cpu", "AMD EPYC 9B45"; "cuda", "NVIDIA H200"
  std::string isa;         ///< the instruction set in use: "avx512_vnni_bf16", "sm_90"
  int threads = 0;         ///< of a processor; a card has none
  std::string uuid;        ///< of a card
};

struct MeterRecord {
  std::string name, label;
  std::vector<std::string> zones;  ///< full names
  bool headline = false;
  std::map<std::string, std::string> facts;  ///< of its device: driver, UUID, power limit, ...
};

/// How timing was done; a field that the protocol does not know is empty.
struct ProtocolRecord {
  std::string name = "blocks";  ///< or "original"
  std::string method;           ///< "counter" or "mean-power", as asked
  std::optional<int> blocks, visits_per_block, trials;
  std::optional<std::int64_t> iterations, warm_up_iterations;
  std::optional<double> visit_s;
  std::string quality;  ///< how the data was cut: "all 872 sentences", "windows of 1024, stride 1024, joined raw"
};

struct DataRecord {
  std::string task, name, hash;
  std::int64_t items = 0, tokens = 0;
};

struct ModelRecord {
  std::string name, task, hash;
  std::int64_t parameters = 0;
  std::string source;  ///< of a model of the hub: "hf:OWNER/NAME@COMMIT"
};

struct Manifest {
  std::string eaq, commit;
  HostRecord host;
  DeviceRecord device;
  std::optional<std::string> driver;  ///< of a card: what it offers, "CUDA 13.0"
  std::vector<MeterRecord> meters;
  std::string no_meter;  ///< why `meters` is empty, and what would bring joules
  std::uint64_t seed = 0;
  ProtocolRecord protocol;
  std::string started;
  double seconds = 0;  ///< that the whole study took
  std::vector<std::string> command;
  std::vector<ModelRecord> models;
  std::vector<DataRecord> data;
};

/// Something that the original study says, and what was seen here.
struct ClaimRecord {
  std::string claim;
  std::string verdict;  ///< "confirmed", "contradicted" or "not testable here"
  std::string evidence;
};

struct Study {
  bool interrupted = false;
  Manifest manifest;
  std::vector<Run> runs;
  std::vector<Refused> refused;
  std::vector<Comparison> comparisons;
  std::vector<ClaimRecord> claims;  ///< results of before these were kept have none
};

// --- a profile: one model in one format, part by part. All of time, joules, flops and bytes are per run of a whole batch -------

/// What the answers lose when one site alone is in another format, or one site or other step is ablated, all else being as it
/// was.
struct ImpactRecord {
  std::int64_t n = 0;  ///< sentences or predicted tokens judged
  Figure kl;           ///< KL(as it was || this), nats
  std::int64_t flips = 0;
  std::optional<Figure> delta_nll;       ///< nats per predicted token, or of a sentence's label
  std::optional<Figure> accuracy_delta;  ///< as a fraction: of sentences, or of predicted tokens
  bool emulated = false;                 ///< the format has no kernel here: its values, by another format's products
};

/// A site or another step.
struct SiteRecord {
  std::string site, kind, format;
  std::string fused_into;  ///< the row it is one step with: its time and joules stand there, and this row has none
  std::int64_t parameters = 0;
  double bytes = 0, flops = 0;
  std::optional<Figure> time_ms;        ///< by loops
  std::optional<Figure> mJ;             ///< by loops
  std::optional<Figure> mJ_in_place;    ///< by regression over whole programs in which steps are doubled
  std::optional<double> mJ_time_share;  ///< the baseline: its share of all steps' time, of the whole model's joules
  std::optional<double> share;          ///< of the sum of mJ; where there are no joules, of time
  std::string bound_by;                 ///< "arithmetic", "memory" or "static": its largest term in the roofline; empty: not told
  std::map<std::string, ImpactRecord> impact;  ///< by format
  std::optional<ImpactRecord> ablation;
  std::vector<std::string> notes;
};

/// Whether the parts add up to the whole.
struct AdditivityRecord {
  Figure sum_mJ, model_mJ;
  Figure error;  ///< sum / model - 1
};

/// joules = static_W x time + pJ_per_flop x flops + pJ_per_byte x bytes, fitted to the sites (no term below 0).
struct RooflineRecord {
  Figure static_W, pJ_per_flop, pJ_per_byte;
  double r2 = 0;                   ///< of the sites' joules, the share of variance that it explains
  std::vector<std::string> notes;  ///< which terms could not be told apart: they are 0 and have no interval
};

/// Between the sites' figures, pairwise; where one does not vary, NaN (null).
struct CorrelationRecord {
  std::vector<std::string> names;  ///< "mJ", "time_ms", "parameters", "bytes", "flops", "kl fp16", "kl ablated"
  std::int64_t n = 0;              ///< sites that have all of them
  std::vector<std::vector<double>> pearson, spearman;
  std::vector<std::vector<std::pair<double, double>>> pearson_ci95, spearman_ci95;
};

struct GuidelineRecord {
  std::string site_group, format;
  std::string advice;  ///< "quantise", "keep" or "no difference shown"
  std::string evidence;
};

/// One thing that was done for a profile. Calls that go on from earlier ones (`--resume`) may be of another program, on other
/// threads or another card of the kind: each figure's own origin stands here, where the manifest has the last call's.
struct PartRecord {
  std::string what;  ///< "loops", "in_place", "impact of fp16, int8; ablations"
  std::string eaq, commit, started;
  double seconds = 0;
  DeviceRecord device;
  std::vector<std::string> command;
};

struct Profile {
  bool interrupted = false;
  Manifest manifest;
  std::vector<PartRecord> parts;  ///< in the order in which they were done
  Run run;                        ///< the whole model
  std::vector<SiteRecord> sites;
  std::map<std::string, AdditivityRecord> additivity;  ///< "loops", "in_place"
  std::optional<RooflineRecord> roofline;
  std::optional<CorrelationRecord> correlations;
  std::vector<GuidelineRecord> guidelines;
  std::vector<ClaimRecord> claims;
  std::vector<Refused> refused;  ///< formats whose impact was asked for and cannot be had
};

/// What stands at one place in every layer is one group: "transformer.h.*.mlp.c_fc" of "transformer.h.3.mlp.c_fc".
std::string group_of(std::string_view site);

/// "sha256:..." for several things as for one: of one, its own hash; of several, the hash of the lines "HASH  NAME\n".
std::string combined_hash(const std::vector<std::pair<std::string, std::string>>& names_and_hashes);

// --- JSON (texts, since front doors are free of JSON types)

std::string to_json(const Study& study);  ///< eaq.study/1, indented, with a final newline
std::string to_json(const Run& run);      ///< one run, as `eaq evaluate --json` prints it
/// Error{input} "NAME: ..." for anything that is not an eaq.study/1.
Study study_from_json(std::string_view text, std::string_view name);
Study read_study(const std::filesystem::path& path);

std::string to_json(const Profile& profile);  ///< eaq.profile/1, likewise
Profile profile_from_json(std::string_view text, std::string_view name);
Profile read_profile(const std::filesystem::path& path);
/// The "schema" of a result's text; empty where it names none. Error{input} for what is no JSON object.
std::string schema_of(std::string_view text, std::string_view name);

}  // namespace eaq
