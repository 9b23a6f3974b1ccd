#include "eaq/evaluate/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eaq/evaluate/lockstep.h"

namespace eaq {
namespace {

// Sums of one format over the data seen so far.
struct Tally {
  double kl = 0;
  std::int64_t judged = 0, flips = 0;
};

void finish(Quality& quality, const Tally& tally, bool with_reference) {
  if (!with_reference || tally.judged == 0) return;
  // Rounding can leave a hair below zero where two distributions are the same.
  const double mean = tally.kl / static_cast<double>(tally.judged);
  quality.kl_mean = mean < 0 ? 0 : mean;
  quality.flips = tally.flips;
}

// Per window: nats per predicted token, and how many of those.
std::vector<double> per_token(const Quality& q, std::vector<double> sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] /= static_cast<double>(std::max<std::int64_t>(q.item_tokens[i], 1));
  return sums;
}
std::vector<double> mean_nll(const Quality& q) { return per_token(q, q.item_nll); }
std::vector<double> weights_of(const Quality& q) { return {q.item_tokens.begin(), q.item_tokens.end()}; }

void finish_accuracy(Quality& q) {
  q.n = static_cast<std::int64_t>(q.item_correct.size());
  q.correct = std::count(q.item_correct.begin(), q.item_correct.end(), true);
  if (q.n == 0) return;
  const Interval interval = wilson_interval(q.correct, q.n);
  q.value = static_cast<double>(q.correct) / static_cast<double>(q.n);
  q.low = interval.low, q.high = interval.high;
}

// exp of the token-weighted mean nll, windows being what scatters.
void finish_perplexity(Quality& q) {
  q.n = std::accumulate(q.item_tokens.begin(), q.item_tokens.end(), std::int64_t{0});
  if (q.n == 0) return;
  q.value = q.low = q.high = std::exp(std::accumulate(q.item_nll.begin(), q.item_nll.end(), 0.0) / static_cast<double>(q.n));
  if (q.item_nll.size() < 2 || !std::isfinite(q.value)) return;
  const Interval interval = weighted_interval(mean_nll(q), weights_of(q));
  q.low = std::exp(interval.low);
  q.high = std::exp(interval.high);
}

// Runs every batch in lockstep; `item(format, index, outcome)` gets what each judged row said.
template <class Targets, class Item>
std::vector<Quality> evaluate(std::span<const std::shared_ptr<const PackedModel>> models, std::span<const TokenBatch> batches,
                              const EvaluateOptions& options, bool with_reference, Targets targets_of, Item item) {
  Lockstep lockstep(models, with_reference);
  std::vector<Quality> qualities(models.size());
  std::vector<Tally> tallies(models.size());
  for (std::size_t b = 0; b < batches.size() && !interrupted(); ++b) {
    if (options.on_progress) options.on_progress(static_cast<double>(b) / static_cast<double>(batches.size()));
    const TokenBatch& tokens = batches[b];
    const std::vector<std::int32_t> targets = targets_of(batches[b]);
    const bool watch = static_cast<std::int64_t>(b) < options.range_samples;
    lockstep.run({tokens.ids, tokens.positions, tokens.row_begin, tokens.key_mask, {}}, targets, watch,
                 [&](std::size_t format, std::int64_t row, const RowOutcome& outcome) {
                   Tally& tally = tallies[format];
                   tally.kl += outcome.kl;
                   tally.flips += outcome.flipped;
                   ++tally.judged;
                   qualities[format].nan_inf += outcome.non_finite;
                   item(qualities[format], batches[b], row, targets[static_cast<std::size_t>(row)], outcome);
                 });
  }
  for (std::size_t f = 0; f < models.size(); ++f) {
    finish(qualities[f], tallies[f], with_reference);
    qualities[f].ranges = lockstep.ranges(f);
  }
  return qualities;
}

}  // namespace

std::vector<Quality> evaluate_classification(std::span<const std::shared_ptr<const PackedModel>> models,
                                             const Sentences& sentences, const EvaluateOptions& options,
                                             bool first_is_reference) {
  const std::vector<TokenBatch> batches = make_batches(sentences, {.sequences = static_cast<int>(options.batch),
                                                                   .fill = options.pad_to > 0 ? Fill::fixed : Fill::none,
                                                                   .length = static_cast<int>(options.pad_to)});
  std::vector<Quality> qualities = evaluate(
      models, batches, options, first_is_reference, [](const TokenBatch& batch) { return batch.labels; },
      [](Quality& q, const TokenBatch&, std::int64_t, std::int32_t label, const RowOutcome& outcome) {
        // An answer that is not a number is no answer, whatever its argmax.
        q.item_correct.push_back(outcome.argmax == label && outcome.non_finite == 0);
        q.item_nll.push_back(outcome.nll);
        q.item_tokens.push_back(1);
        q.item_kl.push_back(outcome.kl);
      });
  for (Quality& q : qualities) {
    q.metric = "accuracy";
    finish_accuracy(q);
  }
  return qualities;
}

