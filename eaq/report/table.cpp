#include "eaq/report/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "eaq/report/numbers.h"

namespace eaq {
namespace {

using Runs = std::vector<const Run*>;

std::string task_title(const std::string& task) {
  if (task == "sst2") return "SST-2";
  if (task == "wikitext2") return "WikiText-2";
  if (task == "random") return "Random tokens";
  return task;
}

std::string shape_text(const Run& run) {
  std::string text = run.phase == "forward" ? "" : run.phase + ", ";
  text += "batch " + std::to_string(run.batch);
  return text + (run.seq == 0 ? ", unpadded" : ", seq " + std::to_string(run.seq));
}

void append(std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; }

// Of what all runs of a table share: the first that has joules speaks for the rest.
const Energy* energy_in(const Runs& runs) {
  for (const Run* run : runs)
    if (run->energy) return &*run->energy;
  return nullptr;
}

class Builder {
 public:
  Builder(const Study& study, Runs runs) : study_(study), runs_(std::move(runs)), energy_(energy_in(runs_)) {
    reference_ = &reference_of(runs_);
  }

  TableText build() {
    const Run& first = *runs_.front();
    table_.title =
        task_title(first.task) + " (" + first.model + ") on " + study_.manifest.device.name + " | " + shape_text(first);
    table_.method = timing_method(study_.manifest.protocol) + " | energy: " +
                    (energy_ != nullptr ? energy_->meter + ", " + energy_->method + ", " + energy_->label : "none");
    header(first);
    for (const Run* run : runs_) table_.rows.push_back(cells(*run));
    notes();
    return std::move(table_);
  }

 private:
  bool timed() const {
    return std::any_of(runs_.begin(), runs_.end(), [](const Run* r) { return r->latency_ms.has_value(); });
  }

  const Comparison* against_reference(const Run& run) const { return comparison_of(study_, *reference_, run); }

  void header(const Run& first) {
    table_.header = {"format"};
    if (timed()) {
      table_.header.emplace_back(first.phase == "decode" ? "ms/step" : "ms/batch");
      table_.header.emplace_back(first.unit + "s/s");
      if (energy_ != nullptr)
        // Joules that no sensor measured say so at the head of their column.
        table_.header.emplace_back(energy_->label == "measured" ? "mJ/" + first.unit : "mJ (" + energy_->label + ")");
      table_.header.emplace_back((energy_ != nullptr ? "joules vs " : "speed vs ") + reference_->format);
    }
    table_.header.emplace_back(first.unit == "sentence" ? "accuracy %" : "perplexity");
    table_.header.emplace_back("KL nats");
    table_.header.emplace_back("MiB");
    if (energy_ == nullptr) table_.header.emplace_back("peak MiB");
  }

  std::vector<std::string> cells(const Run& run) {
    std::vector<std::string> row{run.format + (run.emulated ? " ~" : "")};
    if (timed()) {
      row.emplace_back(run.latency_ms ? with_margin(run.latency_ms->ms) : "");
      row.emplace_back(run.throughput_per_s ? with_thousands(run.throughput_per_s->mean) : "");
      if (energy_ != nullptr) row.emplace_back(run.energy ? with_margin(run.energy->mJ_per_sample) : "");
      row.emplace_back(ratio(run));
    }
    row.emplace_back(quality(run));
    row.emplace_back(run.format == "fp32" || !run.quality ? "-" : small_number(run.quality->kl_mean));
    row.emplace_back(mebibytes(run.size_bytes));
    if (energy_ == nullptr) row.emplace_back(run.peak_memory_bytes ? mebibytes(*run.peak_memory_bytes) : "");
    return row;
  }

  std::string ratio(const Run& run) const {
    if (&run == reference_) return "1";
    const Comparison* c = against_reference(run);
    if (c == nullptr) return "";
    const auto& figure = energy_ != nullptr ? c->energy_ratio : c->speedup;
    return figure ? ratio_text(*figure) : "";
  }

