// What a loop costs before it does anything, and what the memory gives: below these no product of one row gets.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

void empty_loop(benchmark::State& state) {
  CpuContext context(static_cast<int>(state.range(0)));
  const auto nothing = [](std::int64_t, int) {};
  for (auto _ : state) context.parallel(state.range(1), nothing);
}
BENCHMARK(empty_loop)->ArgNames({"threads", "tasks"})->Args({1, 2})->Args({2, 2})->Args({2, 64})->Args({2, 1024})->UseRealTime();

// After a pause the threads sleep: what it costs to have both at work again, each on 20 us.
void loop_after_sleep(benchmark::State& state) {
  CpuContext context(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    const auto begin = std::chrono::steady_clock::now();
    context.parallel(2, [](std::int64_t, int) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
      while (std::chrono::steady_clock::now() < end) {
      }
    });
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
}
BENCHMARK(loop_after_sleep)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMicrosecond);

// Sums of 512 MiB, more than any cache here holds; four places at once, as a core's prefetchers follow several.
void read_memory(benchmark::State& state) {
  constexpr std::int64_t bytes = std::int64_t{512} << 20, streams = 4;
  const int threads = static_cast<int>(state.range(0));
  CpuContext context(threads);
  Buffer memory(bytes);
  std::fill_n(memory.as<std::uint64_t>(), bytes / 8, 1);
  const std::int64_t each = bytes / 8 / threads / streams;
  for (auto _ : state)
    context.parallel(threads, [&](std::int64_t task, int) {
      const std::uint64_t* from = memory.as<std::uint64_t>() + task * each * streams;
      constexpr std::int64_t line = 8;
      std::array<std::uint64_t, streams * line> sums{};
      for (std::int64_t i = 0; i + line <= each; i += line)
        for (std::int64_t s = 0; s < streams; ++s)
          for (std::int64_t j = 0; j < line; ++j) sums[static_cast<std::size_t>(s * line + j)] += from[s * each + i + j];
      benchmark::DoNotOptimize(std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}));
    });
  state.counters["GB/s"] =
      benchmark::Counter(1e-9 * bytes * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.SetLabel(cpu_info().model);
}

// By powers of two; or as many threads as EAQ_BENCH_THREADS says.
void counts_of_threads(benchmark::internal::Benchmark* of) {
  of->ArgName("threads")->UseRealTime()->Unit(benchmark::kMillisecond);
  const char* asked = std::getenv("EAQ_BENCH_THREADS");
  if (asked != nullptr && std::atoi(asked) > 0)
    of->Arg(std::atoi(asked));
  else
    of->RangeMultiplier(2)->Range(1, 16);
}
BENCHMARK(read_memory)->Apply(counts_of_threads);

}  // namespace
}  // namespace eaq
