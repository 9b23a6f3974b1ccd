// The driver of every product on a CPU: chooses kernels, brings the input into their type once, cuts the product into tiles that
// threads take in turn, and finishes each tile while it lies in the thread's L2.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/gemm_tile.h"

namespace eaq {
namespace {

using gemm::InputKernels;
using gemm::PanelSpan;
using gemm::TileInput;
using gemm::TileKernel;
using gemm::TileNeeds;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::size_t align_64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// VNNI counts below its level only where nothing lowers the level: EAQ_CPU_ISA=avx512 means a processor without it.
bool has_vnni(Isa isa) {
  return isa >= Isa::avx512_vnni_bf16 || (isa == Isa::avx512 && cpu_info().isa == isa && cpu_info().has("avx512_vnni"));
}

const TileKernel* kernel_for(const WeightPlan& plan, Isa isa) {
  // A weight that is cast in each product is multiplied as the type that it is cast to.
  const DType multiplied = plan.storage == DType::f32 ? plan.operands : plan.storage;
  switch (plan.arithmetic) {
    case Arithmetic::f32:
      return gemm::highway_f32(multiplied, isa);
    case Arithmetic::bf16:
      break;
    case Arithmetic::s8:
      if (!has_vnni(isa)) return gemm::highway_s8(isa);
      break;
  }
  if (const TileKernel* tiles = isa == Isa::amx ? gemm::onednn(plan.arithmetic) : nullptr) return tiles;
  return plan.arithmetic == Arithmetic::s8 || isa >= Isa::avx512_vnni_bf16 ? gemm::dot(plan.arithmetic) : nullptr;
}

/// What multiplies a row alone, on the same panels: its weights come from memory, and these two ask for them ahead.
const TileKernel* row_kernel_for(const WeightPlan& plan, Isa isa, const TileKernel* kernel) {
  if (plan.arithmetic == Arithmetic::bf16) return gemm::highway_f32(DType::bf16, isa);
  return plan.arithmetic == Arithmetic::s8 && has_vnni(isa) ? gemm::dot(Arithmetic::s8) : kernel;
}

}  // namespace

std::string_view name_of(Arithmetic arithmetic) {
  constexpr std::array<std::string_view, 3> names{"f32", "bf16", "s8"};
  return names[static_cast<std::size_t>(arithmetic)];
}

bool multiplies(Isa isa, Arithmetic arithmetic) {
  return kernel_for({.storage = arithmetic == Arithmetic::s8 ? DType::i8 : DType::bf16,
                     .arithmetic = arithmetic,
                     .operands = DType::bf16},
                    isa) != nullptr;
}

struct PackedWeight::State {
  WeightPlan plan;
  const TileKernel* kernel = nullptr;
  const TileKernel* row_kernel = nullptr;
  const InputKernels* input = nullptr;
  PanelLayout layout;      // of what is stored
  PanelLayout multiplied;  // of what the kernel reads; another one where the weight is cast in each product
  Buffer data;
  std::vector<float> steps;           // i8: per output, and zeros up to whole panels
  std::vector<std::int32_t> surplus;  // of 128 added to the input: 128 times the sum of an output's weights
  mutable std::array<std::atomic<const std::string*>, 4> ran{};  // names

