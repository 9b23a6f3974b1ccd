// study: the main job. Models x formats under meters become one Study: quality on real data in lockstep, time and energy of all
// formats interleaved, memory of each format alone, and what follows from comparing them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eaq/dataset/dataset.h"
#include "eaq/engine/engine.h"
#include "eaq/evaluate/evaluate.h"
#include "eaq/measure/measure.h"
#include "eaq/meter/meter.h"
#include "eaq/profile/profile.h"
#include "eaq/result/result.h"

namespace eaq {

struct DataOptions {
  std::string task;            ///< "sst2", "wikitext2", "text"; empty: what the model is for
  std::filesystem::path file;  ///< empty: the set that eaq carries for the task
  Join join = Join::raw;
  std::int64_t window = 0, stride = 0;  ///< 0: min(1024, context)
  std::int64_t limit = 0;               ///< sentences, or windows of a text; 0: all
  bool cache = true;                    ///< keep tokenised data for the next run
};

/// A shape to be timed. `seq` 0 runs sentences at their own lengths.
struct TimedShape {
  Phase phase = Phase::forward;
  std::int64_t batch = 1, seq = 128;
  std::int64_t new_tokens = 0;  ///< decode: after a prompt of `seq`
};

struct StudyOptions {
  std::vector<std::string> models;             ///< as open_model() takes them; empty: every embedded one
  std::vector<std::string> formats;            ///< short names; empty with no recipe: default_formats() of the device
  std::vector<std::filesystem::path> recipes;  ///< rows of their own, after the formats
  std::string base;                            ///< of what 8-bit formats leave; empty: default_base() of the device
  std::string device = "cpu";                  ///< as open_device() takes it
  int threads = 0;
  DataOptions data;

  // What is timed. Lists sweep; empty ones take the defaults of default_shapes().
  std::vector<std::int64_t> batch, seq;
  bool unpadded = false;
  std::vector<Phase> phases;

  bool original = false;  ///< the original study's protocol instead of blocks
  bool mean_power = false;
  int blocks = 8;
  double min_seconds = 0;  ///< of a visit; 0: as measure_blocks chooses
  int trials = 5;
  std::int64_t iterations = 300, warm_up = 10;
  bool warm_up_fixed = false;  ///< blocks: `warm_up` iterations instead of flat slopes

  std::uint64_t seed = 0;
  bool timing = true;                ///< false: quality and sizes alone, as `evaluate` asks
  std::vector<std::string> command;  ///< for the manifest
};

/// What is timed where the command line is silent: DistilBERT 32 x 128 padded; GPT-2 forward 1 x 128 on a CPU (elsewhere 8 x
/// 1024, or 4 x its context where that is shorter) and decode 1 x (128 + 128), halves of the context where that is shorter than
/// 256. Lists of batch and seq are crossed. Error{usage} where a shape exceeds the context or a phase does not suit the model.
std::vector<TimedShape> timed_shapes(const Graph& graph, const StudyOptions& options);

struct StudyOutcome {
  Study study;
  std::vector<Visit> visits;  ///< of all measurements, on one time axis with `samples`
  SampleRecord samples;
};

/// Runs it. Formats that are refused become rows of `refused`; Ctrl-C ends what is in hand and keeps the rest, `interrupted`.
/// Errors in what was asked (models, data, shapes) come before anything is measured.
StudyOutcome run_study(const StudyOptions& options, MeterSet& meters, Clock& clock = monotonic_clock());

// --- one model in one format, in depth ----------------------------------------------------------------------------------------

/// Visits of one way, on a time axis of their own.
struct WeighingRecord {
  Way way{};
  std::vector<Visit> visits;
  SampleRecord samples;
};

struct ProfileOptions {
  StudyOptions study;     ///< one model, one format or recipe, at most one phase, batch and seq; data, device, blocks, seed
  std::vector<Way> ways;  ///< how joules are told apart; each is measured by itself
  std::vector<std::string> impact;  ///< formats that each site alone is tried in
  bool ablations = true;
  bool fusions = true;  ///< false: every step by itself, which is not the program that a study times
  /// What an earlier run has found, which is not done again; null: nothing.
  const Profile* earlier = nullptr;
  /// After each part: what is found so far, `interrupted`, to be kept in case that the rest does not come.
  std::function<void(const Profile&)> on_part = {};
  /// After each way, before the on_part that tells of it.
  std::function<void(const WeighingRecord&)> on_weighed = {};
};

struct ProfileOutcome {
  Profile profile;
  std::vector<WeighingRecord> weighings;
};

/// Time and joules of every step by each way, then the prediction impact of every site in each format, held against the model in
/// fp32, and of every ablation; a format that the device has no kernel for is emulated there. Ctrl-C keeps what is whole.
ProfileOutcome run_profile(const ProfileOptions& options, MeterSet& meters, Clock& clock = monotonic_clock());

/// This machine, as a manifest describes it.
HostRecord describe_host();

/// The zone that is charged where this device computes.
ZoneRole zone_of(const DeviceDescription& device);

// --- where results go

/// The folder of a study or a profile, made and tried for writing. Default: study-DATE in the current folder, or study-DATE-2,
/// ... where that holds a finished one. A folder that was named and holds one is Error{usage}: results are never overwritten, but
/// where one goes on from what is there. Error{input} where it cannot be written. One process writes to a folder at a time: a
/// folder that was named and is another's is Error{usage}, a default one is passed over. The folder goes again if this made it
/// and nothing was put into it.
class ResultFolder {
 public:
  enum class Kind { study, profile };
  explicit ResultFolder(const std::optional<std::filesystem::path>& named, Kind kind = Kind::study, bool goes_on = false);
  ~ResultFolder();
  ResultFolder(const ResultFolder&) = delete;
  ResultFolder& operator=(const ResultFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

  static constexpr const char* page_name = "report.html";
  /// study.json, study.md, study.csv, report.html, and where something was timed visits.csv and samples.csv.zst. Each appears
  /// whole or not at all; study.json comes last, so that it is there only where the others are. Returns the names written.
  std::vector<std::string> write(const StudyOutcome& outcome) const;
  /// profile.json, likewise last, report.html, and of each way that was measured visits-WAY.csv and samples-WAY.csv.zst.
  std::vector<std::string> write(const ProfileOutcome& outcome) const;
  /// What one way has seen: visits-WAY.csv, and where a meter was read samples-WAY.csv.zst.
  std::vector<std::string> write(const WeighingRecord& record) const;

 private:
  /// Makes, locks and tries a folder; why not, where it is another's.
  std::string take(const std::filesystem::path& folder);
  bool holds_finished(const std::filesystem::path& folder) const;
  void release();

  Kind kind_;
  bool goes_on_;
  std::filesystem::path path_;
  bool made_ = false;
  int lock_ = -1;  ///< of the folder, held until this goes or the process ends
};

}  // namespace eaq
