// How a block of threads runs on a processor: each thread is a fiber with a stack of its own, and one OS thread runs them in
// turn, each until it waits for others. Kernels see this only through cuda_runtime.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

#include "emulated/vectors.h"

namespace emulated {

inline constexpr unsigned warp_lanes = 32;
using Place = std::source_location;

/// Runs `thread` once for each thread of each block, blocks one after the other; launches of several OS threads wait for each
/// other. The order of a block's threads differs from one stretch between barriers to the next (always in the same way for the
/// same launch; EAQ_EMULATED_SEED gives another), so that a missing barrier shows.
/// `overlaps`: the launch lets the kernel begin before the one ahead of it ends. Every block must then wait for that one, or a
/// later kernel's wait would not reach back to it either.
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, bool overlaps, const std::function<void()>& thread);
void has_waited_for_earlier_kernel();

/// Ends the program with a message that names the thread: what a kernel did is undefined on a card.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

void wait_for_block(const Place& place);

/// What the last lane to come does for all: `lanes[i]` is what lane i brought, null where that lane takes no part.
using Exchange = void (*)(void* const (&lanes)[warp_lanes]);
/// Returns when every lane of `mask` that has not returned from the kernel has called this with the same mask and exchange.
void meet_warp(unsigned mask, const char* what, void* mine, Exchange exchange, const Place& place);

unsigned lane();
unsigned living_lanes();  ///< of this warp, as a mask

/// The block's dynamic shared memory.
std::byte* dynamic_shared();

/// cp.async: the bytes are read at once and arrive when a wait lets them. Until then the target holds 0xFF bytes.
void copy_later(void* target, const void* source, bool valid);
void close_copies();
void finish_copies(int groups_left);

}  // namespace emulated
