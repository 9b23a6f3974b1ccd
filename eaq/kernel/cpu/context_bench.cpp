// What a loop costs before it does anything.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

void empty_loop(benchmark::State& state) {
  CpuContext context(static_cast<int>(state.range(0)));
  const std::function<void(std::int64_t, int)> nothing = [](std::int64_t, int) {};
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

}  // namespace
}  // namespace eaq
