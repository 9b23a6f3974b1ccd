// Every backend against the reference, for every op: the same small Programs run on both, on the same random values, odd sizes
// included.
#include <gtest/gtest.h>

#include "eaq/backend/testing.h"

namespace eaq {
namespace {

using namespace testing_backend;

TEST(Contract, EmbeddingAddsTokensAndPositions) {
  for (const std::int64_t width : {1, 17, 64}) {
    const Case c{
        "embedding", {{width}}, [&](const Backend&, ExecutionContext&) {
          EmbeddingOp op;
          op.tokens.matrix = std::make_shared<Tensor>(Shape{13, width}, std::span<const float>(*random_vector(13 * width, 1)));
          op.positions.matrix = std::make_shared<Tensor>(Shape{11, width}, std::span<const float>(*random_vector(11 * width, 2)));
          op.out = 0;
          return op;
        }};
    for (const Shapes& shapes : ragged) expect_same_as_reference(c, 0, shapes);
  }
}

TEST(Contract, EmbeddingGathersFromATiedProduct) {
  const Case c{
      "tied embedding", {{33}}, [&](const Backend& backend, ExecutionContext& context) {
        EmbeddingOp op;
        op.tokens.product = product_of(backend, context, "fp32", 13, 33);
        op.positions.matrix = std::make_shared<Tensor>(Shape{11, 33}, std::span<const float>(*random_vector(11 * 33, 2)));
        op.out = 0;
        return op;
      }};
  for (const Shapes& shapes : ragged) expect_same_as_reference(c, 0, shapes);
}

TEST(Contract, LinearOfOddShapes) {
  for (const auto& [k, n] : {std::pair{1, 1}, {17, 3}, {48, 131}, {65, 64}, {100, 257}}) {
    const Case c{"linear", {{k}, {n}}, [k = k, n = n](const Backend& backend, ExecutionContext& context) {
                   LinearOp op;
                   op.product = product_of(backend, context, "fp32", n, k);
                   op.bias = random_vector(n, 3), op.in = 0, op.out = 1;
                   return op;
                 }};
    for (const Shapes& shapes : ragged) expect_same_as_reference(c, 1, shapes);
  }
}

TEST(Contract, AttentionOfRaggedSequences) {
  for (const bool causal : {false, true})
    for (const auto& [heads, dim] : {std::pair{1, 1}, {3, 16}, {2, 64}, {1, 13}}) {
      const std::int64_t width = static_cast<std::int64_t>(heads) * dim;
      const Case c{"attention", {{3 * width}, {width}}, [=](const Backend&, ExecutionContext&) {
                     AttentionOp op;
                     op.heads = heads, op.head_dim = dim, op.causal = causal, op.scale = 0.3f, op.in = 0, op.out = 1;
                     return op;
                   }};
      for (const Shapes& shapes : ragged) expect_same_as_reference(c, 1, shapes);
    }
}

TEST(Contract, AttentionContinuesFromACache) {
  const Case c{"cached attention", {{3 * 48}, {48}}, [](const Backend&, ExecutionContext&) {
                 AttentionOp op;
                 op.heads = 3, op.head_dim = 16, op.causal = true, op.scale = 0.25f, op.in = 0, op.out = 1;
                 return op;
               }};
  expect_same_as_reference(c, 1, {{0, 1}, {0}});
  expect_same_as_reference(c, 1, {{0, 1, 2, 3}, {5, 0, 38}});
  expect_same_as_reference(c, 1, {{0, 9, 20}, {0, 17}});
}

TEST(Contract, NormOfOddWidths) {
  for (const std::int64_t width : {1, 7, 36, 768}) {
    const Case c{"norm", {{width}, {width}}, [=](const Backend&, ExecutionContext&) {
                   NormOp op;
                   op.norm = {random_vector(width, 4), random_vector(width, 5), 1e-3f};
                   op.in = 0, op.out = 1;
                   return op;
                 }};
    for (const Shapes& shapes : ragged) expect_same_as_reference(c, 1, shapes);
  }
}

TEST(Contract, EveryActivation) {
  for (const Activation a : {Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::relu, Activation::silu,
                             Activation::tanh, Activation::sigmoid}) {
    const Case c{"activation " + std::to_string(static_cast<int>(a)), {{29}, {29}}, [=](const Backend&, ExecutionContext&) {
                   return ActivationOp{a, 0, 1};
                 }};
    for (const Shapes& shapes : ragged) expect_same_as_reference(c, 1, shapes);
  }
}

TEST(Contract, ResidualAdds) {
  const Case c{"residual", {{29}, {29}, {29}}, [](const Backend&, ExecutionContext&) { return ResidualOp{0, 1, 2}; }};
  for (const Shapes& shapes : ragged) expect_same_as_reference(c, 2, shapes);
}

TEST(Contract, SelectTakesTheFirstOrTheLastRow) {
  for (const bool last : {false, true}) {
    const Case c{"select", {{29}, {29, RowsPer::sequence}}, [=](const Backend&, ExecutionContext&) {
                   return SelectOp{last, 0, 1};
                 }};
    for (const Shapes& shapes : ragged) expect_same_as_reference(c, 1, shapes);
  }
}

}  // namespace
}  // namespace eaq
