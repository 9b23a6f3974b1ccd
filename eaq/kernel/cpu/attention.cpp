// Attention: cut into tasks of similar size, the largest first, so that ragged lengths and causal triangles leave no thread idle.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eaq/kernel/cpu/attention.cpp"
#include <algorithm>

#include "eaq/kernel/cpu/targets.h"
// clang-format off
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/highway.h>

#include "eaq/kernel/cpu/attention-inl.h"

#if HWY_ONCE
namespace eaq {
namespace simd {
HWY_EXPORT(attend);
}  // namespace simd

namespace {

using simd::AttentionTask;
using simd::BlockScratch;
using simd::SingleScratch;

/// Up to this many queries are cheaper one by one: a block first copies its keys and values.
constexpr std::int64_t single_queries = 2;

/// How the sequences are cut.
struct Cut {
  std::int64_t rows_per_block = 128;
  int heads_per_single = 1;
};

/// A sequence's place in the order of tasks.
struct Place {
  std::int64_t sequence = 0, work = 0, end = 0;  ///< `end`: tasks up to and including its own
};

bool is_block(const AttentionSequence& s) { return s.queries > single_queries; }

// Blocks of one sequence have nearly the same size, in whole vectors.
std::int64_t rows_of(const AttentionSequence& s, const Cut& cut) {
  const std::int64_t blocks = (s.queries + cut.rows_per_block - 1) / cut.rows_per_block;
  return simd::padded((s.queries + blocks - 1) / blocks);
}

std::int64_t tasks_of(const AttentionShape& shape, const AttentionSequence& s, const Cut& cut) {
  if (s.queries == 0) return 0;
  if (!is_block(s)) return s.queries * ((shape.heads + cut.heads_per_single - 1) / cut.heads_per_single);
  const std::int64_t rows = rows_of(s, cut);
  return shape.heads * ((s.queries + rows - 1) / rows);
}

void check(const AttentionShape& shape, const AttentionSequence& s) {
  const bool fits = shape.heads > 0 && shape.head_dim > 0 && s.queries >= 0 &&
                    (s.queries == 0 || (s.keys > 0 && (!shape.causal || s.keys >= s.queries)));
  if (!fits)
    throw Error(ErrorKind::bug, "attention of " + std::to_string(s.queries) + " queries over " + std::to_string(s.keys) +
                                    " keys, " + std::to_string(shape.heads) + " heads of " + std::to_string(shape.head_dim) +
                                    (shape.causal ? ", causal" : ""));
}

// Large tasks share the copying of keys; there must be some for every thread all the same.
Cut cut_for(const AttentionShape& shape, std::span<const AttentionSequence> sequences, int threads) {
  const std::int64_t wanted = threads == 1 ? 1 : 2 * threads;
  Cut cut;
  std::int64_t singles = 0;
  for (const AttentionSequence& s : sequences)
    if (!is_block(s)) singles += s.queries;
  if (singles > 0) {
    const std::int64_t groups = std::clamp<std::int64_t>((wanted + singles - 1) / singles, 1, shape.heads);
    cut.heads_per_single = static_cast<int>((shape.heads + groups - 1) / groups);
  }
  const auto blocks = [&] {
    std::int64_t count = 0;
    for (const AttentionSequence& s : sequences)
      if (is_block(s)) count += tasks_of(shape, s, cut);
    return count;
  };
  while (cut.rows_per_block > 32 && blocks() < wanted) cut.rows_per_block /= 2;
  return cut;
}

AttentionTask task_at(const AttentionShape& shape, const AttentionSequence& s, const Cut& cut, std::int64_t i) {
  AttentionTask task{.shape = &shape, .sequence = &s};
  if (!is_block(s)) {
    const std::int64_t groups = (shape.heads + cut.heads_per_single - 1) / cut.heads_per_single;
    task.first = i / groups;
    task.head = static_cast<int>(i % groups) * cut.heads_per_single;
    task.heads = std::min(cut.heads_per_single, shape.heads - task.head);
    return task;
  }
  // From the last block to the first: the last sees most keys.
  const std::int64_t rows = rows_of(s, cut), blocks = (s.queries + rows - 1) / rows;
  task.head = static_cast<int>(i % shape.heads);
  task.first = (blocks - 1 - i / shape.heads) * rows;
  task.rows = std::min(rows, s.queries - task.first);
  return task;
}

std::size_t scratch_of(const AttentionShape& shape, const AttentionTask& t) {
  if (is_block(*t.sequence)) return BlockScratch(nullptr, t.rows, shape.head_dim).bytes;
  return SingleScratch(nullptr, t.heads, shape.head_dim, t.sequence->keys).bytes;
}

}  // namespace

void attention(CpuContext& context, const AttentionShape& shape, std::span<const AttentionSequence> sequences) {
  for (const AttentionSequence& s : sequences) check(shape, s);
  const Cut cut = cut_for(shape, sequences, context.threads());
  const std::span places(reinterpret_cast<Place*>(context.shared_scratch(sequences.size() * sizeof(Place))), sequences.size());
  for (std::size_t i = 0; i < places.size(); ++i)
    places[i] = {.sequence = static_cast<std::int64_t>(i), .work = sequences[i].queries * sequences[i].keys};
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.work > b.work; });
  std::int64_t tasks = 0;
  for (Place& p : places) p.end = tasks += tasks_of(shape, sequences[static_cast<std::size_t>(p.sequence)], cut);

  const auto attend = HWY_DYNAMIC_DISPATCH(simd::attend);
  context.parallel(tasks, [&](std::int64_t i, int thread) {
    const auto place =
        std::upper_bound(places.begin(), places.end(), i, [](std::int64_t n, const Place& p) { return n < p.end; });
    const std::int64_t begin = place == places.begin() ? 0 : std::prev(place)->end;
    const AttentionTask task = task_at(shape, sequences[static_cast<std::size_t>(place->sequence)], cut, i - begin);
    attend(task, is_block(*task.sequence), context.scratch(thread, scratch_of(shape, task)));
  });
}

}  // namespace eaq
#endif
