// Task files as text, before any token.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eaq/dataset/dataset.h"

namespace eaq::dataset {

struct LabelledText {
  std::string text;
  std::int32_t label = 0;
  std::int64_t line = 0;  ///< of the file, from 1
};

/// By the file's name.
bool is_jsonl(const std::filesystem::path& file);

std::vector<LabelledText> read_labelled(const std::filesystem::path& file, std::string_view content,
                                        const SentenceOptions& options);

/// The one string that is tokenised.
std::string joined_text(const std::filesystem::path& file, std::string content, const TextOptions& options);

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what);

}  // namespace eaq::dataset
