// kernel: where steps run (contexts: threads, scratch memory, instruction set) and the primitives they run on. A primitive knows
// shapes and element types, never a model, a site or a format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/tensor/tensor.h"

namespace eaq {

// ---- What the processor can do

/// Instruction-set levels for which kernels exist, each containing the ones before it.
enum class Isa { avx2, avx512, avx512_vnni_bf16, amx };
std::string_view name_of(Isa isa);  ///< "avx2", ..., as EAQ_CPU_ISA takes them

struct CpuInfo {
  std::string model;  ///< "AMD EPYC 9B45", from CPUID
  /// Those that matter here, under Linux's names (avx2, fma, f16c, avx512f, avx512_vnni, avx512_bf16, avx_vnni, amx_int8, ...),
  /// as far as the operating system lets them be used.
  std::vector<std::string> flags;
  int logical_cores =
      1;                ///< those this process may use (affinity and cgroup quota, rounded down: a throttled thread holds up all)
  Isa isa = Isa::avx2;  ///< highest level of the machine; VNNI without BF16 (Ice Lake) is avx512 with the flag avx512_vnni
  bool has(std::string_view flag) const;
};
/// Error{unavailable} on a processor without AVX2, FMA, F16C and BMI2.
const CpuInfo& cpu_info();

/// The level in use: the machine's, lowered by EAQ_CPU_ISA (read once; Highway's dispatch and oneDNN are then bound to it as
/// well, so call this before their first use). Error{usage} for an unknown name, Error{unavailable} for a level that the machine
/// lacks.
Isa cpu_isa();

// ---- Contexts

/// What computes, as results name it. Empty: there is no such thing.
struct DeviceDescription {
  std::string kind;              ///< "cpu", "cuda", "ref"
  std::string name;              ///< "AMD EPYC 9B45", "NVIDIA H200"
  std::string isa;               ///< "avx512_vnni_bf16", "sm_90"
  std::string uuid;              ///< of a card, as its driver writes it: "GPU-..."
  std::string driver;            ///< what of CUDA the driver offers: "13.0"
  int threads = 0;               ///< of a CPU
  std::int64_t cache_bytes = 0;  ///< of its last level of cache; 0: unknown
};

/// Memory of a device; its owner. Aligned to 64 bytes at least.
class DeviceMemory {
 public:
  using Release = std::function<void(std::byte*)>;
  DeviceMemory() = default;
  DeviceMemory(std::byte* data, std::size_t bytes, Release release) : data_(data, std::move(release)), bytes_(bytes) {}
  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return bytes_; }

 private:
  std::unique_ptr<std::byte, Release> data_{nullptr, [](std::byte*) {}};
  std::size_t bytes_ = 0;
};

/// Where steps run. Backends and products of one device cast it to that device's context. What is submitted runs in order;
/// unless a device says otherwise, it has run when the call returns, in the host's own memory.
class ExecutionContext {
 public:
  virtual ~ExecutionContext() = default;
  virtual std::string_view device() const = 0;  ///< "cpu"
  virtual DeviceDescription description() const = 0;
  virtual void synchronise() {}  ///< returns when all submitted work is done

  /// A run is over with its submission's last step. finish_runs() returns when at most `ahead` of the runs that were ended so far
  /// are still under way: what lets a trial keep a device busy, and still see each run's end.
  virtual void end_run() {}
  virtual void finish_runs(int /*ahead*/) {}
  virtual int most_ahead() const { return 0; }  ///< runs that wait behind the one under way, so that the device never idles

  /// Marks on the device's own clock. mark(i) is passed when what was submitted before it has run; in a recording it is recorded,
  /// and passed again with each submission. marks(n) waits, and gives when 0 .. n - 1 were passed last, the first being 0.
  virtual void mark(std::size_t i);
  virtual std::vector<Seconds> marks(std::size_t count);

