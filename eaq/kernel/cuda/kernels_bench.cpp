// How long a card's kernels take at the shapes of the two models, one by one and back to back in a CUDA graph: what a step of a
// run costs, launches included. Counters: T/s of multiplications, GB/s of what must be read and written once.
#include <benchmark/benchmark.h>

#include <chrono>
#include <map>

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {
namespace {

CudaContext& context() {
  static CudaContext context;
  return context;
}

// Seconds of one call, from recordings of many.
double seconds_of(const std::function<void()>& call) {
  constexpr int a_recording = 20, submissions = 10;
  const auto graph = context().record([&] {
    for (int i = 0; i < a_recording; ++i) call();
  });
  graph->submit();
  context().synchronise();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < submissions; ++i) graph->submit();
  context().synchronise();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / (a_recording * submissions);
}

void run(benchmark::State& state, double operations, double bytes, const std::function<void()>& call) {
  double seconds = 0;
  for (auto _ : state) {
    seconds = seconds_of(call);
    state.SetIterationTime(seconds);
  }
  if (operations > 0) state.counters["T/s"] = operations / seconds * 1e-12;
  if (bytes > 0) state.counters["GB/s"] = bytes / seconds * 1e-9;
}

// Random rows that stay as long as the program.
Matrix rows(DType dtype, std::int64_t count, std::int64_t width) {
  static std::vector<DeviceMemory> kept;
  const std::int64_t stride = (width + 63) / 64 * 64;
  kept.push_back(context().allocate(static_cast<std::size_t>(count * stride) * size_of(dtype), "a matrix"));
  if (dtype == DType::f32)
    context().clear(kept.back().data(), kept.back().size());
  else
    fill_normal(context(), dtype, kept.back().data(), count * stride, kept.size());
  return {dtype, kept.back().data(), count, width, stride};
}

template <class T>
const T* numbers(const std::vector<T>& values) {
  static std::vector<DeviceMemory> kept;
  kept.push_back(context().allocate(values.size() * sizeof(T), "numbers"));
  context().upload(kept.back().data(), std::as_bytes(std::span(values)));
  context().synchronise();
  return reinterpret_cast<const T*>(kept.back().data());
}

double bytes_of(const Matrix& m) { return static_cast<double>(m.rows * m.cols) * static_cast<double>(size_of(m.dtype)); }

void product(benchmark::State& state, std::int64_t m, std::int64_t k, std::int64_t n, DType result, Activation activation,
             bool residual) {
  const Matrix x = rows(DType::bf16, m, k), w = rows(DType::bf16, n, k), y = rows(result, m, n), more = rows(result, m, n);
  const Matrix bias = rows(result, 1, n);
  GemmCall call{.x = x,
                .w = w,
                .y = y,
                .bias = bias.data,
                .activation = activation,
                .residual = residual ? &more : nullptr,
                .w_stays = true};
  const bool fused = fuses(context(), call);
  if (!fused) call.activation = Activation::none;
  std::string name;
  run(state, 2.0 * static_cast<double>(m * k * n), bytes_of(x) + bytes_of(w) + bytes_of(y) * (residual ? 2 : 1), [&] {
    if (m <= 8 && fits_few_rows(call)) {
      name = multiply_few_rows(context(), call);
      return;
    }
    name = multiply(context(), call);
    if (!fused) kernel_cuda::activation(context(), activation, y, y);
  });
  state.SetLabel(name + (fused ? "" : ", then the activation"));
}

// All products of a model and nothing else, each with a weight of its own: below this no run of it comes with these products.
void all_products(benchmark::State& state, std::int64_t m, int blocks, std::int64_t head, Activation activation) {
  struct Kind {
    std::int64_t k, n;
    Activation activation;
    bool residual;
  };
  const Kind kinds[] = {{768, 2304, Activation::none, false},
                        {768, 768, Activation::none, true},
                        {768, 3072, activation, false},
                        {3072, 768, Activation::none, true}};
  const Matrix narrow = rows(DType::bf16, m, 768), wide = rows(DType::bf16, m, 3072), more = rows(DType::bf16, m, 768);
  const Matrix bias = rows(DType::bf16, 1, 3072);
  std::vector<GemmCall> calls;
  double operations = 0;
  for (int block = 0; block < blocks; ++block)
    for (const Kind& kind : kinds) {
      Matrix y = kind.n > 768 ? wide : narrow, x = kind.k > 768 ? wide : more;
      y.cols = kind.n, x.cols = kind.k;
      calls.push_back({.x = x, .w = rows(DType::bf16, kind.n, kind.k), .y = y, .bias = bias.data, .w_stays = true});
      calls.back().activation = kind.activation, calls.back().residual = kind.residual ? &more : nullptr;
      operations += 2.0 * static_cast<double>(m * kind.k * kind.n);
    }
  if (head > 0) {
    calls.push_back({.x = more, .w = rows(DType::bf16, head, 768), .y = rows(DType::f32, m, head), .w_stays = true});
    operations += 2.0 * static_cast<double>(m * 768 * head);
  }
  run(state, operations, 0, [&] {
    for (const GemmCall& call : calls) multiply(context(), call);
  });
}

void norm(benchmark::State& state, std::int64_t m, DType dtype) {
  const Matrix x = rows(dtype, m, 768), y = rows(dtype, m, 768), vectors = rows(DType::f32, 2, 768);
  const NormVectors norm{reinterpret_cast<const float*>(vectors.row(0)), reinterpret_cast<const float*>(vectors.row(1)), 1e-5f};
  run(state, 0, bytes_of(x) + bytes_of(y), [&] { layer_norm(context(), norm, x, y); });
}

void gelu(benchmark::State& state, std::int64_t m) {
  const Matrix x = rows(DType::bf16, m, 3072);
  run(state, 0, 2 * bytes_of(x), [&] { activation(context(), Activation::gelu, x, x); });
}

void attention_of(benchmark::State& state, std::int64_t sequences, std::int64_t length, std::int64_t past, bool causal,
                  DType dtype) {
  const Matrix qkv = rows(dtype, sequences * length, 3 * 768), out = rows(dtype, sequences * length, 768);
  std::vector<std::int32_t> begin, of;
  for (std::int64_t s = 0; s <= sequences; ++s) begin.push_back(static_cast<std::int32_t>(s * length));
  for (std::int64_t r = 0; r < sequences * length; ++r) of.push_back(static_cast<std::int32_t>(r / length));
  AttentionCall call{.heads = 12, .head_dim = 64, .causal = causal, .scale = 0.125f, .qkv = qkv, .out = out, .cache = {}};
  call.sequences = sequences, call.longest = length, call.rows = sequences * length;
  call.row_begin = numbers(begin), call.sequence_of = numbers(of);
  if (past > 0) {
    const std::int64_t capacity = past + length;
    call.cache = {rows(dtype, sequences * capacity, 768).data, rows(dtype, sequences * capacity, 768).data, dtype, capacity};
    call.past = numbers(std::vector<std::int32_t>(static_cast<std::size_t>(sequences), static_cast<std::int32_t>(past)));
  }
  const double pairs =
      static_cast<double>(sequences * length) * (static_cast<double>(past) + static_cast<double>(length) * (causal ? 0.5 : 1));
  std::string name;
  run(state, 4.0 * 768 * pairs, 0, [&] { name = attention(context(), call); });
  state.SetLabel(name);
}

void embedding(benchmark::State& state, std::int64_t m) {
  const Matrix tokens = rows(DType::bf16, 50304, 768), positions = rows(DType::bf16, 1024, 768), y = rows(DType::bf16, m, 768);
  std::vector<std::int32_t> ids, at;
  for (std::int64_t r = 0; r < m; ++r)
    ids.push_back(static_cast<std::int32_t>(r * 7919 % 50257)), at.push_back(static_cast<std::int32_t>(r % 1024));
  const std::int32_t *on_card = numbers(ids), *places = numbers(at);
  run(state, 0, 2 * bytes_of(y), [&] { embed(context(), tokens, positions, on_card, places, y); });
}

void judging(benchmark::State& state) {
  const Matrix logits = rows(DType::f32, 1024, 50257);
  const std::int32_t* targets = numbers(std::vector<std::int32_t>(1024, 5));
  const Matrix verdicts = rows(DType::f32, 1024, sizeof(RowVerdict) / 4);
  run(state, 0, 2 * bytes_of(logits),
      [&] { judge_rows(context(), logits, nullptr, targets, reinterpret_cast<RowVerdict*>(verdicts.data)); });
}

void feeding_back(benchmark::State& state) {
  const Matrix logits = rows(DType::f32, 1, 50257), numbers_of = rows(DType::f32, 4, 64),
               parts = rows(DType::f32, 1, static_cast<std::int64_t>(feed_back_bytes(1) / sizeof(float)));
  const auto at = [&](int row) { return reinterpret_cast<std::int32_t*>(numbers_of.row(row)); };
  run(state, 0, bytes_of(logits), [&] { feed_back(context(), logits, {}, at(0), at(1), at(2), at(3), parts.data); });
}

template <class Function, class... Arguments>
void bench(const std::string& name, Function function, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { function(state, arguments...); })
      ->UseManualTime()
      ->Iterations(5)
      ->Unit(benchmark::kMicrosecond);
}

