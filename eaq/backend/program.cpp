#include <algorithm>
#include <numeric>
#include <type_traits>

#include "eaq/backend/backend.h"

namespace eaq {
namespace {

// Calls `read` and `write` with every Value field of an op: the one place that knows which is which.
template <class Read, class Write>
void for_each_value(const Op& op, Read read, Write write) {
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, EmbeddingOp>) {
          write(o.out);
        } else if constexpr (std::is_same_v<T, LinearOp>) {
          read(o.in), read(o.residual), write(o.out), write(o.normed), write(o.moments);
          if (o.given_moments) read(o.normed);
          if (o.attention) write(o.attention->out);
        } else if constexpr (std::is_same_v<T, NormOp>) {
          read(o.in), read(o.add), write(o.out), write(o.sum);
        } else if constexpr (std::is_same_v<T, ResidualOp>) {
          read(o.a), read(o.b), write(o.out);
        } else {
          read(o.in), write(o.out);
        }
      },
      op);
}

// Query-key pairs that attention visits, summed over the batch.
double attended_pairs(const AttentionOp& op, const Batch& batch) {
  double pairs = 0;
  for (std::int64_t s = 0; s < batch.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const double queries = op.first_query_only ? 1 : batch.row_begin[i + 1] - batch.row_begin[i];
    const double rows = batch.row_begin[i + 1] - batch.row_begin[i];
    const double past = batch.past.empty() ? 0 : batch.past[i];
    pairs += op.causal ? queries * past + queries * (queries + 1) / 2 : queries * (past + rows);
  }
  return pairs;
}

// Rows of a cache that attention reads, in elements.
double cached_elements(const AttentionOp& op, const Batch& batch) {
  return std::accumulate(batch.past.begin(), batch.past.end(), 0.0) * 2 * op.heads * op.head_dim;
}

double flops_of(const AttentionOp& op, const Batch& batch) {
  return attended_pairs(op, batch) * op.heads * (4.0 * op.head_dim + 5);  // two products, and scale, shift, exp, sum, divide
}

}  // namespace

void KernelNames::add(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (names_.find(name) == names_.end()) names_.emplace(name);
}

std::vector<std::string> KernelNames::all() const {
  const std::lock_guard lock(mutex_);
  return {names_.begin(), names_.end()};
}

void KernelNames::clear() {
  const std::lock_guard lock(mutex_);
  names_.clear();
}

std::string_view name_of(StepKind kind) {
  constexpr std::string_view names[] = {"linear", "attention", "norm", "activation", "residual", "embedding", "head", "other"};
  return names[static_cast<std::size_t>(kind)];
}

std::vector<Value> reads_of(const Op& op) {
  std::vector<Value> values;
  for_each_value(
      op,
      [&](Value v) {
        if (v != no_value) values.push_back(v);
      },
      [](Value) {});
  return values;
}

std::vector<Value> writes_of(const Op& op) {
  std::vector<Value> values;
  for_each_value(
      op, [](Value) {},
      [&](Value v) {
        if (v != no_value) values.push_back(v);
      });
  return values;
}

StepCost cost_of(const Step& step, std::span<const ValueInfo> values, const Batch& batch) {
  const auto rows = [&](Value v) {
    return static_cast<double>(values[static_cast<std::size_t>(v)].rows == RowsPer::token ? batch.rows() : batch.sequences());
  };
  const auto element = [&](Value v) { return static_cast<double>(size_of(values[static_cast<std::size_t>(v)].dtype)); };
  const auto bytes = [&](Value v) {
    return rows(v) * static_cast<double>(values[static_cast<std::size_t>(v)].width) * element(v);
  };
  StepCost cost;
  for (const Value v : reads_of(step.op)) cost.bytes += bytes(v);
  for (const Value v : writes_of(step.op)) cost.bytes += bytes(v);
  std::visit(
      [&](const auto& op) {
        using T = std::decay_t<decltype(op)>;
        const double width = static_cast<double>(values[static_cast<std::size_t>(op.out)].width), outputs = rows(op.out) * width;
        if constexpr (std::is_same_v<T, LinearOp>) {
          const double k = static_cast<double>(values[static_cast<std::size_t>(op.in)].width);
          cost.flops = outputs * (2 * k + (op.bias ? 1 : 0));
          cost.bytes += static_cast<double>(op.product->bytes());
          // Norms on the way, and some floats a row.
          if (op.normed != no_value) cost.bytes -= bytes(op.normed) * (op.given_moments ? 2 : 1);
          if (op.moments != no_value) cost.bytes -= bytes(op.moments);
          if (op.attention) {
            cost.flops += flops_of(*op.attention, batch);
            cost.bytes += cached_elements(*op.attention, batch) * element(op.out) - bytes(op.out);  // nor does that lie anywhere
          }
        } else if constexpr (std::is_same_v<T, AttentionOp>) {
          cost.flops = flops_of(op, batch);
          cost.bytes += cached_elements(op, batch) * element(op.in);
        } else if constexpr (std::is_same_v<T, NormOp>) {
          cost.flops = outputs * 8;
        } else if constexpr (std::is_same_v<T, EmbeddingOp>) {
          cost.flops = outputs;
          cost.bytes += outputs * 2 * static_cast<double>(size_of(values[static_cast<std::size_t>(op.out)].dtype));
        } else if constexpr (std::is_same_v<T, ResidualOp> || std::is_same_v<T, ActivationOp>) {
          cost.flops = outputs;
        }
      },
      step.op);
  return cost;
}

KvCache::KvCache(ExecutionContext& context, DType dtype_, std::int64_t layers_, std::int64_t sequences_, std::int64_t capacity_,
                 std::int64_t width_)
    : dtype(dtype_), layers(layers_), sequences(sequences_), capacity(capacity_), width(width_) {
  const std::size_t bytes = static_cast<std::size_t>(elements({layers, sequences, capacity, width})) * size_of(dtype);
  keys = context.allocate(bytes, "a cache of keys");
  values = context.allocate(bytes, "a cache of values");
}

std::size_t KvCache::offset(std::int64_t layer, std::int64_t sequence, std::int64_t position) const {
  return static_cast<std::size_t>(((layer * sequences + sequence) * capacity + position) * width) * size_of(dtype);
}
std::byte* KvCache::key_row(std::int64_t layer, std::int64_t sequence, std::int64_t position) {
  return keys.data() + offset(layer, sequence, position);
}
std::byte* KvCache::value_row(std::int64_t layer, std::int64_t sequence, std::int64_t position) {
  return values.data() + offset(layer, sequence, position);
}

const Backend& backend_named(std::string_view device) {
  std::string known;
  for (const auto& row : backends()) {
    if (row.name == device && row.entry == nullptr)
      throw Error(ErrorKind::unavailable, "device '" + std::string(device) + "' is not available: " + std::string(row.left_out));
    if (row.entry == nullptr) continue;
    if (row.entry->device() == device) {
      if (const std::string reason = row.entry->unavailable_reason(); !reason.empty())
        throw Error(ErrorKind::unavailable, "device '" + std::string(device) + "' is not available: " + reason);
      return *row.entry;
    }
    known += (known.empty() ? "" : ", ") + std::string(row.entry->device());
  }
  // CUDA is a device that eaq knows of; a build without it is not a mistyped name.
  if (device == "cuda")
    throw Error(ErrorKind::unavailable, "device 'cuda' is not available: this build has no CUDA backend (it has: " + known + ")");
  throw Error(ErrorKind::usage, "no device is called '" + printable(device) + "'; there are: " + known);
}

}  // namespace eaq