  bool casts() const { return layout.dtype != multiplied.dtype; }
  void note(const std::string& name) const;
  const TileKernel& kernel_of(std::int64_t rows) const { return rows == 1 ? *row_kernel : *kernel; }
  float* prepare(CpuContext& context, const TileNeeds& needs, const Matrix& x, TileInput& input) const;
  PanelSpan cast(const PanelSpan& panels, std::byte* to) const;
  void finish(const std::byte* tile, std::int64_t rows, std::int64_t columns, const float* row_steps, const Epilogue& epilogue,
              const Matrix& y, std::int64_t row, std::int64_t column) const;
  void prepare_rows(const TileNeeds& needs, const Matrix& x, std::int64_t first, std::int64_t end, const TileInput& input,
                    float* row_steps) const;
};

// Few names ever appear: a kernel is chosen once, its shapes may differ in the implementation.
void PackedWeight::State::note(const std::string& name) const {
  for (auto& slot : ran) {
    const std::string* seen = slot.load(std::memory_order_acquire);
    if (seen == nullptr && slot.compare_exchange_strong(seen, &name)) return;
    if (*seen == name) return;
  }
}

PackedWeight::PackedWeight(const WeightPlan& plan, std::int64_t n, std::int64_t k, Isa isa) : state_(std::make_unique<State>()) {
  if (n <= 0 || k <= 0) throw Error(ErrorKind::input, "a weight of shape " + to_string(Shape{n, k}) + " cannot be packed");
  // Sums of k products of 255 and 127 must fit 32 bits.
  if (plan.arithmetic == Arithmetic::s8 && k > 66000)
    throw Error(ErrorKind::unavailable,
                "int8 products of " + std::to_string(k) + " inputs may overflow 32-bit sums (limit 66000)");
  State& s = *state_;
  s.plan = plan;
  s.kernel = kernel_for(plan, isa);
  if (s.kernel == nullptr)
    throw Error(ErrorKind::unavailable, "this processor does not multiply " + std::string(name_of(plan.arithmetic)) +
                                            " at level " + std::string(name_of(isa)));
  s.row_kernel = row_kernel_for(plan, isa, s.kernel);
  s.input = &gemm::input_kernels(isa);
  const TileNeeds needs = s.kernel->needs();
  s.multiplied = {.dtype = plan.storage, .n = n, .k = k, .width = needs.width, .group = needs.group};
  s.layout = s.multiplied;
  if (plan.storage == DType::f32 && plan.operands != DType::f32) {
    s.multiplied.dtype = plan.operands;
    s.layout.group = 1;
  }
  s.data = Buffer(s.layout.bytes());
  if (plan.storage != DType::i8) return;
  const auto columns = static_cast<std::size_t>(s.layout.panels() * s.layout.width);
  s.steps.resize(columns);
  if (needs.input == DType::u8) s.surplus.resize(columns);
}
PackedWeight::~PackedWeight() = default;

// ---- Packing

namespace {

// Blocks of 16 inputs: their lines stay in L1 while a panel's outputs are gathered. Zeros fill what n and k leave of a panel.
template <class To, class From>
void pack_rows(const PanelLayout& layout, To* data, std::int64_t first, std::int64_t count, const From* rows) {
  const int width = layout.width, group = layout.group;
  for (std::int64_t begin = first; begin < first + count;) {
    const std::int64_t panel = begin / width;
    const std::int64_t end = std::min((panel + 1) * width, first + count);
    To* out = data + panel * layout.panel_elements();
    for (std::int64_t k = 0; k < layout.padded_k(); k += 16) {
      const std::int64_t whole = std::clamp<std::int64_t>(layout.k - k, 0, 16);
      for (std::int64_t n = begin; n < end; ++n) {
        const From* row = rows + (n - first) * layout.k + k;
        To* to = out + k * width + n % width * group;
        for (std::int64_t i = 0; i < 16; ++i)
          to[i / group * width * group + i % group] = i < whole ? static_cast<To>(row[i]) : To{};
      }
      for (std::int64_t n = end; end == layout.n && n < (panel + 1) * width; ++n)
        for (std::int64_t i = 0; i < 16; ++i) out[k * width + n % width * group + i / group * width * group + i % group] = To{};
    }
    begin = end;
  }
}

template <class T>
void unpack_row(const PanelLayout& layout, const T* data, std::int64_t n, float step, float* row) {
  const std::int64_t stride = std::int64_t{layout.width} * layout.group;
  constexpr std::int64_t ahead = 16;  // each group lies on a line of its own
  const T* from = data + layout.offset(n, 0);
  for (std::int64_t k = 0; k < layout.k; k += layout.group, from += stride) {
    __builtin_prefetch(from + ahead * stride);
    const std::int64_t count = std::min<std::int64_t>(layout.group, layout.k - k);
    for (std::int64_t i = 0; i < count; ++i) row[k + i] = static_cast<float>(from[i]) * step;
  }
}

}  // namespace

float quantise_row(const float* x, std::int64_t n, std::int8_t* q) {
  float largest = 0;
  bool finite = true;
  for (std::int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    largest = std::max(largest, std::fabs(x[i]));
  }
  const bool zero = !finite || largest < gemm::smallest_quantised;
  const float inverse = zero ? 0 : 127.0f / largest;
  for (std::int64_t i = 0; i < n; ++i) q[i] = zero ? std::int8_t{0} : static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
  return !finite ? std::numeric_limits<float>::quiet_NaN() : zero ? 0 : largest / 127.0f;
}

void PackedWeight::pack(std::int64_t first, std::int64_t count, const float* rows) {
  State& s = *state_;
  switch (s.layout.dtype) {
    case DType::f32:
      return pack_rows(s.layout, s.data.as<float>(), first, count, rows);
    case DType::bf16:
      return pack_rows(s.layout, s.data.as<bf16>(), first, count, rows);
    case DType::f16:
      return pack_rows(s.layout, s.data.as<f16>(), first, count, rows);
    default:
      break;
  }
  const auto k = static_cast<std::size_t>(s.layout.k);
  std::vector<std::int8_t> quantised(static_cast<std::size_t>(count) * k);
  for (std::int64_t r = 0; r < count; ++r) {
    std::int8_t* row = quantised.data() + static_cast<std::size_t>(r) * k;
    const auto n = static_cast<std::size_t>(first + r);
    s.steps[n] = quantise_row(rows + r * s.layout.k, s.layout.k, row);
    if (s.surplus.empty()) continue;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < k; ++i) sum += row[i];
    s.surplus[n] = 128 * sum;
  }
  pack_rows(s.layout, s.data.as<std::int8_t>(), first, count, quantised.data());
}

