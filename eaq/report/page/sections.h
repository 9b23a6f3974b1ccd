// The page's parts, each as HTML.
#pragma once

#include <string>
#include <vector>

#include "eaq/report/page/html.h"
#include "eaq/report/report.h"

namespace eaq::page {

/// "GPT-2 ..., batch 8, seq 1024": one line that tells tables apart.
std::string what_ran(const Run& run);

std::string study_section(const PageInput& input, const Study& study, const PageOptions& options);
std::string profile_section(const PageInput& input, const Profile& profile, const PageOptions& options);
std::string power_section(const PageInput& input);

/// Of a trace: each stretch's least and largest point, at most so many in all.
inline constexpr std::size_t points_of_a_trace = 1500;
std::vector<Curve::Point> thinned(const std::vector<Curve::Point>& points, std::size_t most);

/// What a million inferences cost; empty where no joules are there.
std::optional<PageTable> cost_table(const std::vector<const Run*>& runs, const PageOptions& options);
/// The original study's figures beside these runs; empty where none is comparable.
std::optional<PageTable> original_table(const Study& study);
/// What the original study says, and what was seen here; empty where nothing is said.
std::string claims_section(const std::vector<ClaimRecord>& claims);
/// How it was done, and the manifest in full.
std::string method_section(const Manifest& manifest, const std::string& name, const std::string& result_json);

}  // namespace eaq::page
