#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/cpu_detect.h"

namespace eaq {
namespace {

TEST(CpuContext, GivesEveryThreadTheScratchThatOneHasAskedForBeforeTheNextLoop) {
  CpuContext context(3);
  constexpr std::size_t much = 1 << 20;
  context.scratch(0, much);
  context.parallel(1, [](std::int64_t, int) {});
  for (int thread = 0; thread < 3; ++thread) {
    const std::byte* had = context.scratch(thread, 1);
    EXPECT_EQ(context.scratch(thread, much), had) << thread;
  }
}

TEST(CpuContext, RunsEveryTaskExactlyOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    CpuContext context(threads);
    EXPECT_EQ(context.threads(), threads);
    for (const std::int64_t tasks : {0, 1, 2, 7, 64, 1000}) {
      std::vector<int> runs(static_cast<std::size_t>(tasks));
      context.parallel(tasks, [&](std::int64_t task, int) { ++runs[static_cast<std::size_t>(task)]; });
      EXPECT_EQ(runs, std::vector<int>(static_cast<std::size_t>(tasks), 1)) << threads << " threads";
    }
  }
}

TEST(CpuContext, UsesAllCoresOfTheProcessUnlessToldOtherwise) { EXPECT_EQ(CpuContext().threads(), cpu_info().logical_cores); }

TEST(CpuContext, BindsThreadsOnlyWhereTheyAreAsManyAsTheCores) {
  const std::vector<int> all = cpu::affinity();
  for (const int threads : {static_cast<int>(all.size()), static_cast<int>(all.size()) + 1}) {
    CpuContext context(threads);
    std::vector<std::vector<int>> cores(static_cast<std::size_t>(threads));
    std::atomic<int> inside{0};
    context.parallel(threads, [&](std::int64_t, int thread) {
      cores[static_cast<std::size_t>(thread)] = cpu::affinity();
      ++inside;
      while (inside < threads) std::this_thread::yield();
    });
    EXPECT_EQ(cores[0], all) << "the caller's affinity is the caller's";
    for (std::size_t t = 1; t < cores.size(); ++t)
      EXPECT_EQ(cores[t], cores.size() == all.size() ? std::vector<int>{all[t]} : all) << threads << " threads";
  }
}

TEST(CpuContext, HandsOutTasksInOrder) {
  CpuContext context(3);
  std::atomic<std::int64_t> last_of[3] = {-1, -1, -1};
  std::atomic<bool> ordered{true};
  context.parallel(500, [&](std::int64_t task, int thread) {
    if (last_of[thread].exchange(task) >= task) ordered = false;
  });
  EXPECT_TRUE(ordered);
}

TEST(CpuContext, OneTasksWritesAreSeenByTheNextLoop) {
  CpuContext context(4);
  std::vector<std::int64_t> values(64, 0);
  for (int round = 0; round < 500; ++round)
    context.parallel(64, [&](std::int64_t task, int) {
      // A neighbour's value of the last round, through another thread more often than not.
      if (round % 2 == 0)
        values[static_cast<std::size_t>(task)] += 1;
      else
        values[static_cast<std::size_t>(63 - task)] += 1;
    });
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}), 64 * 500);
}

TEST(CpuContext, ThreadsThatSleepAreWoken) {
  CpuContext context(4);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> inside{0};
    // No task ends before all have begun: all four threads must come.
    context.parallel(4, [&](std::int64_t, int) {
      ++inside;
      while (inside < 4) std::this_thread::yield();
    });
    EXPECT_EQ(inside, 4);
  }
}

TEST(CpuContext, AnExceptionEndsTheLoopAndIsRethrown) {
  CpuContext context(3);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(context.parallel(100,
                                  [](std::int64_t task, int) {
                                    if (task == 10) throw Error(ErrorKind::input, "task 10");
                                  }),
                 Error);
    std::atomic<int> runs{0};
    context.parallel(20, [&](std::int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 20);
  }
}

TEST(CpuContext, ALoopWithinATaskIsRefused) {
  CpuContext context(2);
  EXPECT_THROW(context.parallel(2, [&](std::int64_t, int) { context.parallel(2, [](std::int64_t, int) {}); }), Error);
}

TEST(CpuContext, OpenMpKeepsToOneThreadInEveryTask) {
  CpuContext context(4);
  std::atomic<int> most{0};
  context.parallel(64, [&](std::int64_t, int) {
    if (omp_get_max_threads() > 1) most = omp_get_max_threads();
  });
  EXPECT_EQ(most, 0);
  std::thread([&] { context.parallel(1, [&](std::int64_t, int) { most = omp_get_max_threads(); }); }).join();
  EXPECT_EQ(most, 1);
}

TEST(CpuContext, ScratchIsAlignedKeptAndOnlyGrows) {
  CpuContext context(2);
  std::byte* small = context.scratch(0, 100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small) % 64, 0u);
  small[99] = std::byte{7};
  EXPECT_EQ(context.scratch(0, 50), small);
  EXPECT_EQ(small[99], std::byte{7});
  EXPECT_NE(context.scratch(1, 100), small);
  std::byte* large = context.scratch(0, 1 << 20);
  large[(1 << 20) - 1] = std::byte{1};
  EXPECT_EQ(context.scratch(0, 100), large);
  EXPECT_NE(context.shared_scratch(1), nullptr);
}

TEST(CpuContext, ManyContextsCanFollowEachOther) {
  std::atomic<int> runs{0};
  for (int i = 0; i < 50; ++i) CpuContext(3).parallel(3, [&](std::int64_t, int) { ++runs; });
  EXPECT_EQ(runs, 150);
}

}  // namespace
}  // namespace eaq
