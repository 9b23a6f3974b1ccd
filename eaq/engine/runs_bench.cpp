// Runs of whole models of true shape: back to back, as a study times them; how long the host takes to submit one; and one alone,
// from its submission to its end. EAQ_BENCH_DEVICE names the device ("cuda"), EAQ_BENCH_FORMAT the format ("bf16").
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <map>

#include "eaq/engine/engine.h"

namespace eaq {
namespace {

using Clock = std::chrono::steady_clock;

std::string chosen(const char* variable, const char* otherwise) {
  const char* given = std::getenv(variable);
  return given != nullptr ? given : otherwise;
}

const Device& device() {
  static const Device opened = open_device(chosen("EAQ_BENCH_DEVICE", "cuda"));
  return opened;
}

std::shared_ptr<const PackedModel> packed(const std::string& name) {
  static std::map<std::string, std::shared_ptr<const PackedModel>> known;
  auto& one = known[name];
  if (!one) {
    const Model model = open_model(name);
    const std::string format = chosen("EAQ_BENCH_FORMAT", "bf16");
    one = std::make_shared<const PackedModel>(model, uniform_recipe(model.graph, format, default_base(device())), device());
  }
  return one;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// `tokens` of `length` are seen, the rest is padding (0: none); `past`: of a decode.
void run(benchmark::State& state, const std::string& name, std::int64_t sequences, std::int64_t length, std::int64_t tokens,
         std::int64_t past) {
  const auto model = packed(name);
  SessionOptions options;
  if (past > 0)
    options.cache_sequences = sequences, options.cache_capacity = past + 256, options.feeds_back = can_feed_back(device());
  Session session(model, options);
  OwnedBatch batch;
  batch.row_begin.push_back(0);
  for (std::int64_t s = 0; s < sequences; ++s) {
    for (std::int64_t i = 0; i < length; ++i) {
      batch.ids.push_back(static_cast<std::int32_t>((s * 131 + i * 7919) % 20000));
      batch.positions.push_back(static_cast<std::int32_t>(past + i));
      if (tokens > 0) batch.key_mask.push_back(i < tokens ? 1 : 0);
    }
    batch.row_begin.push_back(static_cast<std::int32_t>(batch.ids.size()));
    if (past > 0) batch.past.push_back(static_cast<std::int32_t>(past));
  }
  PreparedBatch prepared = session.prepare(batch.view());
  ExecutionContext& context = *device().context;
  session.submit(prepared);
  context.finish_runs(0);
  constexpr int runs = 100;
  double submitting = 0, alone = 0;
  for (auto _ : state) {
    if (options.feeds_back) session.rewind(prepared);
    Clock::time_point start = Clock::now();
    for (int i = 0; i < runs; ++i) {
      const Clock::time_point before = Clock::now();
      session.submit(prepared);
      submitting += seconds_since(before);
      context.finish_runs(1);
    }
    context.finish_runs(0);
    state.SetIterationTime(seconds_since(start) / runs);
    start = Clock::now();
    for (int i = 0; i < 20; ++i) {
      session.submit(prepared);
      context.finish_runs(0);
    }
    alone += seconds_since(start) / 20;
  }
  const auto iterations = static_cast<double>(state.iterations());
  state.counters["submitting_us"] = submitting / iterations / runs * 1e6;
  state.counters["alone_us"] = alone / iterations * 1e6;
}

const bool registered = [] {
  struct Work {
    const char *name, *model;
    std::int64_t sequences, length, tokens, past;
  };
  for (const Work& w : {Work{"DistilBERT 32 x 128", "synthetic:distilbert", 32, 128, 0, 0},
                        {"DistilBERT 32 x 128, of which 30 are seen", "synthetic:distilbert", 32, 128, 30, 0},
                        {"DistilBERT 1 x 128", "synthetic:distilbert", 1, 128, 0, 0},
                        {"DistilBERT 218 x 25, unpadded", "synthetic:distilbert", 218, 25, 0, 0},
                        {"GPT-2 8 x 1024", "synthetic:gpt2", 8, 1024, 0, 0},
                        {"GPT-2 1 x 128", "synthetic:gpt2", 1, 128, 0, 0},
                        {"GPT-2 decode after 128", "synthetic:gpt2", 1, 1, 0, 128}})
    benchmark::RegisterBenchmark(w.name,
                                 [=](benchmark::State& state) { run(state, w.model, w.sequences, w.length, w.tokens, w.past); })
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMicrosecond);
  return true;
}();

}  // namespace
}  // namespace eaq
