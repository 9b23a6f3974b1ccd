#include "eaq/backend/cpu/cpu.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "eaq/backend/fusions.h"
#include "eaq/backend/host_judge.h"

namespace eaq::backend_cpu {
namespace {

const Matrix& value(const Frame& f, Value v) { return f.values[static_cast<std::size_t>(v)]; }
CpuContext& cpu(const Frame& f) { return static_cast<CpuContext&>(f.context); }

// Rows a task takes in the loops that only move data: large enough that handing out a task does not show.
constexpr std::int64_t rows_per_task = 16;

// A table's row where it lies, or as its product gives it in `f32`.
Matrix row_of(const Table& table, std::int64_t index, std::int64_t width, float* f32) {
  if (table.product) {
    table.product->row(index, f32);
    return {DType::f32, reinterpret_cast<std::byte*>(f32), 1, width, width};
  }
  const DType dtype = table.matrix->dtype;
  // Read alone, which a Matrix does not say.
  auto* const all = const_cast<std::byte*>(table.matrix->buffer.data());
  return {dtype, all + static_cast<std::size_t>(index * width) * size_of(dtype), 1, width, width};
}

void run(const EmbeddingOp& op, const Frame& f) {
  const Matrix& out = value(f, op.out);
  const auto width = static_cast<std::size_t>(out.cols);
  std::optional<LayerNorm> norm;
  if (op.norm) norm = {op.norm->gamma->data(), op.norm->beta->data(), op.norm->epsilon};
  cpu(f).parallel((out.rows + rows_per_task - 1) / rows_per_task, [&](std::int64_t task, int thread) {
    std::byte* const scratch = cpu(f).scratch(thread, 3 * width * sizeof(float) + 64);
    auto* const token = reinterpret_cast<float*>(scratch);
    for (std::int64_t r = task * rows_per_task; r < std::min(out.rows, (task + 1) * rows_per_task); ++r) {
      const auto at = static_cast<std::size_t>(r);
      add_rows(norm ? &*norm : nullptr, row_of(op.tokens, f.batch.ids[at], out.cols, token),
               row_of(op.positions, f.batch.positions[at], out.cols, token + width), out.slice(r, 1),
               scratch + 2 * width * sizeof(float));
    }
  });
}

void run(const LinearOp& op, const Frame& f) {
  op.product->run(f.context, value(f, op.in), value(f, op.out),
                  {.bias = op.bias ? op.bias->data() : nullptr,
                   .activation = op.activation,
                   .residual = op.residual == no_value ? nullptr : &value(f, op.residual)});
}

std::int64_t past_of(const Batch& batch, std::int64_t sequence) {
  return batch.past.empty() ? 0 : batch.past[static_cast<std::size_t>(sequence)];
}

// Appends rows of one sequence, from its `first` new one on, to the cache: keys and values as they lie in the packed product.
void append_rows(const AttentionOp& op, const Frame& f, std::int64_t sequence, std::int64_t first, std::int64_t count) {
  const Matrix& in = value(f, op.in);
  const std::int64_t width = static_cast<std::int64_t>(op.heads) * op.head_dim,
                     element = static_cast<std::int64_t>(size_of(in.dtype)),
                     row = f.batch.row_begin[static_cast<std::size_t>(sequence)] + first, at = past_of(f.batch, sequence) + first;
  std::byte* const to[] = {f.cache->key_row(op.layer, sequence, at), f.cache->value_row(op.layer, sequence, at)};
  for (int part = 0; part < 2; ++part)
    for (std::int64_t r = 0; r < count; ++r)
      std::memcpy(to[part] + r * width * element, in.row(row + r) + (part + 1) * width * element,
                  static_cast<std::size_t>(width * element));
}

// Appends the new keys and values of all sequences to the cache: of a prompt by all threads, as they are megabytes a layer.
void append(const AttentionOp& op, const Frame& f) {
  constexpr std::int64_t rows_of_a_task = 32;
  const Matrix& in = value(f, op.in);
  const auto rows_of = [&](std::int64_t s) {
    const auto i = static_cast<std::size_t>(s);
    return std::int64_t{f.batch.row_begin[i + 1]} - f.batch.row_begin[i];
  };
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < f.batch.sequences(); ++s) longest = std::max(longest, rows_of(s));
  if (in.dtype != f.cache->dtype) {
    const std::int64_t width = static_cast<std::int64_t>(op.heads) * op.head_dim,
                       element = static_cast<std::int64_t>(size_of(in.dtype));
    for (std::int64_t s = 0; s < f.batch.sequences(); ++s)
      for (int part = 0; part < 2; ++part) {
        const std::int64_t first = f.batch.row_begin[static_cast<std::size_t>(s)], past = past_of(f.batch, s);
        std::byte* to = part == 0 ? f.cache->key_row(op.layer, s, past) : f.cache->value_row(op.layer, s, past);
        convert(cpu(f), {in.dtype, in.row(first) + (part + 1) * width * element, rows_of(s), width, in.stride},
                {f.cache->dtype, to, rows_of(s), width, width});
      }
  } else if (longest <= 1) {
    for (std::int64_t s = 0; s < f.batch.sequences(); ++s) append_rows(op, f, s, 0, rows_of(s));
  } else {
    const std::int64_t blocks = (longest + rows_of_a_task - 1) / rows_of_a_task;
    cpu(f).parallel(f.batch.sequences() * blocks, [&](std::int64_t task, int) {
      const std::int64_t s = task / blocks, first = task % blocks * rows_of_a_task;
      if (first < rows_of(s)) append_rows(op, f, s, first, std::min(rows_of(s) - first, rows_of_a_task));
    });
  }
}

// Holds the list of sequences between runs, so that a trial allocates nothing.
class AttentionStep {
 public:
  explicit AttentionStep(const AttentionOp& op) : op_(op) {}

