// Every one of Hopper's products against a plain one, on a card: EAQ_REQUIRE_GPU=1 makes its absence a failure.
#include "eaq/kernel/cuda/hopper/products.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <tuple>
#include <vector>

#include "eaq/kernel/cuda/gemm.h"
#include "eaq/kernel/cuda/hopper/testing.h"

namespace {

using namespace eaq;
using namespace eaq::testing_hopper;
using kernel_cuda::GemmCall;
using kernel_cuda::HopperProduct;

double applied(Activation activation, double x) {
  if (activation == Activation::gelu) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  if (activation == Activation::gelu_tanh) return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  return x;
}

enum class Added { nothing, residual, itself };

template <class T>
class Operands {
 public:
  // Rows are apart by more than they are long, and one more of y's than are written shows what should have stayed.
  Operands(CudaContext& of, std::int64_t m, std::int64_t n, std::int64_t k)
      : context(of),
        x(of, m, k, k + 8, 1, 1),
        w(of, n, k, k + 16, 1 / std::sqrt(static_cast<float>(k)), 2),
        bias(of, 1, n, n, 1, 3),
        residual(of, m, n, n + 24, 1, 4),
        before(of, m + 1, n, n + 8, 1, 5),
        y(of.allocate(before.memory.size(), "a test's result")),
        workspace(of.allocate(std::size_t{64} << 20, "a test's workspace")),
        sums(static_cast<std::size_t>(m * n)) {
    const DeviceMemory exact = of.allocate(sums.size() * sizeof(float), "a test's sums");
    kernel_cuda::plain_gemm(of, {.x = x.matrix, .w = w.matrix, .y = {DType::f32, exact.data(), m, n, n}});
    of.download(std::as_writable_bytes(std::span(sums)), exact.data());
  }

  GemmCall call(Activation activation, bool biased, Added added) {
    given = {dtype_of<T>(), y.data(), x.matrix.rows, w.matrix.rows, before.matrix.stride};
    context.upload(y.data(), std::as_bytes(std::span(before.host)));
    GemmCall made{.x = x.matrix,
                  .w = w.matrix,
                  .y = given,
                  .bias = biased ? bias.memory.data() : nullptr,
                  .activation = activation,
                  .w_stays = true};
    if (added != Added::nothing) made.residual = added == Added::itself ? &given : &residual.matrix;
    return made;
  }

  // y against the exact sums of the operands, rounded once; or a second time before the residual is added, as a library may.
  void expect(Activation activation, bool biased, Added added, bool rounds_twice = false) const {
    std::vector<T> got(before.host.size());
    context.download(std::as_writable_bytes(std::span(got)), y.data());
    const double half_a_step = dtype_of<T>() == DType::f16 ? 0x1p-11 : 0x1p-8;
    const std::int64_t m = given.rows, n = given.cols, stride = given.stride;
    for (std::int64_t row = 0; row <= m; ++row) {
      for (std::int64_t col = 0; col < stride; ++col) {
        const auto i = static_cast<std::size_t>(row * stride + col);
        if (row == m || col >= n) {
          ASSERT_EQ(got[i].bits, before.host[i].bits) << "written outside of y: row " << row << ", column " << col;
          continue;
        }
        double expected = sums[static_cast<std::size_t>(row * n + col)] + (biased ? double{bias.at(0, col)} : 0.0);
        expected = applied(activation, expected);
        const double rounded_before = rounds_twice ? std::abs(expected) : 0;
        if (added == Added::residual) expected += residual.at(row, col);
        if (added == Added::itself) expected += before.at(row, col);
        ASSERT_NEAR(static_cast<float>(got[i]), expected, half_a_step * (std::abs(expected) + rounded_before) + 3e-5)
            << "row " << row << ", column " << col;
      }
    }
  }

  // The plain product that the others are held against, in a few places.
  void expect_sums() const {
    for (std::size_t i = 0; i < sums.size(); i += 1 + sums.size() / 50) {
      const auto row = static_cast<std::int64_t>(i) / w.matrix.rows, col = static_cast<std::int64_t>(i) % w.matrix.rows;
      double sum = 0;
      for (std::int64_t j = 0; j < x.matrix.cols; ++j) sum += double{x.at(row, j)} * w.at(col, j);
      ASSERT_NEAR(sums[i], sum, 2e-5);
    }
  }

