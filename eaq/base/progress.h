// What a person sees while waiting, on standard error: a bar with time left on a terminal, plain lines elsewhere, nothing when
// quiet.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace eaq {

/// Progress of one long task, counted in equal units of expected time.
class Progress {
 public:
  enum class Style { automatic, bar, lines, none };  ///< automatic: a bar on a terminal, lines elsewhere

  Progress(std::string title, double total, Style style = Style::automatic);
  ~Progress();  ///< clears the bar

  /// `done` of `total` units; `what` is the piece of work that begins now.
  void update(double done, std::string_view what = {});
  /// So much of what is done cost no time (it was there): the time left is told from the rest.
  void count_as_given(double units);
  void advance(double units, std::string_view what = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `--quiet`: no progress and no notes from here on.
void set_quiet(bool quiet);
bool is_quiet();

/// One line to standard error that does not tear a progress bar apart.
void note(std::string_view line);
void warn(std::string_view line);  ///< shown even when quiet

}  // namespace eaq
