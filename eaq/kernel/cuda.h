// cuda: NVIDIA's cards, for what is built only where CUDA is: a second front door of this floor, without CUDA's own types. All
// operations only submit; matrices lie in the card's memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/kernel/kernel.h"

struct CUstream_st;  // cudaStream_t points to it

namespace eaq::kernel_cuda {

/// Names of the cards that this process sees. Error{unavailable} with the reason and advice where the driver is missing, too old
/// or shows none.
std::vector<std::string> list_devices();

/// Work that was recorded, to be submitted as one piece (a CUDA graph).
class CudaGraph {
 public:
  struct State;
  explicit CudaGraph(std::unique_ptr<State> state);
  ~CudaGraph();
  void submit();

 private:
  std::unique_ptr<State> state_;
};

/// A card as steps see it: a stream, its memory, and what they share.
class CudaContext final : public ExecutionContext {
 public:
  /// Error{unavailable} where there is no such card, or the driver is missing or too old.
  explicit CudaContext(int number = 0);
  ~CudaContext() override;

  std::string_view device() const override { return "cuda"; }
  DeviceDescription description() const override;
  void synchronise() override;
  void end_run() override;
  void finish_runs(int ahead) override;
  int most_ahead() const override { return 1; }
  void mark(std::size_t i) override;
  std::vector<Seconds> marks(std::size_t count) override;

  bool is_host() const override { return false; }
  DeviceMemory allocate(std::size_t bytes, std::string_view what) override;
  void upload(std::byte* to, std::span<const std::byte> from) override;
  void download(std::span<std::byte> to, const std::byte* from) override;
  void clear(std::byte* to, std::size_t bytes) override;
  void copy(std::byte* to, const std::byte* from, std::size_t bytes) override;
  std::optional<std::int64_t> peak_memory(bool begin_anew) override;

  CUstream_st* stream() const;  ///< whoever asks submits: the card becomes the thread's current one
  /// 90 is sm_90. What kernels and formats may count on: EAQ_CUDA_ARCHITECTURE lowers it, and so do kernels compiled for less.
  int architecture() const;
  int multiprocessors() const;
  std::size_t cache_bytes() const;  ///< of the card's last level

  /// Calls `submit` once to let it choose algorithms and take memory, then once more and keeps what it submits.
  std::unique_ptr<CudaGraph> record(const std::function<void()>& submit);

  /// Scratch memory for one step; its content is lost at the next step. It grows, and what it was before stays taken: recordings
  /// may still point there.
  std::byte* scratch(std::size_t bytes);

  /// A vector of the model in `dtype` in the card's memory, zeros up to a multiple of 64 after it: uploaded at its first use and
  /// kept as long as the host's own.
  const std::byte* resident(const std::shared_ptr<const std::vector<float>>& values, DType dtype);
  /// Likewise a table of rows, as it is.
  Matrix resident(const std::shared_ptr<const Tensor>& table);

  struct State;
  State& state() { return *state_; }