  virtual bool is_host() const { return true; }  ///< its memory is the host's
  /// Memory of any content. Error{unavailable} says how much was asked for what, and what was free.
  virtual DeviceMemory allocate(std::size_t bytes, std::string_view what);
  virtual void upload(std::byte* to, std::span<const std::byte> from);    ///< after the submitted work; `from` is free on return
  virtual void download(std::span<std::byte> to, const std::byte* from);  ///< waits for the submitted work
  virtual void clear(std::byte* to, std::size_t bytes);                   ///< zeros, after the submitted work
  virtual void copy(std::byte* to, const std::byte* from, std::size_t bytes);  ///< within its memory, after the submitted work
  /// Most memory that was in use at once since the last call with `begin_anew`; nothing where the device does not tell.
  virtual std::optional<std::int64_t> peak_memory(bool /*begin_anew*/) { return std::nullopt; }

 private:
  std::vector<Seconds> passed_;
};

/// What a parallel loop does, by reference: the callable outlives the call that it is given to, and nothing is allocated for it.
class LoopBody {
 public:
  template <class Callable>
  LoopBody(const Callable& body)  // implicit, as a lambda is given where it is written
      : object_(&body),
        call_([](const void* object, std::int64_t task, int thread) { (*static_cast<const Callable*>(object))(task, thread); }) {}
  void operator()(std::int64_t task, int thread) const { call_(object_, task, thread); }

 private:
  const void* object_;
  void (*call_)(const void*, std::int64_t, int);
};

/// A CPU and the threads that may be used on it.
class CpuContext : public ExecutionContext {
 public:
  /// `threads` 0 means all cores of this process. Threads are created once, spin briefly between loops (not where there are more
  /// of them than cores) and then sleep. Where they are as many as the cores, each but the caller's is bound to one of its own;
  /// fewer are left to the scheduler, as other processes may use the rest.
  explicit CpuContext(int threads = 0);
  ~CpuContext() override;
  std::string_view device() const override { return "cpu"; }
  DeviceDescription description() const override;

