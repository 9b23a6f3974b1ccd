#include <algorithm>

#include "eaq/format/format.h"

#include <gtest/gtest.h>

#include "eaq/format/testing.h"

namespace eaq {
namespace {

using namespace testing_format;

TEST(LinearWeightCheck, NamesShapesThatDoNotStack) {
  const std::vector<float> data(12);
  LinearWeight weight{.parts = {{DType::f32, {3, 4}, reinterpret_cast<const std::byte*>(data.data())}},
                      .transposed = false,
                      .out_features = 4,
                      .in_features = 4};
  CpuContext context(1);
  try {
    format_named("fp32").on("cpu")->make(context, weight);
    FAIL() << "3 rows passed for 4";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    EXPECT_NE(std::string(e.what()).find("[3, 4]"), std::string::npos) << e.what();
  }
}

TEST(LinearWeights, AreScaledByInput) {
  const std::vector<float> data{1, 2, 3, 4, 5, 6}, scale{2, -1, 0.5f};
  const auto read = [&](bool transposed) {
    const LinearWeight weight{
        .parts = {{DType::f32, transposed ? Shape{3, 2} : Shape{2, 3}, reinterpret_cast<const std::byte*>(data.data())}},
        .transposed = transposed,
        .out_features = 2,
        .in_features = 3,
        .input_scale = scale.data()};
    std::vector<float> rows(6);
    weight.read_rows(0, 2, rows.data());
    return rows;
  };
  EXPECT_EQ(read(false), (std::vector<float>{2, -2, 1.5f, 8, -5, 3}));
  EXPECT_EQ(read(true), (std::vector<float>{2, -3, 2.5f, 4, -4, 3}));
}

TEST(Formats, AnUnknownNameIsAnsweredWithTheNamesThereAre) {
  try {
    format_named("fp33");
    FAIL() << "fp33 was found";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage);
    for (const std::string& name : format_names()) EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
  }
}

TEST(Formats, AreCalledAsTheirFolders) {
  for (const auto& row : formats())
    if (row.entry != nullptr) {
      EXPECT_EQ(row.entry->traits().name, row.name);
    }
}

TEST(Formats, RoundWeightsToWithinHalfAStep) {
  for (const std::string& name : format_names()) {
    Case c(format_named(name), 1, 50, 100);
    fill_normal(c);
    // Formats that multiply in fewer bits than they store round to those.
    const std::string_view storage = name == "tf32"                           ? "tf32"
                                     : name.find("bf16") != std::string::npos ? "bf16"
                                     : name.find("fp16") != std::string::npos ? "fp16"
                                                                              : c.format.traits().storage;
    double norm = 0;
    for (std::int64_t n = 0; n < c.n; ++n) {
      float largest = 0;
      for (std::int64_t k = 0; k < c.k; ++k)
        largest = std::max(largest, std::fabs(c.weight[static_cast<std::size_t>(n * c.k + k)]));
      for (std::int64_t k = 0; k < c.k; ++k) {
        const double w = c.weight[static_cast<std::size_t>(n * c.k + k)],
                     got = c.plain_weight[static_cast<std::size_t>(n * c.k + k)];
        const double step = storage == "fp32"   ? 0
                            : storage == "bf16" ? unit_roundoff(DType::bf16) * std::fabs(w)
                            : storage == "tf32" ? std::ldexp(std::fabs(w), -11)
                            : storage == "fp16" ? unit_roundoff(DType::f16) * std::fabs(w) + std::ldexp(1, -25)
                                                : 1.0001 * largest / 254;
        if (storage == "int8" || storage == "fp32" || storage == "tf32" || storage == "bf16" || storage == "fp16") {
          EXPECT_LE(std::fabs(got - w), step) << name;
        }
        norm += got * got;
      }
    }
    EXPECT_GT(norm, 0) << name;
  }
}

TEST(StorageOf, IsTheFormatsOwnWhereItCoversEverything) {
  EXPECT_EQ(storage_of("fp32"), DType::f32);
  EXPECT_EQ(storage_of("bf16"), DType::bf16);
  EXPECT_EQ(storage_of("fp16"), DType::f16);
  EXPECT_EQ(storage_of("mixed_bf16"), DType::f32);
}

TEST(StoredAs, RoundsEveryElementOfMoreThanABlock) {
  constexpr std::int64_t rows = 3, cols = 40'000;
  Tensor from(DType::f32, {rows, cols});
  for (std::size_t i = 0; i < from.as<float>().size(); ++i) from.as<float>()[i] = 1 / static_cast<float>(i + 1);
  const Tensor half = stored_as(DType::f16, from.view()), brain = stored_as(DType::bf16, from.view());
  const Tensor wide = stored_as(DType::f32, brain.view()), same = stored_as(DType::f32, from.view());
  EXPECT_EQ(half.shape, from.shape);
  for (std::size_t i = 0; i < from.as<float>().size(); ++i) {
    const float value = from.as<float>()[i];
    ASSERT_EQ(half.as<f16>()[i].bits, f16(value).bits) << i;
    ASSERT_EQ(brain.as<bf16>()[i].bits, bf16(value).bits) << i;
    ASSERT_EQ(wide.as<float>()[i], static_cast<float>(bf16(value))) << i;
    ASSERT_EQ(same.as<float>()[i], value) << i;
  }
}

}  // namespace
}  // namespace eaq
