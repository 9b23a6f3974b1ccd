#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/cuda/gemm.h"

namespace eaq::kernel_cuda {
namespace {

constexpr std::size_t workspace_bytes = std::size_t{64} << 20;
constexpr int candidates = 16, timed_runs = 5;

using kernel_cuda::check;

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ErrorKind::unavailable, std::string("cuBLASLt: ") + what + ": " + cublasLtGetStatusString(status));
}
template <class Handle, cublasStatus_t (*Destroy)(Handle)>
struct Deleter {
  using pointer = Handle;
  void operator()(Handle handle) const { Destroy(handle); }
};
using Lt = std::unique_ptr<void, Deleter<cublasLtHandle_t, cublasLtDestroy>>;
using Description = std::unique_ptr<void, Deleter<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<void, Deleter<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using Preference = std::unique_ptr<void, Deleter<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

cudaDataType_t type_of(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : dtype == DType::f16 ? CUDA_R_16F : CUDA_R_32F; }

// The largest power of two, up to 256, that divides an address.
int alignment_of(const void* p) { return 1 << std::min(8, std::countr_zero(reinterpret_cast<std::uintptr_t>(p) | 256)); }

// All that an algorithm's choice depends on.
struct Key {
  std::int64_t m = 0, n = 0, k = 0, x_stride = 0, w_stride = 0, y_stride = 0, residual_stride = 0;
  std::int64_t operands = 0, result = 0, tf32 = 0, bias = 0, activation = 0, x_align = 0, w_align = 0, y_align = 0,
               residual_align = 0;
  auto operator<=>(const Key&) const = default;
  static constexpr std::size_t fields = 16;
};
static_assert(sizeof(Key) == Key::fields * sizeof(std::int64_t));

Key key_of(const GemmCall& c) {
  Key key{.m = c.x.rows, .n = c.w.rows, .k = c.x.cols, .x_stride = c.x.stride, .w_stride = c.w.stride, .y_stride = c.y.stride};
  key.operands = static_cast<std::int64_t>(c.x.dtype), key.result = static_cast<std::int64_t>(c.y.dtype);
  key.tf32 = c.tf32, key.bias = c.bias != nullptr, key.activation = static_cast<std::int64_t>(c.activation);
  key.x_align = alignment_of(c.x.data), key.w_align = alignment_of(c.w.data), key.y_align = alignment_of(c.y.data);
  if (c.residual != nullptr) key.residual_stride = c.residual->stride, key.residual_align = alignment_of(c.residual->data);
  return key;
}

template <class T>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value), "describing a product");
}

// Matrices as cuBLASLt counts them, column by column: y^T [n, m] = w [n, k] x^T [k, m], all of it read from rows as they lie.
struct Plan {
  Description product;
  Layout w, x, y, residual;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;
  std::string name;

  explicit Plan(const Key& key) {
    const auto operands = type_of(static_cast<DType>(key.operands)), result = type_of(static_cast<DType>(key.result));
    cublasLtMatmulDesc_t description = nullptr;
    check(cublasLtMatmulDescCreate(&description, key.tf32 != 0 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "describing a product");
    product.reset(description);
    set(description, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    const cublasLtEpilogue_t epilogue = key.activation != 0
                                            ? (key.bias != 0 ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU)
                                        : key.bias != 0 ? CUBLASLT_EPILOGUE_BIAS
                                                        : CUBLASLT_EPILOGUE_DEFAULT;
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (key.bias != 0) set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, result);
    w = layout(operands, key.k, key.n, key.w_stride);
    x = layout(operands, key.k, key.m, key.x_stride);
    y = layout(result, key.n, key.m, key.y_stride);
    residual = layout(result, key.n, key.m, key.residual_stride > 0 ? key.residual_stride : key.y_stride);
  }

 private:
  static Layout layout(cudaDataType_t type, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols), stride),
          "describing a matrix");
    return Layout(made);
  }
};

std::string describe(const Key& key, const cublasLtMatmulAlgo_t& algorithm) {
  int id = 0;
  std::uint32_t tile = 0, split = 0;
  std::size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &written);
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile, sizeof tile, &written);
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split, sizeof split, &written);
  const auto operands = static_cast<DType>(key.operands);
  std::string name = "cublasLt ";
  name += key.tf32 != 0 ? "tf32" : std::string(name_of(operands));
  name += " algorithm " + std::to_string(id) + " tile " + std::to_string(tile);
  return split > 1 ? name + " split-k " + std::to_string(split) : name;
}

