#include "eaq/kernel/sampling.cuh"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <vector>

#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

// Tokens that take part in a draw.
std::vector<std::int32_t> drawn_among(const float* logits, std::int64_t n, const Sampling& how) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
  std::iota(tokens.begin(), tokens.end(), 0);
  if (!how.leaves_out()) return tokens;
  const int bits = sampling::index_bits(n);
  const auto rank = [&](std::int32_t t) { return sampling::rank_of(std::bit_cast<std::uint32_t>(logits[t]), t, n, bits); };
  const std::int64_t most = how.top_k > 0 ? std::min<std::int64_t>(how.top_k, n) : n;
  std::partial_sort(tokens.begin(), tokens.begin() + most, tokens.end(), [&](auto a, auto b) { return rank(a) > rank(b); });
  tokens.resize(static_cast<std::size_t>(most));
  if (how.top_p >= 1) return tokens;
  const auto weight = [&](std::int32_t t) { return sampling::weight_of(logits[t], logits[tokens.front()], how.temperature); };
  std::uint64_t all = 0, reached = 0;
  for (const std::int32_t token : tokens) all += weight(token);
  const std::uint64_t wanted = sampling::wanted_weight(how.top_p, all);
  std::size_t kept = 0;
  while (kept < tokens.size() && reached < wanted) reached += weight(tokens[kept++]);
  tokens.resize(kept);
  return tokens;
}

}  // namespace

std::int32_t choose_token(const float* logits, std::int64_t n, const Sampling& how, std::int64_t sequence,
                          std::int64_t position) {
  if (how.temperature <= 0) return summarise_row(logits, n).argmax;
  const std::uint64_t key = sampling::draw_key(how.seed, sequence, position);
  std::int32_t best = std::numeric_limits<std::int32_t>::max();
  float most = -INFINITY;
  for (const std::int32_t token : drawn_among(logits, n, how)) {
    const float mine = sampling::drawn_score(logits[token], how.temperature, key, token);
    if (mine > most || (mine == most && token < best)) best = token, most = mine;
  }
  return best;
}

}  // namespace eaq
