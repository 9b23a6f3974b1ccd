// engine: load a checkpoint, choose formats by a Recipe, pack the weights, compile Graph + Recipe to a Program, run it, generate
// text.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/backend/backend.h"
#include "eaq/base/base.h"
#include "eaq/container/container.h"
#include "eaq/model/model.h"
#include "eaq/text/text.h"

namespace eaq {

// ---- Models

/// A checkpoint that has been opened and understood, nothing packed yet.
struct Model {
  std::string name;    ///< the folder's name, the repository's on the hub, or all of "synthetic:..."
  std::string source;  ///< of a model of the hub: "hf:OWNER/NAME@COMMIT"; else empty
  std::filesystem::path path;
  bool random = false;  ///< synthetic: its answers mean nothing, and it has neither a folder nor a tokenizer
  Graph graph;
  std::shared_ptr<const Checkpoint> checkpoint;

  std::string resolve(std::string_view tensor) const;  ///< the name in this checkpoint; Error{input} where it is missing
  bool has(std::string_view tensor) const;
  TensorView tensor(std::string_view tensor_name) const { return checkpoint->tensor(resolve(tensor_name)); }
};
/// `where` is a folder, the name of an embedded model, or "hf:OWNER/NAME[@REVISION]" for one in the hub's cache (fetch_snapshot()
/// brings it there): checks that every tensor which the graph needs is there with the right shape. Or
/// "synthetic:FAMILY[?SIZE=N&...]": the family's own sizes but for those named (layers, width, heads, inner, vocabulary, context,
/// labels), and random weights of a trained model's scale; `seed=N` gives others. The same on every machine.
Model open_model(const std::string& where);

/// Where a model of this name lies: a folder, an embedded one, or the hub's cache. Error{input} where neither of the first is
/// there, Error{unavailable} where the cache has no such snapshot.
std::filesystem::path model_folder(const std::string& where);

/// Of the model's folder. Error{input} where it has none, as a model of random weights has not.
std::shared_ptr<const Tokenizer> tokenizer_of(const Model& model);

// ---- Recipes

/// Which format each site runs in.
struct Recipe {
  std::string name;           ///< a format's short name, or the file's stem
  std::string base = "fp32";  ///< format of everything that no entry covers; also decides how activations are stored
  std::map<std::string, std::string> sites;  ///< site id -> format, only where it differs from base
  std::string kv_cache;                      ///< fp32, bf16 or fp16; empty: as activations are stored

  const std::string& format_of(std::string_view site) const;
};
/// A uniform recipe from `fp16`, `int8`, `int8+head`, ...: an 8-bit format covers the blocks' linear layers, with `+head`
/// embedding and head too; the rest stays in `base`. Error{usage} for an unknown format.
Recipe uniform_recipe(const Graph&, std::string_view format, std::string_view base = "fp32");
/// Reads eaq.recipe/1. Error{input} for unknown sites (with the nearest name), formats, disagreeing fused neighbours.
Recipe read_recipe(const Graph&, const std::filesystem::path&);
std::string recipe_json(const Recipe&);  ///< as eaq.recipe/1

/// Bytes of the whole model stored by this recipe (a tied head in a format of its own counts as a second copy).
std::int64_t stored_bytes(const Graph&, const Recipe&);

// ---- Packed weights

/// A device ready to work.
struct Device {
  const Backend* backend = nullptr;
  std::shared_ptr<ExecutionContext> context;
};
/// `name` is "cpu", "ref", "cuda" or "cuda:1". Error{usage} for a name that is no device, Error{unavailable} for one that is not
/// to be had here.
Device open_device(std::string_view name, const ContextOptions& = {});
/// What an 8-bit format leaves everything else in: fp32 in the host's memory; on a card bf16, or fp16 where it has no bf16.
std::string default_base(const Device&);
/// Every format that does something on a device of this kind, as a table has them: fp32 first, then by bits per weight.
std::vector<std::string> default_formats(const Device&);

struct PackOptions {
  bool emulates = false;  ///< to judge answers, not to be timed; see make_emulated_product()
};

/// Weights of a model in a recipe's formats on a device. Shared by every Program compiled from it.
class PackedModel {
 public:
  /// Error{unavailable} with the reason where a format of the recipe is refused on the device. Mapped pages are released behind
  /// the packing.
  PackedModel(const Model&, Recipe, const Device&);
  /// The same checkpoint by another recipe, or with something ablated, on the same device: what both have alike is packed once,
  /// and shared. Sites in formats that the device refuses are emulated where that is asked for.
  PackedModel(const Model&, Recipe, const PackedModel& other, const PackOptions& = {});
  ~PackedModel();

  const Graph& graph() const;
  const Recipe& recipe() const;
  const Device& device() const;
  /// The weights of a linear site once more, in memory of their own. Error{unavailable} where there is not room for some more.
  std::shared_ptr<const Product> pack_again(const Model&, const std::string& site) const;
  std::size_t resident_bytes() const;
  /// Storage, arithmetic and emulation of the products that ran so far, and the kernels of those and of attention.
  KernelReport report() const;
  void begin_report() const;  ///< report() is of what runs from here on; nothing may be running