void PackedWeight::unpack(std::int64_t n, float* row) const {
  const State& s = *state_;
  switch (s.layout.dtype) {
    case DType::f32:
      return unpack_row(s.layout, s.data.as<float>(), n, 1, row);
    case DType::bf16:
      return unpack_row(s.layout, s.data.as<bf16>(), n, 1, row);
    case DType::f16:
      return unpack_row(s.layout, s.data.as<f16>(), n, 1, row);
    default:
      return unpack_row(s.layout, s.data.as<std::int8_t>(), n, s.steps[static_cast<std::size_t>(n)], row);
  }
}

// ---- Multiplying

namespace {

/// Rows and panels of one tile.
struct Tiling {
  std::int64_t rows = 0, panels = 0, row_blocks = 0, slices = 0;
};

// A tile of results, the rows it reads and a panel stay in L2; several tiles per thread even out their speeds. Where the weight
// is cast in each product, a task takes all rows, so that each panel is cast once.
Tiling tiling_of(std::int64_t m, const PanelLayout& layout, int threads, bool all_rows) {
  constexpr std::int64_t row_limit = 128, column_limit = 256;
  Tiling t{
      .rows = std::min(m, row_limit), .panels = column_limit / layout.width, .row_blocks = ceil_div(m, row_limit), .slices = 0};
  const std::int64_t wanted = threads == 1 ? 1 : 4 * threads, blocks = all_rows ? 1 : t.row_blocks;
  while (t.panels > 1 && blocks * ceil_div(layout.panels(), t.panels) < wanted) t.panels = ceil_div(t.panels, 2);
  // Of as many slices as that or a few more, those that leave the fewest panels to the thread with most: 9 tasks are 5 for one of
  // two threads and 4 for the other, 12 smaller ones 6 each. A hundredth is not worth it: a head's thousands of narrow panels
  // would be a task each.
  const auto longest = [&](std::int64_t panels) {
    return ceil_div(blocks * ceil_div(layout.panels(), panels), threads) * panels;
  };
  for (std::int64_t fewer = threads > 1 ? t.panels - 1 : 0; fewer > 0; --fewer)
    if (longest(fewer) * 100 < longest(t.panels) * 99) t.panels = fewer;
  t.slices = ceil_div(layout.panels(), t.panels);
  return t;
}

// Under a panel's `width` columns.
std::array<gemm::Touched, 2> touched_by_finish(const Matrix& y, const Matrix* residual, std::int64_t row, std::int64_t column,
                                               std::int64_t width) {
  const auto part = [&](const Matrix& m) {
    const auto element = static_cast<std::int64_t>(size_of(m.dtype));
    return gemm::Touched{m.row(row) + column * element, m.stride * element, width * element};
  };
  return {part(y), residual != nullptr ? part(*residual) : gemm::Touched{}};
}

void check(const PanelLayout& layout, const Matrix& x, const Matrix& y, const Epilogue& e) {
  const bool fits = x.cols == layout.k && y.cols == layout.n && x.rows == y.rows &&
                    (e.residual == nullptr || (e.residual->rows == y.rows && e.residual->cols == y.cols));
  if (!fits)
    throw Error(ErrorKind::bug, "product of " + to_string(Shape{x.rows, x.cols}) + " with a weight " +
                                    to_string(Shape{layout.n, layout.k}) + " into " + to_string(Shape{y.rows, y.cols}));
}

}  // namespace

