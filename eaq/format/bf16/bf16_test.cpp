#include "eaq/format/bf16/bf16.h"

#include <gtest/gtest.h>

#include "eaq/format/testing.h"

namespace eaq {
namespace {

using namespace testing_format;

TEST(Bf16Products, AreNativeExactlyWhereBf16IsMultiplied) {
  const Format& format = format_named("bf16");
  Case c(format, 3, 70, 65);
  fill_normal(c);
  CpuContext context(1);
  const auto product = format.on("cpu")->make(context, c.linear());
  const Owned y(DType::f32, c.m, c.n);
  product->run(context, c.x->matrix, y.matrix, {});
  const Support support = format.on("cpu")->support(context);
  EXPECT_EQ(product->report().arithmetic == "bf16", support.level == SupportLevel::native);
  EXPECT_EQ(support.reason.empty(), support.level == SupportLevel::native);
}

}  // namespace
}  // namespace eaq
