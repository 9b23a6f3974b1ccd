// What products say of their runs; for the files of this folder and its formats.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace eaq {

/// The arithmetic of the kernels that ran: what was planned, and f32 for those that widen what they read, as kernels of few rows
/// do, which are bound by memory: "bf16", "f32", or of both "bf16+f32".
template <class Widens>
std::string arithmetic_of(const std::vector<std::string>& kernels, std::string_view planned, const Widens& widens) {
  const auto widened = std::count_if(kernels.begin(), kernels.end(), widens);
  const bool as_planned = kernels.empty() || widened < std::ssize(kernels);
  if (widened == 0 || planned == "f32") return std::string(planned);
  return as_planned ? std::string(planned) + "+f32" : "f32";
}

}  // namespace eaq
