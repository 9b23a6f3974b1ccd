// Where eaq finds what it brings along (models/, data/) and where it keeps what it may lose (the cache).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eaq {

/// Folders that may hold `data/` and `models/`, in the order in which they are searched: share/eaq beside the program's own
/// prefix, then the source tree of this build.
std::vector<std::filesystem::path> share_folders();

/// The first of them that holds `relative`, e.g. "data/sst2/dev.tsv".
std::optional<std::filesystem::path> find_shared(const std::filesystem::path& relative);

/// The folder of an embedded model ("tiny-gpt2", "tiny-distilbert"); empty where no such model is embedded. Names that are paths
/// are not looked for.
std::optional<std::filesystem::path> embedded_model_path(std::string_view name);

/// "A, B": the folders where `relative` was looked for, for messages.
std::string searched_places(const std::filesystem::path& relative);

/// $XDG_CACHE_HOME/eaq, or ~/.cache/eaq; empty where neither variable is set. Not created.
std::filesystem::path cache_folder();

}  // namespace eaq
