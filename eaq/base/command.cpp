#include "eaq/base/command.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction and kill are POSIX, not in <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "eaq/base/error.h"

namespace eaq {
namespace {

constexpr std::array passed_on{SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

std::atomic<pid_t> child{0};
static_assert(std::atomic<pid_t>::is_always_lock_free);  // a signal handler may touch nothing else

// What the kernel sends by itself (a terminal's Ctrl-C) goes to the whole process group: the command has it already.
void pass_on(int signal, siginfo_t* info, void*) {
  const int kept = errno;
  const pid_t to = child;
  if (to > 0 && info->si_code != SI_KERNEL && info->si_pid != to) ::kill(to, signal);
  errno = kept;
}

// Takes the signals over while it lives. Blocked until the command's number is known, so that none is lost.
class Signals {
 public:
  Signals() {
    sigset_t ours;
    ::sigemptyset(&ours);
    for (const int signal : passed_on) ::sigaddset(&ours, signal);
    ::pthread_sigmask(SIG_BLOCK, &ours, &mask_);
    struct sigaction action {};
    action.sa_sigaction = pass_on;
    // Not SA_RESTART: whoever waits (below) goes on by itself, and under ThreadSanitizer a handler runs only between two waits.
    action.sa_flags = SA_SIGINFO;
    for (std::size_t i = 0; i < passed_on.size(); ++i) {
      ::sigaction(passed_on[i], nullptr, &before_[i]);
      if (before_[i].sa_handler != SIG_IGN) ::sigaction(passed_on[i], &action, nullptr);
    }
  }
  void unblock() const { ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr); }
  ~Signals() {
    child = 0;
    for (std::size_t i = 0; i < passed_on.size(); ++i) ::sigaction(passed_on[i], &before_[i], nullptr);
    unblock();
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // In the child: as they were when this process began. Handlers fall back to the default with exec.
  void restore_in_child(bool broken_pipes_ignored) const {
    if (!broken_pipes_ignored) ::signal(SIGPIPE, SIG_DFL);
    for (const int signal : passed_on) {
      struct sigaction action {};
      ::sigaction(signal, nullptr, &action);
      if (action.sa_handler != SIG_IGN) ::signal(signal, SIG_DFL);
    }
    unblock();
  }

 private:
  sigset_t mask_{};
  std::array<struct sigaction, passed_on.size()> before_{};
};

// The child side of fork: only calls that are safe there.
[[noreturn]] void become(char* const* arguments, const Signals& signals, bool broken_pipes_ignored, int report) {
  signals.restore_in_child(broken_pipes_ignored);
  ::execvp(arguments[0], arguments);
  const int error = errno;
  const ssize_t told = ::write(report, &error, sizeof error);
  ::_exit(told == sizeof error ? 127 : 126);
}

// Its number is free for others once it is reaped: nothing is passed on from just before.
int wait_for(pid_t process) {
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(process), &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  child = 0;
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// The error number that the child reports before it ends; nothing where it became the command.
std::optional<int> reported_error(int report) {
  int error = 0;
  ssize_t bytes = 0;
  while ((bytes = ::read(report, &error, sizeof error)) < 0 && errno == EINTR) {
  }
  return bytes == sizeof error ? std::optional(error) : std::nullopt;
}

std::vector<int> open_files() {
  std::vector<int> files;
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return files;
  while (const dirent* entry = ::readdir(folder)) {
    const int file = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && file != ::dirfd(folder)) files.push_back(file);
  }
  ::closedir(folder);
  return files;
}

}  // namespace

InheritedFiles::InheritedFiles() : before_(open_files()) {}

void InheritedFiles::keep_the_rest() const {
  for (const int file : open_files())
    if (std::find(before_.begin(), before_.end(), file) == before_.end()) ::fcntl(file, F_SETFD, FD_CLOEXEC);
}

CommandEnd run_command(std::span<const std::string> command, bool broken_pipes_ignored) {
  if (command.empty()) throw Error(ErrorKind::bug, "run_command: no command");
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) throw Error(ErrorKind::unavailable, std::string("pipe: ") + std::strerror(errno));

  const Signals signals;
  CommandEnd end;
  const pid_t process = ::fork();
  if (process == 0) become(arguments.data(), signals, broken_pipes_ignored, report[1]);
  const int fork_error = errno;
  ::close(report[1]);
  child = process;
  signals.unblock();
  const std::optional<int> exec_error = process > 0 ? reported_error(report[0]) : std::nullopt;
  ::close(report[0]);
  if (process < 0) throw Error(ErrorKind::unavailable, std::string("fork: ") + std::strerror(fork_error));
  const int status = wait_for(process);
  if (exec_error) {
    end.exit_code = *exec_error == ENOENT ? 127 : 126;
    end.not_run = std::strerror(*exec_error);
  } else {
    end.signalled = WIFSIGNALED(status);
    end.exit_code = end.signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return end;
}

}  // namespace eaq
