// Opening checkpoints: the header alone, it is all that start-up waits for.
#include <benchmark/benchmark.h>

#include "eaq/container/container.h"
#include "eaq/container/safetensors/header.h"

namespace eaq {
namespace {

std::string file_of(int tensors) {
  std::string json = "{\"__metadata__\":{\"format\":\"pt\"}";
  for (int i = 0; i < tensors; ++i)
    json += ",\"transformer.h." + std::to_string(i / 12) + ".mlp.c_fc.weight" + std::to_string(i % 12) +
            "\":{\"dtype\":\"BF16\",\"shape\":[4,2],\"data_offsets\":[" + std::to_string(i * 16) + "," +
            std::to_string(i * 16 + 16) + "]}";
  json += "}";
  const std::uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + json +
         std::string(static_cast<std::size_t>(tensors) * 16, '\1');
}

void parse_header(benchmark::State& state) {
  const std::string file = file_of(static_cast<int>(state.range(0)));
  for (auto _ : state)
    benchmark::DoNotOptimize(safetensors::parse_header(std::as_bytes(std::span(file)), "bench").entries.size());
}
BENCHMARK(parse_header)->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace eaq