  int threads() const;
  /// Runs `body(task, thread)` for every task in [0, tasks), on all threads, the caller's included; tasks are handed out in order
  /// as threads become free. Costs microseconds. Not reentrant (Error{bug}), and one caller at a time. After an exception from a
  /// task no further tasks are begun; it is rethrown here when those under way have ended.
  void parallel(std::int64_t tasks, const LoopBody& body);
  /// Scratch memory of one thread (64-byte aligned), kept between calls; grows when asked for more than before.
  std::byte* scratch(int thread, std::size_t bytes);
  /// Scratch shared by all threads within one primitive.
  std::byte* shared_scratch(std::size_t bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// ---- Matrices

/// Rows of elements somewhere in the device's memory. `stride` is in elements.
struct Matrix {
  DType dtype = DType::f32;  ///< f32, bf16 or f16 for activations
  std::byte* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;

  std::byte* row(std::int64_t r) const { return data + r * stride * static_cast<std::int64_t>(size_of(dtype)); }
  Matrix slice(std::int64_t first, std::int64_t count) const { return {dtype, row(first), count, cols, stride}; }
};

// ---- Primitives on a CPU (one source in Highway for every level). Arithmetic is f32 whatever the storage.

enum class Activation { none, gelu, gelu_tanh, quick_gelu, relu, silu, tanh, sigmoid };

/// y = activation(x). `gelu` is the erf form (BERT), `gelu_tanh` the tanh form (GPT-2's gelu_new), `quick_gelu` x sigmoid(1.702
/// x). Error against double at most 2e-6 |y| + 1e-10, before y is rounded to its type. May run in place.
void activation(CpuContext&, Activation, const Matrix& x, const Matrix& y);

/// y = a + b, elementwise. May run in place.
void add(CpuContext&, const Matrix& a, const Matrix& b, const Matrix& y);

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta per row; gamma and beta hold x.cols floats. If `add` is given, x +
/// add takes x's place, and is also stored to `sum` where that is given (a pre-norm residual stream). May run in place.
struct LayerNorm {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float epsilon = 1e-5f;
};
void layer_norm(CpuContext&, const LayerNorm&, const Matrix& x, const Matrix& y, const Matrix* add = nullptr,
                const Matrix* sum = nullptr);

/// y = a + b, and of that with `norm` the layer norm, by the thread that calls it, which may be within a task. `scratch`: of one
/// row, y.cols floats and 64 bytes.
void add_rows(const LayerNorm* norm, const Matrix& a, const Matrix& b, const Matrix& y, std::byte* scratch);

/// Converts between f32, bf16 and f16, rounding to nearest even.
void convert(CpuContext&, const Matrix& x, const Matrix& y);

/// One sequence's part of an attention: `queries` rows against `keys` rows. Pointers are to head 0; head h lies head_dim * h
/// elements on.
struct AttentionSequence {
  const std::byte* q = nullptr;  ///< [queries, heads * head_dim], rows q_stride apart
  const std::byte* k = nullptr;  ///< [keys, heads * head_dim], rows k_stride apart
  const std::byte* v = nullptr;
  std::byte* out = nullptr;            ///< [queries, heads * head_dim], rows out_stride apart
  const std::uint8_t* mask = nullptr;  ///< [keys], 0 hides a key; null: all are seen
  std::int64_t queries = 0, keys = 0;
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0, out_stride = 0;  ///< in elements
};
struct AttentionShape {
  int heads = 1, head_dim = 64;
  bool causal = false;                              ///< query i sees keys 0 .. keys - queries + i
  float scale = 1;                                  ///< of q.k before the softmax
  DType dtype = DType::f32, kv_dtype = DType::f32;  ///< of q and out; of k and v
};
/// softmax(q k^T * scale + mask) v for every sequence and head, blockwise: the score matrix is never whole in memory. Softmax in
/// f32, shifted by the row's maximum. A query that sees no key at all gets the mean of v over the keys that causality allows
/// (what a softmax over equal, very negative scores gives in the reference implementation).
void attention(CpuContext&, const AttentionShape&, std::span<const AttentionSequence>);

/// What an evaluation keeps of one row of logits (f32, `n` of them); computed in f32 with double sums.
struct RowSummary {
  double log_sum_exp = 0;
  std::int32_t argmax = 0;  ///< the lowest index among equals; NaN never wins
  float max = 0;
  std::int64_t non_finite = 0;  ///< NaN or infinite logits
};
RowSummary summarise_row(const float* logits, std::int64_t n);
/// KL(p || q) in nats of softmax(p_logits) against softmax(q_logits), given both log-sum-exps.
double kl_divergence(const float* p_logits, const float* q_logits, std::int64_t n, double p_log_sum_exp, double q_log_sum_exp);

/// How a token is chosen from a row of logits.
struct Sampling {
  double temperature = 0;  ///< 0: the likeliest; else a draw from softmax(logits / temperature)
  std::uint64_t seed = 0;
  std::int32_t top_k = 0;  ///< above 0: a draw is among so many of the likeliest alone
  double top_p = 1;        ///< below 1: and among the fewest of them that have this part of their probability (nucleus sampling;
                           ///< Holtzman et al., 2020)

  bool leaves_out() const { return temperature > 0 && (top_k > 0 || top_p < 1); }  ///< tokens, of a draw
};
/// The token that a row of `n` finite logits gives for a place of a sequence: of the same logits the same on every device, but
/// for the last bit of a logarithm or exponential. `n` is at most 2^19 where tokens are left out.
std::int32_t choose_token(const float* logits, std::int64_t n, const Sampling&, std::int64_t sequence, std::int64_t position);

/// Largest |x| among finite elements, and how many are not finite.
struct RangeSummary {
  float max_abs = 0;
  std::int64_t non_finite = 0;
};
RangeSummary range_of(CpuContext&, const Matrix& x);

// ---- Products on a CPU: y = activation(x w^T + bias) + residual

/// What is done to a product's result before it is stored.
struct Epilogue {
  const float* bias = nullptr;             ///< [out_features] or null
  const std::byte* device_bias = nullptr;  ///< where a device has memory of its own, instead: there, of y's type
  Activation activation = Activation::none;
  const Matrix* residual = nullptr;  ///< added last; same shape as y
  /// The input's norm, its vectors in the device's memory, where the product said that it norms its input. (Before the product,
  /// though an epilogue else comes after.)
  const LayerNorm* input_norm = nullptr;
  /// Sums of the input's rows, in the device's memory, where the product said that it norms behind (kernel_cuda::RowMoments);
  /// `device_bias` is of f32 then.
  const float* input_moments = nullptr;
  float input_epsilon = 0;
  float* moments = nullptr;  ///< where such sums of y's rows are kept, too
};

/// Sums of an integer product: (sums[r, c] - surplus[c]) * row_scale[r] * col_scale[c] is the result. Columns may be read up to
/// the next multiple of 16.
struct IntegerSums {
  const std::int32_t* data = nullptr;     ///< [rows, cols]
  const std::int32_t* surplus = nullptr;  ///< [cols] or null
  const float* row_scale = nullptr;       ///< [rows]
  const float* col_scale = nullptr;       ///< [cols]
};
/// Part of a product's result before it is finished: f32, or integer sums.
struct Tile {
  const float* data = nullptr;  ///< [rows, cols], or null where there are sums
  IntegerSums sums;
  std::int64_t stride = 0, rows = 0, cols = 0;
};
/// y[row0 + r, col0 + c] = activation(tile[r, c] + bias[col0 + c]) + residual[row0 + r, col0 + c], stored as y's type, in one
/// pass. A tile of f32 may be y's own memory.
void finish_tile(const Tile&, const Epilogue&, const Matrix& y, std::int64_t row0, std::int64_t col0);

/// What ran, as the primitives themselves report it.
struct KernelReport {
  std::vector<std::string> kernels;  ///< e.g. "eaq avx512 vnni s8"; empty before the first run
  std::string storage;               ///< of the weights: "fp32", "bf16", "int8", ...
  std::string arithmetic;            ///< of the multiplications: "f32", "bf16", "s8", ...
  bool emulated = false;
};

/// How a packed weight [n, k] lies in memory: panels of `width` outputs, each [padded_k / group][width][group] elements, zeros
/// where n or k end. A kernel reads a panel front to back; `group` neighbours in k share one multiply-add instruction (1 in f32,
/// 2 in bf16, 4 in int8). Width 64 is also what oneDNN's AVX-512 kernels read (its BA16a64b, BA16a64b2a, BA16a64b4a).
struct PanelLayout {
  DType dtype = DType::f32;  ///< f32, bf16, f16 or i8
  std::int64_t n = 0, k = 0;
  int width = 64, group = 1;

  std::int64_t panels() const { return (n + width - 1) / width; }
  std::int64_t padded_k() const { return (k + 16 * group - 1) / (16 * group) * (16 * group); }
  std::int64_t panel_elements() const { return padded_k() * width; }
  std::size_t bytes() const { return static_cast<std::size_t>(panels() * panel_elements()) * size_of(dtype); }
  /// Of element (output, input), in elements.
  std::int64_t offset(std::int64_t output, std::int64_t input) const {
    return output / width * panel_elements() + input / group * width * group + output % width * group + input % group;
  }
};

/// In which type a product multiplies; sums are f32, and int32 for s8.
enum class Arithmetic { f32, bf16, s8 };
std::string_view name_of(Arithmetic arithmetic);  ///< "f32", "bf16", "s8"

/// Whether this machine multiplies so at a level. f32 and s8 always (s8 widens to 16 bits where VNNI is missing); bf16 with
/// AVX512-BF16 or AMX.
bool multiplies(Isa isa, Arithmetic arithmetic);

/// How a weight is kept and multiplied.
struct WeightPlan {
  DType storage = DType::f32;  ///< of the packed elements: f32, bf16, f16 or i8
  Arithmetic arithmetic = Arithmetic::f32;
  /// f32, bf16 or f16: what x is rounded to before it is multiplied. Where `storage` is f32, the weight too, anew in each product
  /// (autocast).
  DType operands = DType::f32;
};

/// A weight [n, k] in panels, and its product. The kernels are chosen by `isa` when it is made.
class PackedWeight {
 public:
  /// Error{unavailable} if the plan's arithmetic is not to be had at this level.
  PackedWeight(const WeightPlan& plan, std::int64_t n, std::int64_t k, Isa isa = cpu_isa());
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  /// Output rows [first, first + count), row-major [count, k], rounded to the storage type, to nearest even (i8: by
  /// quantise_row). Several threads may pack at once if `first` is a multiple of 64.
  void pack(std::int64_t first, std::int64_t count, const float* rows);
  /// One output row as f32 (i8: integers times their scale).
  void unpack(std::int64_t n, float* row) const;

  /// y = activation(x w^T + bias) + residual. s8: each row of x is first quantised by quantise_row.
  void multiply(CpuContext&, const Matrix& x, const Matrix& y, const Epilogue&) const;

  const PanelLayout& layout() const;
  std::size_t bytes() const;                 ///< panels and scales
  std::vector<std::string> kernels() const;  ///< names of those that have run, or have since
  void forget_kernels() const;               ///< this call; nothing may be running

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Symmetric integers from -127 to 127: q = round to nearest even of x * (127 / max|x|); returns what one step is worth, max|x| /
/// 127. A row of zeros, or one whose largest magnitude is below 1e-30, is all zeros with step 0. A row that holds a NaN or an
/// infinity has step NaN: whatever it is multiplied with becomes NaN, so that the fault is seen.
float quantise_row(const float* x, std::int64_t n, std::int8_t* q);

// ---- Devices, and known work on them

/// A fixed amount of work that can be repeated and counted: what sensors are calibrated with and the method is proven on. Its
/// operands are random, of unit scale and resident; its result is not used.
class Load {
 public:
  virtual ~Load() = default;
  virtual std::string device() const = 0;       ///< "cpu", or a card's UUID as its driver writes it: "GPU-..."
  virtual std::string description() const = 0;  ///< "bf16 product 4096 x 4096 x 4096 by cuBLASLt"
  virtual double operations() const = 0;        ///< of one unit: a few milliseconds at most
  virtual void run(std::int64_t units) = 0;     ///< returns when they are done. Error{unavailable} where the device fails
};

struct LoadOptions {
  int threads = 0;        ///< of a CPU; 0: every core
  std::int64_t rows = 0;  ///< of the product; 0: many, so that the device draws all it can. Few leave the clock alone.
};

/// A room of this floor: one kind of device that computes.
struct ComputeDevice {
  std::string_view summary;
  std::vector<std::string> (*found)();  ///< names of those that are here, by number; Error{unavailable} says why there is none
  std::unique_ptr<Load> (*open_load)(int number, const LoadOptions& options);
};
std::span<const RegistryRow<ComputeDevice>> compute_devices();

/// "cpu", "cuda" or "cuda:1", understood.
struct DeviceName {
  std::string kind;
  int number = 0;
};
/// Error{usage} where what stands after the colon is no number. Whether there is such a device is another question.
DeviceName parse_device_name(std::string_view text);

/// `device` is "cpu", "cuda" or "cuda:N". Error{usage} for a name that no build knows, Error{unavailable} with the reason for one
/// that is not to be had here.
std::unique_ptr<Load> open_load(const std::string& device, const LoadOptions& options = {});

}  // namespace eaq
