// "Energy-Aware Quantization for LLMs" (Jammula, Chemudupati, Ngulube; University of Pennsylvania, 2025): its figures, in a
// column of their own beside ours. A model is taken for the same by its number of parameters.
#include <algorithm>

#include "eaq/report/numbers.h"
#include "eaq/report/page/sections.h"
#include "eaq/report/table.h"

namespace eaq::page {
namespace {

struct OriginalRow {
  std::int64_t parameters;
  const char* name;
  const char* format;
  std::int64_t batch;  ///< as its latency and throughput have it
  const char *ms, *per_s, *mJ, *quality, *MiB;
};
constexpr OriginalRow originals[] = {
    {66955010, "DistilBERT, SST-2", "fp32", 32, "about 94 (a batch)", "324.29", "190", "91.06 %", "255.41"},
    {66955010, "DistilBERT, SST-2", "fp16", 32, "about 20 (a batch)", "1480.05", "32.66", "91.06 %", "127.71"},
    {124439808, "GPT-2, WikiText-2", "fp32", 1, "12.4", "-", "650", "105", "480"},
    {124439808, "GPT-2, WikiText-2", "fp16", 1, "11.4", "1.09x fp32's", "390", "105", "240"},
};

struct OriginalRatio {
  std::int64_t parameters;
  const char* name;
  const char *joules, *speed;
};
constexpr OriginalRatio ratios[] = {{66955010, "DistilBERT, SST-2", "5.9x", "4.7x"},
                                    {124439808, "GPT-2, WikiText-2", "1.67x", "1.09x"}};

std::int64_t parameters_of(const Study& study, const std::string& model) {
  for (const ModelRecord& record : study.manifest.models)
    if (record.name == model) return record.parameters;
  return 0;
}

PageCell ours(const std::optional<Figure>& figure) {
  return figure ? PageCell(with_bounds(*figure), figure->mean) : PageCell("");
}

void add_rows(PageTable& table, const OriginalRow& original, const Run& run) {
  const std::string what = std::string(original.name) + ", " + original.format;
  const auto row = [&](const char* figure, const char* theirs, PageCell here) {
    if (!here.text.empty())
      table.rows.push_back({what, figure, {theirs, leading_number(theirs)}, std::move(here), what_ran(run)});
  };
  if (run.batch == original.batch) {  // of another batch, time and joules are of other work
    row("ms per run", original.ms, ours(run.latency_ms ? std::optional(run.latency_ms->ms) : std::nullopt));
    row(run.unit == "sentence" ? "sentences per s" : "samples per s", original.per_s, ours(run.throughput_per_s));
    row("mJ per sample", original.mJ, ours(run.energy ? std::optional(run.energy->mJ_per_sample) : std::nullopt));
  }
  if (run.quality)
    row(run.quality->metric == "accuracy" ? "accuracy" : "perplexity", original.quality,
        {quality_text(*run.quality, true), run.quality->value});
  row("MiB", original.MiB, {mebibytes(run.size_bytes), static_cast<double>(run.size_bytes)});
}

}  // namespace

std::optional<PageTable> original_table(const Study& study) {
  PageTable table{"The original study's figures (a Tesla T4) beside those of " + study.manifest.device.name,
                  {"model, format", "figure", "original study, Tesla T4", "here", "as measured here"},
                  {},
                  {}};
  for (const auto& group : groups_of(study)) {
    if (group.front()->phase != "forward") continue;
    const std::int64_t parameters = parameters_of(study, group.front()->model);
    for (const OriginalRow& original : originals)
      for (const Run* run : group)
        if (original.parameters == parameters && run->format == original.format) add_rows(table, original, *run);
    const Run& reference = reference_of(group);
    for (const OriginalRatio& original : ratios)
      for (const Run* run : group) {
        const Comparison* c =
            original.parameters == parameters && run->format == "fp16" ? comparison_of(study, reference, *run) : nullptr;
        if (c == nullptr || reference.format != "fp32") continue;
        const std::string what = std::string(original.name) + ", fp32 / fp16";
        if (c->energy_ratio)
          table.rows.push_back({what,
                                "joules",
                                {original.joules, leading_number(original.joules)},
                                {ratio_text(*c->energy_ratio), c->energy_ratio->mean},
                                what_ran(*run)});
        if (c->speedup)
          table.rows.push_back({what,
                                "speed",
                                {original.speed, leading_number(original.speed)},
                                {ratio_text(*c->speedup), c->speedup->mean},
                                what_ran(*run)});
      }
  }
  if (table.rows.empty()) return std::nullopt;
  table.notes = {
      "The left figures are quoted from \"Energy-Aware Quantization for LLMs\" (Jammula, Chemudupati, Ngulube; University of "
      "Pennsylvania, 2025) and are not eaq's: "
      "another card, 20 Hz mean power x run time, trials one after the other, no intervals. Its MB are MiB. Times and "
      "joules stand here where the batch is its own: 32, and for GPT-2, where it is not stated, 1. Its lengths are not stated.",
      "It contradicts itself in places (5.4 % and 5 % for DistilBERT, 36 % for GPT-2 and perplexity 217 stand elsewhere in it), "
      "and its 91.06 % cannot come from the 50 samples that it "
      "states: it is 794 of 872. So compare the ratios, and them with care."};
  return table;
}

std::string claims_section(const std::vector<ClaimRecord>& claims) {
  if (claims.empty()) return "";
  PageTable table{"What the original study says, and what was seen here", {"claim", "verdict", "evidence"}, {}, {}};
  for (const ClaimRecord& c : claims) table.rows.push_back({c.claim, c.verdict, c.evidence});
  table.notes.emplace_back(
      "Claims are those of \"Energy-Aware Quantization for LLMs\" (Jammula, Chemudupati, Ngulube, 2025), on a Tesla T4.");
  return heading(3, "The original study's claims") + html(table);
}

}  // namespace eaq::page
