#include "eaq/base/places.h"

#include <cstdlib>
#include <system_error>

#include "eaq/base/file.h"

namespace eaq {

std::vector<std::filesystem::path> share_folders() {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) folders.push_back(program.parent_path().parent_path() / "share" / "eaq");
#ifdef EAQ_DATA_DIR
  folders.emplace_back(EAQ_DATA_DIR);
#endif
  return folders;
}

std::optional<std::filesystem::path> find_shared(const std::filesystem::path& relative) {
  std::error_code error;
  for (const auto& folder : share_folders())
    if (std::filesystem::exists(folder / relative, error)) return folder / relative;
  return std::nullopt;
}

std::optional<std::filesystem::path> embedded_model_path(std::string_view name) {
  const std::filesystem::path path(name);
  if (name.empty() || name == "." || name == ".." || path.filename() != path) return std::nullopt;
  return find_shared("models" / path);
}

std::string searched_places(const std::filesystem::path& relative) {
  std::string text;
  for (const auto& folder : share_folders()) text += (text.empty() ? "" : ", ") + printable((folder / relative).string());
  return text;
}

std::filesystem::path cache_folder() {
  // The XDG specification has relative paths ignored.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && cache[0] == '/')
    return std::filesystem::path(cache) / "eaq";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::filesystem::path(home) / ".cache" / "eaq";
  return {};
}

}  // namespace eaq
