// Encodes texts for parity.py: reads pieces that end in a NUL byte, writes for each its count of ids and the ids (int32), and the
// best time of encoding them all to standard error. With --decode, reads such lists of ids and writes texts that end in a NUL
// byte.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "eaq/text/text.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void write_ids(const std::vector<std::int32_t>& ids) {
  const auto count = static_cast<std::int32_t>(ids.size());
  std::fwrite(&count, sizeof count, 1, stdout);
  std::fwrite(ids.data(), sizeof(std::int32_t), ids.size(), stdout);
}

void encode(const eaq::Tokenizer& tokenizer, const std::string& input, int repeats, const eaq::EncodeOptions& options) {
  std::vector<std::string_view> texts;
  for (std::size_t at = 0; at < input.size();) {
    const std::size_t end = std::min(input.find('\0', at), input.size());
    texts.push_back(std::string_view(input).substr(at, end - at));
    at = end + 1;
  }
  std::vector<std::vector<std::int32_t>> rows;
  double best = 1e9, first = 0;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    rows = tokenizer.encode_batch(texts, options);
    const double taken = seconds_since(start);
    if (i == 0) first = taken;
    best = std::min(best, taken);
  }
  std::fprintf(stderr, "{\"first_s\": %.6f, \"best_s\": %.6f, \"texts\": %zu}\n", first, best, rows.size());
  for (const auto& row : rows) write_ids(row);
}

void decode(const eaq::Tokenizer& tokenizer, const std::string& input, bool skip_special_tokens) {
  std::size_t at = 0;
  while (at + 4 <= input.size()) {
    std::int32_t count;
    std::memcpy(&count, input.data() + at, 4);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
    std::memcpy(ids.data(), input.data() + at + 4, ids.size() * 4);
    at += 4 + ids.size() * 4;
    const std::string text = tokenizer.decode(ids, skip_special_tokens);
    std::fwrite(text.c_str(), 1, text.size() + 1, stdout);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fputs("usage: tokenizer_parity FOLDER [--decode] [--skip] [--plain] [--repeats N] [--max-length N]\n", stderr);
    return 2;
  }
  bool decodes = false, skips = false;
  int repeats = 1;
  eaq::EncodeOptions options;
  for (int i = 2; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--decode") decodes = true;
    if (option == "--skip") skips = true;
    if (option == "--plain") options.add_special_tokens = false;
    if (option == "--repeats" && i + 1 < argc) repeats = std::stoi(argv[++i]);
    if (option == "--max-length" && i + 1 < argc) options.max_length = std::stoi(argv[++i]);
  }
  const auto start = Clock::now();
  const auto tokenizer = eaq::load_tokenizer(argv[1]);
  std::fprintf(stderr, "{\"load_s\": %.6f, \"kind\": \"%s\"}\n", seconds_since(start), std::string(tokenizer->kind()).c_str());
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  if (decodes) {
    decode(*tokenizer, input, skips);
  } else {
    encode(*tokenizer, input, repeats, options);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "tokenizer_parity: %s\n", error.what());
  return 1;
}
