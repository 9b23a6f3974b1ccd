#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "eaq/base/json.h"
#include "eaq/report/numbers.h"
#include "eaq/report/report.h"
#include "eaq/report/style.h"
#include "eaq/report/text.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

constexpr double endless = 1e9;  // degrees of freedom of what is not estimated from a sample

// The logarithm of a figure, with its variance.
struct LogFigure {
  double value = 0, variance = 0, degrees = endless;
};

std::optional<LogFigure> log_of(const Figure& figure) {
  if (!(figure.mean > 0)) return std::nullopt;
  LogFigure log{std::log(figure.mean), 0, endless};
  if (figure.trials.size() >= 2 && std::all_of(figure.trials.begin(), figure.trials.end(), [](double t) { return t > 0; })) {
    std::vector<double> logs;
    for (const double trial : figure.trials) logs.push_back(std::log(trial));
    const auto n = static_cast<double>(logs.size());
    log.variance = variance(logs) / n;
    log.degrees = n - 1;
    return log;
  }
  // An interval alone: taken for one of a normal distribution.
  if (!figure.ci95 || !(figure.ci95->first > 0) || !std::isfinite(figure.ci95->second)) return std::nullopt;
  const double error = std::log(figure.ci95->second / figure.ci95->first) / (2 * normal_quantile(0.975));
  log.variance = error * error;
  return log;
}

// A difference of logarithms with all that it rests on.
struct Difference {
  double value = 0;
  std::vector<std::pair<double, double>> parts;  // variance, degrees of freedom

  double variance() const {
    double sum = 0;
    for (const auto& [part, degrees] : parts) sum += part;
    return sum;
  }
  double degrees() const {
    double below = 0;
    for (const auto& [part, free] : parts) below += part * part / free;
    return below > 0 ? variance() * variance() / below : endless;
  }
  double p() const {
    if (variance() == 0) return value == 0 ? 1 : 0;
    return 2 * t_cdf(-std::abs(value) / std::sqrt(variance()), degrees());
  }
  Figure ratio() const {
    const double half = variance() > 0 ? t_quantile(0.975, degrees()) * std::sqrt(variance()) : 0;
    return {std::exp(value), {{std::exp(value - half), std::exp(value + half)}}, {}};
  }
};

Difference difference(const LogFigure& a, const LogFigure& b) {
  return {a.value - b.value, {{a.variance, a.degrees}, {b.variance, b.degrees}}};
}

// A pair in the making: what is not comparable has a reason, the rest a difference.
struct Candidate {
  ComparedPair pair;
  bool more_is_better = false;
  std::optional<Difference> difference;
  std::optional<double> p;
};

Candidate unlike(ComparedPair pair, std::string reason) {
  pair.reason = std::move(reason);
  return {std::move(pair), false, std::nullopt, std::nullopt};
}

std::string quoted_pair(const std::string& a, const std::string& b) { return printable(a) + " against " + printable(b); }

std::string other_device(const Manifest& a, const Manifest& b) {
  if (a.device.kind != b.device.kind || a.device.name != b.device.name)
    return "another device: " + quoted_pair(a.device.name, b.device.name);
  if (a.host.cpu != b.host.cpu) return "another host processor: " + quoted_pair(a.host.cpu, b.host.cpu);
  return "";
}

template <class Records>
std::string hash_of(const Records& records, const std::string& name, std::string std::remove_cvref_t<Records>::value_type::*key) {
  for (const auto& record : records)
    if (record.*key == name) return record.hash;
  return "";
}

class Comparing {
 public:
  Comparing(const Study& a, const Study& b, const BetweenRunsOf& between) : a_(a), b_(b), between_(between) {
    device_ = other_device(a.manifest, b.manifest);
  }

