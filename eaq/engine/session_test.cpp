#include <algorithm>
#include <fstream>
#include <random>
#include <set>

#include "eaq/base/json.h"
#include "eaq/engine/packed.h"
#include "eaq/engine/testing.h"

namespace eaq {
namespace {

const std::string tiny_gpt2 = (source_folder() / "models/tiny-gpt2").string();
const std::string tiny_distilbert = (source_folder() / "models/tiny-distilbert").string();

std::vector<std::vector<std::int32_t>> random_sequences(const Graph& graph, std::vector<int> lengths) {
  std::mt19937 random(7);
  std::vector<std::vector<std::int32_t>> sequences;
  for (const int length : lengths) {
    auto& sequence = sequences.emplace_back();
    for (int i = 0; i < length; ++i)
      sequence.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(graph.vocabulary)));
  }
  return sequences;
}

TEST(Sessions, PaddingDoesNotChangeAClassifiersAnswer) {
  const auto model = packed(tiny_distilbert, "fp32");
  Session session(model);
  const auto sequences = random_sequences(model->graph(), {5, 17, 1, 30});
  const auto unpadded = logits_of(session, make_batch(sequences).view());
  EXPECT_LE(relative_error(logits_of(session, make_batch(sequences, 40).view()), unpadded), 1e-5);
}

// ---- On every device

class OnDevice : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Sessions, OnDevice, testing::ValuesIn(fast_devices()), [](const auto& one) { return one.param; });

TEST_P(OnDevice, HeadInPiecesEqualsTheWhole) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  Session whole(model), pieces(model);
  const OwnedBatch batch = make_batch(random_sequences(model->graph(), {50}));
  const auto wanted = logits_of(whole, batch.view());
  pieces.run_body(batch.view());
  for (std::int64_t first = 0; first < 50; first += 16) {
    const Matrix part = pieces.head(first, std::min<std::int64_t>(16, 50 - first));
    const auto got = on_host(*model->device().context, part);
    // A card may choose another algorithm for fewer rows, which sums in another order.
    EXPECT_LE(relative_error(got, std::span(wanted).subspan(static_cast<std::size_t>(first * part.cols), got.size())), 1e-5);
  }
}

TEST_P(OnDevice, LastLogitsEqualTheLastRowOfAll) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  Session all(model), last(model, {.logits = Logits::last});
  const OwnedBatch batch = make_batch(random_sequences(model->graph(), {9, 20}));
  const auto wanted = logits_of(all, batch.view()), got = logits_of(last, batch.view());
  const auto n = static_cast<std::size_t>(model->graph().vocabulary);
  EXPECT_LE(relative_error(std::span(got).first(n), std::span(wanted).subspan(8 * n, n)), 1e-5);
  EXPECT_LE(relative_error(std::span(got).last(n), std::span(wanted).last(n)), 1e-5);
}

TEST_P(OnDevice, DecodingWithACacheEqualsTheWholeSequenceAtOnce) {
  for (const std::string format : {"fp32", "bf16", "fp16", "mixed_fp16", "int8"}) {
    if (!can_run(format, GetParam())) continue;
    const auto model = packed(tiny_gpt2, format, GetParam());
    // A prompt that goes into the cache in several parts.
    const auto sequence = random_sequences(model->graph(), {50});
    Session whole(model), step(model, {.logits = Logits::last, .cache_sequences = 1, .cache_capacity = 64});
    const auto wanted = logits_of(whole, make_batch(sequence).view());
    OwnedBatch batch = make_batch(std::vector<std::vector<std::int32_t>>{{sequence[0].begin(), sequence[0].begin() + 40}});
    batch.past = {0};
    step.run(batch.view());
    std::vector<float> got;
    for (std::int32_t i = 40; i < 50; ++i) {
      batch.ids = {sequence[0][static_cast<std::size_t>(i)]}, batch.positions = {i}, batch.row_begin = {0, 1}, batch.past = {i};
      got = logits_of(step, batch.view());
    }
    EXPECT_LE(relative_error(got, std::span(wanted).last(got.size())), format == "fp32" ? 1e-5 : 5e-2) << format;
  }
}

