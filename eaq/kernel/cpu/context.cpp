// The thread pool of a CpuContext.
//
// A loop is handed out through one word, `remaining`: a thread that lowers it from r to r - 1 owns task `tasks - r`. What a task
// reads of the loop (its body, its length) is stable from then on, because the caller publishes a new loop only after every task
// of the last one is accounted for in `done`. A thread that wakes too late finds `remaining` at zero and touches nothing: nobody
// waits for it.
#include <emmintrin.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/cpu_detect.h"

namespace eaq {
namespace {

constexpr std::chrono::microseconds spin_time{60};

/// Waits for `ready` with a pause between looks, up to a limit of time. False if it ran out.
template <class Ready>
bool spin_until(bool allowed, const Ready& ready) {
  if (ready()) return true;
  if (!allowed) return false;
  const auto end = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 8; ++i) {
      if (ready()) return true;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

// oneDNN is called inside tasks: each must keep to its thread. OpenMP holds the number per thread, the caller's included.
void keep_openmp_to_this_thread() {
  static thread_local bool done = false;
  if (!done) omp_set_num_threads(1);
  done = true;
}

struct alignas(64) Scratch {
  Buffer buffer;
  std::byte* at_least(std::size_t bytes) {
    if (buffer.size() < bytes || buffer.data() == nullptr) {
      buffer = Buffer();  // the old one goes first: its content is not kept
      buffer = Buffer(bytes);
    }
    return buffer.data();
  }
};

}  // namespace

// What several threads write lies on lines of its own.
struct CpuContext::State {  // NOLINT(clang-analyzer-optin.performance.Padding)
  // The loop under way. Written by the caller between loops.
  const LoopBody* body = nullptr;
  std::int64_t tasks = 0;

  alignas(64) std::atomic<std::int64_t> remaining{0};
  alignas(64) std::atomic<std::int64_t> done{0};
  alignas(64) std::atomic<bool> busy{false};
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false}, stop{false};
  std::mutex mutex;
  std::condition_variable work_came, work_ended;
  std::exception_ptr failure;  // under mutex
  bool spins = true;
  std::vector<Scratch> scratch;
  std::atomic<std::size_t> asked_for{0};  // most that any thread has had of its own
  std::size_t everywhere = 0;             // that all have
  Scratch shared;
  std::vector<std::thread> workers;

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop.store(true);
    }
    work_came.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  /// Between loops: gives every thread what one of them has asked for. Otherwise one that meets its first large task late would
  /// allocate then, within a trial.
  void level_scratch() {
    const std::size_t most = asked_for.load(std::memory_order_relaxed);
    if (most <= everywhere) return;
    for (Scratch& one : scratch) one.at_least(most);
    everywhere = most;
  }

  /// Owns one more task; -1 when there is none.
  std::int64_t take() {
    std::int64_t r = remaining.load(std::memory_order_acquire);
    while (r > 0)
      if (remaining.compare_exchange_weak(r, r - 1, std::memory_order_acq_rel, std::memory_order_acquire)) return tasks - r;
    return -1;
  }

  void fail() {
    const std::lock_guard lock(mutex);
    if (!failure) failure = std::current_exception();
  }

  void run(int thread) {
    std::int64_t mine = 0, of = 0;
    for (std::int64_t task; (task = take()) >= 0;) {
      of = tasks;
      ++mine;
      try {
        (*body)(task, thread);
      } catch (...) {
        fail();
        mine += remaining.exchange(0, std::memory_order_acq_rel);
      }
    }
    if (mine == 0 || done.fetch_add(mine, std::memory_order_seq_cst) + mine != of) return;
    if (!caller_sleeps.load(std::memory_order_seq_cst)) return;
    { const std::lock_guard lock(mutex); }
    work_ended.notify_one();
  }

  void work(int thread) {
    keep_openmp_to_this_thread();
    const auto called = [this] { return remaining.load(std::memory_order_seq_cst) > 0 || stop.load(std::memory_order_relaxed); };
    while (!stop.load(std::memory_order_relaxed)) {
      if (!spin_until(spins, called)) {
        std::unique_lock lock(mutex);
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        work_came.wait(lock, called);
        sleepers.fetch_sub(1, std::memory_order_seq_cst);
      }
      run(thread);
    }
  }

