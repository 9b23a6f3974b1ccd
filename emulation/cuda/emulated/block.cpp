#include "emulated/block.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emulated/fiber.h"

namespace emulated {
namespace {

enum class State { ready, running, at_barrier, at_warp, returned };

void run_thread();

struct Copy {
  void* target;
  std::byte bytes[16];
};

struct Thread {
  Fiber fiber{run_thread};
  unsigned number = 0;
  uint3 index;
  State state = State::ready;
  // While it waits: for whom, with what, where.
  unsigned mask = 0;
  const char* what = "";
  void* brought = nullptr;
  Exchange exchange = nullptr;
  Place place;
  // Copies under way: those of no group yet, and the groups, oldest first.
  std::vector<Copy> loose;
  std::vector<std::vector<Copy>> groups;
};

// The block that runs. One at a time: `launching` is held by whoever runs one.
std::mutex launching;
std::vector<std::unique_ptr<Thread>> threads;  // kept from launch to launch; the first `block_threads` are the block's
unsigned block_threads = 0, living = 0, at_barrier = 0;
Thread* current = nullptr;
const std::function<void()>* body = nullptr;
std::byte* shared_memory = nullptr;
bool has_waited = false;  // for the kernel ahead, some thread of the block

void release(Copy& copy) { std::memcpy(copy.target, copy.bytes, sizeof copy.bytes); }

std::string text_of(const Thread& thread) {
  if (thread.state == State::ready || thread.state == State::running) return "could go on";
  if (thread.state == State::returned) return "returned from the kernel";
  char mask[32] = "";
  if (thread.state == State::at_warp) std::snprintf(mask, sizeof mask, ", mask 0x%08x,", thread.mask);
  return std::string(thread.what) + mask + " at " + thread.place.file_name() + ":" + std::to_string(thread.place.line());
}

std::string name_of(unsigned first, unsigned last) {
  return first == last ? "thread " + std::to_string(first) : "threads " + std::to_string(first) + "-" + std::to_string(last);
}

[[noreturn]] void fail_stuck(const char* why) {
  std::string message = "emulated card: block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
                        std::to_string(blockIdx.z) + ") of " + std::to_string(block_threads) + " threads " + why + "\n";
  for (unsigned first = 0, last = 0; first < block_threads; first = last + 1) {
    const std::string text = text_of(*threads[first]);
    for (last = first; last + 1 < block_threads && text_of(*threads[last + 1]) == text; ++last) {
    }
    message += "  " + name_of(first, last) + ": " + text + "\n";
  }
  std::fputs(message.c_str(), stderr);
  std::abort();
}

void run_thread() {
  (*body)();
  for (auto& group : current->groups) std::for_each(group.begin(), group.end(), release);
  std::for_each(current->loose.begin(), current->loose.end(), release);
  current->groups.clear();
  current->loose.clear();
  current->state = State::returned;
}

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// Whether all threads that live have come to one barrier; they then go on.
void try_barrier() {
  if (at_barrier == 0 || at_barrier < living) return;
  const Thread* first = nullptr;
  for (unsigned i = 0; i < block_threads; ++i) {
    Thread& thread = *threads[i];
    if (thread.state != State::at_barrier) continue;
    if (first == nullptr) first = &thread;
    if (!same(thread.place, first->place)) fail_stuck("waits at different barriers at once:");
  }
  for (unsigned i = 0; i < block_threads; ++i)
    if (threads[i]->state == State::at_barrier) threads[i]->state = State::ready;
  at_barrier = 0;
}

// Whether all lanes that `thread` waits for have come; they then exchange and go on.
bool try_exchange(const Thread& thread) {
  void* lanes[warp_lanes] = {};
  const unsigned warp = thread.number / warp_lanes * warp_lanes, mask = thread.mask;
  const Exchange exchange = thread.exchange;
  for (unsigned i = 0; i < warp_lanes; ++i) {
    if ((mask >> i & 1) == 0 || warp + i >= block_threads || threads[warp + i]->state == State::returned) continue;
    const Thread& other = *threads[warp + i];
    if (other.state != State::at_warp || other.mask != mask || other.exchange != exchange) return false;
    lanes[i] = other.brought;
  }
  exchange(lanes);
  for (unsigned i = 0; i < warp_lanes; ++i)
    if (lanes[i] != nullptr) threads[warp + i]->state = State::ready;
  return true;
}

void has_returned(Thread& thread) {
  thread.state = State::returned;
  --living;
  try_barrier();
  const unsigned warp = thread.number / warp_lanes * warp_lanes;
  for (unsigned i = warp; i < std::min(warp + warp_lanes, block_threads); ++i)
    if (threads[i]->state == State::at_warp) try_exchange(*threads[i]);
}

void resume(Thread& thread) {
  current = &thread;
  threadIdx = thread.index;
  thread.state = State::running;
  thread.fiber.resume();
  current = nullptr;
  if (thread.state == State::returned) has_returned(thread);
}

std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

void run_block(std::uint64_t seed) {
  has_waited = false;
  living = block_threads;
  at_barrier = 0;
  for (unsigned i = 0; i < block_threads; ++i) threads[i]->state = State::ready;
  for (std::uint64_t pass = 0; living > 0; ++pass) {
    const std::uint64_t random = mixed(seed + pass);
    const auto start = static_cast<unsigned>((random >> 1) % block_threads);
    bool stuck = true;
    for (unsigned i = 0; i < block_threads; ++i) {
      Thread& thread = *threads[((random & 1) != 0 ? start + i : start + block_threads - i) % block_threads];
      if (thread.state != State::ready) continue;
      stuck = false;
      resume(thread);
    }
    if (stuck && living > 0) fail_stuck("is stuck: none of these can be complete");
  }
}

void prepare_threads(dim3 block) {
  block_threads = block.x * block.y * block.z;
  while (threads.size() < block_threads) {
    threads.push_back(std::make_unique<Thread>());
    threads.back()->number = static_cast<unsigned>(threads.size() - 1);
  }
  for (unsigned i = 0; i < block_threads; ++i) threads[i]->index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
}

}  // namespace

void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, bool overlaps, const std::function<void()>& thread) {
  const std::scoped_lock lock(launching);
  prepare_threads(block);
  // Of exactly the size asked for, so that AddressSanitizer sees who leaves it. What nobody wrote is NaN.
  void* memory = nullptr;
  if (posix_memalign(&memory, 128, std::max<std::size_t>(shared_bytes, 1)) != 0) throw std::bad_alloc();
  const std::unique_ptr<void, decltype(&std::free)> shared(memory, &std::free);
  std::memset(memory, 0xff, shared_bytes);
  shared_memory = static_cast<std::byte*>(memory);
  body = &thread;
  gridDim = grid;
  blockDim = block;
  const char* given = std::getenv("EAQ_EMULATED_SEED");
  std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : 0;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
        run_block(seed = mixed(seed + 0x9e3779b97f4a7c15ull));
        if (overlaps && !has_waited)
          fail("a kernel that may begin early did not wait for the earlier one in block (%u, %u, %u)", blockIdx.x, blockIdx.y,
               blockIdx.z);
      }
}

