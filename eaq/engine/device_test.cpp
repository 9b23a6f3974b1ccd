#include <gtest/gtest.h>

#include "eaq/engine/engine.h"

namespace eaq {
namespace {

ErrorKind kind_of(const char* name) {
  try {
    open_device(name);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::bug;
}

// A device with memory of its own that computes in whatever `native` lists.
class Card : public Backend {
 public:
  explicit Card(std::vector<std::string_view> native) : native_(std::move(native)) {}
  std::string_view device() const override { return "card"; }
  std::string unavailable_reason() const override { return ""; }
  std::unique_ptr<ExecutionContext> make_context(const ContextOptions&) const override { return std::make_unique<Context>(); }
  Support support(const Format& format, const ExecutionContext&) const override {
    for (const std::string_view name : native_)
      if (format.traits().name == name) return {SupportLevel::native, ""};
    return {SupportLevel::refused, "not in this card"};
  }
  std::shared_ptr<const Product> make_product(const Format&, ExecutionContext&, const LinearWeight&) const override {
    return nullptr;
  }
  std::span<const Fusion> fusions() const override { return {}; }
  void bind(Program&, ExecutionContext&) const override {}
  std::unique_ptr<Judge> make_judge(ExecutionContext&) const override { return nullptr; }

  Device open() const { return {this, make_context({})}; }

 private:
  struct Context : ExecutionContext {
    std::string_view device() const override { return "card"; }
    DeviceDescription description() const override { return {.kind = "card"}; }
    bool is_host() const override { return false; }
  };
  std::vector<std::string_view> native_;
};

TEST(DeviceName, IsAKindAndANumber) {
  EXPECT_EQ(parse_device_name("cpu").kind, "cpu");
  EXPECT_EQ(parse_device_name("cuda").number, 0);
  EXPECT_EQ(parse_device_name("cuda:3").kind, "cuda");
  EXPECT_EQ(parse_device_name("cuda:3").number, 3);
  for (const char* wrong : {"cuda:", "cuda:x", "cuda:-1", "cuda:1:2", "cuda: 1"})
    EXPECT_EQ(kind_of(wrong), ErrorKind::usage) << wrong;
}

TEST(OpenDevice, AMistypedNameAndASecondProcessorAreUsage) {
  EXPECT_EQ(kind_of("gpu"), ErrorKind::usage);
  EXPECT_EQ(kind_of("cpu:1"), ErrorKind::usage);
  EXPECT_EQ(open_device("cpu:0").context->description().kind, "cpu");
}

TEST(DefaultBase, IsFp32OnTheHostAndTheBestSixteenBitsOfACard) {
  EXPECT_EQ(default_base(open_device("cpu")), "fp32");
  EXPECT_EQ(default_base(open_device("ref")), "fp32");
  EXPECT_EQ(default_base(Card({"fp32", "fp16", "bf16"}).open()), "bf16");
  EXPECT_EQ(default_base(Card({"fp32", "fp16"}).open()), "fp16");  // before Ampere
  EXPECT_EQ(default_base(Card({"fp32"}).open()), "fp32");
}

TEST(DefaultFormats, BeginWithFp32AndLeaveOutWhatTheDeviceHasNothingFor) {
  const std::vector<std::string> cpu = default_formats(open_device("cpu"));
  EXPECT_EQ(cpu.front(), "fp32");
  double bits = 100;
  for (const std::string& name : cpu) {
    EXPECT_NE(format_named(name).on("cpu"), nullptr) << name;
    EXPECT_LE(format_named(name).traits().bits_per_weight, bits);
    bits = format_named(name).traits().bits_per_weight;
  }
  EXPECT_EQ(default_formats(Card({"fp16", "fp32"}).open()), (std::vector<std::string>{"fp32", "fp16"}));
}

}  // namespace
}  // namespace eaq
