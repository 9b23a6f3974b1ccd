// The contract at 16 bits, where devices have kernels of their own, and for the forms that only fusions make.
#include <gtest/gtest.h>

#include "eaq/backend/fusions.h"
#include "eaq/backend/testing.h"

namespace eaq {
namespace {

using namespace testing_backend;

// What storage in a type may cost, against the largest value: a few roundings.
double tolerance_of(DType dtype) { return dtype == DType::bf16 ? 1.5e-2 : dtype == DType::f16 ? 2e-3 : 3e-5; }

const std::vector<Shapes> with_long{{{0, 1}, {}}, {{0, 7, 8, 31}, {}}, {{0, 130, 135}, {}}, {{0, 16, 33, 110}, {}, true}};

class Storage : public testing::TestWithParam<DType> {
 protected:
  ValueInfo value(std::int64_t width, RowsPer rows = RowsPer::token) const { return {width, rows, GetParam()}; }
  void expect_same(const Case& c, Value out, const Shapes& shapes) const {
    expect_same_as_reference(c, out, shapes, tolerance_of(GetParam()));
  }
};
INSTANTIATE_TEST_SUITE_P(Types, Storage, testing::Values(DType::f32, DType::bf16, DType::f16),
                         [](const auto& one) { return std::string(name_of(one.param)); });

TEST_P(Storage, Attention) {
  for (const bool causal : {false, true})
    for (const auto& [heads, dim] : {std::pair{1, 8}, {3, 16}, {2, 64}, {1, 40}, {2, 96}, {1, 128}, {1, 13}, {1, 200}}) {
      const std::int64_t width = static_cast<std::int64_t>(heads) * dim;
      const Case c{"attention of heads of " + std::to_string(dim),
                   {value(3 * width), value(width)},
                   [=, heads = heads, dim = dim](const Backend&, ExecutionContext&) {
                     AttentionOp op;
                     op.heads = heads, op.head_dim = dim, op.causal = causal, op.scale = 0.3f, op.in = 0, op.out = 1;
                     return op;
                   }};
      for (const Shapes& shapes : with_long) expect_same(c, 1, shapes);
    }
}

TEST_P(Storage, AttentionContinuesFromACache) {
  for (const auto& [heads, dim] : {std::pair{3, 16}, {2, 64}, {1, 13}}) {
    const std::int64_t width = static_cast<std::int64_t>(heads) * dim;
    const Case c{
        "cached attention", {value(3 * width), value(width)}, [=, heads = heads, dim = dim](const Backend&, ExecutionContext&) {
          AttentionOp op;
          op.heads = heads, op.head_dim = dim, op.causal = true, op.scale = 0.25f, op.in = 0, op.out = 1;
          return op;
        }};
    expect_same(c, 1, {{0, 1}, {0}});
    expect_same(c, 1, {{0, 1, 2, 3}, {5, 0, 38}});
    expect_same(c, 1, {{0, 9, 20}, {0, 17}});
  }
}

TEST_P(Storage, ElementByElement) {
  const std::vector<ValueInfo> values{value(29), value(29), value(29), value(29, RowsPer::sequence)};
  for (const Activation a : {Activation::gelu, Activation::gelu_tanh, Activation::relu, Activation::tanh})
    for (const Shapes& shapes : ragged)
      expect_same({"activation", values, [=](const Backend&, ExecutionContext&) { return ActivationOp{a, 0, 1}; }}, 1, shapes);
  for (const Shapes& shapes : ragged) {
    expect_same({"residual", values, [](const Backend&, ExecutionContext&) { return ResidualOp{0, 1, 2}; }}, 2, shapes);
    for (const bool last : {false, true})
      expect_same({"select", values, [=](const Backend&, ExecutionContext&) { return SelectOp{last, 0, 3}; }}, 3, shapes);
  }
}

TEST_P(Storage, Norms) {
  for (const std::int64_t width : {7, 64, 768, 1100, 1600, 2104}) {
    const Case c{"norm of " + std::to_string(width), {value(width), value(width)}, [=](const Backend&, ExecutionContext&) {
                   NormOp op;
                   op.norm = {random_vector(width, 4), random_vector(width, 5), 1e-3f};
                   op.in = 0, op.out = 1;
                   return op;
                 }};
    for (const Shapes& shapes : ragged) expect_same(c, 1, shapes);
  }
}

// 4 rows of 3072 floats are 48 KiB, 1 of 12288 too.
TEST(Contract, ProductsOfFewAndManyRows) {
  for (const auto& [k, n] :
       {std::pair{8, 3}, {64, 131}, {776, 2050}, {2056, 33}, {3072, 40}, {12288, 9}, {768, 2050}, {72, 16400}}) {
    const Case c{"linear", {{k}, {n}}, [k = k, n = n](const Backend& backend, ExecutionContext& context) {
                   LinearOp op;
                   op.product = product_of(backend, context, "fp32", n, k);
                   op.bias = random_vector(n, 3), op.in = 0, op.out = 1;
                   return op;
                 }};
    for (const std::int32_t rows : {1, 3, 8, 9})
      if (n < 10'000 || rows == 1) expect_same_as_reference(c, 1, {{0, rows}, {}});
  }
}

// A fused step against the same steps by themselves, on each device. Each run has a context of its own, and so an order of its
// own: what the products' context was told to copy must be there.
std::vector<double> outcome(const Backend& backend, ExecutionContext& products, const Shapes& shapes, Program program,
                            std::span<const Fusion> fusions) {
  for (const Fusion& fusion : fusions) fusion.apply(program);
  products.synchronise();
  return Runner(backend, shapes).run(std::move(program));
}

// Products in a format, from one row to as many as the kernels for large products want.
class Formats : public testing::TestWithParam<std::string> {
 protected:
  DType dtype() const { return format_named(GetParam()).traits().activations; }
  double tolerance() const {
    const std::string& format = GetParam();
    if (format == "fp32") return 3e-5;
    return format == "bf16" || format == "mixed_bf16" ? 1.5e-2 : format == "int8" ? 5e-3 : 2e-3;
  }
  LinearOp product(const Backend& backend, ExecutionContext& context, std::int64_t k, std::int64_t n) const {
    LinearOp op;
    op.product = product_of(backend, context, GetParam().c_str(), n, k);
    op.bias = random_vector(n, 3), op.in = 0, op.out = 1;
    return op;
  }
  void expect_odd_shapes(std::span<const std::int32_t> row_counts) const {
    for (const auto& [k, n] : {std::pair{1, 1}, {17, 3}, {48, 131}, {65, 64}, {100, 257}}) {
      const Case c{
          "product",
          {{k, RowsPer::token, dtype()}, {n, RowsPer::token, dtype()}},
          [&, k = k, n = n](const Backend& backend, ExecutionContext& context) { return product(backend, context, k, n); },
          GetParam()};
      for (const std::int32_t rows : row_counts) expect_same_as_reference(c, 1, {{0, rows}, {}}, tolerance());
    }
  }
  // With what is fused into a product where the device does that.
  void expect_what_follows(std::span<const std::int32_t> row_counts) const {
    constexpr std::int64_t k = 136, n = 264;
    const auto outcome_on = [&](const Backend& backend, const Shapes& shapes, const std::vector<Op>& after) {
      const auto context = backend.make_context({.threads = 2});
      Program program;
      program.values = {{k, RowsPer::token, dtype()}};
      for (int v = 1; v < 4; ++v) program.values.push_back({n, RowsPer::token, dtype()});
      program.output = after.empty() ? 1 : 3;
      program.steps.push_back({"site", StepKind::linear, GetParam(), product(backend, *context, k, n), {}});
      for (const Op& op : after) program.steps.push_back({"site", StepKind::other, GetParam(), op, {}});
      return outcome(backend, *context, shapes, std::move(program), backend.fusions());
    };
    for (const std::vector<Op>& after : {std::vector<Op>{},
                                         {ActivationOp{Activation::gelu, 1, 3}},
                                         {ActivationOp{Activation::gelu_tanh, 1, 3}},
                                         {ResidualOp{1, 2, 3}}})
      for (const std::int32_t rows : row_counts) {
        const Shapes shapes{{0, rows}, {}};
        const std::vector<double> wanted = outcome_on(backend_named("ref"), shapes, after);
        const double largest = std::abs(
            *std::max_element(wanted.begin(), wanted.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }));
        for (const auto& row : backends()) {
          if (row.entry == nullptr || row.entry->device() == "ref" || !row.entry->unavailable_reason().empty()) continue;
          if (Runner(*row.entry, shapes).refuses(GetParam())) continue;
          const std::vector<double> got = outcome_on(*row.entry, shapes, after);
          ASSERT_EQ(got.size(), wanted.size());
          for (std::size_t i = 0; i < got.size(); ++i)
            ASSERT_NEAR(got[i], wanted[i], tolerance() * largest) << row.name << ", " << rows << " rows, element " << i;
        }
      }
  }
};
INSTANTIATE_TEST_SUITE_P(Products, Formats, testing::Values("fp32", "tf32", "bf16", "fp16", "mixed_bf16", "mixed_fp16", "int8"),
                         [](const auto& one) { return one.param; });

// Up to eight rows are kernels' of their own; more are often a library's.
constexpr std::int32_t few_rows[] = {1, 3, 8}, odd_rows[] = {9, 65}, many_rows[] = {17, 130, 520};

TEST_P(Formats, OfFewRowsAndOddShapes) { expect_odd_shapes(few_rows); }
TEST_P(Formats, OfOddShapes) { expect_odd_shapes(odd_rows); }
TEST_P(Formats, WithWhatFollowsFewRows) { expect_what_follows(few_rows); }
TEST_P(Formats, WithWhatFollowsThem) { expect_what_follows(many_rows); }

TEST(Fused, StepsGiveWhatTheyGiveAlone) {
  for (const auto& row : backends()) {
    if (row.entry == nullptr || !row.entry->unavailable_reason().empty()) continue;
    const auto context = row.entry->make_context({.threads = 2});
    for (const Activation activation : {Activation::gelu, Activation::gelu_tanh, Activation::relu})
      for (const Shapes& shapes : {Shapes{{0, 1}, {}}, Shapes{{0, 3}, {}}, Shapes{{0, 20, 41}, {}}}) {
        // One row: more of it than a warp reads at once, and a norm that only a product reads, which may do it by the way.
        const bool one_row = shapes.row_begin.back() == 1;
        const std::int64_t k = one_row ? 520 : 40;
        // norm(embedding), linear, activation, linear, residual: what both families are made of.
        Program p;
        p.values = {{k}, {k}, {96}, {96}, {k}, {k}};
        p.output = 5;
        EmbeddingOp embedding;
        embedding.tokens.matrix = std::make_shared<Tensor>(Shape{13, k}, std::span<const float>(*random_vector(13 * k, 1)));
        embedding.positions.matrix = std::make_shared<Tensor>(Shape{11, k}, std::span<const float>(*random_vector(11 * k, 2)));
        embedding.out = 0;
        LinearOp up, down;
        up.product = product_of(*row.entry, *context, "fp32", 96, k), up.bias = random_vector(96, 3), up.in = 1, up.out = 2;
        down.product = product_of(*row.entry, *context, "fp32", k, 96), down.bias = random_vector(k, 4), down.in = 3,
        down.out = 4;
        const NormOp norm{{random_vector(k, 5), random_vector(k, 6), 1e-5f}, 0, 1, no_value, no_value};
        const ResidualOp residual{4, one_row ? 0 : 1, 5};
        for (const Op& op : std::vector<Op>{embedding, norm, up, ActivationOp{activation, 2, 3}, down, residual})
          p.steps.push_back({"site", StepKind::other, "fp32", op, {}});
        const std::vector<double> alone = outcome(*row.entry, *context, shapes, p, {}),
                                  fused = outcome(*row.entry, *context, shapes, p, row.entry->fusions());
        ASSERT_EQ(alone.size(), fused.size());
        for (std::size_t i = 0; i < alone.size(); ++i)
          ASSERT_NEAR(fused[i], alone[i], 1e-4 * (1 + std::abs(alone[i]))) << row.name;
      }
  }
}

// norm, product, attention after some tokens, product: a decoding step's half, of one sequence and of several.
TEST(Fused, AttentionOverAProductGivesWhatBothGiveAlone) {
  for (const auto& row : backends()) {
    if (row.entry == nullptr || !row.entry->unavailable_reason().empty()) continue;
    const auto context = row.entry->make_context({.threads = 2});
    for (const auto& [format, dtype] : {std::pair{"fp32", DType::f32}, {"bf16", DType::bf16}, {"fp16", DType::f16}})
      for (const Shapes& shapes : {Shapes{{0, 1}, {0}}, Shapes{{0, 1}, {37}}, Shapes{{0, 1, 2, 3}, {5, 0, 38}}}) {
        if (row.entry->support(format_named(format), *context).level == SupportLevel::refused) continue;
        constexpr std::int64_t k = 72, width = 2 * 64;
        Program p;
        p.values = {{k, {}, dtype}, {width, {}, dtype}, {3 * width, {}, dtype}, {k, {}, dtype}, {k, {}, dtype}};
        p.output = 4;
        LinearOp qkv, down;
        qkv.product = product_of(*row.entry, *context, format, 3 * width, k), qkv.bias = random_vector(3 * width, 3);
        qkv.in = 3, qkv.out = 2;
        down.product = product_of(*row.entry, *context, format, k, width), down.in = 1, down.out = 4;
        AttentionOp attention;
        attention.heads = 2, attention.causal = true, attention.scale = 0.002f, attention.in = 2, attention.out = 1;
        const NormOp norm{{random_vector(k, 5), random_vector(k, 6), 1e-5f}, 0, 3, no_value, no_value};
        for (const Op& op : std::vector<Op>{norm, qkv, attention, down})
          p.steps.push_back({"site", StepKind::other, format, op, {}});
        const std::vector<double> alone = outcome(*row.entry, *context, shapes, p, {}),
                                  fused = outcome(*row.entry, *context, shapes, p, row.entry->fusions());
        ASSERT_EQ(alone.size(), fused.size());
        double largest = 0;
        for (const double x : alone) largest = std::max(largest, std::abs(x));
        for (std::size_t i = 0; i < alone.size(); ++i)
          ASSERT_NEAR(fused[i], alone[i], tolerance_of(dtype) * largest) << row.name << ", " << format;
      }
  }
}

}  // namespace
}  // namespace eaq
