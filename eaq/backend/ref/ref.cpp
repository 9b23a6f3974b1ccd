#include "eaq/backend/ref/ref.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "eaq/backend/host_judge.h"

namespace eaq::backend_ref {
namespace {

float load(const Matrix& m, std::int64_t r, std::int64_t c) {
  const std::byte* p = m.row(r);
  switch (m.dtype) {
    case DType::f32:
      return reinterpret_cast<const float*>(p)[c];
    case DType::bf16:
      return static_cast<float>(reinterpret_cast<const bf16*>(p)[c]);
    case DType::f16:
      return static_cast<float>(reinterpret_cast<const f16*>(p)[c]);
    default:
      throw Error(ErrorKind::bug, "an activation is neither f32, bf16 nor f16");
  }
}

void store(const Matrix& m, std::int64_t r, std::int64_t c, double value) {
  std::byte* p = m.row(r);
  const auto x = static_cast<float>(value);
  switch (m.dtype) {
    case DType::f32:
      reinterpret_cast<float*>(p)[c] = x;
      return;
    case DType::bf16:
      reinterpret_cast<bf16*>(p)[c] = bf16(x);
      return;
    case DType::f16:
      reinterpret_cast<f16*>(p)[c] = f16(x);
      return;
    default:
      throw Error(ErrorKind::bug, "an activation is neither f32, bf16 nor f16");
  }
}

class RefProduct : public Product {
 public:
  RefProduct(const Format& format, const LinearWeight& weight)
      : format_(format), n_(weight.out_features), k_(weight.in_features), values_(static_cast<std::size_t>(n_ * k_)) {
    weight.read_rows(0, n_, values_.data());
    format.round_weight(values_.data(), n_, k_);
  }

  void run(ExecutionContext&, const Matrix& x, const Matrix& y, const Epilogue& epilogue) const override {
    std::vector<float> input(static_cast<std::size_t>(k_));
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < k_; ++c) input[static_cast<std::size_t>(c)] = load(x, r, c);
      format_.round_input(input.data(), k_);
      for (std::int64_t n = 0; n < n_; ++n) {
        double sum = 0;
        for (std::int64_t c = 0; c < k_; ++c)
          sum += static_cast<double>(input[static_cast<std::size_t>(c)]) * values_[static_cast<std::size_t>(n * k_ + c)];
        if (epilogue.bias != nullptr) sum += epilogue.bias[n];
        sum = activate(epilogue.activation, sum);
        if (epilogue.residual != nullptr) sum += load(*epilogue.residual, r, n);
        store(y, r, n, sum);
      }
    }
  }
  void row(std::int64_t n, float* out) const override { std::copy_n(values_.data() + n * k_, k_, out); }
  std::size_t bytes() const override { return values_.size() * sizeof(float); }
  KernelReport report() const override { return {{"ref"}, "fp32", "f64", format_.traits().name != "fp32"}; }

 private:
  const Format& format_;
  std::int64_t n_, k_;
  std::vector<float> values_;
};

void gather(const Table& table, std::int64_t index, std::vector<float>& out) {
  if (table.product) return table.product->row(index, out.data());
  const auto width = static_cast<std::int64_t>(out.size());
  const Matrix rows{table.matrix->dtype, const_cast<std::byte*>(table.matrix->buffer.data()), table.matrix->shape[0], width,
                    width};
  for (std::int64_t c = 0; c < width; ++c) out[static_cast<std::size_t>(c)] = load(rows, index, c);
}

void run(const EmbeddingOp& op, const Frame& f) {
  const Matrix& out = f.values[static_cast<std::size_t>(op.out)];
  std::vector<float> token(static_cast<std::size_t>(out.cols)), position(token.size());
  for (std::int64_t r = 0; r < out.rows; ++r) {
    gather(op.tokens, f.batch.ids[static_cast<std::size_t>(r)], token);
    gather(op.positions, f.batch.positions[static_cast<std::size_t>(r)], position);
    for (std::int64_t c = 0; c < out.cols; ++c)
      store(out, r, c, static_cast<double>(token[static_cast<std::size_t>(c)]) + position[static_cast<std::size_t>(c)]);
  }
}

