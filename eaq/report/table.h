// A table before it has a form: cells as text, and the sentences under it. Rendered for a terminal or as Markdown.
#pragma once

#include <string>
#include <vector>

#include "eaq/result/result.h"

namespace eaq {

struct TableText {
  std::string title;   ///< "SST-2 (tiny-distilbert) on AMD EPYC | batch 32, seq 128"
  std::string method;  ///< how the figures came about
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notes;
  bool of_words = false;  ///< cells are words, which stand to the left
};

/// "8 blocks x 2 visits of 4.00 s".
std::string timing_method(const ProtocolRecord& protocol);

/// The runs of each model, phase and shape, in the order in which they come.
std::vector<std::vector<const Run*>> groups_of(const Study& study);
/// The run that the others of its group are compared with: fp32, or the first. What a comparison of `run` with it found, or null.
const Run& reference_of(const std::vector<const Run*>& group);
const Comparison* comparison_of(const Study& study, const Run& reference, const Run& run);

/// One table for each group.
std::vector<TableText> tables_of(const Study& study);

/// Refusals, and why there are no joules: what holds for the whole study.
std::vector<std::string> closing_lines(const Study& study);

}  // namespace eaq
