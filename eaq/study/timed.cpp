// What is timed: real tokens, prepared before the first trial, and the programs that run over them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>

#include "eaq/study/job.h"

namespace eaq {
namespace {

constexpr std::size_t different_batches = 32;

using Tokens = std::vector<std::int32_t>;

// A sentence that is longer than the shape keeps its beginning and its last, special token.
Tokens cut_to(std::span<const std::int32_t> sentence, std::int64_t seq) {
  Tokens tokens(sentence.begin(), sentence.end());
  const auto length = static_cast<std::size_t>(seq);
  if (seq == 0 || tokens.size() <= length) return tokens;
  const std::int32_t last = tokens.back();
  tokens.resize(length);
  tokens.back() = last;
  return tokens;
}

// The data in its own order first, then in random orders, so that even few sentences give many different full batches.
void add_sentences(const Job& job, TimedData& data, std::uint64_t seed) {
  const auto size = static_cast<std::size_t>(data.shape.batch);
  Rng rng(seed);
  std::vector<std::size_t> order(job.sentences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::size_t next = 0;
  const std::int32_t padding = job.tokenizer ? job.tokenizer->pad_id().value_or(0) : 0;
  const std::size_t wanted = std::max(different_batches, order.size() / size);
  while (data.batches.size() < wanted) {
    std::vector<Tokens> sequences;
    while (sequences.size() < size) {
      if (next == order.size()) order = random_order(order.size(), rng), next = 0;
      if (data.batches.empty()) data.first_items.push_back(order[next]);
      sequences.push_back(cut_to(job.sentences.sentence(order[next++]), data.shape.seq));
    }
    data.batches.push_back(make_batch(sequences, data.shape.seq, padding));
  }
}

std::span<const std::int32_t> chunk(const Job& job, std::int64_t index, std::int64_t length) {
  const std::int64_t whole = static_cast<std::int64_t>(job.stream.ids.size()) / length;
  if (whole == 0)
    throw Error(ErrorKind::input, "the text's " + std::to_string(job.stream.ids.size()) + " tokens do not fill one sequence of " +
                                      std::to_string(length) + " (--seq)");
  return std::span(job.stream.ids).subspan(static_cast<std::size_t>(index % whole * length), static_cast<std::size_t>(length));
}

void add_windows(const Job& job, TimedData& data) {
  const std::int64_t whole = static_cast<std::int64_t>(job.stream.ids.size()) / data.shape.seq;
  const std::int64_t batches = std::clamp<std::int64_t>(whole / data.shape.batch, 1, 64);
  for (std::int64_t b = 0; b < batches; ++b) {
    std::vector<Tokens> sequences;
    for (std::int64_t s = 0; s < data.shape.batch; ++s) {
      const auto tokens = chunk(job, b * data.shape.batch + s, data.shape.seq);
      sequences.emplace_back(tokens.begin(), tokens.end());
    }
    data.batches.push_back(make_batch(sequences));
    if (data.shape.phase == Phase::prefill) data.batches.back().past.assign(static_cast<std::size_t>(data.shape.batch), 0);
  }
}

// The text's own next tokens are fed, so that every format decodes the same; the prompt's keys and values stay in the cache and
// the steps after it are run again and again. A device that feeds its own likeliest tokens back begins with the text's.
void add_decode(const Job& job, TimedData& data) {
  const std::int64_t prompt = data.shape.seq, length = prompt + data.shape.new_tokens;
  std::vector<Tokens> prompts;
  for (std::int64_t s = 0; s < data.shape.batch; ++s) {
    const auto tokens = chunk(job, s, length);
    prompts.emplace_back(tokens.begin(), tokens.begin() + prompt);
  }
  data.prompt = make_batch(prompts);
  data.prompt.past.assign(prompts.size(), 0);
  for (std::int64_t step = prompt; step < length; ++step) {
    OwnedBatch batch;
    batch.row_begin.push_back(0);
    for (std::int64_t s = 0; s < data.shape.batch; ++s) {
      batch.ids.push_back(chunk(job, s, length)[static_cast<std::size_t>(step)]);
      batch.positions.push_back(static_cast<std::int32_t>(step));
      batch.past.push_back(static_cast<std::int32_t>(step));
      batch.row_begin.push_back(static_cast<std::int32_t>(s + 1));
    }
    data.batches.push_back(std::move(batch));
  }
}

// max |a - b| / max |b|.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) && !std::isfinite(b[i])) continue;  // neither is an answer; the count of those stands in nan_inf
    const double distance = std::abs(static_cast<double>(a[i]) - b[i]);
    worst = std::isnan(distance) ? INFINITY : std::max(worst, distance);
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return largest > 0 ? worst / largest : worst;
}

void append(std::vector<float>& all, const std::vector<float>& rows) { all.insert(all.end(), rows.begin(), rows.end()); }

// The logits that evaluation computes for the tokens of the first timed run.
std::vector<float> evaluated_logits(const Job& job, const std::shared_ptr<const PackedModel>& packed, const TimedData& data) {
  std::vector<float> logits;
  Session session(packed);
  ExecutionContext& context = *packed->device().context;
  if (job.classifies()) {
    std::vector<Tokens> sequences;
    for (const std::size_t item : data.first_items) sequences.push_back(cut_to(job.sentences.sentence(item), data.shape.seq));
    const OwnedBatch batch = make_batch(sequences);
    append(logits, on_host(context, session.run(batch.view())));
    return logits;
  }
  const std::int64_t length = data.shape.seq + data.shape.new_tokens;
  for (std::int64_t s = 0; s < data.shape.batch; ++s) {
    const auto tokens = chunk(job, s, length);
    const std::vector<Tokens> sequence{{tokens.begin(), tokens.end()}};
    const OwnedBatch batch = make_batch(sequence);
    session.run_body(batch.view());
    // forward: every row; prefill: the prompt's last; decode: the first new token's.
    const bool all = data.shape.phase == Phase::forward;
    const std::int64_t first = all ? 0 : data.shape.phase == Phase::prefill ? length - 1 : data.shape.seq;
    append(logits, on_host(context, session.head(first, all ? length : 1)));
  }
  return logits;
}

}  // namespace

SessionOptions session_options(const TimedShape& shape, const Device& device) {
  if (shape.phase == Phase::forward) return {};
  return {.logits = Logits::last,
          .cache_sequences = shape.batch,
          .cache_capacity = shape.seq + shape.new_tokens,
          .feeds_back = shape.phase == Phase::decode && can_feed_back(device)};
}

std::string unit_of(const Job& job, const TimedShape& shape) {
  if (job.classifies()) return "sentence";
  return shape.phase == Phase::decode ? "token" : "window";
}

void require_memory_for(const std::shared_ptr<const PackedModel>& packed, const TimedShape& shape) {
  // Unpadded sentences have a token at least.
  Session(packed, session_options(shape, packed->device()))
      .reserve(shape.batch * std::max<std::int64_t>(shape.seq, 1), shape.batch);
}

TimedData make_timed_data(const Job& job, const TimedShape& shape, std::uint64_t seed) {
  TimedData data;
  data.shape = shape;
  data.samples_per_run = shape.batch;
  data.unit = unit_of(job, shape);
  if (job.classifies())
    add_sentences(job, data, seed);
  else if (shape.phase == Phase::decode)
    add_decode(job, data);
  else
    add_windows(job, data);
  return data;
}

TimedProgram::TimedProgram(const std::shared_ptr<const PackedModel>& packed, std::shared_ptr<const TimedData> data)
    : data_(std::move(data)),
      session_(packed, session_options(data_->shape, packed->device())),
      feeds_back_(session_options(data_->shape, packed->device()).feeds_back) {}

void TimedProgram::prepare() {
  if (!prepared_.empty()) return;
  if (!data_->prompt.ids.empty()) session_.run(data_->prompt.view());
  for (const OwnedBatch& batch : data_->batches) {
    prepared_.push_back(session_.prepare(batch.view()));
    if (feeds_back_) break;  // the rest follows from it
  }
  packed().begin_report();
}

int TimedProgram::record() {
  prepare();
  std::int64_t rows = 0, sequences = 0;
  for (const OwnedBatch& batch : data_->batches) {
    rows = std::max(rows, batch.view().rows());
    sequences = std::max(sequences, batch.view().sequences());
  }
  session_.reserve(rows, sequences);
  int recorded = 0;
  for (PreparedBatch& batch : prepared_) recorded += session_.record(batch) ? 1 : 0;
  return recorded;
}

Matrix TimedProgram::run(std::int64_t iteration, StepListener* listener) {
  prepare();
  const std::size_t step = static_cast<std::size_t>(iteration) % data_->batches.size();
  PreparedBatch& batch = prepared_[feeds_back_ ? 0 : step];
  if (feeds_back_ && (step == 0 || iteration != last_ + 1)) session_.rewind(batch);
  last_ = iteration;
  const Matrix logits = session_.submit(batch, {.listener = listener});
  packed().device().context->finish_runs(ahead());
  return logits;
}

int TimedProgram::ahead() const { return packed().device().context->most_ahead(); }
void TimedProgram::finish() { packed().device().context->finish_runs(0); }

Workload workload_of(const std::shared_ptr<TimedProgram>& program) {
  program->record();
  Workload workload;
  workload.samples_per_run = program->data().samples_per_run;
  workload.run = [program](std::int64_t iteration, StepListener* listener) { program->run(iteration, listener); };
  workload.finish = [program] { program->finish(); };
  workload.ahead = program->ahead();
  return workload;
}

std::string compare_with_evaluation(const Job& job, const std::shared_ptr<const PackedModel>& packed,
                                    const std::shared_ptr<const TimedData>& data, bool& agrees) {
  const std::vector<float> expected = evaluated_logits(job, packed, *data);
  TimedProgram program(packed, data);
  const std::vector<float> timed = on_host(*packed->device().context, program.run(0, nullptr));
  if (timed.size() != expected.size()) throw Error(ErrorKind::bug, "timed and evaluated logits differ in shape");
  const double apart = difference(timed, expected);
  // Sums in another order differ in their last bits; where values are then rounded to 16 or 8 bits, by a step of those.
  const Recipe& recipe = packed->recipe();
  const bool exact = recipe.base == "fp32" && recipe.sites.empty();
  agrees = apart <= (exact ? 1e-4 : 0.05);
  char text[96];
  std::snprintf(text, sizeof text, "timed outputs %s evaluation's: relative difference %.1e",
                agrees ? "agree with" : "DIFFER from", apart);
  return text;
}

}  // namespace eaq