  void wake(std::int64_t wanted) {
    // Either a falling-asleep thread sees `remaining`, or this sees it among the sleepers: both are sequentially consistent.
    const int asleep = sleepers.load(std::memory_order_seq_cst);
    if (asleep == 0) return;
    { const std::lock_guard lock(mutex); }
    if (wanted >= asleep) return work_came.notify_all();
    for (std::int64_t i = 0; i < wanted; ++i) work_came.notify_one();
  }

  void wait_for(std::int64_t count) {
    const auto ended = [this, count] { return done.load(std::memory_order_seq_cst) == count; };
    if (spin_until(spins, ended)) return;
    std::unique_lock lock(mutex);
    caller_sleeps.store(true, std::memory_order_seq_cst);
    work_ended.wait(lock, ended);
    caller_sleeps.store(false, std::memory_order_relaxed);
  }
};

CpuContext::CpuContext(int threads) : state_(std::make_unique<State>()) {
  if (threads < 0 || threads > 1024)
    throw Error(ErrorKind::usage, "--threads " + std::to_string(threads) + ": 1 to 1024, or 0 for all cores");
  const int cores = cpu_info().logical_cores, count = threads == 0 ? cores : threads;
  cpu_isa();  // settles which kernels run before any of them does
  keep_openmp_to_this_thread();
  State& s = *state_;
  s.spins = count <= cores;
  s.scratch = std::vector<Scratch>(static_cast<std::size_t>(count));
  s.workers.reserve(static_cast<std::size_t>(count - 1));
  std::vector<int> own = cpu::affinity();
  if (own.size() != static_cast<std::size_t>(count)) own.clear();
  for (int t = 1; t < count; ++t)
    s.workers.emplace_back([&s, t, core = own.empty() ? -1 : own[static_cast<std::size_t>(t)]] {
      if (core >= 0) cpu::bind_to_core(core);
      s.work(t);
    });
}

CpuContext::~CpuContext() = default;

DeviceDescription CpuContext::description() const {
  return {.kind = "cpu",
          .name = cpu_info().model,
          .isa = std::string(name_of(cpu_isa())),
          .uuid = "",
          .driver = "",
          .threads = threads(),
          .cache_bytes = std::max(::sysconf(_SC_LEVEL3_CACHE_SIZE), std::max(::sysconf(_SC_LEVEL2_CACHE_SIZE), 0L))};
}

int CpuContext::threads() const { return static_cast<int>(state_->scratch.size()); }

void CpuContext::parallel(std::int64_t tasks, const LoopBody& body) {
  if (tasks <= 0) return;
  keep_openmp_to_this_thread();
  State& s = *state_;
  if (s.busy.exchange(true, std::memory_order_acquire)) throw Error(ErrorKind::bug, "CpuContext::parallel() within its own task");
  try {
    s.level_scratch();
  } catch (...) {
    s.busy.store(false, std::memory_order_release);
    throw;
  }
  s.body = &body;
  s.tasks = tasks;
  s.done.store(0, std::memory_order_relaxed);
  s.remaining.store(tasks, std::memory_order_seq_cst);
  if (tasks > 1 && !s.workers.empty()) s.wake(tasks - 1);
  s.run(0);
  s.wait_for(tasks);
  std::exception_ptr failure;
  {
    const std::lock_guard lock(s.mutex);
    failure = std::exchange(s.failure, nullptr);
  }
  s.busy.store(false, std::memory_order_release);
  if (failure) std::rethrow_exception(failure);
}

std::byte* CpuContext::scratch(int thread, std::size_t bytes) {
  assert(thread >= 0 && thread < threads());
  State& s = *state_;
  for (std::size_t most = s.asked_for.load(std::memory_order_relaxed);
       most < bytes && !s.asked_for.compare_exchange_weak(most, bytes, std::memory_order_relaxed);) {
  }
  return s.scratch[static_cast<std::size_t>(thread)].at_least(bytes);
}
std::byte* CpuContext::shared_scratch(std::size_t bytes) { return state_->shared.at_least(bytes); }

}  // namespace eaq
