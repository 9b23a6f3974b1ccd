// report: what people read, from results alone. Every number carries its unit, its interval, and how it was obtained.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "eaq/result/result.h"

namespace eaq {

struct SampleRecord;
struct Visit;

/// The study as text for a terminal, within 100 columns: a table for each model and shape, what the signs in it mean, what was
/// refused, and where there is no meter the line that says why and what would bring joules.
std::string screen_report(const Study& study);

/// The same as Markdown, with how it was obtained: study.md.
std::string markdown_report(const Study& study);

/// One line per run, numbers in full: study.csv. Empty cells are what is not available.
std::string csv_table(const Study& study);

// --- a profile ----------------------------------------------------------------------------------------------------------------

/// The profile as text for a terminal, within 100 columns: a line for each group of parts, the most expensive ones, whether they
/// add up, and what it concludes.
std::string screen_profile(const Profile& profile);
/// The same with every row, every correlation and all evidence: profile.md.
std::string markdown_profile(const Profile& profile);
/// One line per row of the profile, numbers in full: sites.csv. Empty cells are what is not available.
std::string csv_sites(const Profile& profile);

// --- colours ------------------------------------------------------------------------------------------------------------------

/// Whether a stream is a terminal that shows colours, and nobody asked for none (NO_COLOR, TERM=dumb).
bool shows_colours(int stream);
/// Whether screen_...() sets text off by colours; not before somebody says so.
void colour_screens(bool on);

// --- two results --------------------------------------------------------------------------------------------------------------

/// Of b against a. `not_comparable` and `no_difference` are no verdict on either.
enum class Verdict { better, worse, no_difference, not_comparable };
std::string_view name_of(Verdict verdict);  ///< "better", "worse", "no difference shown", "not comparable"

/// One metric of two runs of one model at one shape.
struct ComparedPair {
  std::string model, task, phase, unit;
  std::int64_t batch = 0, seq = 0;
  std::string format;           ///< of both; two different ones as "fp32 / int8"
  std::string metric;           ///< "energy" (mJ per sample), "latency", "throughput" or "quality" (accuracy or perplexity)
  std::optional<Figure> ratio;  ///< a / b, with its 95 % interval (of this pair alone)
  std::optional<double> p;      ///< that the ratio is 1, Holm-adjusted over the pairs of the metric
  Verdict verdict = Verdict::not_comparable;
  std::string reason;                ///< why they cannot be compared, or what to know about the verdict
  std::optional<double> regression;  ///< where worse: by what fraction b is worse than a
};

/// How much the same work differs from run to run of the program, beyond what blocks within a run show: the standard deviation of
/// the logarithm over repeats.
struct BetweenRuns {
  std::optional<double> energy_sd, time_sd;
  int repeats = 0;
};
/// By a meter's headline zones ("rapl:package-0"), as meter --calibrate found it; empty where it was not run. For time alone the
/// name is the device's.
using BetweenRunsOf = std::function<std::optional<BetweenRuns>(const std::string& id)>;

struct StudyComparison {
  std::vector<ComparedPair> pairs;
  std::vector<std::string> unpaired;  ///< runs that only one of the two has
};

/// Every run of `a` against the run of `b` with the same model, task, phase, unit, batch, seq and format: the logarithm of the
/// ratio of means has the variance of the blocks of both and, for energy and time, twice the between-run variance, since a whole
/// run of the program stands on each side; degrees of freedom by Welch (1947) and Satterthwaite (1946), so that few repeats count
/// as few. Quality compares two intervals as independent (the items are the same, and their results are not in the files: this
/// errs towards "no difference shown"). Different devices, labels or methods, and for quality other models or data, are not
/// comparable. Error{input} where no run of the two matches.
StudyComparison compare_studies(const Study& a, const Study& b, const BetweenRunsOf& between_runs);

/// Of one study: its runs in the formats `a` against those in the formats `b`, interleaved as they were.
StudyComparison compare_formats(const Study& study, const std::vector<std::string>& a, const std::vector<std::string>& b);

/// The worst regression shown beyond `bound` (a fraction): verdict worse, and so the whole interval on that side, and the
/// estimate beyond.
const ComparedPair* beyond(const StudyComparison& comparison, double bound);

std::string to_json(const StudyComparison& comparison);  ///< {"pairs": [...], "unpaired": [...]}
std::string screen_comparison(const StudyComparison& comparison, const std::string& a, const std::string& b);

/// One run in a few lines, as `eaq evaluate` prints it.
std::string screen_run(const Run& run);

/// What a sensor showed over time, and the load beneath it.
struct Curve {
  struct Point {
    double time, value;  ///< the value holds until the next point
  };
  struct Switch {
    double time;
    bool on;
  };
  std::vector<Point> values;  ///< in order of time
  std::vector<Switch> load;   ///< likewise; off before the first
  double from = 0, to = 1;    ///< the part that is drawn, in seconds
  std::string unit = "W";
};
/// In Unicode blocks, 76 columns wide at most: the curve (means over each column), under it the share of each column in which the
/// load was on, and the seconds. Empty where no value lies in the part.
std::string draw(const Curve& curve);

// --- the page -----------------------------------------------------------------------------------------------------------------

/// What one zone drew while the results were measured, thinned so that a picture of it loses no peak.
struct PowerTrace {
  std::string zone, label;  ///< label: "measured", "assumed", ...
  std::vector<Curve::Point> watts;
};
/// What ran meanwhile.
struct PowerVisit {
  double start = 0, end = 0;  ///< seconds, on the traces' axis
  std::string model, format, phase;
  std::optional<double> watts;  ///< mean of the headline zones
};

/// One result, and what stands beside it.
struct PageInput {
  std::string name;  ///< where it was read, as the page says it
  std::variant<Study, Profile> result;
  std::vector<PowerTrace> power;
  std::vector<PowerVisit> visits;
  std::string no_power;  ///< why `power` is empty
};
PageInput page_input(std::string name, const Study& study, const SampleRecord& samples, std::span<const Visit> visits);
/// Of a profile: what the meters said by each way of weighing its parts is in the folder, samples-WAY.csv.zst.
PageInput page_input(std::string name, const Profile& profile, const std::filesystem::path& folder);
/// A study.json or profile.json, or the folder that holds one; power from samples.csv.zst and visits.csv (of a profile
/// samples-WAY.csv.zst) beside it, where they are. Error{input} for anything else.
PageInput read_page_input(const std::filesystem::path& path);

struct PageOptions {
  std::optional<double> price_per_kWh;  ///< in the reader's currency
  std::optional<double> grams_per_kWh;  ///< of CO2 equivalent
};

inline constexpr std::size_t most_page_bytes = 3'000'000;  ///< that opens at once on a phone
/// Everything as one HTML file that fetches nothing: tables, and charts where the build had the libraries for them. Traces of
/// power are thinned further where the page would be larger than that; tables are not, and very many results make a larger page.
std::string html_page(const std::vector<PageInput>& results, const PageOptions& options);
/// Why this program's pages have no charts; empty where they have.
std::string_view page_charts_left_out();

}  // namespace eaq