  std::string quality(const Run& run) {
    if (!run.quality) return "";
    const Comparison* c = &run == reference_ ? nullptr : against_reference(run);
    if (c == nullptr || !c->p_value) return quality_text(*run.quality, true);
    const bool differs = *c->p_value < 0.05;
    (differs ? different_ : same_).push_back(c);
    return quality_text(*run.quality, false) + (differs ? " *" : " =");
  }

  void notes() {
    if (!same_.empty()) {
      double least = 1;
      for (const Comparison* c : same_) least = std::min(least, *c->p_value);
      table_.notes.push_back("= no difference from " + reference_->format + " shown (" + same_.front()->test + ", " +
                             (same_.size() > 1 ? "least " : "") + p_text(least) + ").");
    }
    std::string names;
    for (const Comparison* c : different_) {
      const bool accuracy = reference_->quality->metric == "accuracy";
      char delta[64];
      std::snprintf(delta, sizeof delta, " %+.3g%s, ", *c->quality_delta * (accuracy ? 100 : 1), accuracy ? " points" : "");
      names += (names.empty() ? "" : "; ") + c->b + delta + p_text(*c->p_value);
    }
    if (!names.empty())
      table_.notes.push_back("* differs from " + reference_->format + " (" + different_.front()->test + ": " + names + ").");
    storage_note();
    mean_power_note();
    for (const Run* run : runs_) run_notes(*run);
    no_quality_note();
  }

  // One line for a reason that several formats share.
  void no_quality_note() {
    std::vector<std::pair<std::string, std::string>> reasons;
    for (const Run* run : runs_) {
      if (run->quality || run->quality_unavailable.empty()) continue;
      const auto same = std::find_if(reasons.begin(), reasons.end(),
                                     [&](const auto& entry) { return entry.second == run->quality_unavailable; });
      if (same == reasons.end())
        reasons.emplace_back(run->format, run->quality_unavailable);
      else
        append(same->first, run->format);
    }
    const bool none = std::none_of(runs_.begin(), runs_.end(), [](const Run* run) { return run->quality.has_value(); });
    for (const auto& [formats, reason] : reasons)
      table_.notes.push_back(
          std::string("No quality").append(none && reasons.size() == 1 ? "" : " for " + formats).append(": ").append(reason));
  }

  // What ran, where the format's name alone would mislead.
  void storage_note() {
    std::string widened, emulated;
    for (const Run* run : runs_) {
      if (run->emulated)
        append(emulated, run->format);
      else if (run->arithmetic == "f32" && !run->storage.empty() && run->storage != "fp32")
        append(widened, run->format);
    }
    if (!emulated.empty())
      table_.notes.push_back("~ emulated (" + emulated +
                             "): a format's values, not its own bytes or arithmetic; speed and joules are not the format's.");
    if (!widened.empty()) table_.notes.push_back("Stored as named, widened in registers and multiplied in f32: " + widened + ".");
  }

  void mean_power_note() {
    if (energy_ == nullptr || energy_->method == "mean-power") return;
    std::string all;
    for (const Run* run : runs_) {
      if (!run->energy || !run->energy->mean_power_method_mJ) continue;
      const double says = *run->energy->mean_power_method_mJ, is = run->energy->mJ_per_sample.mean;
      char text[64];
      std::snprintf(text, sizeof text, " (%+.0f %%)", (says / is - 1) * 100);
      append(all, run->format + " " + short_number(says) + text);
    }
    if (!all.empty()) table_.notes.push_back("Mean sampled power x time would say, in mJ: " + all + ".");
    if (energy_->scale_uncertainty)
      table_.notes.push_back("The meter's scale is uncertain by " + with_decimals(*energy_->scale_uncertainty * 100, 0) +
                             " %, which cancels in ratios and is in no interval.");
  }

  void run_notes(const Run& run) {
    if (run.quality && run.quality->nan_inf > 0)
      table_.notes.push_back("! " + run.format + ": " + std::to_string(run.quality->nan_inf) + " logits are NaN or infinite.");
    for (const std::string& note : run.notes)
      if (note.find("DIFFER") != std::string::npos || note.find("void") != std::string::npos || note.starts_with("partial"))
        table_.notes.push_back("! " + run.format + ": " + note);
    if (energy_ != nullptr && !run.energy && !run.energy_unavailable.empty())
      table_.notes.push_back("No joules for " + run.format + ": " + run.energy_unavailable);
  }

