// How a claim of the original study is judged; for the files of this folder.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "eaq/profile/findings.h"

namespace eaq {

inline ClaimRecord confirmed(std::string claim, std::string evidence) {
  return {std::move(claim), "confirmed", std::move(evidence)};
}
inline ClaimRecord contradicted(std::string claim, std::string evidence) {
  return {std::move(claim), "contradicted", std::move(evidence)};
}
inline ClaimRecord not_testable(std::string claim, std::string why) {
  return {std::move(claim), "not testable here", std::move(why)};
}
/// By what was shown; empty: neither it nor its opposite.
inline ClaimRecord judged(std::string claim, std::optional<bool> holds, std::string evidence) {
  if (!holds) return not_testable(std::move(claim), "neither it nor its opposite is shown: " + evidence);
  return *holds ? confirmed(std::move(claim), std::move(evidence)) : contradicted(std::move(claim), std::move(evidence));
}

/// The two models of the original study.
enum class StudiedModel { distilbert, gpt2 };
inline std::string title_of(StudiedModel model) { return model == StudiedModel::distilbert ? "DistilBERT" : "GPT-2"; }

}  // namespace eaq
