// Attention by wgmma against the same in double, on a card: EAQ_REQUIRE_GPU=1 makes its absence a failure.
#include "eaq/kernel/cuda/hopper/attention.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "eaq/kernel/cuda/hopper/testing.h"

namespace {

using namespace eaq;
using namespace eaq::testing_hopper;
using kernel_cuda::AttentionCall;

constexpr int head = 64;
const float no_number = std::numeric_limits<float>::quiet_NaN();

struct Case {
  std::vector<int> lengths;
  int heads = 2;
  bool causal = false;
  int past = -1;         // rows in the cache before; none: no cache
  float growth = 0;      // of the keys, a position: later scores exceed earlier ones by far
  int hidden = 0;        // one of so many keys is; 0: none
  int padded = 0;        // keys at a sequence's end that nobody sees
  int spoilt = -1;       // a sequence whose values are no numbers: the others' results must not know of it
  int first_hidden = 0;  // so many keys at a sequence's beginning are
  std::string name() const {
    std::string all = std::to_string(heads) + " heads";
    for (const int length : lengths) all += " " + std::to_string(length);
    return all + (causal ? " causal" : "") + " past " + std::to_string(past) + " growth " + std::to_string(growth) + " hidden " +
           std::to_string(hidden) + " padded " + std::to_string(padded) + " spoilt " + std::to_string(spoilt) + " first hidden " +
           std::to_string(first_hidden);
  }
};

template <class T>
class Attention {
 public:
  Attention(CudaContext& of, const Case& made)
      : context_(of),
        c_(made),
        rows_(std::accumulate(c_.lengths.begin(), c_.lengths.end(), 0)),
        width_(head * c_.heads),
        capacity_(std::max(c_.past, 0) + *std::max_element(c_.lengths.begin(), c_.lengths.end()) + 3),
        qkv_(of, rows_, 3 * width_, 3 * width_ + 8, 1, 1),
        keys_(of, sequences() * capacity_, width_, width_, 1, 2),
        values_(of, sequences() * capacity_, width_, width_, 1, 3),
        out_(of, rows_ + 1, width_, width_ + 16, 1, 4) {
    for (int s = 0, row = 0; s < sequences(); ++s) {
      begin_.push_back(row), past_.push_back(std::max(c_.past, 0)), shown_.push_back(length(s) - c_.padded);
      for (int i = 0; i < length(s); ++i, ++row) prepare(s, i, row);
      for (std::int64_t i = std::max(c_.past, 0); i < capacity_; ++i)  // nobody wrote there
        for (std::int64_t col = 0; col < width_; ++col)
          keys_.host[at(s * capacity_ + i, width_, col)] = values_.host[at(s * capacity_ + i, width_, col)] = T(no_number);
    }
    begin_.push_back(rows_);
    for (const Values<T>* values : {&qkv_, &keys_, &values_})
      context_.upload(values->memory.data(), std::as_bytes(std::span(values->host)));
  }