const bool registered = [] {
  struct Work {
    const char* name;
    std::int64_t rows;
    Activation activation;
  };
  for (const Work& work : {Work{"4096 rows", 4096, Activation::gelu},
                           {"8192 rows", 8192, Activation::gelu_tanh},
                           {"128 rows, erf", 128, Activation::gelu},
                           {"128 rows, tanh", 128, Activation::gelu_tanh},
                           {"1 row", 1, Activation::gelu_tanh}}) {
    const std::string at = std::string(" at ") + work.name;
    bench("q, k, v" + at, product, work.rows, 768, 2304, DType::bf16, Activation::none, false);
    bench("attention's projection" + at, product, work.rows, 768, 768, DType::bf16, Activation::none, true);
    bench("feed-forward up" + at, product, work.rows, 768, 3072, DType::bf16, work.activation, false);
    bench("feed-forward down" + at, product, work.rows, 3072, 768, DType::bf16, Activation::none, true);
    bench("norm" + at, norm, work.rows, DType::bf16);
    bench("embedding" + at, embedding, work.rows);
  }
  for (const std::int64_t m : {8192, 128, 1})
    bench("head at " + std::to_string(m) + " rows", product, m, 768, 50304, DType::f32, Activation::none, false);
  for (const std::int64_t m : {4096, 128}) bench("erf GELU alone at " + std::to_string(m) + " rows", gelu, m);
  bench("all products of DistilBERT at 4096 rows", all_products, 4096, 6, 0, Activation::gelu);
  bench("all products of DistilBERT at 128 rows", all_products, 128, 6, 0, Activation::gelu);
  bench("all products of GPT-2 at 8192 rows", all_products, 8192, 12, 50304, Activation::gelu_tanh);
  bench("all products of GPT-2 at 128 rows", all_products, 128, 12, 50304, Activation::gelu_tanh);
  bench("attention 32 x 128", attention_of, 32, 128, 0, false, DType::bf16);
  bench("attention 1 x 128", attention_of, 1, 128, 0, false, DType::bf16);
  bench("attention 1 x 128, causal", attention_of, 1, 128, 0, true, DType::bf16);
  bench("attention 8 x 1024, causal", attention_of, 8, 1024, 0, true, DType::bf16);
  bench("attention 8 x 1024, causal, f32", attention_of, 8, 1024, 0, true, DType::f32);
  bench("attention 218 x 25", attention_of, 218, 25, 0, false, DType::bf16);
  bench("attention of one token after 192", attention_of, 1, 1, 192, true, DType::bf16);
  bench("judging 1024 rows", judging);
  bench("feeding back", feeding_back);
  return true;
}();

}  // namespace
}  // namespace eaq::kernel_cuda