std::vector<Quality> evaluate_perplexity(std::span<const std::shared_ptr<const PackedModel>> models, const TokenStream& stream,
                                         std::span<const Window> windows, const EvaluateOptions& options,
                                         bool first_is_reference) {
  const std::vector<TokenBatch> batches = make_batches(stream, windows, {.sequences = 1});
  std::vector<Quality> qualities = evaluate(
      models, batches, options, first_is_reference,
      [](const TokenBatch& batch) {
        // Row r predicts the token after it; only the last `targets` tokens of a window count.
        std::vector<std::int32_t> next(batch.ids.size(), -1);
        for (std::size_t s = 0; s < batch.sequences(); ++s)
          for (std::int32_t r = batch.row_begin[s + 1] - 1 - batch.targets[s]; r + 1 < batch.row_begin[s + 1]; ++r)
            next[static_cast<std::size_t>(r)] = batch.ids[static_cast<std::size_t>(r) + 1];
        return next;
      },
      [](Quality& q, const TokenBatch& batch, std::int64_t, std::int32_t target, const RowOutcome& outcome) {
        const auto index = static_cast<std::size_t>(batch.first);
        if (q.item_nll.size() <= index) {
          q.item_nll.resize(index + 1), q.item_tokens.resize(index + 1), q.item_kl.resize(index + 1);
          q.item_hits.resize(index + 1);
        }
        q.item_hits[index] += outcome.argmax == target && outcome.non_finite == 0 ? 1 : 0;
        q.item_nll[index] += outcome.nll;
        q.item_kl[index] += outcome.kl;
        ++q.item_tokens[index];
      });
  for (Quality& q : qualities) {
    q.metric = "perplexity";
    finish_perplexity(q);
  }
  return qualities;
}

namespace {

// Sentences that only one of two has right.
struct Discordant {
  std::int64_t lost = 0, gained = 0;
};
Discordant discordant(const Quality& a, const Quality& b) {
  Discordant d;
  for (std::size_t i = 0; i < a.item_correct.size(); ++i) {
    d.lost += a.item_correct[i] && !b.item_correct[i];
    d.gained += !a.item_correct[i] && b.item_correct[i];
  }
  return d;
}

}  // namespace

namespace {

// Per window, as numbers per predicted token.
Interval change_by_window(const Quality& b, const std::vector<double>& before, const std::vector<double>& after) {
  if (before.size() == 1) return t_interval(std::vector{after[0] - before[0]});
  return paired_interval(before, after, weights_of(b));
}

}  // namespace

Interval accuracy_change(const Quality& a, const Quality& b) {
  if (a.metric != "accuracy")
    return change_by_window(b, per_token(a, {a.item_hits.begin(), a.item_hits.end()}),
                            per_token(b, {b.item_hits.begin(), b.item_hits.end()}));
  const Discordant d = discordant(a, b);
  return paired_accuracy_interval(d.lost, d.gained, b.n);
}

Interval nll_change(const Quality& a, const Quality& b) { return change_by_window(b, mean_nll(a), mean_nll(b)); }

Interval divergence(const Quality& q) {
  if (q.metric == "accuracy" || q.item_kl.size() == 1)
    return t_interval(q.metric == "accuracy" ? q.item_kl : per_token(q, q.item_kl));
  return weighted_interval(per_token(q, q.item_kl), weights_of(q));
}

QualityDelta quality_delta(const Quality& a, const Quality& b) {
  if (a.metric != b.metric || a.n != b.n) throw Error(ErrorKind::bug, "qualities of different data cannot be compared");
  QualityDelta delta;
  delta.delta = b.value - a.value;
  if (a.metric == "accuracy") {
    const Discordant d = discordant(a, b);
    delta.p_value = mcnemar_p(d.lost, d.gained);
    return delta;
  }
  std::vector<double> differences = mean_nll(b);
  const std::vector<double> before = mean_nll(a);
  for (std::size_t i = 0; i < differences.size(); ++i) differences[i] -= before[i];
  const bool finite = std::all_of(differences.begin(), differences.end(), [](double d) { return std::isfinite(d); });
  if (!finite) delta.p_value = std::numeric_limits<double>::quiet_NaN();
  if (finite && differences.size() >= 2) delta.p_value = t_test_p(differences);
  return delta;
}

}  // namespace eaq
