#include "eaq/backend/cpu/cpu.h"

#include <algorithm>
#include <cstring>

#include "eaq/backend/fusions.h"
#include "eaq/backend/host_judge.h"

namespace eaq::backend_cpu {
namespace {

const Matrix& value(const Frame& f, Value v) { return f.values[static_cast<std::size_t>(v)]; }
CpuContext& cpu(const Frame& f) { return static_cast<CpuContext&>(f.context); }

// Rows a task takes in the loops that only move data: large enough that handing out a task does not show.
constexpr std::int64_t rows_per_task = 16;

void gather(const Table& table, std::int64_t index, float* out, std::int64_t width) {
  if (table.product) return table.product->row(index, out);
  const auto at = static_cast<std::size_t>(index * width);
  const std::byte* row = table.matrix->buffer.data() + at * size_of(table.matrix->dtype);
  to_f32({table.matrix->dtype, {width}, row}, {out, static_cast<std::size_t>(width)});
}

void run(const EmbeddingOp& op, const Frame& f) {
  const Matrix& out = value(f, op.out);
  cpu(f).parallel((out.rows + rows_per_task - 1) / rows_per_task, [&](std::int64_t task, int thread) {
    auto* token = reinterpret_cast<float*>(cpu(f).scratch(thread, static_cast<std::size_t>(2 * out.cols) * sizeof(float)));
    float* position = token + out.cols;
    for (std::int64_t r = task * rows_per_task; r < std::min(out.rows, (task + 1) * rows_per_task); ++r) {
      gather(op.tokens, f.batch.ids[static_cast<std::size_t>(r)], token, out.cols);
      gather(op.positions, f.batch.positions[static_cast<std::size_t>(r)], position, out.cols);
      for (std::int64_t c = 0; c < out.cols; ++c) token[c] += position[c];
      std::byte* row = out.row(r);
      if (out.dtype == DType::f32) std::copy_n(token, out.cols, reinterpret_cast<float*>(row));
      if (out.dtype == DType::bf16)
        std::transform(token, token + out.cols, reinterpret_cast<bf16*>(row), [](float x) { return bf16(x); });
      if (out.dtype == DType::f16)
        std::transform(token, token + out.cols, reinterpret_cast<f16*>(row), [](float x) { return f16(x); });
    }
  });
}

void run(const LinearOp& op, const Frame& f) {
  op.product->run(f.context, value(f, op.in), value(f, op.out),
                  {.bias = op.bias ? op.bias->data() : nullptr,
                   .activation = op.activation,
                   .residual = op.residual == no_value ? nullptr : &value(f, op.residual)});
}

// Appends the new keys and values of one sequence to the cache.
void append(const AttentionOp& op, const Frame& f, std::int64_t sequence, std::int64_t first, std::int64_t rows,
            std::int64_t past) {
  const Matrix& in = value(f, op.in);
  const std::int64_t width = static_cast<std::int64_t>(op.heads) * op.head_dim,
                     element = static_cast<std::int64_t>(size_of(in.dtype));
  for (int part = 0; part < 2; ++part) {
    const Matrix from{in.dtype, in.row(first) + (part + 1) * width * element, rows, width, in.stride};
    std::byte* row = part == 0 ? f.cache->key_row(op.layer, sequence, past) : f.cache->value_row(op.layer, sequence, past);
    const Matrix to{f.cache->dtype, row, rows, width, width};
    if (from.dtype != to.dtype) {
      convert(cpu(f), from, to);
      continue;
    }
    for (std::int64_t r = 0; r < rows; ++r) std::memcpy(to.row(r), from.row(r), static_cast<std::size_t>(width * element));
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
    for (std::int64_t s = 0; s < f.batch.sequences(); ++s) {
      const std::int64_t first = f.batch.row_begin[static_cast<std::size_t>(s)];
      const std::int64_t rows = f.batch.row_begin[static_cast<std::size_t>(s) + 1] - first;
      const std::int64_t past = f.batch.past.empty() ? 0 : f.batch.past[static_cast<std::size_t>(s)];
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
        append(op_, f, s, first, rows, past);
        a.k = f.cache->key_row(op_.layer, s, 0);
        a.v = f.cache->value_row(op_.layer, s, 0);
        a.keys = past + rows;
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

constexpr Fusion fusion_table[] = {
    {"select-early", select_early}, {"linear+activation", fuse_activation}, {"linear+residual", fuse_residual}};

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