  void expect() {
    const DeviceMemory begin = uploaded(begin_), past = uploaded(past_), shown = uploaded(shown_), mask = uploaded(mask_);
    AttentionCall call;
    call.heads = c_.heads, call.head_dim = head, call.causal = c_.causal, call.scale = scale;
    call.qkv = qkv_.matrix, call.out = {dtype_of<T>(), out_.memory.data(), rows_, width_, out_.matrix.stride};
    call.sequences = sequences(), call.rows = rows_, call.longest = *std::max_element(c_.lengths.begin(), c_.lengths.end());
    call.row_begin = reinterpret_cast<const std::int32_t*>(begin.data());
    if (c_.padded > 0) call.shown = reinterpret_cast<const std::int32_t*>(shown.data());
    if (c_.hidden > 0 || c_.first_hidden > 0) call.mask = reinterpret_cast<const std::uint8_t*>(mask.data());
    const std::vector<std::int32_t> owners = owners_of_rows();
    const DeviceMemory sequence_of = uploaded(owners);
    if (c_.past >= 0) {
      call.cache = {keys_.memory.data(), values_.memory.data(), dtype_of<T>(), capacity_};
      call.past = reinterpret_cast<const std::int32_t*>(past.data());
      call.sequence_of = reinterpret_cast<const std::int32_t*>(sequence_of.data());
    }
    ASSERT_TRUE(fits_hopper_attention(context_, call));
    ASSERT_EQ(kernel_cuda::attention(context_, call), "eaq attention, wgmma");
    ASSERT_NO_THROW(context_.synchronise());
    std::vector<T> got(out_.host.size());
    context_.download(std::as_writable_bytes(std::span(got)), out_.memory.data());
    const double step = dtype_of<T>() == DType::f16 ? 0x1p-10 : 0x1p-7;
    for (int s = 0; s < sequences(); ++s)
      for (int i = 0; i < length(s) && s != c_.spoilt; i += length(s) < 200 ? 1 : 5)
        for (int h = 0; h < c_.heads; ++h) {
          const std::vector<double> weights = weights_of(s, i, h);
          for (std::int64_t col = h * head; col < (h + 1) * head; col += 7)
            ASSERT_NEAR(static_cast<float>(got[at(begin_[static_cast<std::size_t>(s)] + i, out_.matrix.stride, col)]),
                        attended(s, weights, col), step * (1 + std::abs(attended(s, weights, col))))
                << "sequence " << s << ", query " << i << ", column " << col;
        }
    for (std::int64_t col = 0; col < out_.matrix.stride; ++col)
      ASSERT_EQ(got[at(rows_, out_.matrix.stride, col)].bits, out_.host[at(rows_, out_.matrix.stride, col)].bits)
          << "written behind";
  }

 private:
  static constexpr float scale = 0.125f;

  int sequences() const { return static_cast<int>(c_.lengths.size()); }
  int length(int s) const { return c_.lengths[static_cast<std::size_t>(s)]; }
  static std::size_t at(std::int64_t row, std::int64_t stride, std::int64_t col) {
    return static_cast<std::size_t>(row * stride + col);
  }

  void prepare(int s, int i, int row) {
    mask_.push_back(i < c_.first_hidden || (c_.hidden > 0 && i % c_.hidden == 1) ? 0 : 1);
    for (std::int64_t col = 0; col < width_; ++col) {
      T& key = qkv_.host[at(row, qkv_.matrix.stride, width_ + col)];
      key = T(static_cast<float>(key) * (1 + c_.growth * static_cast<float>(i)));
      T& value = qkv_.host[at(row, qkv_.matrix.stride, 2 * width_ + col)];  // of each tile others, so that none can be left out
      value = s == c_.spoilt ? T(no_number) : T(static_cast<float>(value) + 0.25f * static_cast<float>(i / head));
    }
  }
  template <class E>
  DeviceMemory uploaded(const std::vector<E>& values) {
    DeviceMemory memory = context_.allocate(values.size() * sizeof(E), "a batch's numbers");
    context_.upload(memory.data(), std::as_bytes(std::span(values)));
    return memory;
  }
  std::vector<std::int32_t> owners_of_rows() const {
    std::vector<std::int32_t> owners;
    for (int s = 0; s < sequences(); ++s) owners.insert(owners.end(), static_cast<std::size_t>(length(s)), s);
    return owners;
  }

  // Key or value (1 or 2) at a position of a sequence.
  double kept(int which, int s, int position, std::int64_t col) const {
    const int past = std::max(c_.past, 0);
    if (position < past) return (which == 1 ? keys_ : values_).at(s * capacity_ + position, col);
    return qkv_.at(begin_[static_cast<std::size_t>(s)] + position - past, which * width_ + col);
  }
  // Of the keys that a query sees.
  std::vector<double> weights_of(int s, int query, int h) const {
    const int past = std::max(c_.past, 0), all = past + length(s) - c_.padded,
              seen = c_.causal ? std::min(past + query + 1, all) : all;
    const std::int64_t first = begin_[static_cast<std::size_t>(s)];
    std::vector<double> weights;
    for (int key = 0; key < seen; ++key) {
      double score = 0;
      for (std::int64_t i = h * head; i < (h + 1) * head; ++i) score += double{qkv_.at(first + query, i)} * kept(1, s, key, i);
      const bool hidden = key >= past && mask_[static_cast<std::size_t>(first + key - past)] == 0;
      weights.push_back(hidden ? -0x1p100 : score * scale);
    }
    const double largest = *std::max_element(weights.begin(), weights.end());
    for (double& weight : weights) weight = std::exp(weight - largest);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& weight : weights) weight /= sum;
    return weights;
  }
  double attended(int s, const std::vector<double>& weights, std::int64_t col) const {
    double weighted = 0;
    for (std::size_t key = 0; key < weights.size(); ++key)
      if (weights[key] > 0) weighted += weights[key] * kept(2, s, static_cast<int>(key), col);
    return weighted;
  }