// Submitted twice (a device that records does so at the first), and again after a larger batch has moved the workspace.
TEST_P(OnDevice, PreparedBatchesGiveWhatRunGives) {
  for (const std::string& folder : {tiny_gpt2, tiny_distilbert}) {
    const auto model = packed(folder, "fp32", GetParam());
    Session session(model), other(model);
    const OwnedBatch small = make_batch(random_sequences(model->graph(), {5, 9})),
                     large = make_batch(random_sequences(model->graph(), {40, 7, 31}));
    const auto wanted = logits_of(other, small.view()), wanted_large = logits_of(other, large.view());
    PreparedBatch first = session.prepare(small.view()), second = session.prepare(large.view());
    const auto submitted = [&](PreparedBatch& batch) { return on_host(*model->device().context, session.submit(batch)); };
    EXPECT_EQ(submitted(first), wanted);
    EXPECT_EQ(submitted(first), wanted);
    EXPECT_EQ(submitted(second), wanted_large);
    EXPECT_EQ(submitted(first), wanted);
  }
}

TEST_P(OnDevice, ABatchIsRecordedOnceUnlessItsWorkspaceMoves) {
  const auto model = packed(tiny_distilbert, "fp32", GetParam());
  Session session(model);
  const OwnedBatch small = make_batch(random_sequences(model->graph(), {5, 9})),
                   large = make_batch(random_sequences(model->graph(), {40, 7, 31}));
  PreparedBatch first = session.prepare(small.view()), second = session.prepare(large.view());
  const bool records = session.record(first);
  EXPECT_EQ(records, GetParam() == "cuda");
  session.submit(first);
  EXPECT_FALSE(session.record(first));
  EXPECT_EQ(session.record(second), records);
  EXPECT_EQ(session.record(first), records);
  session.submit(first), session.submit(second);
  EXPECT_FALSE(session.record(first) || session.record(second));
  model->device().context->synchronise();
}

TEST_P(OnDevice, StepsThatRunMoreOftenOverOtherCopiesChangeNoAnswer) {
  for (const std::string& name : {tiny_gpt2, tiny_distilbert}) {
    const Model model = open_model(name);
    const auto packed = std::make_shared<const PackedModel>(model, uniform_recipe(model.graph, "fp32"), open_device(GetParam()));
    Session session(packed);
    const OwnedBatch batch = make_batch(random_sequences(model.graph, {9, 4, 16}));
    PreparedBatch plain = session.prepare(batch.view());
    const std::vector<float> expected = on_host(*packed->device().context, session.submit(plain));
    const auto& steps = session.program_for(batch.view()).steps;
    std::vector<int> once(steps.size(), 1), thrice(steps.size(), 3);
    std::vector<std::shared_ptr<const Product>> copies;
    PreparedBatch more = session.prepare(batch.view(), {.passes = {once, thrice}, .weights = [&](const Step& step, int) {
                                                          return copies.emplace_back(packed->pack_again(model, step.site));
                                                        }});
    for (int run = 0; run < 2; ++run) EXPECT_EQ(on_host(*packed->device().context, session.submit(more)), expected) << name;
    for (const auto& copy : copies) EXPECT_FALSE(copy->report().kernels.empty()) << "was never multiplied by";
    EXPECT_EQ(static_cast<std::ptrdiff_t>(copies.size()), 2 * std::count_if(steps.begin(), steps.end(), [](const Step& step) {
                                                            return std::holds_alternative<LinearOp>(step.op);
                                                          }));
    EXPECT_THROW(session.prepare(batch.view(), {.passes = {{1}}}), Error);
  }
}

