#include "eaq/engine/synthetic.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "eaq/engine/testing.h"

namespace eaq {
namespace {

constexpr const char* odd = "synthetic:gpt2?layers=2&width=63&heads=9&vocabulary=101&context=77&inner=50";

std::string message_of(const std::string& where) {
  try {
    open_model(where);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input) << where;
    return e.what();
  }
  return "no error";
}

std::vector<float> weights(const std::string& where, const std::string& tensor) {
  return to_f32(open_model(where).tensor(tensor));
}

struct Moments {
  double mean, deviation;
};
Moments moments(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const float v : values) sum += v, squares += static_cast<double>(v) * v;
  const auto n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(squares / n - sum / n * sum / n)};
}

TEST(Synthetic, HasTheTrueShapes) {
  const Model gpt2 = open_model("synthetic:gpt2"), distilbert = open_model("synthetic:distilbert");
  EXPECT_EQ(gpt2.graph.parameters, 124'439'808);
  EXPECT_EQ(gpt2.graph.context, 1024);
  EXPECT_EQ(gpt2.checkpoint->total_bytes(), 124'439'808u * 4);
  EXPECT_EQ(distilbert.graph.parameters, 66'955'010);
  EXPECT_EQ(distilbert.graph.labels, 2);
  EXPECT_TRUE(gpt2.random && distilbert.random);
  EXPECT_FALSE(open_model("tiny-gpt2").random);
}

TEST(Synthetic, SizesThatAreNamedTakeTheirPlace) {
  const Model model = open_model(odd);
  EXPECT_EQ(model.name, odd);
  EXPECT_EQ(model.graph.layers, 2);
  EXPECT_EQ(model.tensor("transformer.wte.weight").shape, (Shape{101, 63}));
  EXPECT_EQ(model.tensor("transformer.wpe.weight").shape, (Shape{77, 63}));
  EXPECT_EQ(model.tensor("transformer.h.1.mlp.c_proj.weight").shape, (Shape{50, 63}));
  EXPECT_EQ(open_model("synthetic:distilbert?layers=1&labels=5").graph.labels, 5);
}

TEST(Synthetic, WhatIsAskedWronglyIsNamed) {
  EXPECT_NE(message_of("synthetic:").find("there are: distilbert, gpt2"), std::string::npos);
  EXPECT_NE(message_of("synthetic:bloom").find("there are: distilbert, gpt2"), std::string::npos);
  EXPECT_NE(message_of("synthetic:gpt2?layrs=2").find("'layrs=2' is no size of this family; there are: layers, "),
            std::string::npos);
  EXPECT_NE(message_of("synthetic:gpt2?layers").find("'layers' is not NAME=NUMBER"), std::string::npos);
  EXPECT_NE(message_of("synthetic:gpt2?layers=2x").find("not NAME=NUMBER"), std::string::npos);
  EXPECT_NE(message_of("synthetic:gpt2?width=0").find("not from 1 to"), std::string::npos);
  EXPECT_NE(message_of("synthetic:gpt2?heads=5").find("n_embd 768 is not a multiple of n_head 5"), std::string::npos);
  EXPECT_NE(message_of("synthetic:gpt2?").find("''"), std::string::npos);
}

TEST(Synthetic, WeightsHaveTheScaleOfTheirFamilysInitialisation) {
  const std::string where = "synthetic:gpt2?layers=8&width=96&heads=4&vocabulary=301&context=32";
  const auto scale = [&](const std::string& tensor) { return moments(weights(where, tensor)); };
  EXPECT_NEAR(scale("transformer.wte.weight").deviation, 0.02, 0.0005);
  EXPECT_NEAR(scale("transformer.wte.weight").mean, 0, 0.0005);
  EXPECT_NEAR(scale("transformer.h.3.attn.c_attn.weight").deviation, 0.02, 0.0005);
  for (const char* residual : {"transformer.h.3.attn.c_proj.weight", "transformer.h.3.mlp.c_proj.weight"})
    EXPECT_NEAR(scale(residual).deviation, 0.02 / 4, 0.0002);  // sqrt(2 x 8 layers) is 4
  EXPECT_NEAR(scale("transformer.h.3.ln_1.weight").mean, 1, 0.01);
  EXPECT_NEAR(scale("transformer.h.3.ln_1.bias").mean, 0, 0.01);
  EXPECT_LT(scale("transformer.h.3.mlp.c_fc.bias").deviation, 0.02);
}

