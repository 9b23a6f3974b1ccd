#include <atomic>

#include "eaq/format/format.h"
#include "eaq/format/toy/toy.h"

namespace eaq::format_toy {
namespace {

class ToyProduct : public Product {
 public:
  explicit ToyProduct(const LinearWeight& weight) : out_(weight.out_features), in_(weight.in_features) {
    bits_.reserve(static_cast<std::size_t>(out_ * in_));
    std::vector<float> row(static_cast<std::size_t>(in_));
    for (std::int64_t n = 0; n < out_; ++n) {
      weight.read_rows(n, 1, row.data());
      for (const float value : row) bits_.push_back(encode(value));
    }
  }

  void run(ExecutionContext& context, const Matrix& x, const Matrix& y, const Epilogue& then) const override {
    auto& cpu = static_cast<CpuContext&>(context);
    std::vector<float> wide_x(static_cast<std::size_t>(x.rows * in_)), wide_y(static_cast<std::size_t>(x.rows * out_));
    const Matrix input{DType::f32, reinterpret_cast<std::byte*>(wide_x.data()), x.rows, in_, in_};
    const Matrix result{DType::f32, reinterpret_cast<std::byte*>(wide_y.data()), x.rows, out_, out_};
    convert(cpu, x, input);
    cpu.parallel(x.rows, [&](std::int64_t m, int) {
      for (std::int64_t n = 0; n < out_; ++n) {
        float sum = then.bias == nullptr ? 0.0f : then.bias[n];
        for (std::int64_t k = 0; k < in_; ++k)
          sum += wide_x[static_cast<std::size_t>(m * in_ + k)] * decode(bits_[static_cast<std::size_t>(n * in_ + k)]);
        wide_y[static_cast<std::size_t>(m * out_ + n)] = sum;
      }
    });
    activation(cpu, then.activation, result, result);
    if (then.residual != nullptr) add(cpu, result, *then.residual, result);
    convert(cpu, result, y);
    ran_ = true;
  }

  void row(std::int64_t n, float* out) const override {
    for (std::int64_t k = 0; k < in_; ++k) out[k] = decode(bits_[static_cast<std::size_t>(n * in_ + k)]);
  }
  std::size_t bytes() const override { return bits_.size() * sizeof(bits_[0]); }
  void begin_report() const override { ran_ = false; }
  KernelReport report() const override {
    KernelReport report{.kernels = {}, .storage = "toy", .arithmetic = "f32", .emulated = false};
    if (ran_) report.kernels.emplace_back("plain toy f32");
    return report;
  }

 private:
  std::int64_t out_, in_;
  std::vector<std::uint16_t> bits_;
  mutable std::atomic<bool> ran_{false};
};

class ToyOnCpu : public ProductMaker {
 public:
  Support support(const ExecutionContext&) const override {
    return {.level = SupportLevel::widened, .reason = "no processor multiplies truncated floats"};
  }
  std::unique_ptr<Product> make(ExecutionContext&, const LinearWeight& weight) const override {
    return std::make_unique<ToyProduct>(weight);
  }
};

}  // namespace

const ProductMaker& cpu_products() {
  static const ToyOnCpu products;
  return products;
}

}  // namespace eaq::format_toy