// Greedy decoding on the device, where it offers that, chooses what the logits of each step say.
TEST_P(OnDevice, FeedingBackEqualsChoosingOnTheHost) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  if (!can_feed_back(model->device())) GTEST_SKIP() << GetParam() << " does not feed back";
  const auto prompts = random_sequences(model->graph(), {6, 6});
  const SessionOptions options{.logits = Logits::last, .cache_sequences = 2, .cache_capacity = 16};
  SessionOptions feeding = options;
  feeding.feeds_back = true;
  Session host(model, options), device(model, feeding);
  OwnedBatch batch = make_batch(prompts);
  batch.past = {0, 0};
  const auto likeliest = [&](const std::vector<float>& logits) {
    std::vector<std::int32_t> ids;
    const auto n = static_cast<std::int64_t>(logits.size() / 2);
    for (std::int64_t s = 0; s < 2; ++s) ids.push_back(summarise_row(logits.data() + s * n, n).argmax);
    return ids;
  };
  std::vector<std::int32_t> next = likeliest(logits_of(host, batch.view()));
  logits_of(device, batch.view());
  batch.row_begin = {0, 1, 2};
  std::optional<PreparedBatch> prepared;
  std::vector<std::int32_t> first;
  for (std::int32_t i = 6; i < 14; ++i) {
    batch.ids = next, batch.positions = {i, i}, batch.past = {i, i};
    if (!prepared) prepared.emplace(device.prepare(batch.view()));
    next = likeliest(logits_of(host, batch.view()));
    device.submit(*prepared);
    EXPECT_EQ(device.fed_back(*prepared), next) << "position " << i;
    if (first.empty()) first = next;
  }
  device.rewind(*prepared);
  device.submit(*prepared);
  EXPECT_EQ(device.fed_back(*prepared), first);
}

// Token after token until the cache is full: what a step reads ahead of the step before it must be what that left.
TEST_P(OnDevice, DecodingInSixteenBitsIsThatOfStepsWithoutFusions) {
  for (const auto& [format, tolerance] : {std::pair{"bf16", 3e-2}, {"fp16", 4e-3}}) {
    if (!can_run(format, GetParam())) continue;
    const auto model = packed(tiny_gpt2, format, GetParam());
    if (!can_feed_back(model->device())) GTEST_SKIP() << GetParam() << " does not feed back";
    constexpr std::int32_t prompt = 6, capacity = 24;
    SessionOptions options{.logits = Logits::last, .cache_sequences = 1, .cache_capacity = capacity, .fusions = false};
    Session plain(model, options);
    options.fusions = options.feeds_back = true;
    Session fused(model, options);
    OwnedBatch batch = make_batch(random_sequences(model->graph(), {prompt}));
    batch.past = {0};
    logits_of(plain, batch.view());
    logits_of(fused, batch.view());
    batch.row_begin = {0, 1}, batch.ids = {3}, batch.positions = batch.past = {prompt};
    PreparedBatch prepared = fused.prepare(batch.view());
    for (std::int32_t i = prompt; i < capacity; ++i) {
      batch.positions = batch.past = {i};
      const auto wanted = logits_of(plain, batch.view()), got = on_host(*model->device().context, fused.submit(prepared));
      ASSERT_LE(relative_error(got, wanted), tolerance) << format << ", position " << i;
      batch.ids = fused.fed_back(prepared);
    }
    EXPECT_THROW(fused.submit(prepared), Error);  // beyond the cache
    fused.rewind(prepared);
    fused.submit(prepared);
  }
}

// A card may do with many rows what it does not with few: the norm behind the product that reads it.
TEST_P(OnDevice, ManyRowsInSixteenBitsAreThoseOfFew) {
  for (const auto& [format, tolerance] : {std::pair{"bf16", 5e-2}, {"fp16", 6e-3}}) {
    if (!can_run(format, GetParam())) continue;
    const auto model = packed(tiny_gpt2, format, GetParam());
    Session many(model), few(model, {.fusions = false});
    const auto sequences = random_sequences(model->graph(), {200, 187, 200});
    const auto got = logits_of(many, make_batch(sequences).view());
    std::size_t first = 0;
    for (const auto& sequence : sequences) {
      const auto wanted = logits_of(few, make_batch({&sequence, 1}).view());
      EXPECT_LE(relative_error(std::span(got).subspan(first, wanted.size()), wanted), tolerance) << format;
      first += wanted.size();
    }
  }
}

