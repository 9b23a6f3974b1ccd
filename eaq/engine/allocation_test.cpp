// A trial allocates nothing: counted by this test program's own operator new, beside the allocator's.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "eaq/engine/testing.h"

namespace {

std::atomic<bool> counts{false};
std::atomic<int> allocations{0};

[[maybe_unused]] void* counted(std::size_t bytes, std::size_t alignment) {
  if (counts.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = alignment <= alignof(std::max_align_t)
                           ? std::malloc(std::max<std::size_t>(bytes, 1))
                           : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// A sanitizer has its own, which see more.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t bytes) { return counted(bytes, 0); }
void* operator new[](std::size_t bytes) { return counted(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return counted(bytes, static_cast<std::size_t>(alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
constexpr bool counted_here = true;
#else
constexpr bool counted_here = false;
#endif

namespace eaq {
namespace {

// Runs each batch twice, then counts while all run once more.
int allocations_of_a_trial(Session& session, const std::vector<OwnedBatch>& batches) {
  std::vector<PreparedBatch> prepared;
  for (const OwnedBatch& batch : batches) prepared.push_back(session.prepare(batch.view()));
  const auto run_all = [&] {
    for (PreparedBatch& batch : prepared) {
      session.submit(batch);
      session.packed().device().context->finish_runs(0);
    }
  };
  run_all(), run_all();
  allocations = 0, counts = true;
  run_all();
  counts = false;
  return allocations;
}

std::vector<std::int32_t> tokens(int count) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), 5);
  return ids;
}

TEST(Trials, AllocateNothing) {
  if (!counted_here) GTEST_SKIP() << "allocations go to the sanitizer";
  for (const std::string format : {"fp32", "bf16", "fp16", "mixed_bf16", "int8"}) {
    // oneDNN has state for each thread and shape, which is made when they first meet, in whichever run that is.
    if (cpu_isa() == Isa::amx && format != "fp32" && format != "fp16") continue;
    for (const char* name : {"models/tiny-distilbert", "models/tiny-gpt2"}) {
      const auto model = packed((source_folder() / name).string(), format);
      Session session(model);
      const std::vector<std::vector<std::int32_t>> few{tokens(7), tokens(30)}, many{tokens(3), tokens(60), tokens(41)};
      EXPECT_EQ(allocations_of_a_trial(session, {make_batch(many), make_batch(few)}), 0) << name << " in " << format;
    }
    Session session(packed((source_folder() / "models/tiny-gpt2").string(), format),
                    {.logits = Logits::last, .cache_sequences = 1, .cache_capacity = 80});
    OwnedBatch prompt = make_batch(std::vector<std::vector<std::int32_t>>{tokens(64)});
    prompt.past = {0};
    OwnedBatch token = prompt;
    token.ids = {7}, token.positions = {64}, token.past = {64}, token.row_begin = {0, 1};
    EXPECT_EQ(allocations_of_a_trial(session, {prompt, token}), 0) << "a prompt and a token in " << format;
  }
}

}  // namespace
}  // namespace eaq
