// Private to kernel: what a product is made of. A tile is some rows of x times some panels of a packed weight; the driver in
// gemm.cpp cuts products into tiles and finishes them, a TileKernel multiplies.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "eaq/kernel/kernel.h"

namespace eaq::gemm {

/// Panels [first, first + count) of a packed weight.
struct PanelSpan {
  const PanelLayout* layout = nullptr;
  const std::byte* data = nullptr;  ///< of the whole weight
  std::int64_t first = 0, count = 0;

  const std::byte* panel(std::int64_t i) const {
    return data + static_cast<std::size_t>((first + i) * layout->panel_elements()) * size_of(layout->dtype);
  }
  std::int64_t columns() const { return count * layout->width; }
};

/// Rows of x in the type that the kernel multiplies.
struct TileInput {
  const std::byte* data = nullptr;
  std::int64_t rows = 0, k = 0, stride = 0;  ///< stride in elements
};

/// Multiplies tiles. Stateless but for caches of its own; called by many threads at once.
class TileKernel {
 public:
  virtual ~TileKernel() = default;
  virtual std::string name() const = 0;  ///< as KernelReport shows it
  virtual DType input() const = 0;       ///< f32, bf16, i8, or u8: x + 128, whose surplus the driver takes off again
  virtual std::size_t scratch(const PanelLayout&, std::int64_t rows, std::int64_t panels) const = 0;  ///< bytes
  /// out [x.rows, panels.columns()], dense: f32, or int32 for s8.
  virtual void run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte* scratch, int thread) const = 0;
};

/// f32 arithmetic on panels of f32, bf16 or f16, in Highway (gemm_f32.cpp).
std::unique_ptr<TileKernel> highway_f32(DType storage, Isa isa);
/// Columns of a panel that highway_f32 wants at this level.
int highway_width(Isa isa);

}  // namespace eaq::gemm