// Algorithms chosen earlier on this card by this library, one a line: the key's numbers, then the algorithm in hexadecimal.
class Memory {
 public:
  Memory(const std::string& card, std::size_t library)
      : file_(cache_folder() / ("products-" + card + ".txt")), title_("eaq products 3, cublasLt " + std::to_string(library)) {
    std::ifstream in(file_);
    std::string line;
    if (!std::getline(in, line) || line != title_) return;  // another library's algorithms mean nothing here
    while (std::getline(in, line)) read(line);
  }
  const cublasLtMatmulAlgo_t* find(const Key& key) const {
    const auto known = known_.find(key);
    return known == known_.end() ? nullptr : &known->second;
  }
  void remember(const Key& key, const cublasLtMatmulAlgo_t& algorithm) {
    known_[key] = algorithm;
    std::ostringstream text;
    text << title_ << "\n";
    for (const auto& [k, a] : known_) write(text, k, a);
    try {
      std::filesystem::create_directories(file_.parent_path());
      AtomicFile out(file_);
      const std::string all = text.str();
      out.write(std::as_bytes(std::span(all)));
      out.commit();
    } catch (const std::exception&) {
      // Choosing again the next time is all that a folder which cannot be written costs.
    }
  }

 private:
  void read(const std::string& line) {
    std::istringstream in(line);
    std::array<std::int64_t, Key::fields> numbers{};
    for (std::int64_t& number : numbers) in >> number;
    std::string hex;
    cublasLtMatmulAlgo_t algorithm{};
    if (!(in >> hex) || hex.size() != 2 * sizeof algorithm) return;
    std::array<unsigned char, sizeof algorithm> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<unsigned char>(std::strtoul(hex.substr(2 * i, 2).c_str(), nullptr, 16));
    std::memcpy(&algorithm, bytes.data(), sizeof algorithm);
    known_[std::bit_cast<Key>(numbers)] = algorithm;
  }
  static void write(std::ostream& out, const Key& key, const cublasLtMatmulAlgo_t& algorithm) {
    for (const std::int64_t number : std::bit_cast<std::array<std::int64_t, Key::fields>>(key)) out << number << ' ';
    std::array<unsigned char, sizeof algorithm> bytes{};
    std::memcpy(bytes.data(), &algorithm, sizeof algorithm);
    constexpr char digits[] = "0123456789abcdef";
    for (const unsigned char byte : bytes) out << digits[byte >> 4] << digits[byte & 15];
    out << "\n";
  }

  std::filesystem::path file_;
  std::string title_;
  std::map<Key, cublasLtMatmulAlgo_t> known_;
};

}  // namespace

