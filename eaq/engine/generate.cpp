#include <numeric>

#include "eaq/engine/engine.h"

namespace eaq {
namespace {

Sampling sampling_of(const GenerateOptions& options) {
  // So cold that only the likeliest is left, and quotients would overflow.
  constexpr double frozen = 1e-6;
  return {options.temperature < frozen ? 0 : options.temperature, options.seed, options.top_k, options.top_p};
}

void check(const Graph& graph, std::span<const std::int32_t> prompt, const GenerateOptions& options) {
  if (graph.task != Task::language_model)
    throw Error(ErrorKind::input, "only a language model generates text; this is a " + graph.family + " classifier");
  if (prompt.empty()) throw Error(ErrorKind::input, "the prompt has no tokens");
  const auto total = static_cast<std::int64_t>(prompt.size()) + options.max_new_tokens;
  if (total > graph.context)
    throw Error(ErrorKind::input, "the prompt's " + std::to_string(prompt.size()) + " tokens and " +
                                      std::to_string(options.max_new_tokens) + " new ones exceed the model's context of " +
                                      std::to_string(graph.context));
}

}  // namespace

Generated generate(const std::shared_ptr<const PackedModel>& packed, std::span<const std::int32_t> prompt,
                   const GenerateOptions& options, const std::function<bool(std::int32_t)>& on_token) {
  check(packed->graph(), prompt, options);
  const auto length = static_cast<std::int32_t>(prompt.size());
  const Sampling sampling = sampling_of(options);
  const bool feeds_back = options.listener == nullptr && can_feed_back(packed->device());
  Session session(packed, {.logits = Logits::last,
                           .cache_sequences = 1,
                           .cache_capacity = length + options.max_new_tokens,
                           .feeds_back = feeds_back,
                           .sampling = sampling});
  Generated result;

  OwnedBatch batch;
  batch.ids.assign(prompt.begin(), prompt.end());
  batch.positions.resize(prompt.size());
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  batch.row_begin = {0, length};
  batch.past = {0};
  Clock& clock = monotonic_clock();
  const Seconds start = clock.now();
  const auto run = [&] { return on_host(*packed->device().context, session.run(batch.view(), {.listener = options.listener})); };
  std::vector<float> logits = run();
  result.prefill = clock.now() - start;

  // Neither the likeliest token nor a random one means anything where the logits are no numbers.
  const auto fail = [&](const std::string& what, std::int64_t position) {
    throw Error(ErrorKind::input, what + " at position " + std::to_string(position) +
                                      ": the weights hold NaN or Inf (`eaq inspect` tells), or values overflow in this format");
  };
  const auto check_finite = [&](std::int64_t position) {
    const std::int64_t bad = summarise_row(logits.data(), static_cast<std::int64_t>(logits.size())).non_finite;
    if (bad > 0) fail(std::to_string(bad) + " logits are not finite", position);
  };
  const Seconds decode_start = clock.now();
  // Whether to go on after this token, the i-th.
  const auto take = [&](int i, std::int32_t id) {
    result.ids.push_back(id);
    const bool ended = options.stop_at_end && id == packed->graph().end_of_text;
    return !(on_token && !on_token(id)) && !ended && !interrupted() && i + 1 < options.max_new_tokens;
  };
  const auto next_input = [&](std::int32_t id, int i) {
    batch.past[0] = length + i;
    batch.ids.assign(1, id);
    batch.positions.assign(1, length + i);
    batch.row_begin = {0, 1};
  };
  const auto chosen = [&](int i) {
    check_finite(length + i - 1);
    return choose_token(logits.data(), static_cast<std::int64_t>(logits.size()), sampling, 0, length + i);
  };
  if (feeds_back && options.max_new_tokens > 0) {
    bool goes_on = take(0, chosen(0));
    next_input(result.ids.back(), 0);
    PreparedBatch prepared = session.prepare(batch.view());
    for (int i = 1; goes_on; ++i) {
      session.submit(prepared);
      std::int32_t id = 0;
      try {
        id = session.fed_back(prepared).front();
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::input) throw;
        fail(error.what(), length + i - 1);
      }
      goes_on = take(i, id);
    }
  } else {
    for (int i = 0; i < options.max_new_tokens && take(i, chosen(i)); ++i) {
      next_input(result.ids.back(), i);
      logits = run();
    }
  }
  result.decode = clock.now() - decode_start;
  return result;
}

OwnedBatch make_batch(std::span<const std::vector<std::int32_t>> sequences, std::int64_t pad_to, std::int32_t pad_id) {
  OwnedBatch batch;
  batch.row_begin.push_back(0);
  for (const auto& sequence : sequences) {
    const auto length = static_cast<std::int64_t>(sequence.size()), rows = pad_to > 0 ? pad_to : length;
    if (length > rows)
      throw Error(ErrorKind::input,
                  "a sequence of " + std::to_string(length) + " tokens does not fit in " + std::to_string(pad_to));
    for (std::int64_t i = 0; i < rows; ++i) {
      batch.ids.push_back(i < length ? sequence[static_cast<std::size_t>(i)] : pad_id);
      batch.positions.push_back(static_cast<std::int32_t>(i));
      if (pad_to > 0) batch.key_mask.push_back(i < length);
    }
    batch.row_begin.push_back(static_cast<std::int32_t>(batch.ids.size()));
  }
  return batch;
}

}  // namespace eaq
