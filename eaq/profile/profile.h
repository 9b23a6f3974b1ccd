// profile: where in a model the joules go, and which of its parts matter. So far the second: the prediction impact of each site.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eaq/dataset/dataset.h"
#include "eaq/engine/engine.h"
#include "eaq/stats/stats.h"

namespace eaq {

/// What the model's answers lose when one site alone is in another format, or one site or other step is ablated, everything else
/// being as in the reference.
struct Impact {
  std::string site, format;  ///< of an ablation the format is empty
  std::int64_t n = 0;        ///< sentences or predicted tokens judged
  Interval kl;               ///< KL(reference || this), nats per sentence or predicted token; 95 % over sentences or windows
  std::int64_t flips = 0;    ///< another argmax than the reference's
  /// Language models: nats per predicted token, this less the reference, paired by window.
  std::optional<Interval> delta_nll;
  /// Classifiers: fraction of right answers, this less the reference, paired by sentence.
  std::optional<Interval> accuracy_delta;
};

/// What the answers are judged on. Windows belong to the stream; sentences are for classifiers.
struct ImpactData {
  const Sentences* sentences = nullptr;
  const TokenStream* stream = nullptr;
  std::span<const Window> windows = {};
};

struct ImpactOptions {
  std::vector<std::string> formats = {};  ///< each site in each of them
  bool ablations = false;                 ///< then every site and other step without what it does: see ablated()
  /// Changes that run beside one run of the reference: more is quicker and takes more memory.
  std::size_t at_once = 8;
  /// Whether this one is known from an earlier run, and need not be done again.
  std::function<bool(const std::string& site, const std::string& format)> is_known = {};
  std::function<void(const Impact&)> on_result = {};  ///< as each is done: what to keep for a later run
  std::function<void(double part)> on_progress = {};  ///< 0..1
};

/// Every change that is asked for, sites by formats first, each in the graph's order. `reference` runs on the device that is to
/// be judged; formats that are refused there are Error{unavailable}. Stops early, with what was done whole, when interrupted.
std::vector<Impact> impacts(const Model& model, const std::shared_ptr<const PackedModel>& reference, const ImpactData& data,
                            const ImpactOptions& options);

}  // namespace eaq