void run(const LinearOp& op, const Frame& f) {
  op.product->run(f.context, f.values[static_cast<std::size_t>(op.in)], f.values[static_cast<std::size_t>(op.out)],
                  {.bias = op.bias ? op.bias->data() : nullptr});
}

// One head of one query: scores over the visible keys, softmax, weighted mean of the values.
struct Head {
  const Matrix& q;
  const Matrix& k;
  const Matrix& v;
  std::int64_t column;  // of the head's first element
  int dim;
};
void attend(const Head& h, std::int64_t query, std::int64_t keys, const std::uint8_t* mask, double scale, const Matrix& out,
            std::int64_t out_row) {
  std::vector<double> p(static_cast<std::size_t>(keys));
  bool any = mask == nullptr;
  for (std::int64_t j = 0; j < keys && !any; ++j) any = mask[j] != 0;
  double top = -std::numeric_limits<double>::infinity();
  for (std::int64_t j = 0; j < keys; ++j) {
    double dot = 0;
    for (int d = 0; d < h.dim; ++d) dot += static_cast<double>(load(h.q, query, h.column + d)) * load(h.k, j, h.column + d);
    const bool hidden = any && mask != nullptr && mask[j] == 0;
    p[static_cast<std::size_t>(j)] = hidden ? -std::numeric_limits<double>::infinity() : any ? dot * scale : 0;
    top = std::max(top, p[static_cast<std::size_t>(j)]);
  }
  double sum = 0;
  for (double& x : p) sum += x = std::exp(x - top);
  for (int d = 0; d < h.dim; ++d) {
    double mixed = 0;
    for (std::int64_t j = 0; j < keys; ++j) mixed += p[static_cast<std::size_t>(j)] * load(h.v, j, h.column + d);
    store(out, out_row, h.column + d, mixed / sum);
  }
}

void run(const AttentionOp& op, const Frame& f) {
  const Matrix& in = f.values[static_cast<std::size_t>(op.in)];
  const Matrix& out = f.values[static_cast<std::size_t>(op.out)];
  const std::int64_t width = static_cast<std::int64_t>(op.heads) * op.head_dim,
                     element = static_cast<std::int64_t>(size_of(in.dtype));
  for (std::int64_t s = 0; s < f.batch.sequences(); ++s) {
    const std::int64_t first = f.batch.row_begin[static_cast<std::size_t>(s)],
                       rows = f.batch.row_begin[static_cast<std::size_t>(s) + 1] - first;
    const std::int64_t past = f.batch.past.empty() ? 0 : f.batch.past[static_cast<std::size_t>(s)];
    const Matrix q{in.dtype, in.row(first), rows, width, in.stride};
    Matrix k{in.dtype, in.row(first) + width * element, rows, width, in.stride},
        v{in.dtype, in.row(first) + 2 * width * element, rows, width, in.stride};
    if (f.cache != nullptr) {
      const Matrix keys{f.cache->dtype, f.cache->key_row(op.layer, s, 0), past + rows, width, width};
      const Matrix values{f.cache->dtype, f.cache->value_row(op.layer, s, 0), past + rows, width, width};
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < width; ++c)
          store(keys, past + r, c, load(k, r, c)), store(values, past + r, c, load(v, r, c));
      k = keys, v = values;
    }
    const std::uint8_t* mask = f.batch.key_mask.empty() ? nullptr : f.batch.key_mask.data() + first;
    for (std::int64_t i = 0; i < rows; ++i)
      for (int h = 0; h < op.heads; ++h)
        attend({q, k, v, static_cast<std::int64_t>(h) * op.head_dim, op.head_dim}, i, op.causal ? past + i + 1 : past + rows,
               mask, op.scale, out, first + i);
  }
}