  struct State;
  const State& state() const { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

// ---- Running

enum class Phase { forward, prefill, decode };
std::string_view name_of(Phase phase);

/// Watches values as steps produce them (overflow counts, calibration). Slow; never attached in a trial.
using ValueProbe = std::function<void(const Step&, const Matrix&)>;

struct RunHooks {
  StepListener* listener = nullptr;  ///< told each step's begin and end
  const ValueProbe* probe = nullptr;
};

struct SessionOptions {
  Logits logits = Logits::all;
  std::int64_t cache_sequences = 0, cache_capacity = 0;  ///< with a KV cache of so many sequences and positions; 0: none
  bool fusions = true;
  /// Decoding on the device, where it offers that (can_feed_back()): each submission of a prepared batch of one row a sequence
  /// ends with the chosen tokens becoming its next input.
  bool feeds_back = false;
  Sampling sampling = {};
};

/// A run that does more than its program once, so that a step's part of time and joules can be told from others'.
struct Repeats {
  /// By pass through the program and by step of program_for(batch): how often it runs, one time after the other. A step may run
  /// any number of times: it reads nothing that it writes. Empty: one pass, each once.
  std::vector<std::vector<int>> passes;
  /// The weights that the n-th repeat (from 1 on, counted over the run) of a linear step multiplies by, so that it does not find
  /// them in the cache where a model would not; null: its own.
  std::function<std::shared_ptr<const Product>(const Step&, int n)> weights;
};

/// A batch that lies ready on the device, to be run again and again by the session that prepared it.
class PreparedBatch {
 public:
  PreparedBatch(PreparedBatch&&) noexcept;
  ~PreparedBatch();

 private:
  friend class Session;
  struct State;
  explicit PreparedBatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A Program compiled from packed weights, and its workspace. Not thread-safe. Matrices that it gives lie in the device's memory.
class Session {
 public:
  Session(std::shared_ptr<const PackedModel>, const SessionOptions& = {});
  ~Session();
  Session(Session&&) noexcept;

  const Program& program() const;
  const Program& program_for(const Batch&) const;  ///< what run() runs for it: decoding may have a Program of its own
  const PackedModel& packed() const;

  /// Plans the workspace for batches of up to this size; run() calls it by itself, so that only a larger batch allocates.
  void reserve(std::int64_t rows, std::int64_t sequences);

  /// Logits, f32: [rows, vocabulary], [sequences, vocabulary] (Logits::last) or [sequences, labels]. Valid until the next run.
  Matrix run(const Batch&, const RunHooks& = {});

  /// What a trial repeats: nothing is checked, copied or allocated again, and a device that runs by itself is not waited for
  /// (ExecutionContext::finish_runs, synchronise). A device that can records a batch before its first submission: record() does
  /// so by itself, ahead of trials (after reserve() for the largest batch, as workspace that moves is recorded anew), and says
  /// whether anything was recorded.
  PreparedBatch prepare(const Batch&, const Repeats& = {});
  bool record(PreparedBatch&);
  Matrix submit(PreparedBatch&, const RunHooks& = {});

  /// How long each step of the batch's program takes on the device's own clock, in their order: medians over so many runs of it
  /// all, at least one. A card is timed by events within one recording: steps then do not overlap, but a weight that is read
  /// ahead counts where it is read. Feeding back is no step.
  std::vector<Seconds> step_times(PreparedBatch&, int runs);

  /// With SessionOptions::feeds_back: the tokens chosen last (waits; Error{input} where logits were not finite; empty where the
  /// device does not feed back), and the batch as it was prepared.
  std::vector<std::int32_t> fed_back(PreparedBatch&);
  void rewind(PreparedBatch&);

  /// run() in two parts, for texts whose logits should never exist all at once: run_body() leaves out the head, head() then gives
  /// the logits of `count` rows. The batch must live until the last head(). Each Matrix is valid until the next call.
  void run_body(const Batch&, const RunHooks& = {});
  Matrix head(std::int64_t first_row, std::int64_t count);

  KvCache* cache();
  std::size_t workspace_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether sessions on this device may ask for feeds_back.
bool can_feed_back(const Device&);

/// Rows of f32 values, one after the other, from wherever they lie. Waits for what was submitted.
std::vector<float> on_host(ExecutionContext& context, const Matrix& rows);

// ---- Batches and text

/// A Batch that owns what it points to.
struct OwnedBatch {
  std::vector<std::int32_t> ids, positions, row_begin, past;
  std::vector<std::uint8_t> key_mask;
  Batch view() const { return {ids, positions, row_begin, key_mask, past}; }
};
/// Sequences one after the other. `pad_to` > 0 pads each to that length with `pad_id`, hidden from attention; 0 runs them
/// unpadded.
OwnedBatch make_batch(std::span<const std::vector<std::int32_t>> sequences, std::int64_t pad_to = 0, std::int32_t pad_id = 0);

struct GenerateOptions {
  int max_new_tokens = 64;
  double temperature = 0;  ///< 0 is greedy
  int top_k = 0;           ///< 0: all
  double top_p = 1;
  std::uint64_t seed = 0;
  bool stop_at_end = true;           ///< at the model's end-of-text token
  StepListener* listener = nullptr;  ///< told each step, where a meter wants them
};
struct Generated {
  std::vector<std::int32_t> ids;  ///< the new ones
  Seconds prefill, decode;
};
/// `on_token` sees each new id as it comes; returning false ends generation. Error{input} when prompt + new tokens exceed the
/// context.
Generated generate(const std::shared_ptr<const PackedModel>&, std::span<const std::int32_t> prompt, const GenerateOptions&,
                   const std::function<bool(std::int32_t)>& on_token = {});

}  // namespace eaq
