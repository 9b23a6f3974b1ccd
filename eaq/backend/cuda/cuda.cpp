#include "eaq/backend/cuda/cuda.h"

#include "eaq/backend/fusions.h"
#include "eaq/kernel/cuda.h"

namespace eaq::backend_cuda {
namespace {

using kernel_cuda::CudaContext;

const Matrix& value(const Frame& f, Value v) { return f.values[static_cast<std::size_t>(v)]; }
const Matrix* optional_value(const Frame& f, Value v) { return v == no_value ? nullptr : &value(f, v); }
CudaContext& card(const Frame& f) { return static_cast<CudaContext&>(f.context); }
const CudaBatch& placed(const Frame& f) { return static_cast<const CudaBatch&>(*f.placed); }

using Run = std::function<void(const Frame&)>;

Matrix rows_of(const Table& table, CudaContext& context) {
  if (!table.product) return context.resident(table.matrix);
  const Matrix rows = table.product->rows();
  if (rows.data == nullptr) throw Error(ErrorKind::unavailable, "an embedding in this format cannot be gathered on a card");
  return rows;
}

kernel_cuda::NormVectors vectors_of(const NormParameters& norm, CudaContext& context) {
  return {reinterpret_cast<const float*>(context.resident(norm.gamma, DType::f32)),
          reinterpret_cast<const float*>(context.resident(norm.beta, DType::f32)), norm.epsilon};
}

// What an op needs of the model is in the card's memory from here on; the op itself is kept, and with it the owners of that.
Run bound(const EmbeddingOp& op, CudaContext& context) {
  const Matrix tokens = rows_of(op.tokens, context), positions = rows_of(op.positions, context);
  const auto norm = op.norm ? std::optional(vectors_of(*op.norm, context)) : std::nullopt;
  return [=](const Frame& f) {
    kernel_cuda::embed(card(f), tokens, positions, placed(f).ids(), placed(f).positions(), value(f, op.out),
                       norm ? &*norm : nullptr);
  };
}

kernel_cuda::AttentionCall call_of(const AttentionOp& op, const Frame& f) {
  const CudaBatch& batch = placed(f);
  kernel_cuda::AttentionCall call{.heads = op.heads,
                                  .head_dim = op.head_dim,
                                  .causal = op.causal,
                                  .first_query_only = op.first_query_only,
                                  .scale = op.scale,
                                  .qkv = value(f, op.in),
                                  .out = value(f, op.out),
                                  .cache = {},
                                  .sequences = f.batch.sequences(),
                                  .longest = batch.longest(),
                                  .rows = f.batch.rows(),
                                  .row_begin = batch.row_begin(),
                                  .past = batch.past(),
                                  .sequence_of = batch.sequence_of(),
                                  .mask = batch.mask(),
                                  .shown = batch.shown()};
  if (f.cache != nullptr)
    call.cache = {f.cache->key_row(op.layer, 0, 0), f.cache->value_row(op.layer, 0, 0), f.cache->dtype, f.cache->capacity};
  return call;
}

void attended_by(std::string_view kernel, const Frame& f) {
  if (f.kernels != nullptr) f.kernels->add(kernel);
}

// Whether one kernel did both.
bool multiplied_and_attended(const LinearOp& op, const std::optional<kernel_cuda::NormVectors>& norm, const Frame& f) {
  const Matrix &in = value(f, op.in), &out = value(f, op.out);
  if (!op.product->norms_input(in, out)) return false;
  const kernel_cuda::GemmCall product{.x = in,
                                      .w = op.product->rows(),
                                      .y = out,
                                      .bias = card(f).resident(op.bias, out.dtype),
                                      .activation = op.activation,
                                      .residual = optional_value(f, op.residual),
                                      .w_stays = true,
                                      .norm = norm ? &*norm : nullptr};
  const std::string_view kernel = kernel_cuda::multiply_and_attend(card(f), product, call_of(*op.attention, f));
  if (kernel.empty()) return false;
  attended_by(kernel, f);
  return true;
}

Run bound(const LinearOp& op, CudaContext& context) {
  const auto norm = op.norm ? std::optional(vectors_of(*op.norm, context)) : std::nullopt;
  return [op, norm](const Frame& f) {
    if (op.attention && multiplied_and_attended(op, norm, f)) return;
    const Matrix *in = &value(f, op.in), &out = value(f, op.out);
    Epilogue then{.device_bias = card(f).resident(op.bias, out.dtype),
                  .activation = op.activation,
                  .residual = optional_value(f, op.residual)};
    LayerNorm on_the_way;
    if (norm && op.product->norms_input(*in, out)) {
      on_the_way = {norm->gamma, norm->beta, norm->epsilon};
      then.input_norm = &on_the_way;
    } else if (norm && op.product->norms_behind(*in, out)) {
      const Matrix& kept = value(f, op.normed);
      if (!op.given_moments) kernel_cuda::row_moments(card(f), *in, reinterpret_cast<float*>(kept.data));
      then.input_moments = reinterpret_cast<const float*>(kept.data), then.input_epsilon = norm->epsilon;
      then.device_bias = card(f).resident(op.bias, DType::f32);
    } else if (norm) {
      kernel_cuda::layer_norm(card(f), *norm, *in, value(f, op.normed));
      in = &value(f, op.normed);
    }
    if (op.moments != no_value && kernel_cuda::keeps_moments(card(f), out))
      then.moments = reinterpret_cast<float*>(value(f, op.moments).data);
    op.product->run(f.context, *in, out, then);
    if (op.attention) attended_by(kernel_cuda::attention(card(f), call_of(*op.attention, f)), f);
  };
}

Run bound(const AttentionOp& op, CudaContext&) {
  return [op](const Frame& f) { attended_by(kernel_cuda::attention(card(f), call_of(op, f)), f); };
}

Run bound(const NormOp& op, CudaContext& context) {
  const kernel_cuda::NormVectors norm = vectors_of(op.norm, context);
  return [=](const Frame& f) {
    kernel_cuda::layer_norm(card(f), norm, value(f, op.in), value(f, op.out), optional_value(f, op.add),
                            optional_value(f, op.sum));
  };
}

Run bound(const ActivationOp& op, CudaContext&) {
  return [op](const Frame& f) { kernel_cuda::activation(card(f), op.activation, value(f, op.in), value(f, op.out)); };
}
Run bound(const ResidualOp& op, CudaContext&) {
  return [op](const Frame& f) { kernel_cuda::add(card(f), value(f, op.a), value(f, op.b), value(f, op.out)); };
}
Run bound(const SelectOp& op, CudaContext&) {
  return [op](const Frame& f) {
    kernel_cuda::select_rows(card(f), placed(f).row_begin(), op.last, value(f, op.in), value(f, op.out));
  };
}

// With about a hundred rows a product waits for its weight longer than it computes; so each product's weight is on its way to the
// cache while the one before it runs. Kernels for fewer rows read ahead by themselves.
constexpr std::int64_t most_waiting_rows = 512;

void fetch_weights_ahead(Program& program) {
  Step* ahead = &program.steps.front();
  for (Step& step : program.steps) {
    const auto* linear = std::get_if<LinearOp>(&step.op);
    if (linear == nullptr) continue;
    ahead->run = [run = std::move(ahead->run), product = linear->product](const Frame& f) {
      const std::int64_t rows = f.batch.rows();
      if (rows > kernel_cuda::most_few_rows && rows <= most_waiting_rows) kernel_cuda::fetch_ahead(card(f), product->rows());
      run(f);
    };
    ahead = &step;
  }
}

// In decoding kernels read rows whole; of more rows a product norms behind itself what its weight was made for.
void fuse_decoding_norm(Program& program) {
  fuse_norm_linear(program, [](const LinearOp&) { return true; });
}
void fuse_folded_norm(Program& program) {
  fuse_norm_linear(program, [](const LinearOp& linear) { return linear.product->holds_norm(); });
}

// In decoding: what one kernel can do, of the sizes and types that a Program tells.
bool are_together(const Program& program, const LinearOp& linear, const AttentionOp& attention) {
  const auto info = [&](Value v) -> const ValueInfo& { return program.values[static_cast<std::size_t>(v)]; };
  return kernel_cuda::can_multiply_and_attend(info(linear.in).width, attention.head_dim, info(linear.in).dtype) &&
         info(linear.out).dtype == info(linear.in).dtype;
}
void fuse_decoding_attention(Program& program) { fuse_linear_attention(program, are_together); }

class CudaRecording final : public Recording {
 public:
  explicit CudaRecording(std::unique_ptr<kernel_cuda::CudaGraph> graph) : graph_(std::move(graph)) {}
  void submit() override { graph_->submit(); }