void run(const NormOp& op, const Frame& f) {
  const Matrix& in = f.values[static_cast<std::size_t>(op.in)];
  const Matrix& out = f.values[static_cast<std::size_t>(op.out)];
  for (std::int64_t r = 0; r < in.rows; ++r) {
    double mean = 0, variance = 0;
    for (std::int64_t c = 0; c < in.cols; ++c) mean += load(in, r, c);
    mean /= static_cast<double>(in.cols);
    for (std::int64_t c = 0; c < in.cols; ++c) variance += (load(in, r, c) - mean) * (load(in, r, c) - mean);
    const double scale = 1 / std::sqrt(variance / static_cast<double>(in.cols) + static_cast<double>(op.norm.epsilon));
    for (std::int64_t c = 0; c < in.cols; ++c)
      store(out, r, c,
            (load(in, r, c) - mean) * scale * (*op.norm.gamma)[static_cast<std::size_t>(c)] +
                (*op.norm.beta)[static_cast<std::size_t>(c)]);
  }
}

void run(const ActivationOp& op, const Frame& f) {
  const Matrix& in = f.values[static_cast<std::size_t>(op.in)];
  for (std::int64_t r = 0; r < in.rows; ++r)
    for (std::int64_t c = 0; c < in.cols; ++c)
      store(f.values[static_cast<std::size_t>(op.out)], r, c, activate(op.activation, load(in, r, c)));
}

void run(const ResidualOp& op, const Frame& f) {
  const Matrix& a = f.values[static_cast<std::size_t>(op.a)];
  const Matrix& b = f.values[static_cast<std::size_t>(op.b)];
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t c = 0; c < a.cols; ++c)
      store(f.values[static_cast<std::size_t>(op.out)], r, c, static_cast<double>(load(a, r, c)) + load(b, r, c));
}

void run(const SelectOp& op, const Frame& f) {
  const Matrix& in = f.values[static_cast<std::size_t>(op.in)];
  const Matrix& out = f.values[static_cast<std::size_t>(op.out)];
  for (std::int64_t s = 0; s < f.batch.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int64_t row = op.last ? f.batch.row_begin[i + 1] - 1 : f.batch.row_begin[i];
    for (std::int64_t c = 0; c < in.cols; ++c) store(out, s, c, load(in, row, c));
  }
}

class RefBackend : public Backend {
 public:
  std::string_view device() const override { return "ref"; }
  std::string unavailable_reason() const override { return ""; }
  std::unique_ptr<ExecutionContext> make_context(const ContextOptions&) const override { return std::make_unique<RefContext>(); }
  Support support(const Format& format, const ExecutionContext&) const override {
    if (format.traits().name == "fp32") return {SupportLevel::native, ""};
    return {SupportLevel::emulated, "the reference rounds values as the format does and multiplies them in double"};
  }
  std::shared_ptr<const Product> make_product(const Format& format, ExecutionContext&,
                                              const LinearWeight& weight) const override {
    return std::make_shared<RefProduct>(format, weight);
  }
  std::span<const Fusion> fusions() const override { return {}; }
  void bind(Program& program, ExecutionContext&) const override {
    for (Step& step : program.steps)
      step.run = std::visit(
          [](const auto& op) -> std::function<void(const Frame&)> { return [op](const Frame& f) { backend_ref::run(op, f); }; },
          step.op);
  }
  std::unique_ptr<Judge> make_judge(ExecutionContext&) const override { return std::make_unique<HostJudge>(1); }
};

}  // namespace

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::relu:
      return std::isnan(x) ? x : std::max(x, 0.0);
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  throw Error(ErrorKind::bug, "an activation without a definition");
}

const Backend& entry() {
  static const RefBackend backend;
  return backend;
}

}  // namespace eaq::backend_ref
