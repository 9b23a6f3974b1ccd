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

/// One table for each model, phase and shape, in the order of the runs.
std::vector<TableText> tables_of(const Study& study);

/// Refusals, and why there are no joules: what holds for the whole study.
std::vector<std::string> closing_lines(const Study& study);

}  // namespace eaq
