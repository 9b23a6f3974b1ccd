// Known work on a card: one large 16-bit product, over rotating operands that together do not fit in the L2.
#include <algorithm>
#include <memory>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {
namespace {

constexpr std::int64_t side = 4096;
constexpr std::size_t operand_sets = 4;

class CudaLoad : public Load {
 public:
  CudaLoad(int number, const LoadOptions& options)
      : context_(number),
        dtype_(context_.architecture() >= 80 ? DType::bf16 : DType::f16),
        rows_(options.rows > 0 ? std::min(options.rows, side) : side) {
    for (std::size_t i = 0; i < 2 * operand_sets + 1; ++i) {
      memory_.push_back(context_.allocate(static_cast<std::size_t>(side * side) * size_of(dtype_), "the load"));
      fill_normal(context_, dtype_, memory_.back().data(), side * side, i);
    }
    run(1);
  }

  std::string device() const override { return context_.description().uuid; }
  std::string description() const override {
    return std::string(name_of(dtype_)) + " product " + std::to_string(rows_) + " x 4096 x 4096 by cuBLASLt on " +
           context_.description().name;
  }
  double operations() const override { return 2.0 * static_cast<double>(rows_) * side * side; }

  void run(std::int64_t units) override {
    for (std::int64_t i = 0; i < units; ++i) {
      const std::size_t set = 2 * (next_++ % operand_sets);
      multiply(context_, {.x = matrix(set, rows_), .w = matrix(set + 1, side), .y = matrix(2 * operand_sets, rows_)});
    }
    context_.synchronise();
  }

 private:
  Matrix matrix(std::size_t i, std::int64_t rows) const { return {dtype_, memory_[i].data(), rows, side, side}; }

  CudaContext context_;
  DType dtype_;
  std::int64_t rows_;
  std::vector<DeviceMemory> memory_;
  std::size_t next_ = 0;
};

}  // namespace

const ComputeDevice& entry() {
  static const ComputeDevice device{
      "NVIDIA's cards",
      list_devices,
      [](int number, const LoadOptions& options) -> std::unique_ptr<Load> { return std::make_unique<CudaLoad>(number, options); },
  };
  return device;
}

}  // namespace eaq::kernel_cuda