TEST(Synthetic, WeightsFillTheMantissaThatSixteenBitsLack) {
  const std::vector<float> values = weights(odd, "transformer.wte.weight");
  int in_bf16 = 0, in_fp16 = 0;
  for (const float v : values) {
    in_bf16 += static_cast<float>(bf16(v)) == v;
    in_fp16 += static_cast<float>(f16(v)) == v;
  }
  EXPECT_LE(in_bf16, 1);
  EXPECT_LE(in_fp16, 5);
}

TEST(Synthetic, EveryMachineHasTheSameWeights) {
  // Bits, computed apart from this code from its description: whole numbers of Python, and one rounding to f32.
  const auto hash_of = [](const std::vector<float>& values) { return sha256(std::as_bytes(std::span(values))); };
  const std::vector<float> matrix = weights(odd, "transformer.h.1.attn.c_proj.weight");
  EXPECT_EQ(std::bit_cast<std::uint32_t>(matrix.front()), 0x3c015328u);
  EXPECT_EQ(hash_of(matrix), "c6014f6c466421ee8faf7f4abc06497a477aa00a7a8defc5ebdac16673b4f280");
  EXPECT_EQ(hash_of(weights(odd, "transformer.h.0.ln_2.weight")),
            "5a346a5ae6d8ae14b70b62de3657c6f862a110f9df92406909006034452f945c");
}

TEST(Synthetic, PartsMadeByThreadsAreThoseMadeByOne) {
  // Above a million elements several threads share the work; each element depends on its place alone.
  const std::vector<float> large = weights("synthetic:gpt2?layers=1&width=64&heads=4&vocabulary=50000", "transformer.wte.weight");
  const std::vector<float> small = weights("synthetic:gpt2?layers=1&width=64&heads=4&vocabulary=500", "transformer.wte.weight");
  EXPECT_TRUE(std::equal(small.begin(), small.end(), large.begin()));
}

TEST(Synthetic, TensorsSeedsAndReleasesDiffer) {
  const Model model = open_model(odd);
  const std::vector<float> first = to_f32(model.tensor("transformer.h.0.attn.c_attn.weight"));
  EXPECT_NE(first, to_f32(model.tensor("transformer.h.1.attn.c_attn.weight")));
  model.checkpoint->release("transformer.h.0.attn.c_attn.weight");
  EXPECT_EQ(first, to_f32(model.tensor("transformer.h.0.attn.c_attn.weight")));
  const Model other = open_model(std::string(odd) + "&seed=1");
  EXPECT_NE(first, to_f32(other.tensor("transformer.h.0.attn.c_attn.weight")));
  EXPECT_NE(model.checkpoint->hash(), other.checkpoint->hash());
  EXPECT_EQ(model.checkpoint->hash(), open_model(std::string(odd) + "&seed=0").checkpoint->hash());
}

TEST(Synthetic, RunsInEveryFormatAndOnTheReference) {
  const OwnedBatch batch = make_batch(std::vector<std::vector<std::int32_t>>{{1, 2, 3, 100, 7}});
  for (const char* where : {odd, "synthetic:distilbert?layers=2&width=63&heads=9&vocabulary=101&context=77&inner=50&labels=3"}) {
    Session plain(packed(where, "fp32", "ref")), fast(packed(where, "fp32")), half(packed(where, "bf16"));
    const std::vector<float> expected = logits_of(plain, batch.view());
    EXPECT_LT(relative_error(logits_of(fast, batch.view()), expected), 1e-4) << where;
    EXPECT_LT(relative_error(logits_of(half, batch.view()), expected), 0.1) << where;
  }
}

}  // namespace
}  // namespace eaq
