#include "eaq/kernel/cuda/gemm.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/choice.h"
#include "eaq/kernel/cuda/context.h"
#include "eaq/kernel/cuda/cublaslt.h"
#include "eaq/kernel/cuda/device.h"

namespace eaq::kernel_cuda {
namespace {

constexpr std::size_t workspace_bytes = std::size_t{64} << 20;

// Thrown and caught here: a candidate that does not run.
struct DoesNotRun {};

// A product to try candidates on. A model comes back to a weight of its own after all its others, so a trial must not find it in
// the cache where the run before left it: it goes through copies that together are larger than the cache, as far as 128 are and
// the card has room for them. A weight that was just converted is in the cache in a model, too.
class Trial {
 public:
  Trial(CudaContext& context, const GemmCall& call) : call_(call), bytes_((bytes_of(call.w) + 255) / 256 * 256) {
    // Trials write to y, so they must not add to it in place.
    if (call.residual != nullptr && call.residual->data == call.y.data) {
      result_ = context.allocate(bytes_of(call.y), "a trial's result");
      call_.y.data = result_.data();
    }
    const std::size_t enough = context.cache_bytes() * 3 / 2;
    if (!call.w_stays || bytes_ == 0 || bytes_ >= enough) return;
    const std::size_t copies = std::min((enough + bytes_ - 1) / bytes_, most_copies);
    try {
      weights_ = context.allocate(copies * bytes_, "a trial's weights");
    } catch (const Error&) {
      return;
    }
    copies_ = copies;
    for (std::size_t i = 0; i < copies_; ++i) context.copy(weights_.data() + i * bytes_, call.w.data, bytes_of(call.w));
  }

  int runs() const { return std::max(fewest_runs, static_cast<int>(copies_)); }
  GemmCall run(int i) const {
    GemmCall call = call_;
    if (copies_ > 1) call.w.data = weights_.data() + static_cast<std::size_t>(i) % copies_ * bytes_;
    return call;
  }

 private:
  static constexpr std::size_t most_copies = 128;
  static constexpr int fewest_runs = 8;
  static std::size_t bytes_of(const Matrix& m) { return static_cast<std::size_t>(m.rows * m.stride) * size_of(m.dtype); }

  GemmCall call_;
  std::size_t bytes_, copies_ = 1;  // of a copy, which is aligned as any weight
  DeviceMemory result_, weights_;
};

// What trials take is not what the model takes: the peak of memory in use is as if they had not been.
class PeakWithout {
 public:
  explicit PeakWithout(CudaContext::State::Usage& usage) : usage_(usage), peak_(usage.peak) {}
  ~PeakWithout() { usage_.peak = std::max(peak_, usage_.now); }
  PeakWithout(const PeakWithout&) = delete;
  PeakWithout& operator=(const PeakWithout&) = delete;

 private:
  CudaContext::State::Usage& usage_;
  std::int64_t peak_;
};

}  // namespace

struct Gemm::State {
  /// One key's product and what was chosen for it; nothing: the plain product.
  struct Plan {
    LtProduct lt;
    std::optional<ProductChoice> choice;
    std::string name = "eaq plain product";
  };

  explicit State(CudaContext& of)
      : context(of),
        workspace(of.allocate(workspace_bytes, "the products' workspace")),
        memory(of.description().uuid, cublasLtGetVersion()),
        lt(start_cublaslt()) {
    for (cudaEvent_t& event : clock) check(cudaEventCreate(&event), "cudaEventCreate: making an event");
  }
  ~State() {
    for (cudaEvent_t event : clock) cudaEventDestroy(event);
  }

  /// What failed, empty where nothing did.
  std::string submit(const Plan& plan, const ProductChoice& choice, const GemmCall& call) {
    if (const auto* algorithm = std::get_if<LtAlgorithm>(&choice))
      return plan.lt.submit(*algorithm, call, workspace, context.stream());
    return kernel_cuda::submit(*std::get<const HopperProduct*>(choice), context, call, workspace);
  }

  bool can_run(const Plan& plan, const ProductChoice& choice, const GemmCall& call) const {
    if (const auto* algorithm = std::get_if<LtAlgorithm>(&choice)) return fused_by_cublaslt(call) && plan.lt.takes(*algorithm);
    return runs_on_hopper(context, call) && suits(*std::get<const HopperProduct*>(choice), context, call);
  }

