#include "eaq/engine/workspace.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "eaq/engine/memory.h"

namespace eaq {
namespace {

constexpr std::size_t alignment = 256;
constexpr const char* help = "a smaller batch or shorter sequences (--batch, --seq) need less";

}  // namespace

void Workspace::plan(const Program& program, std::shared_ptr<ExecutionContext> context, std::int64_t row_alignment) {
  context_ = std::move(context);
  row_alignment_ = row_alignment;
  values_ = program.values;
  output_ = program.output;
  lives_.assign(values_.size(), {});
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const auto touch = [&](Value v) {
      Life& life = lives_[static_cast<std::size_t>(v)];
      if (!life.used) life.first = i;
      life.used = true;
      life.last = i;
    };
    for (const Value v : writes_of(program.steps[i].op)) touch(v);
    for (const Value v : reads_of(program.steps[i].op)) touch(v);
  }
  matrices_.resize(values_.size());
}

std::int64_t Workspace::stride_of(const ValueInfo& info) const {
  return (info.width + row_alignment_ - 1) / row_alignment_ * row_alignment_;
}

DeviceMemory Workspace::take(std::size_t bytes, const std::string& what) {
  if (context_->is_host()) require_memory(static_cast<double>(bytes), what, help);
  ++moves_;
  return context_->allocate(bytes, what);
}

std::size_t Workspace::place(std::int64_t all_rows, std::int64_t all_sequences) {
  const auto size_of_value = [&](std::size_t value) {
    const ValueInfo& info = values_[value];
    const std::int64_t rows = info.rows == RowsPer::token ? all_rows : all_sequences;
    const std::size_t bytes = static_cast<std::size_t>(rows * stride_of(info)) * size_of(info.dtype);
    return (bytes + alignment - 1) / alignment * alignment;
  };
  // First fit, largest first: close to optimal for a chain of layers, and quick.
  std::vector<std::size_t> order;
  for (std::size_t v = 0; v < values_.size(); ++v)
    if (lives_[v].used && static_cast<Value>(v) != output_) order.push_back(v);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return size_of_value(a) > size_of_value(b); });
  std::vector<std::size_t> placed;
  std::size_t total = 0;
  for (const std::size_t v : order) {
    std::vector<std::pair<std::size_t, std::size_t>> taken;  // [begin, end) of values alive at the same time
    for (const std::size_t other : placed)
      if (lives_[other].first <= lives_[v].last && lives_[v].first <= lives_[other].last)
        taken.emplace_back(lives_[other].offset, lives_[other].offset + size_of_value(other));
    std::sort(taken.begin(), taken.end());
    std::size_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + size_of_value(v) <= begin) break;
      offset = std::max(offset, end);
    }
    lives_[v].offset = offset;
    total = std::max(total, offset + size_of_value(v));
    placed.push_back(v);
  }
  return total;
}

void Workspace::reserve(std::int64_t rows, std::int64_t sequences) {
  if (rows <= rows_ && sequences <= sequences_) return;
  const std::int64_t all_rows = std::max(rows, rows_), all_sequences = std::max(sequences, sequences_);
  context_->synchronise();  // what was submitted may still use it
  arena_ = DeviceMemory();  // before the new one: both at once would double the peak
  rows_ = sequences_ = 0;   // where the new one is refused, the next batch must ask anew
  const std::size_t total = place(all_rows, all_sequences);
  arena_ = take(total, "a batch of " + std::to_string(rows) + " tokens");
  rows_ = all_rows, sequences_ = all_sequences;
}

void Workspace::reserve_output(std::int64_t rows) {
  if (rows <= output_rows_) return;
  const ValueInfo& info = values_[static_cast<std::size_t>(output_)];
  context_->synchronise();
  output_memory_ = DeviceMemory();
  output_rows_ = 0;
  output_memory_ =
      take(static_cast<std::size_t>(rows * stride_of(info)) * size_of(info.dtype), std::to_string(rows) + " rows of logits");
  output_rows_ = rows;
}

std::span<Matrix> Workspace::matrices(std::int64_t rows, std::int64_t sequences) {
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const ValueInfo& info = values_[v];
    const bool is_output = static_cast<Value>(v) == output_;
    std::int64_t count = info.rows == RowsPer::token ? rows : sequences;
    if (is_output) count = std::min(count, output_rows_);
    matrices_[v] = {info.dtype, is_output ? output_memory_.data() : arena_.data() + lives_[v].offset, count, info.width,
                    stride_of(info)};
  }
  return matrices_;
}

}  // namespace eaq
