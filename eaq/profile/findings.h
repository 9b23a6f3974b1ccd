// findings: what the figures of a profile say, read from its rows alone: pure functions of results, the same for the same input.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/result/result.h"

namespace eaq {

/// Fits joules = static_W x time + pJ_per_flop x flops + pJ_per_byte x bytes, no term below 0, to the rows that have joules and a
/// time. Errors count relative to what the fit itself gives a row (a tenth of it, and the row's own interval): a row of 1 % of
/// the joules speaks as loud as one of 30 %. Intervals: percentile bootstrap over rows (1000 resamples, one seed), which covers
/// too little under about twenty rows. A term that goes with the others in every row cannot be told from them: it is 0 without an
/// interval, they carry it, and a note says so. Nothing where fewer than 4 rows can be used.
///
/// `idle_W` is the device's idle power where it was measured: it then is the static power, and only the two others are fitted. A
/// device at its power cap draws the same in every row, so that there a fit would take all of the cap for static.
///
/// Sets bound_by of each row that has a time to the largest of its three terms, "static", "arithmetic" or "memory", where 95 % of
/// the resamples agree on it; it is empty where they do not, and in all rows where a term cannot be told from the others.
std::optional<RooflineRecord> fit_roofline(std::span<SiteRecord> sites, std::optional<double> idle_W = {});

/// Between mJ, time_ms, parameters, bytes, flops, "kl FORMAT" of every format seen and "kl ablated", over the rows that carry
/// weights and have all of them; a column that fewer than half of these rows (or fewer than 4) have is left out. Nothing where
/// fewer than 3 rows or 2 columns are left.
///
/// Intervals (from 4 rows on): Pearson by Fisher's z, Spearman by z with Bonett and Wright's variance (2000), (1 + r^2/2)/(n -
/// 3); of a perfect order it is that of the nearest order that is not, with the end at 1. Fisher's z assumes two normal
/// variables. Joules, bytes and KL span decades and a head or an embedding stands far off, so Pearson is ruled by few rows and
/// its interval is too sure; read Spearman first, which does not mind. Pearson stays, and on plain values, since the original
/// study has it.
std::optional<CorrelationRecord> correlate(std::span<const SiteRecord> sites);

/// What a whole model may lose when all advice "quantise" is followed, in equal parts for each group: nats of KL, and of nll for
/// a language model (0.01 is 1 % of its perplexity).
inline constexpr double whole_loss_nats = 0.01;
/// What one site alone may lose of a classifier's accuracy: the interval must exclude more.
inline constexpr double accuracy_margin = 0.01;

/// For each group of sites and each format that its impact is known in:
/// - "quantise": the device has a kernel for the format, fewer bytes are stored than in fp32 (which impact is against), of
/// weights
///   that two groups share because both are quantised; the sum over the group's sites of KL and of the nll lost has an interval
///   that ends below the group's part of whole_loss_nats, and no site's accuracy can have lost more than accuracy_margin, nor is
///   a loss of accuracy shown;
/// - "keep": not so, and a loss is shown: the interval of nll lost or of a site's accuracy lies wholly on the bad side, or that
///   of KL wholly above the group's part;
/// - "no difference shown": neither, or the format saves nothing here, or some site of the group was not judged.
/// Single changes add up only to first order; intervals of a sum are sums of ends, as all sites meet the same items. Each group
/// in each format is a test of its own: intervals are widened to Bonferroni's level over all of them.
std::vector<GuidelineRecord> guidelines(const Profile& profile);

/// All of these, from a profile's rows and figures: its roofline, correlations, guidelines and claims.
void conclude(Profile& profile);

/// What the original study says, held against this profile (and a study, where there is one): "confirmed" means its direction,
/// shown at 95 %; its figures are of a Tesla T4, so the evidence says by how much this differs.
std::vector<ClaimRecord> compare_with_original(const Profile& profile, const Study* study = nullptr);
/// The claims that a study of formats can test; none where it timed nothing.
std::vector<ClaimRecord> compare_with_original(const Study& study);

}  // namespace eaq
