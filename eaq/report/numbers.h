// Numbers as people read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "eaq/result/result.h"

namespace eaq {

/// Three to four digits that matter: "0.712", "9.51", "201", "3365".
std::string short_number(double value);
std::string with_decimals(double value, int decimals);
/// A fraction's per cent with its sign, "-3.9".
std::string signed_percent(double fraction);
/// "9.51 ±0.02"; without an interval the number alone.
std::string with_margin(const Figure& figure);
/// "13.3x [13.2,13.4]".
std::string ratio_text(const Figure& figure);
/// "45 070": thousands apart.
std::string with_thousands(double value);
std::string mebibytes(std::int64_t bytes);
/// "1.2e-06", "-" where there is none.
std::string small_number(const std::optional<double>& value);
/// "88.65 [86.4,90.6]", a fraction as per cent or a perplexity.
std::string quality_text(const QualityResult& quality, bool interval);
std::string p_text(double p);

/// Characters as a terminal counts them (of UTF-8; no wide ones are printed here; colours take none).
std::size_t columns(const std::string& text);

}  // namespace eaq
