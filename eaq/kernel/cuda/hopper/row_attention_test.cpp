// A decoding step's product and attention in one kernel against both in double, on a card: EAQ_REQUIRE_GPU=1 makes its absence a
// failure.
#include "eaq/kernel/cuda/hopper/row_attention.h"

#include <cmath>

#include "eaq/kernel/cuda/hopper/testing.h"

namespace {

using namespace eaq;
using namespace eaq::testing_hopper;
using kernel_cuda::AttentionCall;
using kernel_cuda::GemmCall;

struct Shape {
  int heads, head_dim;
  std::int64_t k;
  int past;
  bool norms = true, biased = true;
  int free_after = 2;  // rows of the cache
};

template <class T>
class Step {
 public:
  Step(CudaContext& of, const Shape& shape)
      : context(of),
        s(shape),
        width(shape.heads * shape.head_dim),
        capacity(shape.past + 1 + shape.free_after),
        x(of, 1, s.k, s.k + 8, 2, 1),
        w(of, 3 * width, s.k, s.k + 16, 1 / std::sqrt(static_cast<float>(s.k)), 2),
        bias(of, 1, 3 * width, 3 * width, 1, 3),
        keys(of, capacity, width, width, 1, 4),
        values(of, capacity, width, width, 1, 5),
        out(of, 2, width, width, 1, 6),
        gamma(of, 1, s.k, s.k, 1, 7),
        beta(of, 1, s.k, s.k, 1, 8),
        numbers(of.allocate(3 * sizeof(std::int32_t), "a step's numbers")) {
    const std::int32_t past_and_rows[] = {s.past, 0, 1};
    of.upload(numbers.data(), std::as_bytes(std::span(past_and_rows)));
    norm = {reinterpret_cast<const float*>(gamma.memory.data()), reinterpret_cast<const float*>(beta.memory.data()), 1e-5f};
  }

  GemmCall product() const {
    return {.x = x.matrix,
            .w = w.matrix,
            .y = qkv(),
            .bias = s.biased ? bias.memory.data() : nullptr,
            .w_stays = true,
            .norm = s.norms ? &norm : nullptr};
  }
  AttentionCall attention() const {
    const auto* at = reinterpret_cast<const std::int32_t*>(numbers.data());
    AttentionCall call;
    call.heads = s.heads, call.head_dim = s.head_dim, call.causal = true, call.scale = scale();
    call.qkv = qkv(), call.out = {dtype_of<T>(), out.memory.data(), 1, width, width};
    call.cache = {keys.memory.data(), values.memory.data(), dtype_of<T>(), capacity};
    call.sequences = call.longest = call.rows = 1;
    call.past = at, call.row_begin = at + 1;
    return call;
  }

  void expect() const {
    const std::vector<double> made = made_in_double();
    const std::vector<T> got = downloaded(out), k = downloaded(keys), v = downloaded(values);
    const double step = dtype_of<T>() == DType::f16 ? 0x1p-10 : 0x1p-7;
    for (std::int64_t i = 0; i < capacity * width; ++i) {
      const auto at = static_cast<std::size_t>(i), col = static_cast<std::size_t>(i % width);
      if (i / width == s.past) {
        const auto all = static_cast<std::size_t>(width);
        ASSERT_NEAR(static_cast<float>(k[at]), made[all + col], step * std::abs(made[all + col]) + 1e-4) << "key, column " << col;
        ASSERT_NEAR(static_cast<float>(v[at]), made[2 * all + col], step * std::abs(made[2 * all + col]) + 1e-4);
      } else {
        ASSERT_EQ(k[at].bits, keys.host[at].bits) << "written outside: row " << i / width;
        ASSERT_EQ(v[at].bits, values.host[at].bits) << "written outside: row " << i / width;
      }
    }
    for (std::int64_t col = 0; col < width; ++col) {
      ASSERT_NEAR(static_cast<float>(got[static_cast<std::size_t>(col)]), attended(made, k, v, col), 6 * step)
          << "column " << col;
      ASSERT_EQ(got[static_cast<std::size_t>(width + col)].bits, out.host[static_cast<std::size_t>(width + col)].bits);
    }
  }

 private:
  float scale() const { return 2 / std::sqrt(static_cast<float>(s.head_dim)); }
  Matrix qkv() const { return {dtype_of<T>(), nullptr, 1, 3 * width, 3 * width}; }

  std::vector<T> downloaded(const Values<T>& of) const {
    std::vector<T> got(of.host.size());
    context.download(std::as_writable_bytes(std::span(got)), of.memory.data());
    return got;
  }