  const Study& study_;
  Runs runs_;
  const Energy* energy_;
  const Run* reference_;
  TableText table_;
  std::vector<const Comparison*> same_, different_;
};

}  // namespace

std::string timing_method(const ProtocolRecord& p) {
  if (p.name == "original")
    return std::to_string(p.trials.value_or(0)) + " trials x " + std::to_string(p.iterations.value_or(0)) +
           " iterations in sequence (the original study's protocol)";
  if (!p.blocks) return "quality alone";
  std::string text = std::to_string(*p.blocks) + (*p.blocks == 1 ? " block x " : " blocks x ") +
                     std::to_string(p.visits_per_block.value_or(2)) + " visits";
  if (p.visit_s) text += " of " + short_number(*p.visit_s) + " s";
  return text;
}

std::vector<std::vector<const Run*>> groups_of(const Study& study) {
  std::vector<Runs> groups;
  const auto key = [](const Run& r) { return std::tie(r.model, r.phase, r.batch, r.seq); };
  for (const Run& run : study.runs) {
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const Runs& g) { return key(*g.front()) == key(run); });
    if (group == groups.end())
      groups.push_back({&run});
    else
      group->push_back(&run);
  }
  return groups;
}

const Run& reference_of(const std::vector<const Run*>& group) {
  const auto fp32 = std::find_if(group.begin(), group.end(), [](const Run* r) { return r->format == "fp32"; });
  return fp32 != group.end() ? **fp32 : *group.front();
}

const Comparison* comparison_of(const Study& study, const Run& reference, const Run& run) {
  for (const Comparison& c : study.comparisons)
    if (std::tie(c.model, c.a, c.b, c.phase, c.batch, c.seq) ==
        std::tie(run.model, reference.format, run.format, run.phase, run.batch, run.seq))
      return &c;
  return nullptr;
}

std::vector<TableText> tables_of(const Study& study) {
  std::vector<Runs> groups = groups_of(study);
  std::vector<TableText> tables;
  tables.reserve(groups.size());
  for (Runs& runs : groups) tables.push_back(Builder(study, std::move(runs)).build());
  return tables;
}

std::vector<std::string> closing_lines(const Study& study) {
  std::vector<std::string> lines;
  // One line for a reason, whichever formats and models it refused.
  std::vector<std::pair<std::string, std::string>> refused;
  for (const Refused& r : study.refused) {
    const std::string name = r.format + " (" + r.model + ")";
    const auto same = std::find_if(refused.begin(), refused.end(), [&](const auto& entry) { return entry.second == r.reason; });
    if (same == refused.end())
      refused.emplace_back(name, r.reason);
    else
      append(same->first, name);
  }
  lines.reserve(refused.size() + 2);
  for (const auto& [names, reason] : refused) lines.emplace_back("Refused: ").append(names).append(": ").append(reason);
  if (study.interrupted) lines.emplace_back("Interrupted: this is what had been measured until then.");
  const bool timed = std::any_of(study.runs.begin(), study.runs.end(), [](const Run& r) { return r.latency_ms.has_value(); });
  const bool joules = std::any_of(study.runs.begin(), study.runs.end(), [](const Run& r) { return r.energy.has_value(); });
  if (timed && !joules) {
    std::string why = study.manifest.no_meter;
    for (const Run& run : study.runs)
      if (why.empty()) why = run.energy_unavailable;
    // Whatever was the matter (a stuck counter, a sensor that was unplugged), a stated power always brings joules.
    if (why.find("--assume-watts") == std::string::npos && why.find("To see joules") == std::string::npos)
      why += ". To see joules: --assume-watts 65 (the machine's power, as you state it)";
    lines.emplace_back("No energy columns: " + why);
  }
  return lines;
}

}  // namespace eaq