  void add(const Run& a, const Run& b) {
    ComparedPair base{a.model, a.task, a.phase, a.unit, a.batch, a.seq, a.format, "", {}, {}, Verdict::not_comparable, "", {}};
    const bool recipe = a.recipe != b.recipe;
    for (const char* metric : {"energy", "latency", "throughput", "quality"}) {
      base.metric = metric;
      const std::string name = metric;
      if (recipe)
        found.push_back(unlike(base, "the recipes called " + printable(a.format) + " differ"));
      else if (name == "energy")
        found.push_back(energy(base, a, b));
      else if (name == "quality")
        found.push_back(quality(base, a, b));
      else
        found.push_back(time(base, a, b));
    }
  }

  std::vector<Candidate> found;

 private:
  // Adds twice the between-run variance; nothing where it is not known.
  bool add_between(Difference& d, const std::string& id, std::optional<double> BetweenRuns::*which) const {
    const auto known = between_ ? between_(id) : std::nullopt;
    if (!known || !((*known).*which) || known->repeats < 2) return false;
    const double sd = *((*known).*which);
    d.parts.emplace_back(2 * sd * sd, known->repeats - 1);
    return true;
  }

  static std::string not_known(const std::string& of, const std::string& id) {
    return "how much " + of + " differs from run to run is not known for " + printable(id) +
           ": `eaq meter --calibrate` finds it out, `eaq compare --live` does without";
  }

  static Candidate finished(ComparedPair pair, bool more_is_better, Difference d) {
    const double p = d.p();
    return {std::move(pair), more_is_better, std::move(d), p};
  }

  Candidate energy(const ComparedPair& pair, const Run& a, const Run& b) const {
    for (const Run* run : {&a, &b})
      if (!run->energy)
        return unlike(pair, std::string(run == &a ? "A" : "B") + " has no joules: " +
                                (run->energy_unavailable.empty() ? "no reason is given" : printable(run->energy_unavailable)));
    if (a.energy->label != b.energy->label) return unlike(pair, "A's joules are " + a.energy->label + ", B's " + b.energy->label);
    if (a.energy->method != b.energy->method)
      return unlike(pair, "other methods: " + quoted_pair(a.energy->method, b.energy->method));
    if (a.energy->meter != b.energy->meter) return unlike(pair, "other zones: " + quoted_pair(a.energy->meter, b.energy->meter));
    if (!device_.empty()) return unlike(pair, device_);
    const auto log_a = log_of(a.energy->mJ_per_sample), log_b = log_of(b.energy->mJ_per_sample);
    if (!log_a || !log_b) return unlike(pair, "a figure without an interval, or not above 0");
    Difference d = difference(*log_a, *log_b);
    // Joules of a stated power are time in another unit.
    const bool stated = a.energy->label == "assumed";
    if (stated && a.energy->mean_power_W != b.energy->mean_power_W &&
        std::abs(a.energy->mean_power_W / b.energy->mean_power_W - 1) > 1e-3)
      return unlike(pair, "another stated power: " + short_number(a.energy->mean_power_W) + " W against " +
                              short_number(b.energy->mean_power_W) + " W");
    const std::string id = stated ? a_.manifest.device.name : a.energy->meter;
    if (!add_between(d, id, stated ? &BetweenRuns::time_sd : &BetweenRuns::energy_sd))
      return unlike(pair, not_known(stated ? "time" : "energy", id));
    return finished(pair, false, std::move(d));
  }

