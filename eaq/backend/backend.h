// backend: what a model is made of (a few semantic ops), the Program that carries them, and the devices that run it.
//
// A Program is the one list of layers: the executor runs it, the profiler repeats a part of it, the planner swaps its formats.
// The engine writes it from a model's Graph and a Recipe; a backend's fusions then rewrite its Steps, and bind() gives each Step
// its `run`.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/format/format.h"
#include "eaq/kernel/kernel.h"
#include "eaq/meter/meter.h"

namespace eaq {

/// Kinds of step, as profiles, the synthetic meter and results name them. A fused step has the kind of its product.
enum class StepKind { linear, attention, norm, activation, residual, embedding, head, other };
std::string_view name_of(StepKind kind);

/// Index of a value: an activation matrix that steps read and write. -1 is none.
using Value = int;
inline constexpr Value no_value = -1;

enum class RowsPer { token, sequence };
struct ValueInfo {
  std::int64_t width = 0;
  RowsPer rows = RowsPer::token;
  DType dtype = DType::f32;
};

/// A table of rows that embeddings gather from: a tied product, or a matrix of its own.
struct Table {
  std::shared_ptr<const Product> product;  ///< gather through Product::row(), or
  std::shared_ptr<const Tensor> matrix;    ///< [rows, width] in f32, bf16 or f16
};

/// Per-channel parameters of a norm; shared so that fused steps can carry them along.
struct NormParameters {
  std::shared_ptr<const std::vector<float>> gamma, beta;
  float epsilon = 1e-5f;
};

// ---- The ops. Plain fields are the op itself; those under "fused" are set only by a backend's fusions.

struct EmbeddingOp {  ///< out[r] = tokens[id[r]] + positions[position[r]]
  Table tokens, positions;
  Value out = no_value;
  std::optional<NormParameters> norm;  ///< fused: a layer norm of the sum
};
struct AttentionOp {  ///< softmax(q k^T scale) v over packed q, k, v: in is [rows, 3 * heads * head_dim]
  int heads = 1, head_dim = 64, layer = 0;
  bool causal = false;
  float scale = 1;
  Value in = no_value, out = no_value;
  bool first_query_only = false;  ///< fused: only each sequence's first row asks; `out` has a row per sequence
};
struct LinearOp {  ///< out = in w^T + bias
  std::shared_ptr<const Product> product;
  std::shared_ptr<const std::vector<float>> bias;  ///< may be null
  Value in = no_value, out = no_value;
  Activation activation = Activation::none;  ///< fused: applied before the residual
  Value residual = no_value;                 ///< fused: added last
  std::optional<NormParameters> norm;        ///< fused: the input is normed first, and
  Value normed = no_value;                   ///< kept here where the product cannot do that by the way
  bool given_moments = false;                ///< or the sums of the input's rows, by the step that made it,
  Value moments = no_value;                  ///< which keeps them there where rows are worth it
  std::optional<AttentionOp> attention;      ///< fused: over the output, which is written only where both are not one kernel
};
struct NormOp {
  NormParameters norm;
  Value in = no_value, out = no_value;
  Value add = no_value, sum = no_value;  ///< fused: in + add is normed, and kept in `sum` where that is given
};
struct ActivationOp {
  Activation activation = Activation::gelu;
  Value in = no_value, out = no_value;
};
struct ResidualOp {
  Value a = no_value, b = no_value, out = no_value;
};
struct SelectOp {  ///< out[s] = the first or the last row of sequence s in `in`
  bool last = false;
  Value in = no_value, out = no_value;
};
using Op = std::variant<EmbeddingOp, LinearOp, AttentionOp, NormOp, ActivationOp, ResidualOp, SelectOp>;

// ---- Running

/// What one run computes on. Sequences lie one after the other in rows; nothing is padded unless the caller put padding rows in.
struct Batch {
  std::span<const std::int32_t> ids;        ///< [rows]
  std::span<const std::int32_t> positions;  ///< [rows]
  std::span<const std::int32_t> row_begin;  ///< [sequences + 1]
  std::span<const std::uint8_t> key_mask;   ///< [rows], 0 hides a row from attention; empty: all are seen
  std::span<const std::int32_t> past;       ///< [sequences] rows of each sequence already in the KV cache; empty: no cache in use

  std::int64_t rows() const { return static_cast<std::int64_t>(ids.size()); }
  std::int64_t sequences() const { return static_cast<std::int64_t>(row_begin.size()) - 1; }
};

/// A batch's data where the device reads them: a backend's own, made once and run many times.
class PlacedBatch {
 public:
  virtual ~PlacedBatch() = default;

  /// Decoding that never leaves the device, for a batch of one row a sequence: feed_back() submits that each sequence's chosen
  /// token becomes its next input, one position on; false where the device does not do that. fed_back() waits, and gives what was
  /// chosen last, or Error{input} where logits were no numbers. rewind() submits the batch as it was at first.
  virtual bool feed_back(const Matrix& /*logits*/, const Sampling& /*sampling*/) { return false; }
  virtual std::vector<std::int32_t> fed_back() { return {}; }
  virtual void rewind() {}
};

/// Keys and values of earlier tokens, in the device's memory: [layer][sequence][position][heads * head_dim].
struct KvCache {
  DType dtype = DType::f32;
  std::int64_t layers = 0, sequences = 0, capacity = 0, width = 0;
  DeviceMemory keys, values;

