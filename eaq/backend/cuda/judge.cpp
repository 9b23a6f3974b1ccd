#include <bit>

#include "eaq/backend/cuda/cuda.h"
#include "eaq/kernel/cuda.h"

namespace eaq::backend_cuda {
namespace {

using kernel_cuda::CudaContext;
using kernel_cuda::RowVerdict;

class CudaJudge final : public Judge {
 public:
  explicit CudaJudge(CudaContext& context) : context_(context), range_(context.allocate(2 * sizeof(unsigned), "a range")) {}

  void judge_reference(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes) override {
    reference_ = logits;
    judge(logits, targets, outcomes, false);
  }

  void judge(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes,
             bool against_reference) override {
    reserve(targets.size());
    context_.upload(targets_.data(), std::as_bytes(targets));
    auto* on_card = reinterpret_cast<RowVerdict*>(verdicts_.data());
    kernel_cuda::judge_rows(context_, logits.slice(0, static_cast<std::int64_t>(targets.size())),
                            against_reference ? &reference_ : nullptr, reinterpret_cast<const std::int32_t*>(targets_.data()),
                            on_card);
    context_.download(std::as_writable_bytes(std::span(read_).first(targets.size())), verdicts_.data());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      const RowVerdict& v = read_[i];
      outcomes[i] = {.argmax = v.argmax,
                     .non_finite = v.non_finite,
                     .nll = v.log_sum_exp - static_cast<double>(v.target_logit),
                     .kl = against_reference ? v.kl : 0,
                     .flipped = against_reference && v.argmax != v.reference_argmax};
    }
  }

  RangeSummary range(const Matrix& x) override {
    context_.clear(range_.data(), range_.size());
    kernel_cuda::range_of_rows(context_, x, reinterpret_cast<unsigned*>(range_.data()));
    unsigned found[2];
    context_.download(std::as_writable_bytes(std::span(found)), range_.data());
    return {.max_abs = std::bit_cast<float>(found[0]), .non_finite = found[1]};
  }

 private:
  void reserve(std::size_t rows) {
    if (rows <= read_.size()) return;
    read_.resize(rows);
    targets_ = context_.allocate(rows * sizeof(std::int32_t), "targets of logits");
    verdicts_ = context_.allocate(rows * sizeof(RowVerdict), "what rows of logits say");
  }

  CudaContext& context_;
  DeviceMemory range_, targets_, verdicts_;
  std::vector<RowVerdict> read_;
  Matrix reference_;
};

}  // namespace

std::unique_ptr<Judge> make_judge(ExecutionContext& context) {
  return std::make_unique<CudaJudge>(kernel_cuda::cuda_context(context));
}

}  // namespace eaq::backend_cuda