  Candidate time(const ComparedPair& pair, const Run& a, const Run& b) const {
    const bool latency = pair.metric == "latency";
    for (const Run* run : {&a, &b})
      if (latency ? !run->latency_ms : !run->throughput_per_s)
        return unlike(pair, std::string(run == &a ? "A" : "B") + " was not timed: " + printable(run->timing_unavailable));
    if (!device_.empty()) return unlike(pair, device_);
    const auto log_a = log_of(latency ? a.latency_ms->ms : *a.throughput_per_s),
               log_b = log_of(latency ? b.latency_ms->ms : *b.throughput_per_s);
    if (!log_a || !log_b) return unlike(pair, "a figure without an interval, or not above 0");
    Difference d = difference(*log_a, *log_b);
    // A card's own id where its meter names it, else the device's name.
    std::string id = a_.manifest.device.name;
    if (a.energy && b.energy && a.energy->meter == b.energy->meter && a.energy->label != "assumed") id = a.energy->meter;
    if (add_between(d, id, &BetweenRuns::time_sd)) return finished(pair, !latency, std::move(d));
    if (!add_between(d, id, &BetweenRuns::energy_sd)) return unlike(pair, not_known("time", id));
    Candidate c = finished(pair, !latency, std::move(d));
    c.pair.reason = "time's scatter from run to run is not known: that of the joules stands for it";
    return c;
  }

  Candidate quality(const ComparedPair& pair, const Run& a, const Run& b) const {
    for (const Run* run : {&a, &b})
      if (!run->quality)
        return unlike(pair, std::string(run == &a ? "A" : "B") + " has no quality: " + printable(run->quality_unavailable));
    if (a.quality->metric != b.quality->metric)
      return unlike(pair, "other metrics: " + quoted_pair(a.quality->metric, b.quality->metric));
    if (hash_of(a_.manifest.models, a.model, &ModelRecord::name) != hash_of(b_.manifest.models, b.model, &ModelRecord::name))
      return unlike(pair, "another model of this name (its hash differs)");
    if (hash_of(a_.manifest.data, a.task, &DataRecord::task) != hash_of(b_.manifest.data, b.task, &DataRecord::task))
      return unlike(pair, "other data (its hash differs)");
    if (a.quality->n != b.quality->n || a_.manifest.protocol.quality != b_.manifest.protocol.quality)
      return unlike(pair, "the data was cut differently: " + std::to_string(a.quality->n) + " items against " +
                              std::to_string(b.quality->n));
    const auto log_a = log_of({a.quality->value, a.quality->ci95, {}}), log_b = log_of({b.quality->value, b.quality->ci95, {}});
    if (!log_a || !log_b) return unlike(pair, "a figure without an interval, or not above 0");
    Candidate c = finished(pair, a.quality->metric == "accuracy", difference(*log_a, *log_b));
    c.pair.reason = "intervals taken as independent; `--live` pairs the items";
    return c;
  }

  const Study &a_, &b_;
  const BetweenRunsOf& between_;
  std::string device_;
};