 private:
  std::unique_ptr<kernel_cuda::CudaGraph> graph_;
};

constexpr Fusion fusion_table[] = {{"drop-select", drop_select, true},
                                   {"select-early", select_early},
                                   {"embedding+norm", fuse_embedding_norm},
                                   {"linear+activation", fuse_activation},
                                   {"linear+residual", fuse_residual},
                                   {"norm+linear", fuse_decoding_norm, true},
                                   {"norm behind linear", fuse_folded_norm},
                                   {"moments", fuse_moments},
                                   {"linear+attention", fuse_decoding_attention, true}};

class CudaBackend final : public Backend {
 public:
  std::string_view device() const override { return "cuda"; }
  std::string unavailable_reason() const override {
    try {
      return kernel_cuda::list_devices().empty() ? "no card is here" : "";
    } catch (const Error& e) {
      return e.what();
    }
  }
  std::unique_ptr<ExecutionContext> make_context(const ContextOptions& options) const override {
    return std::make_unique<CudaContext>(options.number);
  }
  Support support(const Format& format, const ExecutionContext& context) const override {
    const ProductMaker* maker = format.on("cuda");
    if (maker == nullptr) return {SupportLevel::refused, std::string(format.traits().name) + " has no CUDA product"};
    return maker->support(context);
  }
  bool folds_norms(const Format& format, const ExecutionContext& context) const override {
    return format.on("cuda")->folds_norms(context);
  }
  std::shared_ptr<const Product> make_product(const Format& format, ExecutionContext& context,
                                              const LinearWeight& weight) const override {
    return format.on("cuda")->make(context, weight);
  }
  std::span<const Fusion> fusions() const override { return fusion_table; }
  void bind(Program& program, ExecutionContext& context) const override {
    CudaContext& own = kernel_cuda::cuda_context(context);
    for (Step& step : program.steps) step.run = std::visit([&](const auto& op) { return bound(op, own); }, step.op);
    fetch_weights_ahead(program);
  }
  std::unique_ptr<Judge> make_judge(ExecutionContext& context) const override { return backend_cuda::make_judge(context); }
  std::unique_ptr<PlacedBatch> place(ExecutionContext& context, const Batch& batch) const override {
    return std::make_unique<CudaBatch>(context, batch);
  }
  std::unique_ptr<Recording> record(ExecutionContext& context, const std::function<void()>& submit_steps) const override {
    return std::make_unique<CudaRecording>(kernel_cuda::cuda_context(context).record(submit_steps));
  }
  bool feeds_back() const override { return true; }
  // 16-byte accesses for every type, and room for the head's columns that pad an odd vocabulary.
  std::int64_t row_alignment() const override { return 64; }
};

}  // namespace

const Backend& entry() {
  static const CudaBackend backend;
  return backend;
}

}  // namespace eaq::backend_cuda