  CudaContext& context;
  Values<T> x, w, bias, residual, before;
  DeviceMemory y, workspace;
  std::vector<float> sums;
  Matrix given;
};

// One product of all shapes that suit it: how many.
template <class T>
int expect_as_plain_sums(CudaContext& context, const HopperProduct& product, std::int64_t m) {
  int ran = 0;
  for (const auto& [n, k] : {std::pair{768, 768}, {768, 72}, {768, 3072}, {776, 768}, {776, 72}, {3072, 768}, {3072, 72}}) {
    Operands<T> operands(context, m, n, k);
    operands.expect_sums();
    for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh}) {
      for (const bool biased : {false, true}) {
        for (const Added added : {Added::nothing, Added::residual, Added::itself}) {
          SCOPED_TRACE(full_name(product, dtype_of<T>()) + ", " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                       std::to_string(k) + ", activation " + std::to_string(static_cast<int>(activation)) +
                       (biased ? ", bias" : "") + (added != Added::nothing ? ", residual" : "") +
                       (added == Added::itself ? " in place" : ""));
          const GemmCall call = operands.call(activation, biased, added);
          EXPECT_TRUE(runs_on_hopper(context, call));
          if (!suits(product, context, call)) continue;
          ++ran;
          EXPECT_EQ(submit(product, context, call, operands.workspace), "");
          EXPECT_NO_THROW(context.synchronise());
          operands.expect(activation, biased, added);
          if (testing::Test::HasFailure()) return ran;
        }
      }
    }
  }
  return ran;
}

// Each by itself, so that a sanitizer can be told which: in some it fails, see docs/cuda.md.
class Hopper : public testing::TestWithParam<std::tuple<std::string_view, int>> {
 protected:
  template <class T>
  static void expect_product(CudaContext& card) {
    const auto& [name, rows] = GetParam();
    const HopperProduct* product = kernel_cuda::find_hopper_product(name);
    ASSERT_NE(product, nullptr);
    const int ran = expect_as_plain_sums<T>(card, *product, rows);
    if (ran == 0 && !HasFailure()) GTEST_SKIP() << name << " is not for products of " << rows << " rows";
  }
};
TEST_P(Hopper, ProductsOfHalvesAreThoseOfPlainSums) {
  ON_A_HOPPER_CARD(card);
  expect_product<f16>(*card);
}
TEST_P(Hopper, ProductsOfBfloat16sAreThoseOfPlainSums) {
  ON_A_HOPPER_CARD(card);
  expect_product<bf16>(*card);
}
std::vector<std::string_view> names_of_products() {
  std::vector<std::string_view> names;
  for (const HopperProduct& product : kernel_cuda::hopper_products()) names.push_back(product.name);
  return names;
}
std::string name_of_one(const testing::TestParamInfo<std::tuple<std::string_view, int>>& one) {
  std::string name(std::get<0>(one.param));
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name + "_" + std::to_string(std::get<1>(one.param)) + "_rows";
}
INSTANTIATE_TEST_SUITE_P(Each, Hopper,
                         testing::Combine(testing::ValuesIn(names_of_products()), testing::Values(1, 17, 128, 300, 600)),
                         name_of_one);