  KvCache(ExecutionContext& context, DType dtype, std::int64_t layers, std::int64_t sequences, std::int64_t capacity,
          std::int64_t width);
  std::byte* key_row(std::int64_t layer, std::int64_t sequence, std::int64_t position);
  std::byte* value_row(std::int64_t layer, std::int64_t sequence, std::int64_t position);

 private:
  std::size_t offset(std::int64_t layer, std::int64_t sequence, std::int64_t position) const;
};

/// Names of the kernels by which steps without a product of their own ran.
class KernelNames {
 public:
  void add(std::string_view name);
  std::vector<std::string> all() const;  ///< in alphabetical order
  void clear();

 private:
  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> names_;
};

/// What a step's `run` sees.
struct Frame {
  ExecutionContext& context;
  const Batch& batch;
  std::span<const Matrix> values;  ///< by Value, in the device's memory, sized for this batch
  KvCache* cache = nullptr;
  const PlacedBatch* placed = nullptr;  ///< the batch as Backend::place() gave it
  KernelNames* kernels = nullptr;       ///< told which attention ran
};

struct Step {
  std::string site;  ///< the site whose weights it uses, or the module's name in the checkpoint ("transformer.h.0.ln_1")
  StepKind kind = StepKind::other;
  std::string format;  ///< the recipe's format for the site; activations' storage for steps without weights
  Op op;
  std::function<void(const Frame&)> run;  ///< set by Backend::bind
};

/// Operations and memory traffic of one run of a step: 2 per multiply-add; bytes of weights read once and of activations read and
/// written.
struct StepCost {
  double flops = 0, bytes = 0;
};
StepCost cost_of(const Step& step, std::span<const ValueInfo> values, const Batch& batch);

/// Values that a step reads and the one (or two) that it writes.
std::vector<Value> reads_of(const Op& op);
std::vector<Value> writes_of(const Op& op);

struct Program {
  std::vector<ValueInfo> values;
  std::vector<Step> steps;
  Value output = no_value;  ///< the logits, f32
};

/// A rewriting of a Program's steps. Each is named, so that it can be timed, checked and left out.
struct Fusion {
  std::string_view name;
  void (*apply)(Program&);
  bool decoding = false;  ///< only for a Program that runs one row of every sequence
};

struct ContextOptions {
  int threads = 0;  ///< CPU: 0 is every core of this process
  int number = 0;   ///< which of the device's kind: of "cuda:1", 1
};

/// What one row of logits says, of a target and against a reference.
struct RowOutcome {
  std::int32_t argmax = 0;  ///< the lowest index among equals; NaN never wins
  std::int64_t non_finite = 0;
  double nll = 0;        ///< of the target, nats
  double kl = 0;         ///< KL(reference || this), nats; 0 for the reference itself
  bool flipped = false;  ///< another argmax than the reference's
};

/// Reduces logits where they are: rows of them never leave the device.
class Judge {
 public:
  virtual ~Judge() = default;
  /// Rows that later calls of judge() are held against; they must stay until then. `outcomes` as of judge().
  virtual void judge_reference(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes) = 0;
  /// One outcome for each row of `logits` (f32) whose target is not negative; the others are left as they are.
  virtual void judge(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes,
                     bool against_reference) = 0;
  /// Largest |x| among finite elements, and how many are not finite.
  virtual RangeSummary range(const Matrix& x) = 0;
};

/// Steps that were recorded as one submission.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void submit() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view device() const = 0;         ///< what `--device` calls it
  virtual std::string unavailable_reason() const = 0;  ///< empty where it can run
  virtual std::unique_ptr<ExecutionContext> make_context(const ContextOptions&) const = 0;
  /// What `format` can do here, and the packing of a weight.
  virtual Support support(const Format&, const ExecutionContext&) const = 0;
  /// Whether products in `format` want a norm that only they read folded into their weight: its gamma in the weight, beta in the
  /// bias (Product::holds_norm).
  virtual bool folds_norms(const Format&, const ExecutionContext&) const { return false; }
  /// The product is there for work in this context's order; before another context runs it, this one must have been synchronised.
  virtual std::shared_ptr<const Product> make_product(const Format&, ExecutionContext&, const LinearWeight&) const = 0;
  virtual std::span<const Fusion> fusions() const = 0;
  virtual void bind(Program&, ExecutionContext&) const = 0;
  virtual std::unique_ptr<Judge> make_judge(ExecutionContext&) const = 0;

  /// The batch in the device's memory; null where steps read the host's.
  virtual std::unique_ptr<PlacedBatch> place(ExecutionContext&, const Batch&) const { return nullptr; }
  /// Calls `submit_steps` once and keeps what it submits, to be submitted again; null where the device does not record. The steps
  /// must have run before with the same shapes, so that nothing is chosen or allocated.
  virtual std::unique_ptr<Recording> record(ExecutionContext&, const std::function<void()>& /*submit_steps*/) const {
    return nullptr;
  }
  /// Whether its placed batches do PlacedBatch::feed_back().
  virtual bool feeds_back() const { return false; }
  /// Elements by which rows of activations are aligned.
  virtual std::int64_t row_alignment() const { return 1; }
};

/// The values of a format that this device refuses, by an fp32 product over what the format's plain definition makes of weight
/// and input. Slow: inputs are rounded on the host; what runs it cannot be recorded.
std::shared_ptr<const Product> make_emulated_product(const Backend&, const Format&, ExecutionContext&, const LinearWeight&);

std::span<const RegistryRow<Backend>> backends();

/// Error{usage} for a name that is no device, Error{unavailable} with the reason for one that cannot run here.
const Backend& backend_named(std::string_view device);

}  // namespace eaq
