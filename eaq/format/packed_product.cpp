#include "eaq/format/packed_product.h"

#include <algorithm>

#include "eaq/format/reported.h"

namespace eaq {
namespace {

class PackedProduct final : public Product {
 public:
  PackedProduct(CpuContext& context, const LinearWeight& weight, const WeightPlan& plan, std::string_view storage)
      : plan_(plan), storage_(storage), packed_(plan, weight.out_features, weight.in_features) {
    pack_in_parallel(context, weight,
                     [&](std::int64_t first, std::int64_t count, float* rows) { packed_.pack(first, count, rows); });
  }

  void run(ExecutionContext& context, const Matrix& x, const Matrix& y, const Epilogue& epilogue) const override {
    packed_.multiply(cpu_context(context), x, y, epilogue);
  }
  void row(std::int64_t n, float* out) const override { packed_.unpack(n, out); }
  std::size_t bytes() const override { return packed_.bytes(); }
  void begin_report() const override { packed_.forget_kernels(); }
  KernelReport report() const override {
    // Values rounded to 16 bits that are neither kept nor multiplied in 16 bits are that format's values alone.
    const bool emulated = plan_.storage == DType::f32 && plan_.operands != DType::f32 && plan_.arithmetic == Arithmetic::f32;
    KernelReport report{.kernels = packed_.kernels(), .storage = storage_, .arithmetic = {}, .emulated = emulated};
    const auto widens = [](const std::string& kernel) { return kernel.ends_with("widened to f32"); };
    report.arithmetic = arithmetic_of(report.kernels, name_of(plan_.arithmetic), widens);
    return report;
  }

 private:
  WeightPlan plan_;
  std::string storage_;
  PackedWeight packed_;
};

}  // namespace

CpuContext& cpu_context(ExecutionContext& context) {
  if (auto* cpu = dynamic_cast<CpuContext*>(&context)) return *cpu;
  throw Error(ErrorKind::bug, "a CPU product was given a context of '" + std::string(context.device()) + "'");
}

void pack_in_parallel(CpuContext& context, const LinearWeight& weight,
                      const std::function<void(std::int64_t, std::int64_t, float*)>& pack) {
  weight.check();
  constexpr std::int64_t block = 64;
  const std::int64_t tasks = (weight.out_features + block - 1) / block;
  context.parallel(tasks, [&](std::int64_t task, int thread) {
    const std::int64_t first = task * block, count = std::min(block, weight.out_features - first);
    auto* rows =
        reinterpret_cast<float*>(context.scratch(thread, static_cast<std::size_t>(count * weight.in_features) * sizeof(float)));
    weight.read_rows(first, count, rows);
    pack(first, count, rows);
  });
}

Support PackedProducts::support(const ExecutionContext&) const {
  return is_native() ? Support{.level = SupportLevel::native, .reason = ""} : row_.otherwise;
}

std::unique_ptr<Product> PackedProducts::make(ExecutionContext& context, const LinearWeight& weight) const {
  const WeightPlan plan{
      .storage = row_.storage, .arithmetic = is_native() ? *row_.native : Arithmetic::f32, .operands = row_.operands};
  return std::make_unique<PackedProduct>(cpu_context(context), weight, plan, row_.storage_name);
}

}  // namespace eaq
