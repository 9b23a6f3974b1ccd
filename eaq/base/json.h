// JSON from untrusted files, and for results. The one header of base that shows nlohmann's types: only .cpp files include it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace eaq {

/// Keeps the order in which keys were written, so that results read as documented.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t bytes = std::size_t{256} << 20;  ///< a tokenizer.json of a large vocabulary is some 20 MB
  int depth = 64;
};

/// Parses one JSON document. Error{input} "NAME: ..." for anything malformed: syntax, duplicate keys, depth, size, invalid UTF-8,
/// NUL bytes, trailing text.
Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits = {});
Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

/// Typed access with an error that names the place: `get<int>(config, "n_layer", "config.json")`. Integers must be integers in
/// range.
template <class T>
T get(const Json& object, std::string_view key, std::string_view name);
template <class T>
T get_or(const Json& object, std::string_view key, std::string_view name, T fallback);  ///< also for an explicit null

extern template bool get<bool>(const Json&, std::string_view, std::string_view);
extern template int get<int>(const Json&, std::string_view, std::string_view);
extern template double get<double>(const Json&, std::string_view, std::string_view);
extern template std::string get<std::string>(const Json&, std::string_view, std::string_view);
extern template bool get_or<bool>(const Json&, std::string_view, std::string_view, bool);
extern template int get_or<int>(const Json&, std::string_view, std::string_view, int);
extern template double get_or<double>(const Json&, std::string_view, std::string_view, double);
extern template std::string get_or<std::string>(const Json&, std::string_view, std::string_view, std::string);

}  // namespace eaq