// Results in f32, as logits are.
template <class T>
void expect_sums_in_f32(CudaContext& context, std::int64_t m, std::int64_t n, std::int64_t k) {
  const Operands<T> o(context, m, n, k);
  const Values<float> y(context, m + 1, n, n + 8, 1, 6), bias(context, 1, n, n, 1, 7);
  int ran = 0;
  for (const HopperProduct& product : kernel_cuda::hopper_products()) {
    for (const bool biased : {false, true}) {
      SCOPED_TRACE(full_name(product, dtype_of<T>()) + ", " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                   std::to_string(k) + (biased ? ", bias" : ""));
      GemmCall call{.x = o.x.matrix,
                    .w = o.w.matrix,
                    .y = y.matrix.slice(0, m),
                    .bias = biased ? bias.memory.data() : nullptr,
                    .w_stays = true};
      ASSERT_TRUE(runs_on_hopper(context, call));
      if (!suits(product, context, call)) continue;
      ++ran;
      context.upload(y.matrix.data, std::as_bytes(std::span(y.host)));
      ASSERT_EQ(submit(product, context, call, o.workspace), "");
      std::vector<float> got(y.host.size());
      context.download(std::as_writable_bytes(std::span(got)), y.matrix.data);
      for (std::int64_t row = 0; row <= m; ++row) {
        for (std::int64_t col = 0; col < n + 8; ++col) {
          const auto i = static_cast<std::size_t>(row * (n + 8) + col);
          if (row == m || col >= n) {
            ASSERT_EQ(got[i], y.host[i]) << "written outside of y: row " << row << ", column " << col;
          } else {
            const float sum = o.sums[static_cast<std::size_t>(row * n + col)];
            ASSERT_NEAR(got[i], sum + (biased ? bias.at(0, col) : 0), 2e-5) << "row " << row << ", column " << col;
          }
        }
      }
      call.activation = Activation::gelu;
      EXPECT_FALSE(runs_on_hopper(context, call));
      call.activation = Activation::none, call.residual = &y.matrix;
      EXPECT_FALSE(runs_on_hopper(context, call));
      call.residual = nullptr, call.x.rows = call.y.rows = 512;
      EXPECT_FALSE(runs_on_hopper(context, call));
    }
  }
  EXPECT_EQ(ran, 2);
}

TEST(HopperProducts, GiveSumsInF32) {
  ON_A_HOPPER_CARD(card);
  expect_sums_in_f32<bf16>(*card, 1000, 50264, 768);
  expect_sums_in_f32<f16>(*card, 600, 200, 712);  // no tile is whole
}

// Each kernel of a chain may begin before the one ahead of it ends, and each of these reads what that one wrote.
void expect_same_bits_when_recorded(CudaContext& context, const HopperProduct& product, Operands<bf16>& o) {
  const std::int64_t m = o.x.matrix.rows, n = o.w.matrix.rows;
  const DeviceMemory other = context.allocate(static_cast<std::size_t>(m * n) * 2, "a test's other result");
  const auto chain = [&](bool one_by_one) {
    GemmCall to = o.call(Activation::gelu, true, Added::nothing), fro = to;
    to.y = {DType::bf16, other.data(), m, n, n};
    fro.x = to.y, fro.activation = Activation::none, fro.residual = &o.residual.matrix;
    if (!suits(product, context, fro)) fro.residual = nullptr;
    const auto submit_all = [&] {
      for (int i = 0; i < 10; ++i) {
        to.x = i == 0 ? o.x.matrix : fro.y;
        for (const GemmCall* call : {&to, &fro}) {
          ASSERT_EQ(submit(product, context, *call, o.workspace), "");
          if (one_by_one) context.synchronise();
        }
        kernel_cuda::activation(context, Activation::tanh, fro.y, fro.y);
        if (one_by_one) context.synchronise();
      }
    };
    if (one_by_one) {
      submit_all();
    } else {
      const auto recorded = context.record(submit_all);
      for (int i = 0; i < 20; ++i) recorded->submit();
    }
    std::vector<bf16> got(o.before.host.size());
    context.download(std::as_writable_bytes(std::span(got)), o.y.data());
    return got;
  };
  const std::vector<bf16> expected = chain(true), got = chain(false);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].bits, expected[i].bits) << "element " << i;
}

TEST(HopperChain, ARecordedOneGivesTheSameBitsAsStepsOneByOne) {
  ON_A_HOPPER_CARD(card);
  for (const std::int64_t m : {300, 600}) {  // overlapped ones are for more than 512
    Operands<bf16> o(*card, m, 768, 768);
    for (const HopperProduct& product : kernel_cuda::hopper_products()) {
      SCOPED_TRACE(product.name);
      if (suits(product, *card, o.call(Activation::none, false, Added::nothing)))
        expect_same_bits_when_recorded(*card, product, o);
    }
  }
}

