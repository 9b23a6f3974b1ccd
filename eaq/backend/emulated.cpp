// A product whose values are those of a format that the device has no kernel for: the weight is rounded as the format's plain
// definition says, inputs likewise on the host as they come, and both meet in an fp32 product. For judging answers, never for
// time.
#include <algorithm>

#include "eaq/backend/backend.h"

namespace eaq {
namespace {

class EmulatedProduct final : public Product {
 public:
  EmulatedProduct(const Format& format, std::shared_ptr<const Product> fp32, std::int64_t in_alignment)
      : format_(format), fp32_(std::move(fp32)), in_alignment_(in_alignment) {}

  void run(ExecutionContext& context, const Matrix& x, const Matrix& y, const Epilogue& then) const override {
    fp32_->run(context, rounded(context, x), y, then);
  }
  void row(std::int64_t n, float* out) const override { fp32_->row(n, out); }
  Matrix rows() const override { return fp32_->rows(); }
  std::size_t bytes() const override { return fp32_->bytes(); }
  void begin_report() const override { fp32_->begin_report(); }
  KernelReport report() const override {
    KernelReport report = fp32_->report();
    report.emulated = true;
    return report;
  }

 private:
  // The input in f32 of its own, rounded; valid until the next call.
  Matrix rounded(ExecutionContext& context, const Matrix& x) const {
    const std::int64_t stride = (x.cols + in_alignment_ - 1) / in_alignment_ * in_alignment_;
    const auto width = static_cast<std::size_t>(x.cols);
    std::vector<float> values(static_cast<std::size_t>(x.rows * stride), 0.0f);
    std::vector<std::byte> stored(static_cast<std::size_t>(x.rows * x.stride) * size_of(x.dtype));
    // The last row may end where the memory does.
    const std::size_t used = stored.size() - static_cast<std::size_t>(x.stride - x.cols) * size_of(x.dtype);
    context.download(std::span(stored).first(used), x.data);
    for (std::int64_t r = 0; r < x.rows; ++r) {
      float* row = values.data() + r * stride;
      const std::byte* from = stored.data() + static_cast<std::size_t>(r * x.stride) * size_of(x.dtype);
      to_f32(TensorView{x.dtype, {x.cols}, from}, std::span(row, width));
      format_.round_input(row, x.cols);
    }
    const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
    if (memory_.size() < bytes.size()) memory_ = context.allocate(bytes.size(), "rounded inputs of an emulated product");
    context.upload(memory_.data(), bytes);
    return {DType::f32, memory_.data(), x.rows, x.cols, stride};
  }

  const Format& format_;
  std::shared_ptr<const Product> fp32_;
  std::int64_t in_alignment_;
  mutable DeviceMemory memory_;
};

}  // namespace

std::shared_ptr<const Product> make_emulated_product(const Backend& backend, const Format& format, ExecutionContext& context,
                                                     const LinearWeight& weight) {
  weight.check();
  Tensor rounded(DType::f32, {weight.out_features, weight.in_features});
  float* values = rounded.buffer.as<float>();
  weight.read_rows(0, weight.out_features, values);
  format.round_weight(values, weight.out_features, weight.in_features);
  LinearWeight plain;
  plain.parts.push_back(rounded.view());
  plain.out_features = weight.out_features, plain.in_features = weight.in_features;
  return std::make_shared<EmulatedProduct>(format, backend.make_product(format_named("fp32"), context, plain),
                                           backend.row_alignment());
}

}  // namespace eaq