  void operator()(const Frame& f) {
    const Matrix& in = value(f, op_.in);
    const Matrix& out = value(f, op_.out);
    const std::int64_t width = static_cast<std::int64_t>(op_.heads) * op_.head_dim;
    const auto element = static_cast<std::int64_t>(size_of(in.dtype));
    sequences_.clear();
    if (f.cache != nullptr) append(op_, f);
    for (std::int64_t s = 0; s < f.batch.sequences(); ++s) {
      const std::int64_t first = f.batch.row_begin[static_cast<std::size_t>(s)];
      const std::int64_t rows = f.batch.row_begin[static_cast<std::size_t>(s) + 1] - first;
      AttentionSequence a;
      a.q = in.row(first);
      a.k = a.q + width * element;
      a.v = a.q + 2 * width * element;
      a.out = out.row(op_.first_query_only ? s : first);
      a.mask = f.batch.key_mask.empty() ? nullptr : f.batch.key_mask.data() + first;
      a.queries = op_.first_query_only ? std::min<std::int64_t>(rows, 1) : rows;
      a.keys = rows;
      a.q_stride = a.k_stride = a.v_stride = in.stride;
      a.out_stride = out.stride;
      if (f.cache != nullptr) {
        a.k = f.cache->key_row(op_.layer, s, 0);
        a.v = f.cache->value_row(op_.layer, s, 0);
        a.keys = past_of(f.batch, s) + rows;
        a.k_stride = a.v_stride = width;
      }
      sequences_.push_back(a);
    }
    attention(cpu(f),
              {.heads = op_.heads,
               .head_dim = op_.head_dim,
               .causal = op_.causal,
               .scale = op_.scale,
               .dtype = in.dtype,
               .kv_dtype = f.cache != nullptr ? f.cache->dtype : in.dtype},
              sequences_);
    if (f.kernels != nullptr) f.kernels->add(name_);
  }

 private:
  AttentionOp op_;
  std::string name_ = "eaq attention, " + std::string(name_of(cpu_isa()));
  std::vector<AttentionSequence> sequences_;
};

void run(const NormOp& op, const Frame& f) {
  const LayerNorm norm{op.norm.gamma->data(), op.norm.beta->data(), op.norm.epsilon};
  layer_norm(cpu(f), norm, value(f, op.in), value(f, op.out), op.add == no_value ? nullptr : &value(f, op.add),
             op.sum == no_value ? nullptr : &value(f, op.sum));
}

void run(const ActivationOp& op, const Frame& f) { activation(cpu(f), op.activation, value(f, op.in), value(f, op.out)); }
void run(const ResidualOp& op, const Frame& f) { add(cpu(f), value(f, op.a), value(f, op.b), value(f, op.out)); }

void run(const SelectOp& op, const Frame& f) {
  const Matrix& in = value(f, op.in);
  const Matrix& out = value(f, op.out);
  for (std::int64_t s = 0; s < f.batch.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int64_t row = op.last ? f.batch.row_begin[i + 1] - 1 : f.batch.row_begin[i];
    std::memcpy(out.row(s), in.row(row), static_cast<std::size_t>(in.cols) * size_of(in.dtype));
  }
}

template <class T>
std::function<void(const Frame&)> bound(const T& op) {
  return [op](const Frame& f) { run(op, f); };
}
std::function<void(const Frame&)> bound(const AttentionOp& op) { return AttentionStep(op); }

constexpr Fusion fusion_table[] = {{"select-early", select_early},
                                   {"embedding+norm", fuse_embedding_norm},
                                   {"linear+activation", fuse_activation},
                                   {"linear+residual", fuse_residual}};

class CpuBackend : public Backend {
 public:
  std::string_view device() const override { return "cpu"; }
  std::string unavailable_reason() const override {
    try {
      cpu_isa();
      return "";
    } catch (const Error& e) {
      return e.what();
    }
  }
  std::unique_ptr<ExecutionContext> make_context(const ContextOptions& options) const override {
    return std::make_unique<CpuContext>(options.threads);
  }
  Support support(const Format& format, const ExecutionContext& context) const override {
    const ProductMaker* maker = format.on("cpu");
    if (maker == nullptr) return {SupportLevel::refused, std::string(format.traits().name) + " has no CPU product"};
    return maker->support(context);
  }
  std::shared_ptr<const Product> make_product(const Format& format, ExecutionContext& context,
                                              const LinearWeight& weight) const override {
    return format.on("cpu")->make(context, weight);
  }
  std::span<const Fusion> fusions() const override { return fusion_table; }
  void bind(Program& program, ExecutionContext&) const override {
    for (Step& step : program.steps) step.run = std::visit([](const auto& op) { return bound(op); }, step.op);
  }
  std::unique_ptr<Judge> make_judge(ExecutionContext& context) const override {
    return std::make_unique<HostJudge>(static_cast<CpuContext&>(context).threads());
  }
};

}  // namespace

const Backend& entry() {
  static const CpuBackend backend;
  return backend;
}

}  // namespace eaq::backend_cpu