TEST_P(OnDevice, AWeightHoldsTheNormThatItAloneReads) {
  const Model model = open_model(tiny_gpt2);
  const Device device = open_device(GetParam(), {.threads = 2});
  for (const std::string format : {"fp32", "bf16", "fp16"}) {
    if (!can_run(format, GetParam())) continue;
    const PackedModel packed(model, uniform_recipe(model.graph, format), device);
    const bool folds = device.backend->folds_norms(format_named(format), *device.context);
    EXPECT_FALSE(folds && format == "fp32");
    for (const auto& [site, product] : packed.state().products)
      EXPECT_EQ(product->holds_norm(), folds && (site.ends_with("c_attn") || site.ends_with("c_fc"))) << format << ", " << site;
    const auto& gamma = *packed.state().vectors.at("transformer.h.1.ln_2.weight");
    const bool ones = std::all_of(gamma.begin(), gamma.end(), [](float x) { return x == 1; });
    EXPECT_EQ(ones, folds) << format;
  }
  // Here each norm is added to later, or read by a head that lends its weight to an embedding.
  const Model classifier = open_model(tiny_distilbert);
  const PackedModel packed(classifier, uniform_recipe(classifier.graph, sixteen_bits(GetParam())), device);
  for (const auto& [site, product] : packed.state().products) EXPECT_FALSE(product->holds_norm()) << site;
}

TEST_P(OnDevice, WithoutANormItsWeightIsAnother) {
  const Model model = open_model(tiny_gpt2);
  const std::string format = sixteen_bits(GetParam());
  const auto whole =
      std::make_shared<const PackedModel>(model, uniform_recipe(model.graph, format), open_device(GetParam(), {.threads = 2}));
  Model without = open_model(tiny_gpt2);
  without.graph = ablated(without.graph, "transformer.h.2.ln_1");
  const auto shared = std::make_shared<const PackedModel>(without, whole->recipe(), *whole),
             own = std::make_shared<const PackedModel>(without, whole->recipe(), whole->device());
  const OwnedBatch batch = make_batch(random_sequences(model.graph, {9}));
  Session a(shared), b(own);
  EXPECT_EQ(logits_of(a, batch.view()), logits_of(b, batch.view()));
  EXPECT_FALSE(shared->state().products.at("transformer.h.2.attn.c_attn")->holds_norm());
  // Nor does it share what it packed in another base format, whose gamma is rounded in another way.
  Recipe recipe = whole->recipe();
  recipe.base = "fp32";
  for (const auto& [site, product] : whole->state().products) recipe.sites[site] = format;
  const auto mixed = std::make_shared<const PackedModel>(model, recipe, *whole),
             mixed_own = std::make_shared<const PackedModel>(model, recipe, whole->device());
  Session c(mixed), d(mixed_own);
  EXPECT_EQ(logits_of(c, batch.view()), logits_of(d, batch.view()));
}

TEST_P(OnDevice, EveryStepHasATimeOfItsOwn) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  Session session(model);
  const OwnedBatch batch = make_batch(random_sequences(model->graph(), {5, 9}));
  const auto wanted = logits_of(session, batch.view());
  PreparedBatch prepared = session.prepare(batch.view());
  const std::vector<Seconds> times = session.step_times(prepared, 3);
  ASSERT_EQ(times.size(), session.program_for(batch.view()).steps.size());
  Seconds sum{0};
  for (const Seconds time : times) {
    EXPECT_GE(time.value(), 0);
    sum += time;
  }
  EXPECT_GT(sum.value(), 0);
  EXPECT_THROW(session.step_times(prepared, 0), Error);
  EXPECT_EQ(on_host(*model->device().context, session.submit(prepared)), wanted);
}

TEST_P(OnDevice, ReportsTheKernelsOfProductsAndAttention) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  const auto names_attention = [&] {
    const std::vector<std::string> kernels = model->report().kernels;
    return std::any_of(kernels.begin(), kernels.end(), [](const auto& k) { return k.find("attention") != std::string::npos; });
  };
  EXPECT_FALSE(names_attention());
  Session session(model);
  logits_of(session, make_batch(random_sequences(model->graph(), {5})).view());
  EXPECT_EQ(names_attention(), GetParam() != "ref");
}