  // q, k and v as they are kept, in 16 bits.
  std::vector<double> made_in_double() const {
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < s.k; ++i) mean += x.at(0, i) / static_cast<double>(s.k);
    for (std::int64_t i = 0; i < s.k; ++i) variance += std::pow(x.at(0, i) - mean, 2) / static_cast<double>(s.k);
    std::vector<double> made;
    for (std::int64_t row = 0; row < 3 * width; ++row) {
      double sum = s.biased ? bias.at(0, row) : 0;
      for (std::int64_t i = 0; i < s.k; ++i) {
        const double normed = (x.at(0, i) - mean) / std::sqrt(variance + 1e-5) * gamma.at(0, i) + beta.at(0, i);
        sum += w.at(row, i) * (s.norms ? normed : x.at(0, i));
      }
      made.push_back(double{static_cast<float>(T(static_cast<float>(sum)))});
    }
    return made;
  }

  double attended(const std::vector<double>& made, const std::vector<T>& k, const std::vector<T>& v, std::int64_t col) const {
    const std::int64_t head = col / s.head_dim * s.head_dim;
    double sum = 0, weighted = 0;
    for (std::int64_t key = 0; key <= s.past; ++key) {
      double score = 0;
      for (std::int64_t i = head; i < head + s.head_dim; ++i)
        score += made[static_cast<std::size_t>(i)] * static_cast<float>(k[static_cast<std::size_t>(key * width + i)]);
      const double weight = std::exp(score * scale());
      sum += weight;
      weighted += weight * static_cast<float>(v[static_cast<std::size_t>(key * width + col)]);
    }
    return weighted / sum;
  }

  CudaContext& context;
  Shape s;
  std::int64_t width, capacity;
  Values<T> x, w, bias, keys, values, out;
  Values<float> gamma, beta;
  DeviceMemory numbers;
  kernel_cuda::NormVectors norm;
};

template <class T>
void expect_steps_as_in_double() {
  ON_A_HOPPER_CARD(card);
  for (const Shape& shape : {Shape{12, 64, 768, 0},
                             {12, 64, 768, 1},
                             {12, 64, 768, 130},
                             {12, 64, 768, 255},
                             {12, 64, 768, 256},
                             {12, 64, 768, 1000},
                             {3, 40, 120, 77},
                             {1, 8, 8, 300},
                             {2, 128, 256, 258},
                             {5, 72, 360, 19},
                             {12, 64, 768, 200, false, true},
                             {12, 64, 768, 200, true, false},
                             {16, 128, 768, 600, false, false},
                             {4, 16, 64, 33},
                             {7, 24, 168, 511},
                             {3, 120, 360, 64},
                             {12, 64, 768, 255, true, true, 0},
                             {12, 64, 768, 256, true, true, 0}}) {
    SCOPED_TRACE(std::to_string(shape.heads) + " heads of " + std::to_string(shape.head_dim) + ", k " + std::to_string(shape.k) +
                 ", after " + std::to_string(shape.past));
    const Step<T> step(*card, shape);
    ASSERT_TRUE(kernel_cuda::fits_row_attention(*card, step.product(), step.attention()));
    ASSERT_FALSE(kernel_cuda::multiply_and_attend(*card, step.product(), step.attention()).empty());
    ASSERT_NO_THROW(card->synchronise());
    step.expect();
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(HopperRowAttention, OfHalvesIsThatInDouble) { expect_steps_as_in_double<f16>(); }
TEST(HopperRowAttention, OfBfloat16sIsThatInDouble) { expect_steps_as_in_double<bf16>(); }

TEST(HopperRowAttention, LeavesWhatItCannotDo) {
  ON_A_HOPPER_CARD(card);
  const Step<bf16> step(*card, {12, 64, 768, 5});
  const GemmCall product = step.product();
  const AttentionCall attention = step.attention();
  const auto fits = [&](auto change) {
    GemmCall p = product;
    AttentionCall a = attention;
    change(p, a);
    return kernel_cuda::fits_row_attention(*card, p, a);
  };
  EXPECT_TRUE(fits([](auto&, auto&) {}));
  EXPECT_FALSE(fits([](auto& p, auto&) { p.activation = Activation::gelu; }));
  EXPECT_FALSE(fits([](auto& p, auto&) { p.w_stays = false; }));
  EXPECT_FALSE(fits([](auto&, auto& a) { a.cache = {}; }));
  EXPECT_FALSE(fits([](auto&, auto& a) { a.cache.dtype = DType::f32; }));
  EXPECT_FALSE(fits([](auto&, auto& a) { a.sequences = a.rows = 2; }));
  EXPECT_FALSE(fits([](auto&, auto& a) { a.heads = 6; }));
}

}  // namespace
