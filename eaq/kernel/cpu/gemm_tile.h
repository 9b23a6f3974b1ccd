// Private to kernel: what a product is made of. A tile is some rows of x times some panels of a packed weight; the driver in
// gemm.cpp cuts products into tiles and finishes them, a TileKernel multiplies.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "eaq/kernel/kernel.h"

namespace eaq::gemm {

/// Rows that finishing a tile reads or writes, a panel's columns of each.
struct Touched {
  const std::byte* data = nullptr;     ///< of the tile's first row, under the panel's first column; null: nothing
  std::int64_t stride = 0, bytes = 0;  ///< from row to row; of a row
};

/// Panels next to each other in a packed weight.
struct PanelSpan {
  const PanelLayout* layout = nullptr;
  const std::byte* data = nullptr;  ///< of the first
  std::int64_t count = 0;
  const std::byte* next = nullptr;   ///< a panel that this thread probably multiplies after these; null: not known
  std::array<Touched, 2> touched{};  ///< results and residual, under the first panel

  std::size_t panel_bytes() const { return static_cast<std::size_t>(layout->panel_elements()) * size_of(layout->dtype); }
  const std::byte* panel(std::int64_t i) const { return data + static_cast<std::size_t>(i) * panel_bytes(); }
  std::int64_t columns() const { return count * layout->width; }
};

/// Some steps of k of one panel, and where in memory those lie that are multiplied next.
struct PanelPart {
  std::int64_t panel = 0, first = 0, count = 0;
  const std::byte *data = nullptr, *next = nullptr;
  std::array<Touched, 2> touched{};  ///< where these steps are the panel's last
};

/// Steps of k for which 128 rows of x and two parts of panels lie in L2 together.
inline constexpr std::int64_t part_in_l2 = 768;

/// Cuts panels of `steps` steps of `step_bytes` each into parts, in the order in which they are to be multiplied.
template <class Work>
void for_each_part(const PanelSpan& panels, std::int64_t steps, std::size_t step_bytes, std::int64_t part, Work work) {
  for (std::int64_t first = 0; first < steps; first += part)
    for (std::int64_t p = 0; p < panels.count; ++p) {
      const auto at = [&](std::int64_t panel, std::int64_t step) {
        return panels.panel(panel) + static_cast<std::size_t>(step) * step_bytes;
      };
      PanelPart now{.panel = p,
                    .first = first,
                    .count = std::min(part, steps - first),
                    .data = at(p, first),
                    .next = p + 1 < panels.count   ? at(p + 1, first)
                            : first + part < steps ? at(0, first + part)
                                                   : panels.next};
      for (std::size_t i = 0; first + part >= steps && i < now.touched.size(); ++i)
        if (const Touched& t = panels.touched[i]; t.data != nullptr) now.touched[i] = {t.data + p * t.bytes, t.stride, t.bytes};
      work(now);
    }
}

/// What a kernel asks for while it multiplies some rows by a panel, a line each time: these rows' share of the panel that comes
/// next, and what finishing them touches, which another thread may have written.
///
/// For the latter: two threads of a shared EPYC (family 26, model 2) run GPT-2's prefill of 128 in int8 in 15.3 ms or, for
/// minutes on end, in 20.0; DistilBERT's profile shows products as quick in both and finishing more than twice as slow (cores
/// that share no cache then, it seems). With it 15.4 and 18.4: medians of each speed, old and new program in turns. All lines of
/// a group of rows at once gained nothing.
class LinesAhead {
 public:
  LinesAhead(const std::byte* next, std::int64_t lines, const std::array<Touched, 2>& touched, std::int64_t first,
             std::int64_t rows)
      : next_(next), lines_(lines), first_(first), rows_(rows), then_(touched[1]) {
    begin(touched[0]);
  }

  void ask() {
    if (lines_ > 0) {
      __builtin_prefetch(next_, 0, 2);
      next_ += 64;
      --lines_;
    }
    if (rows_left_ == 0) return;
    __builtin_prefetch(at_, 0, 2);
    at_ += 64;
    if (at_ < row_end_) return;
    row_end_ += stride_;
    at_ = row_end_ - bytes_;
    if (--rows_left_ == 0) begin(std::exchange(then_, {}));
  }

 private:
  void begin(const Touched& rows) {
    rows_left_ = rows.data == nullptr ? 0 : rows_;
    stride_ = rows.stride, bytes_ = rows.bytes;
    at_ = rows.data + first_ * stride_;
    row_end_ = at_ + bytes_;
  }

  const std::byte* next_;
  std::int64_t lines_, first_, rows_;
  Touched then_;
  const std::byte *at_ = nullptr, *row_end_ = nullptr;
  std::int64_t rows_left_ = 0, stride_ = 0, bytes_ = 0;
};

/// Rows of x in the type that the kernel multiplies.
struct TileInput {
  const std::byte* data = nullptr;
  std::int64_t rows = 0, k = 0, stride = 0;  ///< stride in elements
};

/// What a kernel multiplies: panels of this width and group, and rows of this type.
struct TileNeeds {
  int width = 64, group = 1;
  DType input = DType::f32;  ///< f32, bf16, i16 (quantised), or u8: quantised + 128, whose surplus the driver takes off again
  bool dense = false;        ///< rows must follow each other without a gap
  bool padded = false;       ///< rows must be filled up to PanelLayout::padded_k
};

/// Multiplies tiles. Called by many threads at once.
class TileKernel {
 public:
  virtual ~TileKernel() = default;
  virtual TileNeeds needs() const = 0;
  virtual std::size_t scratch_bytes(const PanelLayout&) const { return 0; }
  /// out [x.rows, panels.columns()], dense: f32, or int32 for s8. Returns the name of what ran, which lives as long as the
  /// program.
  virtual const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte* scratch) const = 0;
};

/// f32 arithmetic on panels of f32, bf16 or f16, for AVX2 or AVX-512 (gemm_f32.cpp). Those of bf16 are the dot kernels', too.
const TileKernel* highway_f32(DType storage, Isa isa);
/// int8 by widening to 16 bits, exact without VNNI, for AVX2 or AVX-512 (dot_s8.cpp).
const TileKernel* highway_s8(Isa isa);
/// bf16 and int8 by AVX-512's dot instructions, weights fetched ahead (gemm_dot.cpp); null for f32.
const TileKernel* dot(Arithmetic arithmetic);
/// oneDNN's kernels in bf16 and int8, by AMX (onednn.cpp); null where it has none for our panels.
const TileKernel* onednn(Arithmetic arithmetic);

/// Rows whose largest magnitude is smaller count as zero: 127 / x must stay finite.
inline constexpr float smallest_quantised = 1e-30f;

/// Passes over rows and panels around the multiplication (gemm_input.cpp). x is f32, bf16 or f16 throughout.
struct InputKernels {
  /// out [n] in f32, rounded through `operands`.
  void (*to_f32)(const void* x, DType dtype, std::int64_t n, DType operands, float* out);
  void (*to_bf16)(const void* x, DType dtype, std::int64_t n, std::uint16_t* out);
  /// Returns the step; `out` is i16, or u8 with 128 added.
  float (*to_i16)(const void* x, DType dtype, std::int64_t n, std::int16_t* out);
  float (*to_u8)(const void* x, DType dtype, std::int64_t n, std::uint8_t* out);
  /// A f32 panel [k][width] (k even) in 16 bits, as [k / group][width][group].
  void (*cast_panel)(const float* panel, std::int64_t k, int width, int group, DType to, std::uint16_t* out);
};
const InputKernels& input_kernels(Isa isa);

}  // namespace eaq::gemm
