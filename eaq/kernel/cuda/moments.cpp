// How the sums of rows lie that are kept for norms behind products: whoever keeps them and whoever reads them ask here.
#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {
namespace {

std::int64_t parts_of(std::int64_t elements, std::int64_t part) { return (elements + part - 1) / part; }

}  // namespace

RowMoments RowMoments::of(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t tile_rows = 128, narrow = 192, wide = 256;
  const std::int64_t tile_cols = parts_of(cols, narrow) * narrow <= parts_of(cols, wide) * wide ? narrow : wide;
  return {parts_of(rows, tile_rows) * tile_rows, parts_of(cols, tile_cols), tile_cols};
}

}  // namespace eaq::kernel_cuda
