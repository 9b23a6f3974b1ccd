#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eaq/profile/claims.h"

namespace eaq {
namespace {

// What a T4 gave in fp32 over fp16.
struct Original {
  StudiedModel model;
  double energy, speed;
};
constexpr Original originals[] = {{StudiedModel::distilbert, 5.9, 4.7}, {StudiedModel::gpt2, 1.67, 1.09}};

bool is(const Run& run, StudiedModel model) {
  const auto names = [&](const char* part) { return run.model.find(part) != std::string::npos; };
  return model == StudiedModel::distilbert ? names("distilbert") : names("gpt2") || names("gpt-2");
}

// The forward run of most tokens in the format, which is nearest to what the study ran.
const Run* largest_run(const Study& study, StudiedModel model, const std::string& format) {
  const Run* found = nullptr;
  for (const Run& run : study.runs)
    if (is(run, model) && run.format == format && run.phase == "forward" &&
        (found == nullptr || run.batch * run.seq > found->batch * found->seq))
      found = &run;
  return found;
}

// Of `run` against fp32.
const Comparison* against_fp32(const Study& study, const Run& run) {
  for (const Comparison& c : study.comparisons)
    if (c.model == run.model && c.a == "fp32" && c.b == run.format && c.phase == run.phase && c.batch == run.batch &&
        c.seq == run.seq)
      return &c;
  return nullptr;
}

std::string shape_of(const Run& run) {
  return run.model + ", batch " + std::to_string(run.batch) + (run.seq > 0 ? " x " + std::to_string(run.seq) : "");
}

std::string ratio(const Figure& f) {
  return f.ci95 ? fmt::format("{:.2f}x [{:.2f}, {:.2f}]", f.mean, f.ci95->first, f.ci95->second) : fmt::format("{:.2f}x", f.mean);
}

// Whether a ratio is above 1, shown.
std::optional<bool> above_one(const Figure& f) {
  if (!f.ci95) return std::nullopt;
  if (f.ci95->first > 1) return true;
  if (f.ci95->second < 1) return false;
  return std::nullopt;
}

ClaimRecord about_ratio(const std::string& claim, const std::optional<Figure>& here, double there, const Run& run,
                        bool of_energy) {
  if (!here) return not_testable(claim, "the study has no such ratio");
  if (of_energy && run.energy && run.energy->label == "assumed")
    return not_testable(claim, "these joules are an assumed power times the time");
  std::string evidence =
      fmt::format("{} here ({}), {}x there: {:.2g} times that", ratio(*here), shape_of(run), there, here->mean / there);
  if (of_energy && run.energy && run.energy->label != "measured") evidence += "; joules are " + run.energy->label;
  if (run.emulated) return not_testable(claim, "fp16 is emulated here: " + evidence);
  return judged(claim, above_one(*here), evidence);
}

ClaimRecord about_quality(const std::string& claim, const Comparison* c, const Run& run) {
  if (c == nullptr || !c->p_value || !c->quality_delta || !run.quality)
    return not_testable(claim, "the study has no quality for both");
  const bool accuracy = run.quality->metric == "accuracy";
  const double loss = accuracy ? -*c->quality_delta : *c->quality_delta;
  const std::string evidence =
      fmt::format("{} {:+.3g}{} ({} p {:.2g}, n {})", run.quality->metric, *c->quality_delta * (accuracy ? 100 : 1),
                  accuracy ? " points" : "", c->test, *c->p_value, run.quality->n);
  // The study's own digits: 105 and 105, 91.06 % and 91.06 %.
  const double margin = accuracy ? 0.005 : 0.005 * run.quality->value;
  if (*c->p_value < 0.05 && loss > (accuracy ? 0 : margin)) return contradicted(claim, evidence);
  if (std::abs(loss) <= margin && run.quality->n >= 200) return confirmed(claim, evidence);
  return not_testable(claim, "no loss is shown, nor that there is none: " + evidence);
}

ClaimRecord about_size(const std::string& claim, const Run& run) {
  const std::string evidence = fmt::format("fp32 is {:.2f} times its size", run.size_ratio);
  return run.size_ratio > 1.9 && run.size_ratio < 2.1 ? confirmed(claim, evidence) : contradicted(claim, evidence);
}

// Two ratios to fp32 as independent, which errs towards showing nothing: both hold fp32's scatter.
std::optional<bool> dearer(const Figure& mixed, const Figure& full) {
  if (!mixed.ci95 || !full.ci95 || !(mixed.ci95->first > 0) || !(full.ci95->first > 0)) return std::nullopt;
  const auto half = [](const Figure& f) { return std::log(f.ci95->second / f.ci95->first) / 2; };
  const double difference = std::log(full.mean / mixed.mean), width = std::hypot(half(mixed), half(full));
  if (std::abs(difference) <= width) return std::nullopt;
  return difference > 0;
}

ClaimRecord about_mixed(const std::string& claim, const Study& study, const Run& fp16, const Run* mixed) {
  const Comparison* a = against_fp32(study, fp16);
  const Comparison* b = mixed != nullptr ? against_fp32(study, *mixed) : nullptr;
  if (a == nullptr || b == nullptr) return not_testable(claim, "the study has no mixed_fp16 (--formats fp32,fp16,mixed_fp16)");
  const bool joules = a->energy_ratio && b->energy_ratio && fp16.energy && fp16.energy->label != "assumed";
  const auto& full = joules ? a->energy_ratio : a->speedup;
  const auto& cast = joules ? b->energy_ratio : b->speedup;
  if (!full || !cast) return not_testable(claim, "the study has neither joules nor times for both");
  return judged(
      claim, dearer(*cast, *full),
      fmt::format("fp32 over mixed_fp16 {}, over fp16 {}, in {}", ratio(*cast), ratio(*full), joules ? "joules" : "time"));
}

std::vector<ClaimRecord> of_model(const Study& study, const Original& there) {
  const std::string m = title_of(there.model) + ": ";
  const std::string energy = fmt::format("{}fp16 takes less energy than fp32 ({}x)", m, there.energy);
  const std::string speed = fmt::format("{}fp16 is faster than fp32 ({}x)", m, there.speed);
  const std::string quality = m + "fp16 loses no quality", size = m + "fp16 halves the size",
                    casts = m + "mixed precision is worse than full FP16";
  const Run* fp16 = largest_run(study, there.model, "fp16");
  if (fp16 == nullptr) {
    std::vector<ClaimRecord> none;
    for (const std::string& claim : {energy, speed, quality, size, casts})
      none.push_back(not_testable(claim, "the study has no forward run of it in fp16"));
    return none;
  }
  const Comparison* c = against_fp32(study, *fp16);
  return {about_ratio(energy, c != nullptr ? c->energy_ratio : std::nullopt, there.energy, *fp16, true),
          about_ratio(speed, c != nullptr ? c->speedup : std::nullopt, there.speed, *fp16, false),
          about_quality(quality, c, *fp16), about_size(size, *fp16),
          about_mixed(casts, study, *fp16, largest_run(study, there.model, "mixed_fp16"))};
}

// What sampled power over a run's visits says, in mJ per sample: the zone "ZONE/instant" beside a counter.
std::optional<double> by_sampled_power(const Energy& energy) {
  for (const auto& [zone, mJ] : energy.zones)
    if (zone == energy.meter + "/instant") return mJ;
  return std::nullopt;
}

// A visit is steady load, so its mean sampled power times its time stands against its counter: within 5 % in every run. Runs that
// begin idle, as the study's own did, show another thing, which the evidence adds.
ClaimRecord about_mean_power(const Study& study) {
  const std::string claim = "Mean power is robust under steady load";
  struct Worst {
    double off = 0;
    std::string where;
    void meet(double error, const Run& run) {
      if (where.empty() || std::abs(error) > std::abs(off)) off = error, where = shape_of(run) + ", " + run.format;
    }
  } steady, from_idle;
  for (const Run& run : study.runs) {
    if (!run.energy || run.energy->label == "assumed" || run.energy->method != "counter" || !(run.energy->mJ_per_sample.mean > 0))
      continue;
    const Energy& e = *run.energy;
    if (const auto sampled = by_sampled_power(e)) steady.meet(*sampled / e.mJ_per_sample.mean - 1, run);
    if (e.mean_power_method_mJ) from_idle.meet(*e.mean_power_method_mJ / e.mJ_per_sample.mean - 1, run);
  }
  if (steady.where.empty()) return not_testable(claim, "no run has both a counter and a sampled power over the same visits");
  std::string evidence =
      fmt::format("within visits, mean sampled power x time is off the counter by {:+.1f} % at most ({}); 5 % would pass",
                  steady.off * 100, steady.where);
  if (!from_idle.where.empty())
    evidence +=
        fmt::format("; in runs of 300 by themselves, which begin idle, by {:+.1f} % ({})", from_idle.off * 100, from_idle.where);
  return std::abs(steady.off) <= 0.05 ? confirmed(claim, evidence) : contradicted(claim, evidence);
}

}  // namespace

std::vector<ClaimRecord> compare_with_original(const Study& study) {
  const bool timed = std::any_of(study.runs.begin(), study.runs.end(), [](const Run& run) { return run.latency_ms.has_value(); });
  if (!timed) return {};
  std::vector<ClaimRecord> claims;
  for (const Original& there : originals)
    for (ClaimRecord& claim : of_model(study, there)) claims.push_back(std::move(claim));
  claims.push_back(about_mean_power(study));
  return claims;
}

}  // namespace eaq