 private:
  std::byte* keep(const std::shared_ptr<const void>& owner, DType dtype, const Tensor& values);
  void make_current() const;
  std::unique_ptr<State> state_;
};

/// The context as a card's. Error{bug} for another device's.
CudaContext& cuda_context(ExecutionContext& context);

// ---- Products: y = activation(x w^T + bias) + residual

/// A norm's parameters in the card's memory: x.cols floats each.
struct NormVectors {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float epsilon = 1e-5f;
};

/// What is left of a norm behind a product of rows x as they are: with the mean m and the deviation d of a row, of (x - m) / d
/// w^T only w's sums are wanted besides x w^T. All in the card's memory.
struct NormBehind {
  const float* moments = nullptr;  ///< of x's rows: see row_moments()
  const float* w_sums = nullptr;   ///< [n] sums of w's rows
  float epsilon = 1e-5f;
};

/// One product's operands, all in the card's memory.
struct GemmCall {
  Matrix x;                                  ///< [m, k]
  Matrix w;                                  ///< [n, k], of x's type
  Matrix y;                                  ///< [m, n], f32 or x's type
  const std::byte* bias = nullptr;           ///< [n] of y's type, or null
  Activation activation = Activation::none;  ///< fused after the bias; see fuses()
  const Matrix* residual = nullptr;          ///< [m, n] of y's type, added last. May be y itself
  bool tf32 = false;                         ///< f32 operands are multiplied as tf32
  /// Nothing that was submitted before writes w or bias, as is so for a model's own: they may be read while kernels ahead still
  /// run.
  bool w_stays = false;
  const NormVectors* norm = nullptr;  ///< x is normed first; multiply_few_rows() alone does that
  /// The product is of x normed without gamma and beta, by the sums of its rows; `bias` is of f32. Where norms_behind() says so.
  const NormBehind* norm_behind = nullptr;
  float* moments = nullptr;  ///< sums of y's rows, as row_moments() keeps them; where fuses() says so
};

/// Sums are f32. The first call of a shape chooses its algorithm by measurement, which takes milliseconds and must not fall into
/// a recording; the choice is remembered per card. Candidates are cuBLASLt's algorithms and, on sm_90, kernels by CUTLASS with an
/// epilogue of our own and two of ours, for about a hundred rows and for many. Returns the name of the kernel that ran ("cublasLt
/// BF16 ...", "cutlass BF16 ...", "eaq BF16 ...", or "eaq plain product" where there is none). Error{unavailable} with the
/// library's reason.
const std::string& multiply(CudaContext& context, const GemmCall& call);
/// Whether multiply() can do all of a call's activation and residual; otherwise they want kernels of their own after it.
/// cuBLASLt's GELU is the tanh form and takes no residual; on sm_90 16-bit calls with rows of whole 16 bytes have both forms,
/// with a residual too.
bool fuses(const CudaContext& context, const GemmCall& call);

/// Whether this card has products with a norm behind them (sm_90, 16 bits), and whether one of these is. `keeps_moments` says of
/// rows alone whether their sums are worth keeping for that: many, of whole 16 bytes.
bool has_norms_behind(const CudaContext& context);
bool keeps_moments(const CudaContext& context, const Matrix& x);
bool norms_behind(const CudaContext& context, const GemmCall& call);

/// The same for at most so many rows, by a kernel of our own whose time is that of reading the weight; it fuses everything.
/// fits_few_rows() says whether it can; the weight must stay.
inline constexpr std::int64_t most_few_rows = 8;
bool fits_few_rows(const GemmCall& call);
const std::string& multiply_few_rows(CudaContext& context, const GemmCall& call);

/// In a recording: reads a weight, or as much of it as the cache should hold of one, towards the card's cache beside what is
/// submitted next. Outside of recordings it does nothing.
void fetch_ahead(CudaContext& context, const Matrix& stays);

// ---- Rows. Arithmetic is f32 whatever the storage; shapes, strides and types are free, and eight elements move at once where
// alignment allows.

void activation(CudaContext& context, Activation activation, const Matrix& x, const Matrix& y);  ///< may run in place
void add(CudaContext& context, const Matrix& a, const Matrix& b, const Matrix& y);               ///< may run in place
void convert(CudaContext& context, const Matrix& x, const Matrix& y);                            ///< to nearest even

/// As eaq::layer_norm. May run in place.
void layer_norm(CudaContext& context, const NormVectors& norm, const Matrix& x, const Matrix& y, const Matrix* add = nullptr,
                const Matrix* sum = nullptr);

/// Of each of x's rows the sum and the sum of squares, in parts of so many columns as a product's tile has: of part p of row r
/// sums[p * rows + r] and squares[p * rows + r], both `parts` x `rows`, one after the other, with x's rows counted up to a whole
/// 128. Sums of f32 show no less than elements of 16 bits do, whatever the mean.
struct RowMoments {
  static constexpr std::int64_t most_parts = 8;
  std::int64_t rows = 0, parts = 0, cols = 0;  ///< cols: of a part
  static RowMoments of(std::int64_t rows, std::int64_t cols);
  std::size_t bytes() const { return static_cast<std::size_t>(2 * rows * parts) * sizeof(float); }
};
void row_moments(CudaContext& context, const Matrix& x, float* moments);

/// y[r] = tokens[ids[r]] + positions[at[r]], normed where a norm is given. The numbers lie in the card's memory.
void embed(CudaContext& context, const Matrix& tokens, const Matrix& positions, const std::int32_t* ids, const std::int32_t* at,
           const Matrix& y, const NormVectors* norm = nullptr);

/// y[s] = the first or the last of x's rows row_begin[s] .. row_begin[s + 1] - 1.
void select_rows(CudaContext& context, const std::int32_t* row_begin, bool last, const Matrix& x, const Matrix& y);

/// Standard normal values with full mantissas, bf16 or f16, from a counter-based generator: the same for the same seed, on every
/// card.
void fill_normal(CudaContext& context, DType dtype, std::byte* data, std::int64_t count, std::uint64_t seed);

// ---- Attention: softmax(q k^T scale + mask) v for sequences of any lengths that lie one after the other

/// Keys and values of a layer, in the card's memory.
struct CachedRows {
  std::byte* keys = nullptr;    ///< [sequences, capacity, heads * head_dim]; null: keys and values are those in `qkv`
  std::byte* values = nullptr;  ///< likewise
  DType dtype = DType::f32;
  std::int64_t capacity = 0;
};

struct AttentionCall {
  int heads = 1, head_dim = 64;
  bool causal = false;            ///< query i of a sequence sees its keys 0 .. past + i
  bool first_query_only = false;  ///< `out` then has a row per sequence
  float scale = 1;                ///< of q.k before the softmax
  Matrix qkv;                     ///< [rows, 3 * heads * head_dim]
  Matrix out;                     ///< [rows or sequences, heads * head_dim], of qkv's type
  CachedRows cache;               ///< with it, new keys and values are appended at `past` first
  std::int64_t sequences = 0;
  std::int64_t longest = 0;  ///< rows of the longest sequence
  std::int64_t rows = 0;
  /// In the card's memory:
  const std::int32_t* row_begin = nullptr;    ///< [sequences + 1]
  const std::int32_t* past = nullptr;         ///< [sequences] rows already in the cache; null: none
  const std::int32_t* sequence_of = nullptr;  ///< [rows]
  const std::uint8_t* mask = nullptr;         ///< [rows], 0 hides a key; null: all up to `shown` are seen
  const std::int32_t* shown = nullptr;        ///< [sequences] rows up to the last that is seen, one at least; null: all
};

/// Submits it. Softmax in f32, shifted by the row's maximum; a query that sees no key gets the mean of v over the keys that
/// causality allows. 16-bit types with a head_dim that is a multiple of 8 up to 128 run on tensor cores, a single query a
/// sequence by a kernel of its own, the rest (up to 256) by a plain tiled kernel in f32. Returns the kernel's name.
/// Error{unavailable} for a wider head.
std::string_view attention(CudaContext& context, const AttentionCall& call);

/// The product that makes `attention.qkv`, which is not written, and the attention by one kernel, where there is one for that: a
/// decoding step in 16 bits on sm_90. Returns its name; nothing is submitted where that is empty. What is submitted just before
/// may write the product's x, but no row of the cache before `past`, and not the batch's numbers.
std::string_view multiply_and_attend(CudaContext& context, const GemmCall& product, const AttentionCall& attention);
/// Whether there is one for rows of so many elements of a type and such heads, on a card and for a batch that suit.
bool can_multiply_and_attend(std::int64_t k, int head_dim, DType dtype);

// ---- Logits

/// What one row of logits says; see RowSummary, and KL against the same row of other logits.
struct RowVerdict {
  double log_sum_exp, kl;  ///< kl: 0 without a reference
  float target_logit;
  std::int32_t argmax, reference_argmax;
  std::int32_t non_finite;
};

/// verdicts[r] of every row, nothing (zeros) where its target is negative; `targets` [rows], `verdicts` and `reference` in the
/// card's memory; reference null: none. Only submits.
void judge_rows(CudaContext& context, const Matrix& logits, const Matrix* reference, const std::int32_t* targets,
                RowVerdict* verdicts);

/// The chosen token of each row of logits becomes its sequence's next input: ids[s] = choose_token() for the place at[s] + 1;
/// at[s] and past[s] move on by one, non_finite[s] counts logits that are no numbers. `parts` is room of
/// feed_back_bytes(sequences), zeros before the first call.
std::size_t feed_back_bytes(std::int64_t sequences);
void feed_back(CudaContext& context, const Matrix& logits, const Sampling& how, std::int32_t* ids, std::int32_t* at,
               std::int32_t* past, std::int32_t* non_finite, std::byte* parts);

/// Of all elements: out[0] = bits of the largest finite |x| as f32, out[1] = how many are not finite. `out` is two zeros before.
void range_of_rows(CudaContext& context, const Matrix& x, unsigned* out);

}  // namespace eaq::kernel_cuda
