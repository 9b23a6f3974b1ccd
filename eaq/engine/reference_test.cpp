// Logits against Hugging Face Transformers: random weights of odd configurations (eaq/model/testdata), and the trained models
// where they are at hand.
#include <algorithm>

#include "eaq/engine/testing.h"

namespace eaq {
namespace {

// Integers of either width, as the files hold them.
std::vector<std::int32_t> to_int(const TensorView& t) {
  if (t.dtype == DType::i32) return {t.as<std::int32_t>().begin(), t.as<std::int32_t>().end()};
  std::vector<std::int32_t> values;
  for (const std::int64_t x : t.as<std::int64_t>()) values.push_back(static_cast<std::int32_t>(x));
  return values;
}

// The batch of a Transformers call: [n, seq] ids with an attention mask, every padded position run, hidden from attention.
OwnedBatch batch_of(const TensorView& ids, const TensorView& mask) {
  OwnedBatch batch;
  batch.ids = to_int(ids);
  for (const std::int32_t seen : to_int(mask)) batch.key_mask.push_back(seen != 0);
  const std::int64_t n = ids.shape[0], seq = ids.shape[1];
  for (std::int64_t s = 0; s <= n; ++s) batch.row_begin.push_back(static_cast<std::int32_t>(s * seq));
  for (std::int64_t r = 0; r < n * seq; ++r) batch.positions.push_back(static_cast<std::int32_t>(r % seq));
  return batch;
}

class OddConfigurations : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(OddConfigurations, LogitsEqualTransformers) {
  const auto& [device, name] = GetParam();
  const auto folder = source_folder() / "eaq/model/testdata" / name;
  const auto io = open_checkpoint(folder / "io.safetensors");
  const OwnedBatch batch = batch_of(io->tensor("input_ids"), io->tensor("attention_mask"));
  Session session(packed(folder.string(), "fp32", device));
  const auto got = logits_of(session, batch.view());
  const auto wanted = io->tensor("logits").as<float>();
  // A hidden position's row is no answer (see the folder's README); a classifier has one row a sequence.
  std::vector<float> a, b;
  const std::size_t rows = session.packed().graph().task == Task::language_model ? batch.ids.size() : batch.row_begin.size() - 1,
                    n = got.size() / rows;
  for (std::size_t r = 0; r < rows; ++r) {
    if (session.packed().graph().task == Task::language_model && batch.key_mask[r] == 0) continue;
    a.insert(a.end(), got.begin() + static_cast<std::ptrdiff_t>(r * n), got.begin() + static_cast<std::ptrdiff_t>((r + 1) * n));
    b.insert(b.end(), wanted.begin() + static_cast<std::ptrdiff_t>(r * n),
             wanted.begin() + static_cast<std::ptrdiff_t>((r + 1) * n));
  }
  ASSERT_EQ(got.size(), wanted.size());
  EXPECT_LE(relative_error(a, b), 1e-4);
}

TEST_P(OddConfigurations, FusionsDoNotChangeTheLogits) {
  const auto& [device, name] = GetParam();
  const auto folder = source_folder() / "eaq/model/testdata" / name;
  const auto io = open_checkpoint(folder / "io.safetensors");
  const OwnedBatch batch = batch_of(io->tensor("input_ids"), io->tensor("attention_mask"));
  const auto model = packed(folder.string(), "fp32", device);
  Session fused(model), plain(model, {.fusions = false});
  const auto wanted = logits_of(plain, batch.view());
  EXPECT_LE(relative_error(logits_of(fused, batch.view()), wanted), 1e-5);
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "eaq/model/testdata"))
    if (std::filesystem::exists(entry.path() / "io.safetensors")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Transformers, OddConfigurations,
                         testing::Combine(testing::ValuesIn(devices_here()), testing::ValuesIn(cases())),
                         [](const auto& parameter) {
                           std::string name = std::get<0>(parameter.param) + "_" + std::get<1>(parameter.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Rows of the reference at its own positions, [positions, vocabulary], and for every position argmax and next-token nll.
void expect_gpt2_reference(const std::string& folder, const std::string& device) {
  const auto reference = open_checkpoint(std::filesystem::path(folder) / "reference_logits.safetensors");
  const TensorView ids = reference->tensor("input_ids"), positions = reference->tensor("positions");
  const std::vector<std::vector<std::int32_t>> sequence{to_int(ids)};
  const OwnedBatch batch = make_batch(sequence);
  Session session(packed(folder, "fp32", device));
  const std::vector<float> logits = logits_of(session, batch.view());
  const auto n = static_cast<std::size_t>(session.packed().graph().vocabulary);
  const auto row_at = [&](std::int32_t position) { return std::span(logits).subspan(static_cast<std::size_t>(position) * n, n); };
  const auto wanted = reference->tensor("logits_at_positions").as<float>();
  std::size_t row = 0;
  for (const std::int32_t position : to_int(positions))
    EXPECT_LE(relative_error(row_at(position), wanted.subspan(row++ * n, n)), 1e-4)
        << "position " << position << " on " << device;
  EXPECT_GT(row, 0u);
  const auto argmax = to_int(reference->tensor("argmax"));
  for (std::size_t i = 0; i < argmax.size(); ++i)
    EXPECT_EQ(summarise_row(row_at(static_cast<std::int32_t>(i)).data(), static_cast<std::int64_t>(n)).argmax, argmax[i])
        << "position " << i << " on " << device;
}

void expect_distilbert_reference(const std::string& folder, const std::string& device) {
  const auto reference = open_checkpoint(std::filesystem::path(folder) / "reference_logits.safetensors");
  const OwnedBatch batch = batch_of(reference->tensor("input_ids"), reference->tensor("attention_mask"));
  Session session(packed(folder, "fp32", device));
  EXPECT_LE(relative_error(logits_of(session, batch.view()), reference->tensor("logits").as<float>()), 1e-4);
}

TEST(TrainedModels, TinyGpt2LogitsEqualTransformers) {
  for (const auto& device : fast_devices()) expect_gpt2_reference((source_folder() / "models/tiny-gpt2").string(), device);
}
TEST(TrainedModels, TinyDistilBertLogitsEqualTransformers) {
  for (const auto& device : fast_devices())
    expect_distilbert_reference((source_folder() / "models/tiny-distilbert").string(), device);
}

TEST(TrainedModels, FullSizeLogitsEqualTransformers) {
  const char* models = std::getenv("EAQ_MODELS");
  if (models == nullptr) GTEST_SKIP() << "EAQ_MODELS does not name a folder with gpt2-small and distilbert-sst2";
  for (const auto& device : fast_devices()) {
    expect_gpt2_reference((std::filesystem::path(models) / "gpt2-small").string(), device);
    expect_distilbert_reference((std::filesystem::path(models) / "distilbert-sst2").string(), device);
  }
}

}  // namespace
}  // namespace eaq
