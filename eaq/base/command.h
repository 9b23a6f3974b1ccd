// Another program, run as a shell would run it: its streams and its signals are its own.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace eaq {

struct CommandEnd {
  int exit_code = 0;  ///< as a shell has it: 128 + n where signal n ended it
  bool signalled = false;
  std::string not_run;  ///< why it could not be started; exit_code is then 127 (not found) or 126, as `env` has them
};

/// What this process opens after the construction stays its own: a command inherits the files that were open before, and no
/// other.
class InheritedFiles {
 public:
  InheritedFiles();
  void keep_the_rest() const;  ///< marks what has been opened since; to be called before a command is run

 private:
  std::vector<int> before_;
};

/// Runs `command` (found along PATH) and waits until it has ended. What a terminal sends (Ctrl-C, Ctrl-\) reaches the command by
/// itself and does not end this process meanwhile; a signal that somebody sends to this process alone is passed on: INT, QUIT,
/// TERM, HUP, USR1, USR2. A signal that this process ignores is ignored by the command, too, but for SIGPIPE, of which the caller
/// says whether it was ignored from the start. One command at a time.
CommandEnd run_command(std::span<const std::string> command, bool broken_pipes_ignored = false);

}  // namespace eaq
