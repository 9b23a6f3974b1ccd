// Products of every format at a model's shapes, on the threads that EAQ_BENCH_THREADS gives (default: all). Counters: GFLOP/s at
// 2 operations per multiply-add, and weight bytes per second, which bound a single row.
//   EAQ_CPU_ISA=avx2 products_bench --benchmark_filter='int8/1/'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

#include "eaq/format/format.h"

namespace eaq {
namespace {

CpuContext& context() {
  static CpuContext context([] {
    const char* threads = std::getenv("EAQ_BENCH_THREADS");
    return threads != nullptr ? std::atoi(threads) : 0;
  }());
  return context;
}

// A weight is packed once for all numbers of rows; only the last shape's is kept.
const Product& packed(const Format& format, std::int64_t n, std::int64_t k) {
  static std::pair<std::string, std::unique_ptr<Product>> kept;
  const std::string key = std::string(format.traits().name) + "/" + std::to_string(n) + "/" + std::to_string(k);
  if (kept.first == key) return *kept.second;
  std::vector<float> values(static_cast<std::size_t>(n * k));
  std::mt19937 random(1);
  for (float& v : values) v = static_cast<float>(random() % 2001) * 1e-4f - 0.1f;
  const LinearWeight weight{.parts = {{DType::f32, {n, k}, reinterpret_cast<const std::byte*>(values.data())}},
                            .transposed = false,
                            .out_features = n,
                            .in_features = k};
  kept = {key, nullptr};
  kept.second = format.on("cpu")->make(context(), weight);
  return *kept.second;
}

void multiply(benchmark::State& state, const Format& format, std::int64_t m, std::int64_t k, std::int64_t n) {
  const Product& product = packed(format, n, k);
  Tensor x(format.traits().activations, {m, k});
  // The head's logits for 4096 rows would be 800 MB: its rows are taken in blocks, as an evaluation does.
  Tensor y(n > 10000 ? DType::f32 : format.traits().activations, {std::min<std::int64_t>(m, n > 10000 ? 128 : m), n});
  std::memset(x.buffer.data(), 0, x.buffer.size());
  const Matrix rows{.dtype = x.dtype, .data = x.buffer.data(), .rows = m, .cols = k, .stride = k};
  const Matrix out{.dtype = y.dtype, .data = y.buffer.data(), .rows = y.shape[0], .cols = n, .stride = n};
  for (auto _ : state)
    for (std::int64_t r = 0; r < m; r += out.rows) product.run(context(), rows.slice(r, out.rows), out, {});
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(m * n * k) * runs, benchmark::Counter::kIsRate);
  state.counters["weight GB/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(product.bytes()) * runs, benchmark::Counter::kIsRate);
  state.SetLabel(product.report().kernels.at(0) + ", " + std::to_string(context().threads()) + " threads, " + cpu_info().model);
}

// Registered before main, which is Google Benchmark's.
const bool registered = [] {
  for (const auto& row : formats()) {
    if (row.entry == nullptr || row.entry->on("cpu") == nullptr) continue;
    for (const auto& [k, n] : {std::pair{768, 768}, {768, 3072}, {3072, 768}, {768, 50257}})
      for (const int m : {1, 8, 128, 4096}) {
        const std::string name =
            std::string(row.name) + "/" + std::to_string(m) + "/" + std::to_string(k) + "x" + std::to_string(n);
        benchmark::RegisterBenchmark(
            name.c_str(), [entry = row.entry, m, k = k, n = n](benchmark::State& state) { multiply(state, *entry, m, k, n); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
  }
  return true;
}();

}  // namespace
}  // namespace eaq