void PackedWeight::State::prepare_rows(const TileNeeds& needs, const Matrix& x, std::int64_t first, std::int64_t end,
                                       const TileInput& to, float* row_steps) const {
  for (std::int64_t r = first; r < end; ++r) {
    const std::size_t size = size_of(needs.input);
    auto* out = const_cast<std::byte*>(to.data) + static_cast<std::size_t>(r * to.stride) * size;
    switch (needs.input) {
      case DType::f32:
        input->to_f32(x.row(r), x.dtype, x.cols, plan.operands, reinterpret_cast<float*>(out));
        break;
      case DType::bf16:
        input->to_bf16(x.row(r), x.dtype, x.cols, reinterpret_cast<std::uint16_t*>(out));
        break;
      case DType::i16:
        row_steps[r] = input->to_i16(x.row(r), x.dtype, x.cols, reinterpret_cast<std::int16_t*>(out));
        break;
      default:
        row_steps[r] = input->to_u8(x.row(r), x.dtype, x.cols, reinterpret_cast<std::uint8_t*>(out));
        break;
    }
    // Zero times what earlier products left here could be NaN.
    if (to.k > x.cols)
      std::memset(out + static_cast<std::size_t>(x.cols) * size, 0, static_cast<std::size_t>(to.k - x.cols) * size);
  }
}

/// Rows of x as the kernel wants them: as they are where they fit, in shared scratch otherwise. Returns their steps (s8), or
/// null.
float* PackedWeight::State::prepare(CpuContext& context, const TileNeeds& needs, const Matrix& x, TileInput& to) const {
  to = {.data = x.data, .rows = x.rows, .k = needs.padded ? multiplied.padded_k() : x.cols, .stride = x.stride};
  const bool rounded = plan.operands == DType::f32 || plan.operands == x.dtype;
  constexpr std::size_t word = 4;  // kernels of 16 bits read pairs
  const bool in_words = static_cast<std::size_t>(x.stride) * size_of(x.dtype) % word == 0;
  if (x.dtype == needs.input && rounded && to.k == x.cols && in_words && (!needs.dense || x.stride == x.cols)) return nullptr;
  to.stride = to.k;
  const std::size_t bytes = align_64(static_cast<std::size_t>(x.rows * to.stride) * size_of(needs.input));
  std::byte* scratch = context.shared_scratch(bytes + static_cast<std::size_t>(x.rows) * sizeof(float));
  to.data = scratch;
  auto* row_steps = reinterpret_cast<float*>(scratch + bytes);
  // A task of some 32k elements costs a few microseconds, as much as handing it out.
  const std::int64_t rows = std::max<std::int64_t>(1, 32768 / to.k), tasks = ceil_div(x.rows, rows);
  if (tasks == 1)
    prepare_rows(needs, x, 0, x.rows, to, row_steps);
  else
    context.parallel(
        tasks, [&](std::int64_t t, int) { prepare_rows(needs, x, t * rows, std::min((t + 1) * rows, x.rows), to, row_steps); });
  return plan.arithmetic == Arithmetic::s8 ? row_steps : nullptr;
}

PanelSpan PackedWeight::State::cast(const PanelSpan& panels, std::byte* to) const {
  const PanelSpan out{&multiplied, to, panels.count};
  const std::size_t written = static_cast<std::size_t>(layout.panel_elements()) * size_of(multiplied.dtype);
  for (std::int64_t p = 0; p < panels.count; ++p, to += out.panel_bytes()) {
    input->cast_panel(reinterpret_cast<const float*>(panels.panel(p)), layout.padded_k(), layout.width, multiplied.group,
                      multiplied.dtype, reinterpret_cast<std::uint16_t*>(to));
    std::memset(to + written, 0, out.panel_bytes() - written);
  }
  return out;
}

