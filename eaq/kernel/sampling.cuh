// How a token is chosen: what the processor and cards, which compile this one text, have to do alike. Random numbers that need no
// state, the same for the same key and place in any order; an order of tokens; probabilities whose sums are the same in any
// order.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define EAQ_EVERYWHERE __host__ __device__
#else
#define EAQ_EVERYWHERE
#endif

namespace eaq::sampling {

/// SplitMix64 (Steele, Lea and Flood, 2014) of a number: all of its bits depend on all bits of `x`.
EAQ_EVERYWHERE inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

/// The key under which the token of one place of one sequence is drawn.
EAQ_EVERYWHERE inline std::uint64_t draw_key(std::uint64_t seed, std::int64_t sequence, std::int64_t position) {
  return mixed(mixed(mixed(seed) ^ static_cast<std::uint64_t>(sequence)) ^ static_cast<std::uint64_t>(position));
}

/// What a token's logit counts in a draw: the largest of logit / temperature + Gumbel noise is a sample of softmax(logits /
/// temperature) (the Gumbel-max trick; Yellott, 1977). One pass, and no sum over all tokens. Rounded to f32 at the end, so that
/// devices whose logarithms differ in the last bit draw the same.
EAQ_EVERYWHERE inline float drawn_score(float logit, double temperature, std::uint64_t key, std::int64_t token) {
  // Between 0 and 1, and neither.
  const double u = (static_cast<double>(mixed(key ^ static_cast<std::uint64_t>(token)) >> 12) + 0.5) * 0x1p-52;
  return static_cast<float>(logit / temperature - std::log(-std::log(u)));
}

/// Orders `n` tokens, larger is likelier: no two ranks are alike, as of equal logits the lower index is the likelier. Of 32 +
/// index_bits(n) bits. (NaN lies at one end or the other; rows that have one are refused.)
EAQ_EVERYWHERE inline std::uint64_t rank_of(std::uint32_t logit_bits, std::int64_t token, std::int64_t n, int index_bits) {
  if (logit_bits == 0x80000000u) logit_bits = 0;  // -0 is 0
  const std::uint32_t ordered = (logit_bits >> 31) != 0 ? ~logit_bits : logit_bits | 0x80000000u;
  return static_cast<std::uint64_t>(ordered) << index_bits | static_cast<std::uint64_t>(n - 1 - token);
}
EAQ_EVERYWHERE inline int index_bits(std::int64_t n) {
  int bits = 1;
  while ((n - 1) >> bits != 0) ++bits;
  return bits;
}

constexpr int weight_bits = 44;
/// exp((logit - largest) / temperature) as a multiple of 2^-44: whole numbers have the same sum in any order. Of up to 2^19
/// tokens.
EAQ_EVERYWHERE inline std::uint64_t weight_of(float logit, float largest, double temperature) {
  const double weight =
      std::exp((static_cast<double>(logit) - static_cast<double>(largest)) / temperature) * (std::uint64_t{1} << weight_bits);
  return weight >= 0 ? static_cast<std::uint64_t>(weight + 0.5) : 0;  // NaN has none
}
/// So much of all weights the likeliest tokens must have.
EAQ_EVERYWHERE inline std::uint64_t wanted_weight(double top_p, std::uint64_t all) {
  const double wanted = std::ceil(top_p * static_cast<double>(all));
  if (!(wanted > 1)) return 1;
  return wanted < static_cast<double>(all) ? static_cast<std::uint64_t>(wanted) : all;
}

}  // namespace eaq::sampling
