// The threads of one CpuContext. A loop is an epoch: the caller publishes it, workers that spin see it within a microsecond, and
// workers that went to sleep are woken. oneDNN is called single-threaded inside tasks, so its own OpenMP pool never starts and
// nothing is over-subscribed.
#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

// Between two loops of one run lie microseconds; after some 50 us without work a thread had better sleep.
constexpr int spins_before_sleep = 2000;

void pause() { __builtin_ia32_pause(); }

}  // namespace

struct CpuContext::State {
  std::vector<std::thread> workers;
  std::vector<Buffer> scratch;
  Buffer shared;

  // The loop in hand; written before `epoch` is raised, read after it was seen to rise.
  const std::function<void(std::int64_t, int)>* body = nullptr;
  std::int64_t tasks = 0;
  alignas(64) std::atomic<std::uint32_t> epoch{0};
  alignas(64) std::atomic<std::int64_t> next{0};
  alignas(64) std::atomic<int> busy{0};
  std::atomic<bool> stopping{false};
  std::mutex failure_mutex;
  std::exception_ptr failure;

  void take_tasks(int thread) {
    for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
      try {
        (*body)(task, thread);
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next.store(tasks, std::memory_order_relaxed);  // the others end early
      }
    }
  }

  void work(int thread) {
    omp_set_num_threads(1);
    std::uint32_t seen = 0;
    for (;;) {
      std::uint32_t now = epoch.load(std::memory_order_acquire);
      for (int spin = 0; now == seen && spin < spins_before_sleep; ++spin) {
        pause();
        now = epoch.load(std::memory_order_acquire);
      }
      if (now == seen) {
        epoch.wait(seen, std::memory_order_acquire);
        continue;
      }
      seen = now;
      if (stopping.load(std::memory_order_relaxed)) return;
      take_tasks(thread);
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

CpuContext::CpuContext(int threads) : state_(std::make_unique<State>()) {
  if (threads < 0 || threads > 1024)
    throw Error(ErrorKind::usage, "--threads " + std::to_string(threads) + ": 1 to 1024, or 0 for all cores");
  const int count = threads > 0 ? threads : cpu_info().logical_cores;
  cpu_isa();  // settles which kernels run before any of them does
  omp_set_num_threads(1);
  state_->scratch.resize(static_cast<std::size_t>(count));
  for (int t = 1; t < count; ++t) state_->workers.emplace_back([state = state_.get(), t] { state->work(t); });
}

CpuContext::~CpuContext() {
  state_->stopping.store(true, std::memory_order_relaxed);
  state_->epoch.fetch_add(1, std::memory_order_release);
  state_->epoch.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int CpuContext::threads() const { return static_cast<int>(state_->scratch.size()); }

void CpuContext::parallel(std::int64_t tasks, const std::function<void(std::int64_t, int)>& body) {
  if (tasks <= 0) return;
  State& s = *state_;
  if (tasks == 1 || s.workers.empty()) {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  s.body = &body;
  s.tasks = tasks;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  s.epoch.fetch_add(1, std::memory_order_release);
  s.epoch.notify_all();
  s.take_tasks(0);
  // The last tasks of the others are short; if the machine is busy with something else, give the core away.
  for (int spin = 0; s.busy.load(std::memory_order_acquire) != 0; ++spin) {
    pause();
    if (spin % 4096 == 4095) std::this_thread::yield();
  }
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

std::byte* CpuContext::scratch(int thread, std::size_t bytes) {
  Buffer& buffer = state_->scratch[static_cast<std::size_t>(thread)];
  if (buffer.size() < bytes) buffer = Buffer(bytes);
  return buffer.data();
}

std::byte* CpuContext::shared_scratch(std::size_t bytes) {
  if (state_->shared.size() < bytes) state_->shared = Buffer(bytes);
  return state_->shared.data();
}

}  // namespace eaq