void fail(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("emulated card: ", stderr);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  if (current != nullptr)
    std::fprintf(stderr, " (thread %u of block (%u, %u, %u))", current->number, blockIdx.x, blockIdx.y, blockIdx.z);
  std::fputc('\n', stderr);
  std::abort();
}

namespace {

// What waits must be inside a kernel, and remembers itself in the global `current`, which is another thread's by the time it goes
// on.
Thread& waiting(const char* what, const Place& place) {
  if (current == nullptr) fail("%s outside a kernel, at %s:%u", what, place.file_name(), place.line());
  current->what = what;
  current->place = place;
  return *current;
}

}  // namespace

void wait_for_block(const Place& place) {
  Thread& thread = waiting("__syncthreads()", place);
  thread.state = State::at_barrier;
  ++at_barrier;
  try_barrier();
  if (thread.state != State::ready) thread.fiber.suspend();
  thread.state = State::running;
}

void meet_warp(unsigned mask, const char* what, void* mine, Exchange exchange, const Place& place) {
  Thread& thread = waiting(what, place);
  if ((mask >> (thread.number % warp_lanes) & 1) == 0) fail("%s with mask 0x%08x, in which the caller is not", what, mask);
  thread.mask = mask;
  thread.brought = mine;
  thread.exchange = exchange;
  thread.state = State::at_warp;
  if (!try_exchange(thread)) thread.fiber.suspend();
  thread.state = State::running;
}

void has_waited_for_earlier_kernel() { has_waited = true; }

unsigned lane() { return current->number % warp_lanes; }

unsigned living_lanes() {
  unsigned mask = 0;
  const unsigned warp = current->number / warp_lanes * warp_lanes;
  for (unsigned i = 0; i < warp_lanes && warp + i < block_threads; ++i)
    if (threads[warp + i]->state != State::returned) mask |= 1u << i;
  return mask;
}

std::byte* dynamic_shared() { return shared_memory; }

void copy_later(void* target, const void* source, bool valid) {
  if (reinterpret_cast<std::uintptr_t>(target) % 16 != 0) fail("a copy of 16 bytes to %p, which is not aligned to them", target);
  if (valid && reinterpret_cast<std::uintptr_t>(source) % 16 != 0)
    fail("a copy of 16 bytes from %p, which is not aligned to them", source);
  Copy copy{target, {}};
  if (valid) std::memcpy(copy.bytes, source, sizeof copy.bytes);
  std::memset(target, 0xff, sizeof copy.bytes);
  current->loose.push_back(copy);
}

void close_copies() {
  current->groups.push_back(std::move(current->loose));
  current->loose.clear();
}

void finish_copies(int groups_left) {
  auto& groups = current->groups;
  const auto done = groups.size() - std::min(groups.size(), static_cast<std::size_t>(groups_left));
  for (std::size_t i = 0; i < done; ++i) std::for_each(groups[i].begin(), groups[i].end(), release);
  groups.erase(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace emulated
