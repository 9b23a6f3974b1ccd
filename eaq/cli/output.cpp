#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "eaq/cli/cli.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

std::vector<std::string>& arguments_typed() {
  static std::vector<std::string> arguments;
  return arguments;
}

bool nobody_reads = false, pipes_ignored = false;

}  // namespace

bool print(std::string_view text) {
  while (!text.empty() && !nobody_reads) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE) {
      nobody_reads = true;
    } else if (errno != EINTR && errno != EAGAIN) {
      throw Error(ErrorKind::input, std::string("standard output: ") + std::strerror(errno));
    }
  }
  return !nobody_reads;
}

void prepare_standard_streams() {
  pipes_ignored = std::signal(SIGPIPE, SIG_IGN) == SIG_IGN;
  // A closed stream's number would go to the next file that is opened, and messages would go into that file. /dev/null opened for
  // reading takes the place of standard output: what is printed is then an error, as it should be.
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) == -1 && errno == EBADF) ::open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  colour_screens(shows_colours(STDOUT_FILENO));
}

bool broken_pipes_were_ignored() { return pipes_ignored; }

void set_command_line(std::vector<std::string> arguments) {
  if (!arguments.empty()) arguments.front() = "eaq";
  for (std::string& argument : arguments)
    if (!is_utf8(argument)) argument = printable(argument);
  arguments_typed() = std::move(arguments);
}

const std::vector<std::string>& command_line() { return arguments_typed(); }

}  // namespace eaq