  CudaContext& context_;
  const Case c_;
  const std::int64_t rows_, width_, capacity_;
  Values<T> qkv_, keys_, values_, out_;
  std::vector<std::int32_t> begin_, past_, shown_;
  std::vector<std::uint8_t> mask_;
};

template <class T>
void expect_as_in_double(const std::vector<Case>& cases) {
  ON_A_HOPPER_CARD(card);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name());
    Attention<T>(*card, c).expect();
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Fewer tiles than places for them and more, sequences that end within a tile and at one; 132 blocks of 128 queries and more have
// two groups, fewer one.
const std::vector<int> many{200, 300, 190, 200};
const std::vector<Case> shapes{{.lengths = {2}},
                               {.lengths = {33}},
                               {.lengths = {25, 7}, .heads = 3, .causal = true},
                               {.lengths = {25, 7, 64}},
                               {.lengths = {64, 128, 65}, .causal = true},
                               {.lengths = {130}, .heads = 12},
                               {.lengths = {1024, 3, 700}, .heads = 12, .causal = true},
                               {.lengths = {1024, 3, 700, 640}, .heads = 12},
                               {.lengths = {300, 129, 128, 127, 1}, .heads = 12, .causal = true, .past = 0},
                               {.lengths = {70, 1, 130}, .heads = 3, .causal = true, .past = 200},
                               {.lengths = many, .heads = 12, .causal = true, .past = 10}};
TEST(HopperAttention, OfHalvesIsThatInDouble) { expect_as_in_double<f16>(shapes); }
TEST(HopperAttention, OfBfloat16sIsThatInDouble) { expect_as_in_double<bf16>(shapes); }

// Weights beside the first tile's largest would be as large as 2^100 and more.
TEST(HopperAttention, ScoresMayGrow) {
  const std::vector<Case> cases{{.lengths = {700, 330}, .heads = 12, .causal = true, .growth = 0.05f},
                                {.lengths = {700, 330}, .heads = 12, .growth = 0.05f},
                                {.lengths = {130}, .heads = 1, .growth = 0.5f},
                                {.lengths = {1024, 1024}, .heads = 12, .causal = true, .growth = 0.01f},
                                {.lengths = many, .heads = 12, .growth = 0.05f, .hidden = 5}};
  expect_as_in_double<f16>(cases);
  expect_as_in_double<bf16>(cases);
}

// A query that sees none weighs all alike.
TEST(HopperAttention, HiddenKeysWeighNothing) {
  const std::vector<Case> cases{{.lengths = {200, 64, 65}, .heads = 12, .hidden = 3},
                                {.lengths = {300, 77}, .heads = 12, .causal = true, .hidden = 2},
                                {.lengths = {200, 70}, .padded = 9},
                                {.lengths = many, .heads = 12, .hidden = 3},
                                {.lengths = many, .heads = 12, .padded = 70},
                                {.lengths = many, .heads = 12, .causal = true, .past = 33, .hidden = 3},
                                {.lengths = {200, 70}, .causal = true, .first_hidden = 64},
                                {.lengths = many, .heads = 12, .first_hidden = 70},
                                {.lengths = {130, 70}, .first_hidden = 200}};
  expect_as_in_double<f16>(cases);
  expect_as_in_double<bf16>(cases);
}

TEST(HopperAttention, ASequenceDoesNotKnowOfItsNeighbours) {
  const std::vector<Case> cases{{.lengths = {70, 30, 5}, .heads = 12, .causal = true, .spoilt = 1},
                                {.lengths = {200, 300, 190}, .heads = 12, .spoilt = 1},
                                {.lengths = many, .heads = 12, .spoilt = 1},
                                {.lengths = many, .heads = 12, .causal = true, .past = 10, .spoilt = 2}};
  expect_as_in_double<f16>(cases);
  expect_as_in_double<bf16>(cases);
}

}  // namespace