struct Gemm::State {
  explicit State(CudaContext& of)
      : context(of),
        workspace(of.allocate(workspace_bytes, "the products' workspace")),
        memory(of.description().uuid, cublasLtGetVersion()) {
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), "starting");
    lt.reset(handle);
    for (cudaEvent_t& event : clock) check(cudaEventCreate(&event), "cudaEventCreate: making an event");
  }
  ~State() {
    for (cudaEvent_t event : clock) cudaEventDestroy(event);
  }

  cublasStatus_t submit(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const GemmCall& c) {
    const float one = 1, beta = c.residual != nullptr ? 1.0f : 0.0f;
    // The bias's address stands in the description, so it is set anew for each call.
    if (c.bias != nullptr) set(plan.product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, c.bias);
    const std::byte* added = c.residual != nullptr ? c.residual->data : c.y.data;
    return cublasLtMatmul(lt.get(), plan.product.get(), &one, c.w.data, plan.w.get(), c.x.data, plan.x.get(), &beta, added,
                          plan.residual.get(), c.y.data, plan.y.get(), &algorithm, workspace.data(), workspace.size(),
                          context.stream());
  }

  std::vector<cublasLtMatmulHeuristicResult_t> proposals(const Plan& plan, const Key& key) {
    cublasLtMatmulPreference_t made = nullptr;
    check(cublasLtMatmulPreferenceCreate(&made), "choosing an algorithm");
    const Preference preference(made);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value), "choosing an algorithm");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(key.w_align));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(key.x_align));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
           static_cast<std::uint32_t>(key.residual_align > 0 ? key.residual_align : key.y_align));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(key.y_align));
    std::vector<cublasLtMatmulHeuristicResult_t> results(candidates);
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(lt.get(), plan.product.get(), plan.w.get(), plan.x.get(), plan.residual.get(),
                                       plan.y.get(), made, candidates, results.data(), &found);
    results.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(found) : 0);
    return results;
  }

  // Milliseconds of one run; nothing where it fails.
  std::optional<float> time(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const GemmCall& call) {
    if (submit(plan, algorithm, call) != CUBLAS_STATUS_SUCCESS) return std::nullopt;
    check(cudaEventRecord(clock[0], context.stream()), "cudaEventRecord: timing a product");
    for (int i = 0; i < timed_runs; ++i)
      if (submit(plan, algorithm, call) != CUBLAS_STATUS_SUCCESS) return std::nullopt;
    check(cudaEventRecord(clock[1], context.stream()), "cudaEventRecord: timing a product");
    check(cudaEventSynchronize(clock[1]), "cudaEventSynchronize: timing a product");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, clock[0], clock[1]), "cudaEventElapsedTime: timing a product");
    return milliseconds / timed_runs;
  }

  // Trials write to y, so they must not add to it in place: run() gives them another result.
  void choose(Plan& plan, const Key& key, const GemmCall& call) {
    if (const cublasLtMatmulAlgo_t* known = memory.find(key)) {
      cublasLtMatmulHeuristicResult_t result{};
      plan.found = cublasLtMatmulAlgoCheck(lt.get(), plan.product.get(), plan.w.get(), plan.x.get(), plan.residual.get(),
                                           plan.y.get(), known, &result) == CUBLAS_STATUS_SUCCESS &&
                   result.workspaceSize <= workspace_bytes;
      plan.algorithm = *known;
      if (plan.found) return;
    }
    float best = 0;
    for (const cublasLtMatmulHeuristicResult_t& proposal : proposals(plan, key)) {
      if (proposal.state != CUBLAS_STATUS_SUCCESS || proposal.workspaceSize > workspace_bytes) continue;
      const auto milliseconds = time(plan, proposal.algo, call);
      if (!milliseconds || (plan.found && *milliseconds >= best)) continue;
      plan.found = true;
      plan.algorithm = proposal.algo;
      best = *milliseconds;
    }
    if (plan.found) memory.remember(key, plan.algorithm);
  }

  CudaContext& context;
  DeviceMemory workspace;
  Memory memory;
  Lt lt;
  std::array<cudaEvent_t, 2> clock{};
  std::map<Key, Plan> plans;
  std::string plain_name = "eaq plain product";
};

// The epilogue's GELU is the tanh form, and comes after what is added.
bool fuses(const CudaContext&, const GemmCall& call) {
  return call.activation == Activation::none || (call.activation == Activation::gelu_tanh && call.residual == nullptr);
}

Gemm::Gemm(CudaContext& context) : state_(std::make_unique<State>(context)) {}
Gemm::~Gemm() = default;

const std::string& Gemm::run(const GemmCall& call) {
  const Key key = key_of(call);
  auto known = state_->plans.find(key);
  if (known == state_->plans.end()) {
    Plan plan(key);
    if (call.bias != nullptr) set(plan.product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
    GemmCall trial = call;
    DeviceMemory elsewhere;
    if (call.residual != nullptr && call.residual->data == call.y.data) {
      elsewhere = state_->context.allocate(static_cast<std::size_t>(call.y.rows * call.y.stride) * size_of(call.y.dtype),
                                           "a trial's result");
      trial.y.data = elsewhere.data();
    }
    state_->choose(plan, key, trial);
    if (plan.found) plan.name = describe(key, plan.algorithm);
    state_->context.synchronise();
    known = state_->plans.emplace(key, std::move(plan)).first;
  }
  const Plan& plan = known->second;
  if (!plan.found) {
    plain_gemm(state_->context, call);
    return state_->plain_name;
  }
  check(state_->submit(plan, plan.algorithm, call), "multiplying");
  return plan.name;
}

}  // namespace eaq::kernel_cuda
