// Tiles multiplied by oneDNN, one thread each: its brgemm kernels know AMX. Whole products through gemm.cpp, with conversions and
// epilogue, lose 2-7 % of a kernel's rate in bf16 and 11-20 % in int8, whose input is quantised there too. oneDNN's own
// post-operations are not used: version 2.6 writes only dense results and knows no scale per row, so a tile would be passed over
// again anyway.
//
// The weight is not reordered by oneDNN: our panels of 64 are its own layout (BA16a64b2a, BA16a64b4a: 2 or 4 neighbours in k
// together), which is stated and checked, so that one packed copy serves every number of rows, slices of it are pointers into it,
// and a row can be read back. Kernels are generated per shape (0.2 ms each): rows are therefore cut into a few sizes. Versions 2
// and 3 differ in how a descriptor is made; nothing else here depends on the version.
#include <omp.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <shared_mutex>
#include <tuple>
#include <unordered_map>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/gemm_tile.h"

namespace eaq::gemm {
namespace {

using Memory = dnnl::memory;
using Type = Memory::data_type;
using Tag = Memory::format_tag;

/// oneDNN asks OpenMP how many threads it may use: in a tile, one.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

struct Types {
  Type input, weight, result;
  Tag tag;
};
Types types_of(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::bf16) return {Type::bf16, Type::bf16, Type::f32, Tag::BA16a64b2a};
  return {Type::u8, Type::s8, Type::s32, Tag::BA16a64b4a};
}

/// A level below the machine's binds oneDNN too. It listens only before its first primitive.
const dnnl::engine& engine() {
  static const dnnl::engine engine = [] {
    if (cpu_isa() < cpu_info().isa) {
      const auto isa = cpu_isa() == Isa::avx2     ? dnnl::cpu_isa::avx2
                       : cpu_isa() == Isa::avx512 ? dnnl::cpu_isa::avx512_core
                                                  : dnnl::cpu_isa::avx512_core_bf16;
      dnnl::set_max_cpu_isa(isa);
    }
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

/// One generated product [rows, k] x [k, columns].
struct Entry {
  dnnl::matmul primitive;
  Memory::desc input, weight, result, scratch;
  std::string name;
  bool fast = false;  ///< a brgemm kernel; anything else is oneDNN's plain loop
};

Entry make_entry(Arithmetic arithmetic, std::int64_t rows, std::int64_t columns, std::int64_t k) {
  const Types types = types_of(arithmetic);
  const OneThread one;
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const Memory::desc input({rows, k}, types.input, Tag::ab), weight({k, columns}, types.weight, types.tag),
      result({rows, columns}, types.result, Tag::ab);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(engine(), input, weight, result, attr);
#else
  const dnnl::matmul::primitive_desc description({input, weight, result}, attr, engine());
#endif
  const std::string implementation = description.impl_info_str();
  return {.primitive = dnnl::matmul(description),
          .input = input,
          .weight = weight,
          .result = result,
          .scratch = description.scratchpad_desc(),
          .name = "onednn " + implementation + " " + std::string(name_of(arithmetic)),
          .fast = implementation.rfind("brg", 0) == 0};
}

/// What a thread needs to run an entry; memory objects are made once and pointed elsewhere for each tile.
struct ThreadState {
  struct Arguments {
    Memory input, weight, result, scratch;
  };
  dnnl::stream stream{engine()};
  std::unordered_map<const Entry*, Arguments> arguments;
  Buffer scratch;

  Arguments& of(const Entry& entry) {
    const auto found = arguments.find(&entry);
    if (found != arguments.end()) return found->second;
    if (scratch.size() < entry.scratch.get_size()) scratch = Buffer(entry.scratch.get_size());
    Arguments made{{entry.input, engine(), nullptr},
                   {entry.weight, engine(), nullptr},
                   {entry.result, engine(), nullptr},
                   {entry.scratch, engine(), nullptr}};
    return arguments.emplace(&entry, std::move(made)).first->second;
  }
};

class OneDnn final : public TileKernel {
 public:
  explicit OneDnn(Arithmetic arithmetic) : arithmetic_(arithmetic) {}

  TileNeeds needs() const override {
    if (arithmetic_ == Arithmetic::bf16) return {.width = 64, .group = 2, .input = DType::bf16, .dense = true, .padded = true};
    return {.width = 64, .group = 4, .input = DType::u8, .dense = true, .padded = true};
  }

  const std::string& run(const TileInput& x, const PanelSpan& panels, std::byte* out, std::byte*) const override {
    // Largest first; from 12 rows on they run as fast as 128 to within a tenth, fewer only end a product.
    static constexpr std::array<std::int64_t, 10> sizes{128, 64, 32, 16, 12, 8, 4, 3, 2, 1};
    static const std::string nothing;  // of no rows
    const std::string* name = &nothing;
    std::int64_t done = 0;
    for (const std::int64_t rows : sizes)
      for (; x.rows - done >= rows; done += rows) {
        const Entry& entry = entry_of(rows, panels.columns(), x.k);
        name = &entry.name;
        execute(entry, x.data + static_cast<std::size_t>(done * x.stride) * size_of(needs().input), panels.panel(0),
                out + static_cast<std::size_t>(done * panels.columns()) * sizeof(float));
      }
    return *name;
  }

  /// Whether oneDNN has brgemm kernels for our panels, for one row and for many.
  bool usable() const {
    try {
      for (const std::int64_t rows : {1, 128})
        if (!entry_of(rows, 256, 256).fast) return false;
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }

 private:
  const Entry& entry_of(std::int64_t rows, std::int64_t columns, std::int64_t k) const {
    const std::tuple key{rows, columns, k};
    {
      const std::shared_lock lock(mutex_);
      const auto found = entries_.find(key);
      if (found != entries_.end()) return found->second;
    }
    const std::unique_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) return found->second;
    return entries_.emplace(key, make_entry(arithmetic_, rows, columns, k)).first->second;
  }

  static void execute(const Entry& entry, const std::byte* x, const std::byte* weight, std::byte* out) {
    thread_local ThreadState state;
    const OneThread one;
    ThreadState::Arguments& a = state.of(entry);
    a.input.set_data_handle(const_cast<std::byte*>(x));
    a.weight.set_data_handle(const_cast<std::byte*>(weight));
    a.result.set_data_handle(out);
    a.scratch.set_data_handle(state.scratch.data());
    const std::array<dnnl_exec_arg_t, 4> arguments{{{DNNL_ARG_SRC, a.input.get()},
                                                    {DNNL_ARG_WEIGHTS, a.weight.get()},
                                                    {DNNL_ARG_DST, a.result.get()},
                                                    {DNNL_ARG_SCRATCHPAD, a.scratch.get()}}};
    dnnl::error::wrap_c_api(dnnl_primitive_execute(entry.primitive.get(), state.stream.get(), arguments.size(), arguments.data()),
                            "oneDNN could not run a product");
  }

  Arithmetic arithmetic_;
  mutable std::shared_mutex mutex_;
  mutable std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Entry> entries_;  // never moved, never removed
};

}  // namespace

const TileKernel* onednn(Arithmetic arithmetic) {
  // Shared by all weights: twelve layers of one shape generate their kernels once. Never destroyed, as threads may outlive it.
  static const std::array<const OneDnn*, 2> kernels{new OneDnn(Arithmetic::bf16), new OneDnn(Arithmetic::s8)};
  static const std::array<bool, 2> usable{kernels[0]->usable(), kernels[1]->usable()};
  if (arithmetic == Arithmetic::f32) return nullptr;
  const std::size_t i = arithmetic == Arithmetic::bf16 ? 0 : 1;
  return usable[i] ? kernels[i] : nullptr;
}

}  // namespace eaq::gemm
