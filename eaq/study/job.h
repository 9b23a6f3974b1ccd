// One model of a study: what was asked of it, understood and checked before anything runs, and its data.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eaq/study/study.h"

namespace eaq {

struct Job {
  Model model;
  std::string task;                            ///< "sst2", "wikitext2", "text"; "random" for a model of random weights
  std::shared_ptr<const Tokenizer> tokenizer;  ///< null with random weights: sentences and stream are then random tokens
  Sentences sentences;                         ///< of a classifier
  TokenStream stream;                          ///< of a language model, with
  std::vector<Window> windows;                 ///< how it is judged
  std::string judged;                          ///< the same in words
  std::vector<Recipe> recipes;
  std::vector<TimedShape> shapes;

  bool classifies() const { return model.graph.task == Task::classification; }
  ModelRecord model_record() const;
  DataRecord data_record() const;
};

/// Error{usage} or Error{input} for whatever cannot be done as asked.
Job prepare_job(const std::string& model, const StudyOptions& options, const Device& device);

/// All of a manifest but the protocol's own fields and how long it took.
Manifest make_manifest(const StudyOptions& options, const Device& on, const MeterSet& meters, std::span<const Job> jobs);

/// What runs while it is timed: a session with its data resident.
struct TimedData {
  TimedShape shape;
  std::string unit;  ///< "sentence", "window", "token"
  std::int64_t samples_per_run = 0;
  OwnedBatch prompt;                     ///< decode only: fills the cache once, before the first run
  std::vector<OwnedBatch> batches;       ///< at least 32 different ones where the data has them; decode: one per new token
  std::vector<std::size_t> first_items;  ///< sentences in the first batch
};
/// Takes what a run of this shape needs and gives it back: Error{unavailable} with the numbers where it is not there.
void require_memory_for(const std::shared_ptr<const PackedModel>& packed, const TimedShape& shape);
SessionOptions session_options(const TimedShape& shape, const Device& device);
std::string unit_of(const Job& job, const TimedShape& shape);
TimedData make_timed_data(const Job& job, const TimedShape& shape, std::uint64_t seed);

class TimedProgram {
 public:
  TimedProgram(const std::shared_ptr<const PackedModel>& packed, std::shared_ptr<const TimedData> data);
  /// What a device records of a batch is recorded now, for every batch, and not within a trial; how many were.
  int record();
  /// One run: iterations cycle through the batches. On a device that works by itself it returns at the end of the run that was
  /// submitted ahead() calls earlier; finish() when all are over.
  Matrix run(std::int64_t iteration, StepListener* listener);
  void finish();
  int ahead() const;
  const PackedModel& packed() const { return session_.packed(); }
  const TimedData& data() const { return *data_; }

 private:
  /// Once. The packed model's report begins behind it, and is of what is timed.
  void prepare();

  std::shared_ptr<const TimedData> data_;
  Session session_;
  bool feeds_back_;  ///< decoding stays on the device: one prepared batch that moves on by itself
  std::vector<PreparedBatch> prepared_;
  std::int64_t last_ = -1;
};

/// The program, recorded, as what a measurement visits; model, format and phase are left to be named.
Workload workload_of(const std::shared_ptr<TimedProgram>& program);

/// One sentence on whether a timed program's first logits are those that evaluation computes for the same tokens (unpadded, the
/// head apart from the body): "timed outputs agree with evaluation's to 3e-07". `agrees` tells.
std::string compare_with_evaluation(const Job& job, const std::shared_ptr<const PackedModel>& packed,
                                    const std::shared_ptr<const TimedData>& data, bool& agrees);

}  // namespace eaq