TEST(HopperProducts, FuseGeluByErfWhereRowsAreWhole) {
  ON_A_HOPPER_CARD(card);
  Operands<bf16> o(*card, 128, 768, 72);
  GemmCall call = o.call(Activation::gelu, true, Added::residual);
  ASSERT_TRUE(kernel_cuda::fuses(*card, call));
  EXPECT_EQ(kernel_cuda::multiply(*card, call).find("cutlass BF16 "), 0u);
  o.expect(Activation::gelu, true, Added::residual);
  call.w.rows = call.y.cols = 770;
  EXPECT_FALSE(kernel_cuda::fuses(*card, call));
  call.w.rows = call.y.cols = 768, call.x.data += 8;
  EXPECT_FALSE(kernel_cuda::fuses(*card, call));
}

// A product that keeps its rows' sums, and one with the norm of these rows behind it.
template <class T>
void expect_norm_behind(CudaContext& context, std::int64_t m, std::int64_t width, std::int64_t n) {
  constexpr double epsilon = 1e-5;
  const double half_a_step = dtype_of<T>() == DType::f16 ? 0x1p-11 : 0x1p-8;
  Operands<T> first(context, m, width, 776), second(context, m, n, width);
  const kernel_cuda::RowMoments kept = kernel_cuda::RowMoments::of(m, width);
  const DeviceMemory moments = context.allocate(kept.bytes(), "a test's moments");
  context.clear(moments.data(), moments.size());
  // Not so far apart that a norm has nothing to do, nor around zero.
  for (auto& value : first.residual.host) value = T(static_cast<float>(value) + 3);
  context.upload(first.residual.memory.data(), std::as_bytes(std::span(first.residual.host)));
  std::vector<float> w_sums(static_cast<std::size_t>(n)), bias(static_cast<std::size_t>(n));
  for (std::int64_t col = 0; col < n; ++col) {
    for (std::int64_t i = 0; i < width; ++i) w_sums[static_cast<std::size_t>(col)] += second.w.at(col, i);
    bias[static_cast<std::size_t>(col)] = static_cast<float>(second.bias.at(0, col));
  }
  const auto on_card = [&](const std::vector<float>& values) {
    DeviceMemory memory = context.allocate(values.size() * sizeof(float), "a test's vector");
    context.upload(memory.data(), std::as_bytes(std::span(values)));
    return memory;
  };
  const DeviceMemory w_sums_there = on_card(w_sums), bias_there = on_card(bias);

  // Whoever can keep them, and the kernel that does it afterwards (null).
  std::vector<const HopperProduct*> keepers{nullptr};
  GemmCall keeps = first.call(Activation::none, true, Added::residual);
  keeps.moments = reinterpret_cast<float*>(moments.data());
  for (const HopperProduct& product : kernel_cuda::hopper_products())
    if (runs_on_hopper(context, keeps) && suits(product, context, keeps)) keepers.push_back(&product);
  EXPECT_EQ(kernel_cuda::fuses(context, keeps), keepers.size() > 1);
  EXPECT_EQ(keepers.size() > 1, width % kept.cols == 0);
  for (const HopperProduct* keeper : keepers) {
    SCOPED_TRACE(keeper != nullptr ? keeper->name : "afterwards");
    const bool by_kernel = keeper == nullptr;
    keeps = first.call(Activation::none, true, Added::residual);
    if (by_kernel) {
      kernel_cuda::multiply(context, keeps);
      kernel_cuda::row_moments(context, keeps.y, reinterpret_cast<float*>(moments.data()));
    } else {
      keeps.moments = reinterpret_cast<float*>(moments.data());
      ASSERT_EQ(submit(*keeper, context, keeps, first.workspace), "");
    }
    first.expect(Activation::none, true, Added::residual, by_kernel);
    std::vector<T> rows(first.before.host.size());
    context.download(std::as_writable_bytes(std::span(rows)), first.y.data());
    std::vector<float> sums(kept.bytes() / sizeof(float));
    context.download(std::as_writable_bytes(std::span(sums)), moments.data());
    std::vector<double> means, scales;
    for (std::int64_t row = 0; row < m; ++row) {
      double sum = 0, squares = 0, kept_sum = 0, kept_squares = 0;
      for (std::int64_t col = 0; col < width; ++col) {
        const double value = static_cast<float>(rows[static_cast<std::size_t>(row * keeps.y.stride + col)]);
        sum += value, squares += value * value;
      }
      for (std::int64_t part = 0; part < kept.parts; ++part) {
        kept_sum += sums[static_cast<std::size_t>(part * kept.rows + row)];
        kept_squares += sums[static_cast<std::size_t>((kept.parts + part) * kept.rows + row)];
      }
      // Of the rows as they are, or before they were rounded.
      const double near = by_kernel ? 1e-5 : half_a_step / 4;
      ASSERT_NEAR(kept_sum, sum, near * std::sqrt(squares * static_cast<double>(width))) << "row " << row;
      ASSERT_NEAR(kept_squares, squares, near * squares) << "row " << row;
      means.push_back(sum / static_cast<double>(width));
      scales.push_back(1 / std::sqrt(squares / static_cast<double>(width) - means.back() * means.back() + epsilon));
    }

    for (const HopperProduct& product : kernel_cuda::hopper_products()) {
      for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh}) {
        GemmCall call = second.call(activation, false, Added::nothing);
        call.x = keeps.y, call.bias = bias_there.data();
        const kernel_cuda::NormBehind norm{reinterpret_cast<const float*>(moments.data()),
                                           reinterpret_cast<const float*>(w_sums_there.data()), static_cast<float>(epsilon)};
        ASSERT_TRUE(kernel_cuda::norms_behind(context, call));
        call.norm_behind = &norm;
        if (!suits(product, context, call)) continue;
        ASSERT_EQ(submit(product, context, call, second.workspace), "");
        std::vector<T> got(second.before.host.size());
        context.download(std::as_writable_bytes(std::span(got)), second.y.data());
        for (std::int64_t row = 0; row < m; row += 1 + m / 40) {
          for (std::int64_t col = row % 7; col < n; col += 11) {
            double expected = 0;
            for (std::int64_t i = 0; i < width; ++i)
              expected += (static_cast<float>(rows[static_cast<std::size_t>(row * keeps.y.stride + i)]) -
                           means[static_cast<std::size_t>(row)]) *
                          second.w.at(col, i);
            expected = expected * scales[static_cast<std::size_t>(row)] + bias[static_cast<std::size_t>(col)];
            const double by_tanh = activation == Activation::gelu_tanh ? 0x1p-12 * std::abs(expected) : 0;
            expected = applied(activation, expected);
            ASSERT_NEAR(static_cast<float>(got[static_cast<std::size_t>(row * call.y.stride + col)]), expected,
                        half_a_step * std::abs(expected) + by_tanh + (by_kernel ? 1e-4 : half_a_step / 2))
                << full_name(product, dtype_of<T>()) << ", row " << row << ", column " << col;
          }
        }
      }
    }
  }
}

TEST(HopperProducts, WithANormBehindThemAreThoseOfNormedRows) {
  ON_A_HOPPER_CARD(card);
  expect_norm_behind<bf16>(*card, 1000, 768, 2304);
  expect_norm_behind<f16>(*card, 1000, 768, 3072);
  expect_norm_behind<bf16>(*card, 513, 1000, 776);  // tiles that are not whole
  expect_norm_behind<f16>(*card, 640, 1024, 2304);  // 256 columns wide
}

// Whoever wins: cuBLASLt's and these compete.
TEST(HopperProducts, TheChosenOneIsRight) {
  ON_A_HOPPER_CARD(card);
  for (const std::int64_t m : {128, 4096}) {
    Operands<f16> o(*card, m, 768, 768);
    for (const Added added : {Added::nothing, Added::residual, Added::itself}) {
      const GemmCall call = o.call(Activation::none, true, added);
      RecordProperty("kernel", kernel_cuda::multiply(*card, call));
      o.expect(Activation::none, true, added, true);
    }
  }
}

}  // namespace