void PackedWeight::State::finish(const std::byte* tile, std::int64_t rows, std::int64_t columns, const float* row_steps,
                                 const Epilogue& epilogue, const Matrix& y, std::int64_t row, std::int64_t column) const {
  Tile part{.stride = columns, .rows = rows, .cols = std::min(columns, y.cols - column)};
  if (plan.arithmetic == Arithmetic::s8)
    part.sums = {.data = reinterpret_cast<const std::int32_t*>(tile),
                 .surplus = surplus.empty() ? nullptr : surplus.data() + column,
                 .row_scale = row_steps,
                 .col_scale = steps.data() + column};
  else
    part.data = reinterpret_cast<const float*>(tile);
  finish_tile(part, epilogue, y, row, column);
}

void PackedWeight::multiply(CpuContext& context, const Matrix& x, const Matrix& y, const Epilogue& epilogue) const {
  const State& s = *state_;
  check(s.layout, x, y, epilogue);
  if (x.rows == 0) return;
  const TileKernel& kernel = s.kernel_of(x.rows);
  const TileNeeds needs = kernel.needs();
  TileInput input;
  const float* row_steps = s.prepare(context, needs, x, input);
  const Tiling tiling = tiling_of(x.rows, s.layout, context.threads(), s.casts());
  const std::int64_t columns = tiling.panels * s.layout.width, blocks_per_task = s.casts() ? tiling.row_blocks : 1;
  const std::size_t tile_bytes = align_64(static_cast<std::size_t>(tiling.rows * columns) * sizeof(float));
  const std::size_t kernel_bytes = align_64(kernel.scratch_bytes(s.multiplied));
  const std::size_t cast_bytes = s.casts() ? static_cast<std::size_t>(tiling.panels * s.multiplied.panel_elements()) * 2 : 0;
  const std::int64_t block_tasks = tiling.row_blocks / blocks_per_task;

  context.parallel(block_tasks * tiling.slices, [&](std::int64_t task, int thread) {
    const std::int64_t first = task / block_tasks * tiling.panels, column = first * s.layout.width;
    std::byte* tile = context.scratch(thread, tile_bytes + kernel_bytes + cast_bytes);
    PanelSpan panels{&s.layout, nullptr, std::min(tiling.panels, s.layout.panels() - first)};
    panels.data = s.data.data() + static_cast<std::size_t>(first) * panels.panel_bytes();
    // Threads take tasks in turn: where each is as fast as the others, the one after next is this one's.
    if (const std::int64_t next = (task + context.threads()) / block_tasks * tiling.panels;
        next > first && next < s.layout.panels())
      panels.next = s.data.data() + static_cast<std::size_t>(next) * panels.panel_bytes();
    if (s.casts()) panels = s.cast(panels, tile + tile_bytes + kernel_bytes);
    for (std::int64_t block = 0; block < blocks_per_task; ++block) {
      const std::int64_t row = (task % block_tasks + block) * tiling.rows;
      TileInput rows = input;
      rows.data += static_cast<std::size_t>(row * input.stride) * size_of(needs.input);
      rows.rows = std::min(tiling.rows, x.rows - row);
      // A thread alone wrote it all itself, and one row is too short a time to have it asked for.
      if (context.threads() > 1 && x.rows > 1)
        panels.touched = touched_by_finish(y, epilogue.residual, row, column, s.layout.width);
      s.note(kernel.run(rows, panels, tile, tile + tile_bytes));
      s.finish(tile, rows.rows, panels.columns(), row_steps + (row_steps != nullptr ? row : 0), epilogue, y, row, column);
    }
  });
}

const PanelLayout& PackedWeight::layout() const { return state_->layout; }

std::size_t PackedWeight::bytes() const {
  return state_->data.size() + state_->steps.size() * sizeof(float) + state_->surplus.size() * sizeof(std::int32_t);
}

void PackedWeight::forget_kernels() const {
  for (auto& slot : state_->ran) slot.store(nullptr, std::memory_order_release);
}

std::vector<std::string> PackedWeight::kernels() const {
  std::vector<std::string> names;
  for (const auto& slot : state_->ran)
    if (const std::string* name = slot.load(std::memory_order_acquire)) names.push_back(*name);
  return names;
}

}  // namespace eaq
