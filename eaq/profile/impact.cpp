#include <algorithm>

#include "eaq/evaluate/evaluate.h"
#include "eaq/profile/profile.h"

namespace eaq {
namespace {

struct Change {
  std::string site, format;
};

Impact impact_of(const Change& change, const Quality& reference, const Quality& changed) {
  Impact impact{.site = change.site, .format = change.format, .n = changed.n, .kl = divergence(changed)};
  impact.flips = changed.flips.value_or(0);
  impact.accuracy_delta = accuracy_change(reference, changed);
  impact.delta_nll = nll_change(reference, changed);
  return impact;
}

std::vector<Change> changes_of(const Graph& graph, const ImpactOptions& options) {
  std::vector<Change> changes;
  const auto add = [&](const std::string& site, const std::string& format) {
    if (!options.is_known || !options.is_known(site, format)) changes.push_back({site, format});
  };
  for (const Site& site : graph.sites)
    for (const std::string& format : options.formats) add(site.id, format);
  if (options.ablations)
    for (const std::string& name : ablatable(graph)) add(name, "");
  return changes;
}

bool is_emulated(const std::string& format, const Device& device) {
  if (format.empty()) return false;
  const SupportLevel level = device.backend->support(format_named(format), *device.context).level;
  return level == SupportLevel::refused || level == SupportLevel::emulated;
}

// The reference but for one change; all else is shared with it.
std::shared_ptr<const PackedModel> changed(const Model& model, const PackedModel& reference, const Change& change) {
  if (change.format.empty()) {
    Model without = model;
    without.graph = ablated(model.graph, change.site);
    return std::make_shared<const PackedModel>(without, reference.recipe(), reference);
  }
  Recipe recipe = reference.recipe();
  recipe.name = change.site + "=" + change.format;
  recipe.sites[change.site] = change.format;
  return std::make_shared<const PackedModel>(model, std::move(recipe), reference, PackOptions{.emulates = true});
}

}  // namespace

std::vector<Impact> impacts(const Model& model, const std::shared_ptr<const PackedModel>& reference, const ImpactData& data,
                            const ImpactOptions& options) {
  const std::vector<Change> changes = changes_of(model.graph, options);
  std::vector<Impact> all;
  const std::size_t at_once = std::max<std::size_t>(options.at_once, 1);
  for (std::size_t first = 0; first < changes.size() && !interrupted(); first += at_once) {
    const std::size_t count = std::min(at_once, changes.size() - first);
    std::vector<std::shared_ptr<const PackedModel>> models{reference};
    for (const Change& change : std::span(changes).subspan(first, count)) models.push_back(changed(model, *reference, change));

    EvaluateOptions evaluation;
    evaluation.range_samples = 0;
    evaluation.on_progress = [&](double part) {
      if (options.on_progress)
        options.on_progress((static_cast<double>(first) + part * static_cast<double>(count)) /
                            static_cast<double>(changes.size()));
    };
    const std::vector<Quality> qualities = data.sentences != nullptr
                                               ? evaluate_classification(models, *data.sentences, evaluation)
                                               : evaluate_perplexity(models, *data.stream, data.windows, evaluation);
    if (interrupted()) break;  // part of the data is another sample than the others'
    for (std::size_t i = 0; i < count; ++i) {
      Impact impact = impact_of(changes[first + i], qualities[0], qualities[i + 1]);
      impact.emulated = is_emulated(changes[first + i].format, reference->device());
      if (options.on_result) options.on_result(impact);
      all.push_back(std::move(impact));
    }
  }
  return all;
}

}  // namespace eaq