TEST_P(OnDevice, AModelByAnotherRecipeSharesWhatIsTheSame) {
  const Model model = open_model(tiny_gpt2);
  const PackedModel first(model, uniform_recipe(model.graph, "fp32"), open_device(GetParam(), {.threads = 2}));
  Recipe recipe = first.recipe();
  const std::string site = "transformer.h.0.attn.c_attn";
  recipe.sites[site] = sixteen_bits(GetParam());
  const auto second = std::make_shared<const PackedModel>(model, recipe, first);
  for (const auto& [name, product] : second->state().products)
    EXPECT_EQ(product == first.state().products.at(name), name != site) << name;
  // It answers as one that was packed for itself.
  const OwnedBatch batch = make_batch(random_sequences(model.graph, {9}));
  Session shared(second), own(std::make_shared<const PackedModel>(model, recipe, first.device()));
  EXPECT_EQ(logits_of(shared, batch.view()), logits_of(own, batch.view()));
}

TEST_P(OnDevice, AProgramForDecodingGivesTheSameLogits) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  Session fused(model, {.logits = Logits::last, .cache_sequences = 1, .cache_capacity = 8});
  Session plain(model, {.logits = Logits::last, .cache_sequences = 1, .cache_capacity = 8, .fusions = false});
  OwnedBatch batch = make_batch(random_sequences(model->graph(), {1}));
  batch.past = {0};
  const bool has_its_own = can_feed_back(model->device());
  EXPECT_EQ(fused.program_for(batch.view()).steps.size() < fused.program().steps.size(), has_its_own);
  const auto wanted = logits_of(plain, batch.view());
  EXPECT_LE(relative_error(logits_of(fused, batch.view()), wanted), 1e-5);
}

TEST_P(OnDevice, ABatchThatDoesNotFitLeavesTheSessionUsable) {
  const auto model = packed(tiny_gpt2, "fp32", GetParam());
  Session session(model);
  const OwnedBatch batch = make_batch(random_sequences(model->graph(), {5, 9}));
  const auto wanted = logits_of(session, batch.view());
  EXPECT_THROW(session.reserve(std::int64_t{1} << 40, 1), Error);
  EXPECT_EQ(logits_of(session, batch.view()), wanted);
  PreparedBatch prepared = session.prepare(batch.view());
  EXPECT_EQ(on_host(*model->device().context, session.submit(prepared)), wanted);
  EXPECT_THROW(session.reserve(std::int64_t{1} << 40, 1), Error);
  EXPECT_EQ(on_host(*model->device().context, session.submit(prepared)), wanted);
}

TEST_P(OnDevice, FormatsAgreeWithTheirPlainDefinitionOnAWholeModel) {
  const auto full = packed(tiny_gpt2, "fp32", GetParam());
  for (const std::string format : {"tf32", "bf16", "fp16", "mixed_bf16", "mixed_fp16", "int8"}) {
    if (!can_run(format, GetParam())) continue;
    const auto fast = packed(tiny_gpt2, format, GetParam()), plain = packed(tiny_gpt2, format, "ref");
    const OwnedBatch batch = make_batch(random_sequences(fast->graph(), {12}));
    Session a(fast), b(plain), c(full);
    const auto wanted = logits_of(b, batch.view()), got = logits_of(a, batch.view()), exact = logits_of(c, batch.view());
    EXPECT_LE(relative_error(got, wanted), 3e-2) << format;
    EXPECT_GT(relative_error(got, exact), 1e-6) << format << " ran as fp32";
  }
}

// ---- What is refused, and what is told

TEST(Sessions, AnIdOutsideTheVocabularyIsRefused) {
  const auto model = packed(tiny_gpt2, "fp32");
  Session session(model);
  const OwnedBatch batch =
      make_batch(std::vector<std::vector<std::int32_t>>{{1, static_cast<std::int32_t>(model->graph().vocabulary)}});
  EXPECT_THROW(session.run(batch.view()), Error);
}

TEST(Sessions, ASequencePastTheContextIsRefused) {
  const auto model = packed(tiny_gpt2, "fp32");
  Session session(model);
  const OwnedBatch batch = make_batch(random_sequences(model->graph(), {static_cast<int>(model->graph().context) + 1}));
  EXPECT_THROW(session.run(batch.view()), Error);
}

