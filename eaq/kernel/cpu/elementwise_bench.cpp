// Elementwise work at DistilBERT's shapes (batch 32, 128 tokens) and rows of GPT-2's logits.
#include <benchmark/benchmark.h>

#include <random>

#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

struct Values {
  Buffer buffer;
  Matrix matrix;
  Values(DType dtype, std::int64_t rows, std::int64_t cols)
      : buffer(static_cast<std::size_t>(rows * cols) * size_of(dtype)), matrix{dtype, buffer.data(), rows, cols, cols} {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      const float v = normal(random);
      if (dtype == DType::f32)
        buffer.as<float>()[i] = v;
      else if (dtype == DType::bf16)
        buffer.as<bf16>()[i] = bf16(v);
      else
        buffer.as<f16>()[i] = f16(v);
    }
  }
};

void count(benchmark::State& state, double elements, double bytes) {
  const auto runs = static_cast<double>(state.iterations());
  state.counters["Gelement/s"] = benchmark::Counter(runs * elements / 1e9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(runs * bytes / 1e9, benchmark::Counter::kIsRate);
}

DType dtype_at(const benchmark::State& state) { return state.range(0) == 32 ? DType::f32 : DType::bf16; }

// A tile that stays in L2, as in a product's epilogue.
void gelu_in_cache(benchmark::State& state) {
  CpuContext context(1);
  const Values x(dtype_at(state), 64, 1024), y(dtype_at(state), 64, 1024);
  const auto which = static_cast<Activation>(state.range(1));
  for (auto _ : state) activation(context, which, x.matrix, y.matrix);
  count(state, 65536, 65536.0 * 2 * static_cast<double>(size_of(x.matrix.dtype)));
}
void gelu(benchmark::State& state) {
  CpuContext context;
  const Values x(dtype_at(state), 4096, 3072);
  for (auto _ : state) activation(context, Activation::gelu, x.matrix, x.matrix);
  count(state, 4096.0 * 3072, 4096.0 * 3072 * 2 * static_cast<double>(size_of(x.matrix.dtype)));
}
void layer_norm_with_residual(benchmark::State& state) {
  CpuContext context;
  const std::int64_t rows = state.range(1);
  const Values x(dtype_at(state), rows, 768), more(dtype_at(state), rows, 768), y(dtype_at(state), rows, 768);
  const std::vector<float> gamma(768, 1), beta(768, 0);
  for (auto _ : state) layer_norm(context, {gamma.data(), beta.data()}, x.matrix, y.matrix, &more.matrix);
  const double elements = static_cast<double>(rows) * 768;
  count(state, elements, elements * 3 * static_cast<double>(size_of(x.matrix.dtype)));
}
void summarise_logits(benchmark::State& state) {
  const Values p(DType::f32, 1, 50257);
  for (auto _ : state) benchmark::DoNotOptimize(summarise_row(p.buffer.as<float>(), 50257).log_sum_exp);
  count(state, 50257, 50257 * 4);
}
void kl_of_logits(benchmark::State& state) {
  const Values p(DType::f32, 1, 50257), q(DType::f32, 1, 50257);
  for (auto _ : state) benchmark::DoNotOptimize(kl_divergence(p.buffer.as<float>(), q.buffer.as<float>(), 50257, 12, 12));
  count(state, 50257, 50257 * 8);
}
BENCHMARK(gelu_in_cache)
    ->ArgNames({"bits", "activation"})
    ->ArgsProduct({{32, 16}, {static_cast<int>(Activation::gelu), static_cast<int>(Activation::gelu_tanh)}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(gelu)->ArgName("bits")->Arg(32)->Arg(16)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(layer_norm_with_residual)
    ->ArgNames({"bits", "rows"})
    ->ArgsProduct({{32, 16}, {64, 4096}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(summarise_logits)->Unit(benchmark::kMicrosecond);
BENCHMARK(kl_of_logits)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace eaq
