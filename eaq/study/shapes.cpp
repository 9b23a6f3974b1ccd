#include <algorithm>

#include "eaq/study/study.h"

namespace eaq {
namespace {

void check(const TimedShape& shape, const Graph& graph) {
  if (shape.seq + shape.new_tokens <= graph.context) return;
  throw Error(ErrorKind::usage, "a length of " + std::to_string(shape.seq) +
                                    (shape.new_tokens > 0 ? " and as many new tokens exceed" : " exceeds") + " the context of " +
                                    std::to_string(graph.context) + " tokens (--seq)");
}

template <class T>
void refuse_repeats(const std::vector<T>& list, const std::string& option) {
  for (std::size_t i = 0; i < list.size(); ++i)
    if (std::find(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i), list[i]) !=
        list.begin() + static_cast<std::ptrdiff_t>(i))
      throw Error(ErrorKind::usage, option + " names the same twice");
}

// With several models an option may be meant for one of the others.
void refuse_contradictions(const StudyOptions& options, bool classifies) {
  refuse_repeats(options.batch, "--batch");
  refuse_repeats(options.seq, "--seq");
  refuse_repeats(options.phases, "--phase");
  if (!options.unpadded || options.models.size() != 1) return;
  if (!classifies)
    throw Error(ErrorKind::usage, "--unpadded is for sentences: a language model's windows and prompts have the length of --seq");
  if (!options.seq.empty())
    throw Error(ErrorKind::usage, "--seq pads sentences to a length and --unpadded leaves them their own: one of the two");
}

std::vector<TimedShape> crossed(Phase phase, const std::vector<std::int64_t>& batches, const std::vector<std::int64_t>& lengths) {
  std::vector<TimedShape> shapes;
  for (const std::int64_t batch : batches)
    for (const std::int64_t seq : lengths) shapes.push_back({phase, batch, seq, phase == Phase::decode ? seq : 0});
  return shapes;
}

std::vector<std::int64_t> or_default(const std::vector<std::int64_t>& given, std::int64_t fallback) {
  return given.empty() ? std::vector{fallback} : given;
}

}  // namespace

std::vector<TimedShape> timed_shapes(const Graph& graph, const StudyOptions& options) {
  const bool classifies = graph.task == Task::classification;
  refuse_contradictions(options, classifies);
  // "ref" computes on the CPU, too.
  const bool on_cpu = options.device == "cpu" || options.device == "ref";
  std::vector<Phase> phases = options.phases;
  if (phases.empty()) phases = classifies ? std::vector{Phase::forward} : std::vector{Phase::forward, Phase::decode};

  std::vector<TimedShape> shapes;
  for (const Phase phase : phases) {
    if (classifies && phase != Phase::forward) {
      if (options.phases.size() == 1 && options.models.size() == 1)
        throw Error(ErrorKind::usage, "--phase " + std::string(name_of(phase)) + ": a classifier has only 'forward'");
      continue;  // asked for the language models beside it
    }
    std::int64_t batch = 1, seq = std::min<std::int64_t>(128, graph.context);
    if (classifies) {
      batch = 32;
    } else if (phase == Phase::forward && !on_cpu) {
      batch = graph.context >= 1024 ? 8 : 4;
      seq = std::min<std::int64_t>(1024, graph.context);
    } else if (phase == Phase::decode) {
      seq = std::min<std::int64_t>(128, graph.context / 2);
    }
    std::vector<std::int64_t> lengths = or_default(options.seq, seq);
    if (options.unpadded && classifies) lengths = {0};
    for (TimedShape& shape : crossed(phase, or_default(options.batch, batch), lengths)) {
      check(shape, graph);
      shapes.push_back(shape);
    }
  }
  if (shapes.empty()) shapes.push_back({Phase::forward, 32, std::min<std::int64_t>(128, graph.context), 0});
  return shapes;
}

}  // namespace eaq
