// evaluate: how good the answers are. Accuracy of classifiers, perplexity of language models, and what a format changed against
// fp32.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eaq/dataset/dataset.h"
#include "eaq/engine/engine.h"
#include "eaq/stats/stats.h"

namespace eaq {

/// Largest activation and number of non-finite values that a site's step produced.
struct SiteRange {
  std::string site;
  double max_abs = 0;
  std::int64_t non_finite = 0;
};

/// Quality of one format. Per-item records allow paired comparison with another format on the same data.
struct Quality {
  std::string metric;                     ///< "accuracy" or "perplexity"
  double value = 0;                       ///< a fraction, or exp(mean nll)
  double low = 0, high = 0;               ///< 95 % interval: Wilson for accuracy, t over windows for perplexity
  std::int64_t n = 0;                     ///< sentences, or predicted tokens
  std::int64_t correct = 0;               ///< accuracy only
  std::optional<double> kl_mean;          ///< nats per sentence or predicted token, KL(reference || this); empty: no reference
  std::optional<std::int64_t> flips;      ///< argmax differs from the reference's
  std::int64_t nan_inf = 0;               ///< non-finite logits
  std::vector<SiteRange> ranges;          ///< from a sample of the data
  std::vector<bool> item_correct;         ///< per sentence
  std::vector<double> item_nll;           ///< per sentence, of its label; per window, summed over its predicted tokens
  std::vector<std::int64_t> item_tokens;  ///< predicted tokens per window; of a sentence 1
  std::vector<std::int64_t> item_hits;    ///< per window: predicted tokens that were the likeliest
  std::vector<double> item_kl;            ///< per sentence, or per window summed over its predicted tokens; 0 without a reference
};

struct EvaluateOptions {
  std::int64_t batch = 32;                       ///< sentences per run
  std::int64_t pad_to = 0;                       ///< 0: unpadded
  std::int64_t range_samples = 4;                ///< batches or windows on which activations are watched
  std::function<void(double part)> on_progress;  ///< 0..1
};

/// Evaluates several formats in lockstep on the same data. The first is the reference for KL and flips where
/// `first_is_reference`. Stops early with what was done when interrupted.
std::vector<Quality> evaluate_classification(std::span<const std::shared_ptr<const PackedModel>>, const Sentences&,
                                             const EvaluateOptions&, bool first_is_reference = true);
std::vector<Quality> evaluate_perplexity(std::span<const std::shared_ptr<const PackedModel>>, const TokenStream&,
                                         std::span<const Window>, const EvaluateOptions&, bool first_is_reference = true);

/// The difference in quality of `b` against `a` (b - a: accuracy as a fraction; perplexity as a value) and its two-sided p-value:
/// exact McNemar for accuracy, a paired t-test on windows' nll for perplexity.
/// The p-value is NaN where an nll is not finite.
struct QualityDelta {
  double delta = 0;
  double p_value = 1;
};
QualityDelta quality_delta(const Quality& a, const Quality& b);

/// What `b` changed against `a`, each with its 95 % interval: right answers (a fraction of sentences, or of predicted tokens that
/// were the likeliest) and nats per sentence or predicted token, paired by sentence or window; and `q`'s divergence from its
/// reference per sentence or predicted token. Of a single item the interval is without end.
Interval accuracy_change(const Quality& a, const Quality& b);
Interval nll_change(const Quality& a, const Quality& b);
Interval divergence(const Quality& q);

}  // namespace eaq
