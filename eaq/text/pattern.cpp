#include "eaq/text/pattern.h"

#include <algorithm>

#include "eaq/base/base.h"
#include "eaq/base/json.h"

namespace eaq::text {
namespace {

// Joins a part to its neighbour as the library folds them: `previous` starts out false, in either direction.
template <class Iterator, class Extend>
void fold(Iterator first, Iterator last, std::vector<Part>& joined, bool (*joins)(bool match, bool previous), Extend extend) {
  bool previous = false;
  for (; first != last; ++first) {
    if (joins(first->match, previous) && !joined.empty()) {
      extend(joined.back(), *first);
    } else {
      joined.push_back(*first);
    }
    previous = first->match;
  }
}

}  // namespace

Pattern::Pattern(const Json& section, const std::string& file) {
  if (section.is_object() && section.size() == 1 && section.contains("String")) {
    literal_ = get<std::string>(section, "String", file);
  } else if (section.is_object() && section.size() == 1 && section.contains("Regex")) {
    regex_.emplace(get<std::string>(section, "Regex", file), file);
  } else {
    throw Error(ErrorKind::input, printable(file) + ": a 'pattern' is neither {\"String\": ...} nor {\"Regex\": ...}");
  }
}

void Pattern::parts(std::string_view text, std::vector<Part>& to) const {
  if (!regex_) return parts_by_literal(text, literal_, to);
  std::size_t at = 0;
  regex_->each_match(text, [&](std::size_t begin, std::size_t end) {
    if (begin > at) to.push_back({at, begin, false});
    to.push_back({begin, end, true});
    at = end;
  });
  if (at < text.size()) to.push_back({at, text.size(), false});
}

void parts_by_literal(std::string_view text, std::string_view literal, std::vector<Part>& to) {
  std::size_t at = 0;
  while (!literal.empty()) {
    const auto found = text.find(literal, at);
    if (found == std::string_view::npos) break;
    if (found > at) to.push_back({at, found, false});
    at = found + literal.size();
    to.push_back({found, at, true});
  }
  if (at < text.size()) to.push_back({at, text.size(), false});
}

void parts_by_class(std::string_view text, const CharacterTable& table, unsigned mask, std::vector<Part>& to) {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text.data() + at);
    if (table.is(c.value, mask)) {
      if (begin < at) to.push_back({begin, at, false});
      begin = at + c.bytes;
      to.push_back({at, begin, true});
    }
    at += c.bytes;
  }
  if (begin < text.size()) to.push_back({begin, text.size(), false});
}

Behavior read_behavior(const Json& section, const char* key, const std::string& file, std::optional<Behavior> fallback) {
  if (fallback && !section.contains(key)) return *fallback;
  const auto name = get<std::string>(section, key, file);
  // The names of both spellings: Rust's serialization, and Python's.
  if (name == "Removed" || name == "removed") return Behavior::removed;
  if (name == "Isolated" || name == "isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious" || name == "merged_with_previous") return Behavior::merged_with_previous;
  if (name == "MergedWithNext" || name == "merged_with_next") return Behavior::merged_with_next;
  if (name == "Contiguous" || name == "contiguous") return Behavior::contiguous;
  throw Error(ErrorKind::input, printable(file) + ": the behavior '" + printable(name) + "' is not supported");
}

void split(const std::vector<Part>& parts, Behavior behavior, std::size_t offset, std::vector<Span>& to) {
  std::vector<Part> joined;
  const std::vector<Part>* kept = &joined;
  const auto to_the_right = [](Part& last, const Part& part) { last.end = part.end; };
  switch (behavior) {
    case Behavior::removed:
    case Behavior::isolated:
      kept = &parts;
      break;
    case Behavior::contiguous:
      fold(
          parts.begin(), parts.end(), joined, [](bool match, bool previous) { return match == previous; }, to_the_right);
      break;
    case Behavior::merged_with_previous:
      fold(
          parts.begin(), parts.end(), joined, [](bool match, bool previous) { return match && !previous; }, to_the_right);
      break;
    case Behavior::merged_with_next:
      fold(
          parts.rbegin(), parts.rend(), joined, [](bool match, bool previous) { return match && !previous; },
          [](Part& last, const Part& part) { last.begin = part.begin; });
      std::reverse(joined.begin(), joined.end());
      break;
  }
  for (const Part& part : *kept)
    if (part.begin < part.end && !(behavior == Behavior::removed && part.match))
      to.emplace_back(offset + part.begin, offset + part.end);
}

}  // namespace eaq::text
