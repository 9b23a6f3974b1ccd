#include "eaq/format/dense_product_cuda.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <set>

#include "eaq/format/reported.h"
#include "eaq/kernel/cuda.h"

namespace eaq {
namespace {

using kernel_cuda::cuda_context;
using kernel_cuda::CudaContext;

constexpr std::int64_t step = 8;  // 16 bytes of 16-bit elements: what fast products ask of rows
std::int64_t up(std::int64_t n) { return (n + step - 1) / step * step; }

// Kernels that multiply in f32 whatever they read: bound by memory, or there to be right.
bool widens(const std::string& kernel) {
  return kernel == "eaq one row" || kernel == "eaq few rows" || kernel == "eaq plain product";
}

class DenseProduct final : public Product {
 public:
  DenseProduct(const DenseRow& row, CudaContext& context, const LinearWeight& weight)
      : row_(row), out_(weight.out_features), in_(weight.in_features), context_(context) {
    const std::int64_t rows = up(out_), stride = up(in_);
    memory_ = context.allocate(static_cast<std::size_t>(rows * stride) * size_of(row.storage), "a weight");
    context.clear(memory_.data(), memory_.size());
    weight_ = {row.storage, memory_.data(), rows, in_, stride};
    std::vector<float> sums(static_cast<std::size_t>(rows));  // of each output's weights, as they are stored
    fill(weight, sums);
    if (weight.input_scale == nullptr) return;
    sums_ = context.allocate(sums.size() * sizeof(float), "sums of a weight");
    context.upload(sums_.data(), std::as_bytes(std::span(sums)));
  }

  void run(ExecutionContext& any, const Matrix& x, const Matrix& y, const Epilogue& then) const override {
    CudaContext& context = cuda_context(any);
    if (x.rows == 0) return;
    kernel_cuda::GemmCall call{.x = x,
                               .w = weight_.slice(0, out_),
                               .y = y,
                               .bias = then.device_bias,
                               .activation = then.activation,
                               .residual = then.residual,
                               .tf32 = row_.tf32,
                               .w_stays = true,
                               .moments = then.moments};
    const kernel_cuda::NormBehind behind{then.input_moments, reinterpret_cast<const float*>(sums_.data()), then.input_epsilon};
    if (then.input_moments != nullptr) call.norm_behind = &behind;
    if (is_few_rows(call)) {
      kernel_cuda::NormVectors norm;
      if (then.input_norm != nullptr) {
        norm = {then.input_norm->gamma, then.input_norm->beta, then.input_norm->epsilon};
        call.norm = &norm;
      }
      return ran(kernel_cuda::multiply_few_rows(context, call));
    }
    if (y.dtype != DType::f32 && y.dtype != row_.operands)
      throw Error(ErrorKind::unavailable,
                  "a product in " + std::string(row_.arithmetic_name) + " cannot give results in another 16-bit type on a card");
    convert_operands(context, call);
    Matrix residual = then.residual != nullptr ? *then.residual : y;
    // A few columns more cost nothing where rows of the result have room for them, and spare odd sizes.
    if (y.stride >= weight_.rows && residual.stride >= weight_.rows) {
      call.w.rows = call.y.cols = residual.cols = weight_.rows;
      if (then.residual != nullptr) call.residual = &residual;
    }
    if (kernel_cuda::fuses(context, call)) return ran(kernel_cuda::multiply(context, call));
    call.activation = Activation::none, call.residual = nullptr, call.moments = nullptr;
    ran(kernel_cuda::multiply(context, call));
    kernel_cuda::activation(context, then.activation, y, y);
    if (then.residual != nullptr) kernel_cuda::add(context, y, *then.residual, y);
    if (then.moments != nullptr) kernel_cuda::row_moments(context, y, then.moments);
  }

  void row(std::int64_t n, float* out) const override {
    Tensor stored(row_.storage, {in_});
    context_.download({stored.buffer.data(), stored.buffer.size()}, weight_.row(n));
    to_f32(stored.view(), {out, static_cast<std::size_t>(in_)});
  }
  Matrix rows() const override { return weight_.slice(0, out_); }
  bool norms_input(const Matrix& x, const Matrix& y) const override {
    return is_few_rows({.x = x, .w = weight_.slice(0, out_), .y = y, .tf32 = row_.tf32, .w_stays = true});
  }
  bool holds_norm() const override { return sums_.size() > 0; }
  bool norms_behind(const Matrix& x, const Matrix& y) const override {
    return holds_norm() && kernel_cuda::norms_behind(context_, {.x = x, .w = weight_, .y = y});
  }
  std::size_t bytes() const override { return memory_.size() + sums_.size(); }
  KernelReport report() const override {
    KernelReport report{.kernels = {}, .storage = std::string(row_.storage_name), .arithmetic = {}, .emulated = false};
    const std::lock_guard lock(mutex_);
    report.kernels.assign(kernels_.begin(), kernels_.end());
    report.arithmetic = arithmetic_of(report.kernels, row_.arithmetic_name, widens);
    return report;
  }
  void begin_report() const override {
    const std::lock_guard lock(mutex_);
    kernels_.clear();
  }