// Holm over the pairs of each metric, then the verdicts.
std::vector<ComparedPair> judged(std::vector<Candidate> candidates) {
  for (const char* metric : {"energy", "latency", "throughput", "quality"}) {
    std::vector<double> p;
    std::vector<Candidate*> members;
    for (Candidate& c : candidates)
      if (c.p && c.pair.metric == metric) p.push_back(*c.p), members.push_back(&c);
    const std::vector<double> adjusted = holm(p);
    for (std::size_t i = 0; i < members.size(); ++i) members[i]->pair.p = adjusted[i];
  }
  std::vector<ComparedPair> pairs;
  for (Candidate& c : candidates) {
    ComparedPair& pair = c.pair;
    if (c.difference) pair.ratio = c.difference->ratio();
    if (pair.ratio) {
      const Figure& r = *pair.ratio;
      pair.verdict = Verdict::no_difference;
      const bool apart = !r.ci95 || r.ci95->first > 1 || r.ci95->second < 1;
      if (pair.p && *pair.p < 0.05 && apart) pair.verdict = (r.mean > 1) != c.more_is_better ? Verdict::better : Verdict::worse;
      if (pair.verdict == Verdict::no_difference && apart && r.mean != 1)
        pair.reason += std::string(pair.reason.empty() ? "" : "; ") +
                       "its own interval excludes 1, the correction for several pairs does not";
      // Of accuracy and throughput the loss; of joules, time and perplexity the growth.
      if (pair.verdict == Verdict::worse) pair.regression = c.more_is_better ? 1 - 1 / r.mean : 1 / r.mean - 1;
    }
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

bool same_work(const Run& a, const Run& b) {
  return a.model == b.model && a.task == b.task && a.phase == b.phase && a.unit == b.unit && a.batch == b.batch && a.seq == b.seq;
}

std::string shape_of(const Run& run) {
  return run.model + " " + run.format + ", " + run.phase + " " + std::to_string(run.batch) + " x " + std::to_string(run.seq);
}

Candidate from_study(ComparedPair pair, const char* metric, bool more_is_better, const std::optional<Figure>& ratio,
                     const std::optional<double>& p, bool turned) {
  pair.metric = metric;
  if (!ratio || !p || !(ratio->mean > 0)) return unlike(std::move(pair), "this study has no such ratio");
  Figure r{ratio->mean, ratio->ci95, {}};
  if (turned) {
    r.mean = 1 / r.mean;
    if (r.ci95) r.ci95 = {1 / ratio->ci95->second, 1 / ratio->ci95->first};
  }
  pair.ratio = std::move(r);
  return {std::move(pair), more_is_better, std::nullopt, p};
}

const Run* run_in(const Study& study, const Comparison& c, const std::string& format) {
  for (const Run& run : study.runs)
    if (run.model == c.model && run.phase == c.phase && run.batch == c.batch && run.seq == c.seq && run.format == format)
      return &run;
  return nullptr;
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  constexpr std::array<std::string_view, 4> names{"better", "worse", "no difference shown", "not comparable"};
  return names.at(static_cast<std::size_t>(verdict));
}

StudyComparison compare_studies(const Study& a, const Study& b, const BetweenRunsOf& between_runs) {
  StudyComparison comparison;
  Comparing comparing(a, b, between_runs);
  std::vector<bool> met(b.runs.size());
  for (const Run& run : a.runs) {
    bool found = false;
    for (std::size_t i = 0; i < b.runs.size() && !found; ++i) {
      if (met[i] || run.format != b.runs[i].format || !same_work(run, b.runs[i])) continue;
      comparing.add(run, b.runs[i]);
      found = met[i] = true;
    }
    if (!found) comparison.unpaired.push_back("only in A: " + shape_of(run));
  }
  for (std::size_t i = 0; i < b.runs.size(); ++i)
    if (!met[i]) comparison.unpaired.push_back("only in B: " + shape_of(b.runs[i]));
  if (comparing.found.empty())
    throw Error(ErrorKind::input, "the two results have no run in common (model, task, phase, batch, seq and format must match)" +
                                      (comparison.unpaired.empty() ? "" : "; " + printable(comparison.unpaired.front())));
  comparison.pairs = judged(std::move(comparing.found));
  return comparison;
}

StudyComparison compare_formats(const Study& study, const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto in = [](const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  std::vector<Candidate> candidates;
  for (const Comparison& c : study.comparisons) {
    const bool forward = in(a, c.a) && in(b, c.b), turned = !forward && in(a, c.b) && in(b, c.a);
    if (!forward && !turned) continue;
    const std::string &first = turned ? c.b : c.a, &second = turned ? c.a : c.b;
    const Run *run_a = run_in(study, c, first), *run_b = run_in(study, c, second);
    if (run_a == nullptr || run_b == nullptr) continue;
    std::string both = first;
    both += " / ";
    both += second;
    const ComparedPair base{c.model, run_a->task, c.phase, run_a->unit, c.batch, c.seq, both, "", {}, {}, Verdict::not_comparable,
                            "",      {}};
    candidates.push_back(from_study(base, "energy", false, c.energy_ratio, c.energy_p, turned));
    if (!c.energy_ratio) candidates.back().pair.reason = printable(run_a->energy_unavailable);
    candidates.push_back(from_study(base, "latency", false, c.speedup, c.speedup_p, turned));
    candidates.push_back(from_study(base, "throughput", true, c.speedup, c.speedup_p, !turned));
    std::optional<Figure> quality;
    if (run_a->quality && run_b->quality && run_b->quality->value > 0)
      quality = Figure{run_a->quality->value / run_b->quality->value, {}, {}};
    const bool accuracy = quality && run_a->quality->metric == "accuracy";
    candidates.push_back(from_study(base, "quality", accuracy, quality, c.p_value, false));
    if (quality && c.p_value) candidates.back().pair.reason = c.test + " on the same items; the ratio has no interval";
  }
  // The study's p-values are adjusted over its own families already; once more over what is asked here errs towards no
  // difference.
  return {judged(std::move(candidates)), {}};
}

const ComparedPair* beyond(const StudyComparison& comparison, double bound) {
  const ComparedPair* worst = nullptr;
  for (const ComparedPair& pair : comparison.pairs)
    if (pair.regression && *pair.regression > bound && (worst == nullptr || *pair.regression > *worst->regression)) worst = &pair;
  return worst;
}

std::string to_json(const StudyComparison& comparison) {
  Json pairs = Json::array();
  for (const ComparedPair& p : comparison.pairs) {
    Json ratio;
    if (p.ratio) {
      ratio = {{"mean", p.ratio->mean}, {"ci95", Json()}};
      if (p.ratio->ci95) ratio["ci95"] = Json::array({p.ratio->ci95->first, p.ratio->ci95->second});
    }
    pairs.push_back({{"model", printable(p.model)},
                     {"task", printable(p.task)},
                     {"phase", printable(p.phase)},
                     {"unit", printable(p.unit)},
                     {"batch", p.batch},
                     {"seq", p.seq},
                     {"format", printable(p.format)},
                     {"metric", p.metric},
                     {"ratio", std::move(ratio)},
                     {"p", p.p ? Json(*p.p) : Json()},
                     {"verdict", name_of(p.verdict)},
                     {"reason", printable(p.reason)}});
  }
  Json unpaired = Json::array();
  for (const std::string& one : comparison.unpaired) unpaired.push_back(printable(one));
  return Json{{"pairs", std::move(pairs)}, {"unpaired", std::move(unpaired)}}.dump(2) + "\n";
}

namespace {

std::string coloured(Verdict verdict) {
  const std::string name(name_of(verdict));
  return verdict == Verdict::better ? good(name) : verdict == Verdict::worse ? bad(name) : name;
}

}  // namespace

std::string screen_comparison(const StudyComparison& comparison, const std::string& a, const std::string& b) {
  std::string text = "A: " + printable(a) + "\nB: " + printable(b) + "\nRatios are A / B; verdicts are of B against A.\n";
  std::string heading;
  for (const ComparedPair& p : comparison.pairs) {
    const std::string shape = printable(p.model) + " " + printable(p.format) + ", " + printable(p.phase) + " " +
                              std::to_string(p.batch) + " x " + std::to_string(p.seq);
    if (shape != heading) text += "\n" + (heading = shape) + "\n";
    std::string line = "  " + p.metric;
    line.resize(14, ' ');
    line += coloured(p.verdict);
    if (p.ratio) {
      line = padded(line, 34);
      line += with_decimals(p.ratio->mean, 4);
      if (p.ratio->ci95)
        line += " [" + with_decimals(p.ratio->ci95->first, 4) + ", " + with_decimals(p.ratio->ci95->second, 4) + "]";
      if (p.p) line += ", " + p_text(*p.p);
    }
    if (!p.reason.empty()) line += (p.ratio ? "; " : ": ") + p.reason;
    text += line + "\n";
  }
  if (!comparison.unpaired.empty()) text += "\n";
  for (const std::string& one : comparison.unpaired) text += printable(one) + "\n";
  return text;
}

}  // namespace eaq
