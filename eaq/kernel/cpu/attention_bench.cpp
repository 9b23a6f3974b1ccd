// Attention at the shapes that the built-in models run: sentences, a long text, one token after a prompt.
#include <benchmark/benchmark.h>

#include <random>

#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

std::vector<float> noise(std::int64_t n) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

struct Setting {
  int threads = 1;
  std::int64_t batch = 1, queries = 1, keys = 1;
  bool causal = false;
};

// Q, K and V side by side, as one product gives them; a cache apart where there are more keys than queries.
void run(benchmark::State& state, const Setting& s) {
  constexpr int heads = 12, head_dim = 64;
  constexpr std::int64_t width = heads * head_dim;
  CpuContext context(s.threads);
  const auto q = noise(s.batch * s.queries * 3 * width), k = noise(s.batch * s.keys * width), v = noise(s.batch * s.keys * width);
  std::vector<float> out(static_cast<std::size_t>(s.batch * s.queries * width));
  const bool cached = s.keys > s.queries;
  std::vector<AttentionSequence> sequences;
  for (std::int64_t i = 0; i < s.batch; ++i) {
    const float* rows = q.data() + i * s.queries * 3 * width;
    AttentionSequence a;
    a.q = reinterpret_cast<const std::byte*>(rows);
    a.k = reinterpret_cast<const std::byte*>(cached ? k.data() + i * s.keys * width : rows + width);
    a.v = reinterpret_cast<const std::byte*>(cached ? v.data() + i * s.keys * width : rows + 2 * width);
    a.out = reinterpret_cast<std::byte*>(out.data() + i * s.queries * width);
    a.queries = s.queries;
    a.keys = s.keys;
    a.q_stride = 3 * width;
    a.k_stride = a.v_stride = cached ? width : 3 * width;
    a.out_stride = width;
    sequences.push_back(a);
  }
  const AttentionShape shape{.heads = heads, .head_dim = head_dim, .causal = s.causal, .scale = 0.125f};
  for (auto _ : state) attention(context, shape, sequences);
  // Of the pairs of query and key that are seen: 2 head_dim each for score and value.
  double pairs = static_cast<double>(s.queries) * static_cast<double>(s.keys);
  if (s.causal) pairs -= static_cast<double>(s.queries) * static_cast<double>(s.queries - 1) / 2;
  const double runs = static_cast<double>(state.iterations()) * static_cast<double>(s.batch);
  state.counters["GFLOP/s"] = benchmark::Counter(runs * pairs * 4 * width / 1e9, benchmark::Counter::kIsRate);
  if (s.queries == 1)
    state.counters["GB/s"] =
        benchmark::Counter(runs * static_cast<double>(s.keys * width) * 8 / 1e9, benchmark::Counter::kIsRate);
}

void attention_b32_s128(benchmark::State& state) {
  run(state, {.threads = static_cast<int>(state.range(0)), .batch = 32, .queries = 128, .keys = 128});
}
void attention_b1_s1024_causal(benchmark::State& state) {
  run(state, {.threads = static_cast<int>(state.range(0)), .queries = 1024, .keys = 1024, .causal = true});
}
void attention_b1_s128_causal(benchmark::State& state) {
  run(state, {.threads = static_cast<int>(state.range(0)), .queries = 128, .keys = 128, .causal = true});
}
void attention_b32_s25(benchmark::State& state) {
  run(state, {.threads = static_cast<int>(state.range(0)), .batch = 32, .queries = 25, .keys = 25});
}
void attention_decode_256(benchmark::State& state) {
  run(state, {.threads = static_cast<int>(state.range(0)), .queries = 1, .keys = 256, .causal = true});
}
// Sixteen caches: past L2, as those of all layers are.
void attention_decode_b16_1024(benchmark::State& state) {
  run(state, {.threads = static_cast<int>(state.range(0)), .batch = 16, .queries = 1, .keys = 1024, .causal = true});
}
BENCHMARK(attention_b32_s128)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_b1_s1024_causal)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_b1_s128_causal)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(attention_b32_s25)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_decode_256)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(attention_decode_b16_1024)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace eaq