 private:
  bool is_few_rows(const kernel_cuda::GemmCall& call) const {
    return row_.storage == row_.operands && kernel_cuda::fits_few_rows(call);
  }
  void fill(const LinearWeight& weight, std::span<float> sums) {
    constexpr std::int64_t at_once = 512;
    std::vector<float> block(static_cast<std::size_t>(std::min(at_once, out_) * in_));
    for (std::int64_t first = 0; first < out_; first += at_once) {
      const std::int64_t count = std::min(at_once, out_ - first);
      weight.read_rows(first, count, block.data());
      Tensor spread(DType::f32, {count, weight_.stride});
      std::fill_n(spread.buffer.as<float>(), count * weight_.stride, 0.0f);
      for (std::int64_t r = 0; r < count; ++r)
        std::copy_n(block.data() + r * in_, in_, spread.buffer.as<float>() + r * weight_.stride);
      const Tensor stored = stored_as(row_.storage, spread.view());
      context_.upload(weight_.row(first), {stored.buffer.data(), stored.buffer.size()});
      if (weight.input_scale == nullptr) continue;
      to_f32(stored.view(), {spread.buffer.as<float>(), static_cast<std::size_t>(count * weight_.stride)});
      for (std::int64_t r = 0; r < count; ++r) {
        const float* row = spread.buffer.as<float>() + r * weight_.stride;
        sums[static_cast<std::size_t>(first + r)] = static_cast<float>(std::accumulate(row, row + in_, 0.0));
      }
    }
  }

  // Input and weight in the type that is multiplied, in scratch memory where they are in another.
  void convert_operands(CudaContext& context, kernel_cuda::GemmCall& call) const {
    const auto bytes_of = [&](const Matrix& m) {
      return m.dtype == row_.operands
                 ? 0
                 : (static_cast<std::size_t>(m.rows * up(m.cols)) * size_of(row_.operands) + 255) / 256 * 256;
    };
    const std::size_t x_bytes = bytes_of(call.x), w_bytes = bytes_of(weight_);
    if (x_bytes + w_bytes == 0) return;
    std::byte* scratch = context.scratch(x_bytes + w_bytes);
    const auto move = [&](Matrix& m, std::byte* to) {
      const Matrix converted{row_.operands, to, m.rows, m.cols, up(m.cols)};
      kernel_cuda::convert(context, m, converted);
      m = converted;
    };
    if (x_bytes > 0) move(call.x, scratch);
    if (w_bytes > 0) {
      call.w = weight_;
      move(call.w, scratch + x_bytes);
      call.w.rows = out_, call.w_stays = false;
    }
  }

  void ran(const std::string& kernel) const {
    const std::lock_guard lock(mutex_);
    kernels_.insert(kernel);
  }

  DenseRow row_;
  std::int64_t out_, in_;
  CudaContext& context_;
  DeviceMemory memory_, sums_;
  Matrix weight_;  // rows beyond out_ are zeros
  mutable std::mutex mutex_;
  mutable std::set<std::string> kernels_;
};

}  // namespace

Support DenseProducts::support(const ExecutionContext& context) const {
  const int architecture = dynamic_cast<const CudaContext&>(context).architecture();
  if (architecture >= row_.oldest) return {SupportLevel::native, ""};
  return {SupportLevel::refused, "products in " + std::string(row_.arithmetic_name) + " begin with sm_" +
                                     std::to_string(row_.oldest) + "; this card is sm_" + std::to_string(architecture)};
}

bool DenseProducts::folds_norms(const ExecutionContext& context) const {
  return row_.storage == row_.operands && size_of(row_.storage) == 2 &&
         kernel_cuda::has_norms_behind(dynamic_cast<const CudaContext&>(context));
}

std::unique_ptr<Product> DenseProducts::make(ExecutionContext& context, const LinearWeight& weight) const {
  weight.check();
  return std::make_unique<DenseProduct>(row_, cuda_context(context), weight);
}

}  // namespace eaq
