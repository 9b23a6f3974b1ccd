#include "eaq/format/int8/int8.h"

#include <gtest/gtest.h>

#include "eaq/format/testing.h"

namespace eaq {
namespace {

using namespace testing_format;

TEST(Int8Products, MultiplyIntegersAndSaySo) {
  const Format& format = format_named("int8");
  Case c(format, 3, 70, 65);
  fill_normal(c);
  CpuContext context(1);
  const auto product = format.on("cpu")->make(context, c.linear());
  const Owned y(DType::f32, c.m, c.n);
  product->run(context, c.x->matrix, y.matrix, {});
  const KernelReport report = product->report();
  EXPECT_EQ(report.arithmetic, "s8");
  EXPECT_EQ(report.storage, "int8");
  EXPECT_NE(report.kernels.at(0).find("s8"), std::string::npos);
  EXPECT_EQ(report.kernels.at(0).find("f32"), std::string::npos);
}

}  // namespace
}  // namespace eaq
