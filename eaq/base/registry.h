// The rows of the tables that CMake writes from folder names (cmake/Registry.cmake).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eaq {

/// One addition: a format, meter, model, tokenizer, container, exporter or backend.
template <class Entry>
struct RegistryRow {
  std::string_view name;      ///< the folder's name
  const Entry* entry;         ///< null where this build leaves it out
  std::string_view left_out;  ///< why, where it does
};

/// The entry called `name`, or null.
template <class Entry>
const Entry* find_entry(std::span<const RegistryRow<Entry>> rows, std::string_view name) {
  for (const auto& row : rows)
    if (row.name == name) return row.entry;
  return nullptr;
}

/// "a, b, c": for messages that enumerate.
template <class Entry>
std::string names_of(std::span<const RegistryRow<Entry>> rows) {
  std::string text;
  for (const auto& row : rows)
    if (row.entry != nullptr) text += (text.empty() ? "" : ", ") + std::string(row.name);
  return text;
}

}  // namespace eaq
