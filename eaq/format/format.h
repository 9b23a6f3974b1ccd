// format: how numbers are stored and multiplied. One folder per format; each brings its layout, its rounding (the plain
// definition that every fast kernel is tested against) and, per device, its products.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {

/// The weight of one linear map y = x w^T as a checkpoint stores it: fused neighbours (q, k, v) are several parts, stacked along
/// the outputs.
struct LinearWeight {
  std::vector<TensorView> parts;  ///< each [out_i, in], or [in, out_i] where `transposed` (GPT-2's Conv1D)
  bool transposed = false;
  std::int64_t out_features = 0, in_features = 0;
  /// [in_features] What each input's weights are multiplied by before they are rounded: the gamma of a norm that is folded into
  /// the weight. Null: nothing.
  const float* input_scale = nullptr;

  /// Output rows [first, first + count) as f32, row-major [count, in_features]. The one way in which formats read a checkpoint.
  void read_rows(std::int64_t first, std::int64_t count, float* out) const;
  /// Error{input} where the parts are not floating-point matrices that stack to [out_features, in_features].
  void check() const;
};

/// A packed weight that can multiply on one device. Made once, run many times; run() allocates nothing after its first call at a
/// size.
class Product {
 public:
  virtual ~Product() = default;
  /// y [m, out] = activation(x [m, in] w^T + bias) + residual. x and y may each be f32, bf16 or f16 (f32 for logits).
  virtual void run(ExecutionContext&, const Matrix& x, const Matrix& y, const Epilogue&) const = 0;
  /// Row n of the weight as f32: what an embedding that is tied to this product gathers.
  virtual void row(std::int64_t n, float* out) const = 0;
  /// The weight as plain rows [out, in] in the device's memory, where it lies so; otherwise without data.
  virtual Matrix rows() const { return {}; }
  /// Whether run() can norm this input by the way (Epilogue::input_norm), as a kernel that reads it whole does.
  virtual bool norms_input(const Matrix& /*x*/, const Matrix& /*y*/) const { return false; }
  /// Whether a norm's gamma is folded into the weight: what is left of the norm is the mean and the deviation of each row.
  virtual bool holds_norm() const { return false; }
  /// Whether run() can do what is left of the norm behind the product, by sums of the input's rows (Epilogue::input_moments).
  virtual bool norms_behind(const Matrix& /*x*/, const Matrix& /*y*/) const { return false; }
  virtual std::size_t bytes() const = 0;    ///< resident bytes of the packed weight
  virtual KernelReport report() const = 0;  ///< from what has run so far, or since
  virtual void begin_report() const {}      ///< this call; nothing may be running
};

enum class SupportLevel {
  native,    ///< stored and multiplied as the format says
  widened,   ///< stored as the format says, multiplied in a wider type after widening in registers
  emulated,  ///< right values, but not the format's bytes or arithmetic
  refused,   ///< cannot run here
};
struct Support {
  SupportLevel level = SupportLevel::refused;
  std::string reason;  ///< why not native
};

/// What a format does on one device.
class ProductMaker {
 public:
  virtual ~ProductMaker() = default;
  virtual Support support(const ExecutionContext&) const = 0;
  /// Packs a weight. Reads it once, front to back, in blocks, so that mapped pages can be released behind it.
  virtual std::unique_ptr<Product> make(ExecutionContext&, const LinearWeight&) const = 0;
  /// Whether products here gain by a norm that is folded into their weight (Product::holds_norm).
  virtual bool folds_norms(const ExecutionContext&) const { return false; }
};

struct FormatTraits {
  std::string_view name;           ///< as people write it: "fp16", "int8"
  std::string_view summary;        ///< one line for `--help` and the docs
  std::string_view storage;        ///< of weights: "fp32", "bf16", "fp16", "int8"
  double bits_per_weight = 32;     ///< scales included, for a typical shape
  DType activations = DType::f32;  ///< storage of activations where the whole model runs in this format
  bool everything = false;         ///< true: embeddings, head and vectors too (16- and 32-bit formats); false: the blocks' linear
                                   ///< layers, the rest in the base format
};

class Format {
 public:
  virtual ~Format() = default;
  virtual const FormatTraits& traits() const = 0;
  /// Bytes of a [out, in] weight in this format, as a file would hold it.
  virtual std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const = 0;
  /// The plain definition: replaces a row-major [out, in] weight by the values that the format represents.
  virtual void round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const = 0;
  /// The plain definition for one row of a product's input (identity for weight-only formats).
  virtual void round_input(float* row, std::int64_t n) const = 0;
  /// What this format does on `device` ("cpu", "cuda"); null: nothing.
  const ProductMaker* on(std::string_view device) const;
};

std::span<const RegistryRow<Format>> formats();

/// The products that formats bring, each from its file NAME_DEVICE.cpp.
struct ProductsRow {
  std::string_view format, device;
  const ProductMaker& (*products)();
};
std::span<const ProductsRow> format_products();

/// Error{usage} that lists the formats there are.
const Format& format_named(std::string_view name);

/// The element type of what has no product of its own (embeddings' tables, vectors) in a format that covers everything; f32 for
/// the others. Error{usage} as format_named.
DType storage_of(std::string_view format);

/// Floating-point elements in another storage: f32, bf16 or f16. Works in blocks: a large table is never held in f32 as well.
Tensor stored_as(DType dtype, const TensorView& from);

}  // namespace eaq