TEST(Sessions, AListenerSeesEveryStepInOrder) {
  struct Recorder : StepListener {
    void on_step(std::string_view kind, std::string_view format, Seconds start, Seconds end) override {
      kinds.emplace_back(kind), formats.emplace_back(format);
      EXPECT_LE(start, end);
      EXPECT_LE(last, start);
      last = end;
    }
    std::vector<std::string> kinds, formats;
    Seconds last;
  } recorder;
  const auto model = packed(tiny_gpt2, "int8");
  Session session(model);
  const OwnedBatch batch = make_batch(random_sequences(model->graph(), {4}));
  session.run(batch.view(), {.listener = &recorder});
  EXPECT_EQ(recorder.kinds.size(), session.program().steps.size());
  EXPECT_EQ(recorder.kinds.front(), "embedding");
  EXPECT_EQ(recorder.kinds.back(), "head");
  EXPECT_NE(std::find(recorder.formats.begin(), recorder.formats.end(), "int8"), recorder.formats.end());
}

TEST(Select, IsMovedUpSoThatTheLastBlockRunsOneRowASequence) {
  const auto model = packed(tiny_distilbert, "fp32");
  Session fused(model), plain(model, {.fusions = false});
  const auto cost = [&](const Session& session) {
    const OwnedBatch batch = make_batch(random_sequences(model->graph(), {32, 32}));
    double flops = 0;
    for (const Step& step : session.program().steps) flops += cost_of(step, session.program().values, batch.view()).flops;
    return flops;
  };
  EXPECT_LT(cost(fused), 0.9 * cost(plain));
}

TEST(Select, LeavesNothingToBeComputedTwice) {
  Session session(packed(tiny_distilbert, "fp32"));
  std::set<std::pair<std::string, StepKind>> seen;
  for (const Step& step : session.program().steps) {
    if (std::holds_alternative<SelectOp>(step.op)) continue;
    EXPECT_TRUE(seen.emplace(step.site, step.kind).second) << step.site;
  }
}

TEST(Generation, GreedyEqualsTransformers) {
  const Json cases = read_json(source_folder() / "eaq/engine/testdata/generation.json");
  const auto model = packed(tiny_gpt2, "fp32");
  ASSERT_FALSE(cases["entries"].empty());
  for (const auto& one : cases["entries"]) {
    const auto prompt = one["prompt"].get<std::vector<std::int32_t>>(),
               wanted = one["continuation"].get<std::vector<std::int32_t>>();
    GenerateOptions options;
    options.max_new_tokens = static_cast<int>(wanted.size());
    EXPECT_EQ(generate(model, prompt, options).ids, wanted);
  }
}

TEST(Generation, TheSameSeedGivesTheSameTextAndAnotherAnother) {
  const auto model = packed(tiny_gpt2, "fp32");
  const std::vector<std::int32_t> prompt{1, 2, 3};
  GenerateOptions options;
  options.max_new_tokens = 20, options.temperature = 1.0, options.top_k = 50, options.top_p = 0.95, options.seed = 1;
  const auto first = generate(model, prompt, options).ids;
  EXPECT_EQ(generate(model, prompt, options).ids, first);
  options.seed = 2;
  EXPECT_NE(generate(model, prompt, options).ids, first);
}

TEST_P(OnDevice, DrawsTheTextThatTheProcessorDraws) {
  GenerateOptions options;
  options.max_new_tokens = 12, options.temperature = 0.9, options.seed = 5, options.top_k = 200, options.top_p = 0.9;
  const std::vector<std::int32_t> prompt{1, 2, 3};
  const auto drawn = generate(packed(tiny_gpt2, "fp32", GetParam()), prompt, options).ids;
  EXPECT_EQ(drawn, generate(packed(tiny_gpt2, "fp32"), prompt, options).ids);
  options.temperature = 0;
  EXPECT_NE(generate(packed(tiny_gpt2, "fp32", GetParam()), prompt, options).ids, drawn);
}

TEST(Generation, RefusesMoreTokensThanTheContextHolds) {
  const auto model = packed(tiny_gpt2, "fp32");
  GenerateOptions options;
  options.max_new_tokens = static_cast<int>(model->graph().context);
  EXPECT_THROW(generate(model, std::vector<std::int32_t>{1, 2}, options), Error);
}

}  // namespace
}  // namespace eaq
