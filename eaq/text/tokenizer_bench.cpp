#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>

#include "eaq/text/text.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;

// The embedded model, or what EAQ_TOKENIZER names: a full-size one.
fs::path folder(const char* embedded) {
  const char* given = std::getenv("EAQ_TOKENIZER");
  return given != nullptr ? fs::path(given) : fs::path(EAQ_SOURCE_DIR) / "models" / embedded;
}

std::vector<std::string_view> lines(const std::string& text) {
  std::vector<std::string_view> found;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    found.push_back(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
  return found;
}

void encode_lines(benchmark::State& state, const char* model) {
  const fs::path data = fs::path(EAQ_SOURCE_DIR) / "data" / "wikitext2" / "wiki.test.raw", dir = folder(model);
  if (!fs::exists(data) || !fs::exists(dir)) return state.SkipWithError("the model or data/wikitext2 is not here");
  const auto tokenizer = load_tokenizer(dir);
  const std::string text = read_text(data);
  const auto texts = lines(text);
  std::vector<std::int32_t> ids;
  for (auto _ : state) {
    ids.clear();
    for (const std::string_view line : texts) tokenizer->encode_into(line, {}, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
  state.counters["tokens"] = static_cast<double>(ids.size());
}

void decode_all(benchmark::State& state, const char* model) {
  const fs::path data = fs::path(EAQ_SOURCE_DIR) / "data" / "wikitext2" / "wiki.test.raw", dir = folder(model);
  if (!fs::exists(data) || !fs::exists(dir)) return state.SkipWithError("the model or data/wikitext2 is not here");
  const auto tokenizer = load_tokenizer(dir);
  const std::string text = read_text(data);
  const auto ids = tokenizer->encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->decode(ids));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}

void load(benchmark::State& state, const char* model) {
  const fs::path dir = folder(model);
  if (!fs::exists(dir)) return state.SkipWithError("the model is not here");
  for (auto _ : state) benchmark::DoNotOptimize(load_tokenizer(dir));
}

BENCHMARK_CAPTURE(encode_lines, gpt2, "tiny-gpt2")->Name("Tokenizer/EncodeWikiText2/tiny-gpt2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode_lines, bert, "tiny-distilbert")
    ->Name("Tokenizer/EncodeWikiText2/tiny-distilbert")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode_all, gpt2, "tiny-gpt2")->Name("Tokenizer/DecodeWikiText2/tiny-gpt2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, gpt2, "tiny-gpt2")->Name("Tokenizer/Load/tiny-gpt2")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, bert, "tiny-distilbert")->Name("Tokenizer/Load/tiny-distilbert")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace eaq