  std::vector<ProductChoice> candidates(const Plan& plan, const GemmCall& call) const {
    std::vector<ProductChoice> all;
    if (fused_by_cublaslt(call))
      for (const LtAlgorithm& algorithm : plan.lt.proposals()) all.emplace_back(algorithm);
    for (const HopperProduct& product : hopper_products())
      if (const ProductChoice choice = &product; can_run(plan, choice, call)) all.push_back(choice);
    return all;
  }

  /// Milliseconds of some runs, the shortest of a few times; nothing where it does not run. In a recording, as models run: how
  /// long the host takes to submit one differs from candidate to candidate and must not count.
  std::optional<float> time(const Plan& plan, const ProductChoice& choice, const Trial& trial) {
    std::unique_ptr<CudaGraph> runs;
    try {
      runs = context.record([&] {
        for (int i = 0; i < trial.runs(); ++i)
          if (!submit(plan, choice, trial.run(i)).empty()) throw DoesNotRun{};
      });
    } catch (const DoesNotRun&) {
      return std::nullopt;
    }
    runs->submit();
    constexpr int times = 3;  // one alone may have met something else at work
    std::optional<float> shortest;
    for (int i = 0; i < times; ++i) {
      check(cudaEventRecord(clock[0], context.stream()), "cudaEventRecord: timing a product");
      runs->submit();
      check(cudaEventRecord(clock[1], context.stream()), "cudaEventRecord: timing a product");
      check(cudaEventSynchronize(clock[1]), "cudaEventSynchronize: timing a product");
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, clock[0], clock[1]), "cudaEventElapsedTime: timing a product");
      shortest = std::min(milliseconds, shortest.value_or(milliseconds));
    }
    return shortest;
  }

  void try_all(Plan& plan, const GemmCall& call) {
    const PeakWithout trials(*context.state().usage);
    const Trial trial(context, call);
    float best = 0;
    for (const ProductChoice& candidate : candidates(plan, call)) {
      const auto milliseconds = time(plan, candidate, trial);
      if (!milliseconds || (plan.choice && *milliseconds >= best)) continue;
      plan.choice = candidate;
      best = *milliseconds;
    }
  }

  void choose(Plan& plan, const ProductKey& key, const GemmCall& call) {
    const ProductKey kept = shared_by_neighbours(key);
    if (const ProductChoice* known = memory.find(kept); known != nullptr && can_run(plan, *known, call)) {
      plan.choice = *known;
      return;
    }
    try_all(plan, call);
    if (plan.choice) memory.remember(kept, *plan.choice);
  }

  std::string name(const Plan& plan, const ProductKey& key) const {
    if (const auto* algorithm = std::get_if<LtAlgorithm>(&*plan.choice)) return plan.lt.name(*algorithm);
    return full_name(*std::get<const HopperProduct*>(*plan.choice), static_cast<DType>(key.operands));
  }

  CudaContext& context;
  DeviceMemory workspace;
  ChoiceMemory memory;
  LtHandle lt;
  std::array<cudaEvent_t, 2> clock{};
  std::map<ProductKey, Plan> plans;
};

bool fuses(const CudaContext& context, const GemmCall& call) { return fused_by_cublaslt(call) || runs_on_hopper(context, call); }

Gemm::Gemm(CudaContext& context) : state_(std::make_unique<State>(context)) {}
Gemm::~Gemm() = default;

const std::string& Gemm::run(const GemmCall& call) {
  const ProductKey key = key_of(call);
  auto known = state_->plans.find(key);
  if (known == state_->plans.end()) {
    State::Plan plan{.lt = LtProduct(state_->lt.get(), key, workspace_bytes)};
    state_->choose(plan, key, call);
    if (plan.choice) plan.name = state_->name(plan, key);
    state_->context.synchronise();
    known = state_->plans.emplace(key, std::move(plan)).first;
  }
  const State::Plan& plan = known->second;
  if (!plan.choice) {
    if (call.norm_behind != nullptr || call.moments != nullptr)
      throw Error(ErrorKind::unavailable, "no kernel takes a product with a norm behind it or sums of its rows");
    plain_gemm(state_->context, call);
  } else if (const std::string failed = state_->submit(plan, *plan.choice, call); !failed.empty()) {
    throw Error(ErrorKind::unavailable, plan.name + ": multiplying: " + failed + place_of(std::source_location::current()));
  }
  return plan.name;
}

}  // namespace eaq::kernel_cuda
