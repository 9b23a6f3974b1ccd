// Regular expressions of a tokenizer.json, run by ICU. Slower than the splitters written by hand; the syntax is Oniguruma's as
// far as the two agree.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace eaq::text {

class Regex {
 public:
  /// Error{input} "FILE: ..." where ICU cannot compile it.
  Regex(std::string_view pattern, const std::string& file);
  ~Regex();
  Regex(Regex&&) noexcept;

  /// Calls `found(begin, end)` for each match, left to right. Error{input} where matching takes unreasonably long.
  void each_match(std::string_view text, const std::function<void(std::size_t, std::size_t)>& found) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace eaq::text
