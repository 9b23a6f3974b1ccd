// Errors that reach a person: what, where, and what to do. One exception type; its kind becomes the exit code.
// `assert` is for our own bugs, never for input.
#pragma once

#include <stdexcept>
#include <string>

namespace eaq {

/// Why a command could not do what was asked. The value is the process's exit code.
enum class ErrorKind : int {
  bug = 1,            ///< eaq is wrong, not the user
  usage = 2,          ///< the command line
  input = 3,          ///< a file, model, recipe or data set
  unavailable = 4,    ///< a meter, device or format that this machine lacks
  bound = 5,          ///< a stated bound was missed (`compare --fail-over`)
  interrupted = 130,  ///< Ctrl-C
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

}  // namespace eaq
