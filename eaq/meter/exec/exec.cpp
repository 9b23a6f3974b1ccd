// exec: watts from a command, for wall meters and other tools. The command runs as `sh -c COMMAND`, so what the shell makes of
// the text is what runs: quotes, pipes and variables work, and whoever may name the command may run anything as this user. It
// prints lines
//     seconds,watts
// where seconds are its own clock and rise; it is told to stop (SIGTERM to its process group, then SIGKILL) when the meter
// closes.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <deque>
#include <optional>

#include "eaq/meter/meter.h"

namespace eaq::meter_exec {
namespace {

constexpr int first_line_ms = 10000;  // some tools want seconds to find their device
constexpr int farewell_ms = 1000;

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw MeterError(Fault::unplugged, std::string("meter exec: pipe: ") + std::strerror(errno));
    read_end = ends[0];
    write_end = ends[1];
  }
};

// The child side of fork: only calls that are safe there.
[[noreturn]] void become(const char* command, int output) {
  ::setpgid(0, 0);                     // a group of its own: Ctrl-C is ours, and the whole group can be ended
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // it does not outlive us, however we end
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  ::_exit(127);
}

class Child {
 public:
  explicit Child(const std::string& command) {
    const Pipe pipe;
    process_ = ::fork();
    if (process_ == 0) become(command.c_str(), pipe.write_end);
    const int error = errno;
    ::close(pipe.write_end);
    output_ = pipe.read_end;
    if (process_ < 0) {
      ::close(output_);
      throw MeterError(Fault::unplugged, std::string("meter exec: fork: ") + std::strerror(error));
    }
    ::setpgid(process_, process_);  // in case we are first
    ::fcntl(output_, F_SETFL, O_NONBLOCK);
  }
  ~Child() {
    ::close(output_);
    if (!ended_) ::kill(-process_, SIGTERM);
    for (int waited = 0; !ended_ && waited < farewell_ms; waited += 5) {
      if (reap(WNOHANG)) break;
      ::usleep(5000);
    }
    // Also what the command left running in its group.
    ::kill(-process_, SIGKILL);
    if (!ended_) reap(0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Appends what has arrived; false once the command has closed its output.
  bool receive(std::string& text) const {
    std::array<char, 4096> part;
    for (;;) {
      const ssize_t size = ::read(output_, part.data(), part.size());
      if (size > 0)
        text.append(part.data(), static_cast<std::size_t>(size));
      else if (size == 0)
        return false;
      else if (errno != EINTR)
        return errno == EAGAIN;
    }
  }
  void wait_for_output(int ms) const {
    pollfd wanted{output_, POLLIN, 0};
    ::poll(&wanted, 1, ms);
  }
  std::string farewell() {
    if (!ended_) reap(WNOHANG);
    if (!ended_) return "closed its output";
    if (WIFSIGNALED(status_)) return "was ended by signal " + std::to_string(WTERMSIG(status_));
    return "ended with exit code " + std::to_string(WEXITSTATUS(status_));
  }

 private:
  bool reap(int options) {
    pid_t result;
    while ((result = ::waitpid(process_, &status_, options)) < 0 && errno == EINTR) {
    }
    ended_ = ended_ || result == process_ || result < 0;
    return ended_;
  }

  pid_t process_ = -1;
  int output_ = -1, status_ = 0;
  bool ended_ = false;
};

struct Line {
  Seconds time;  // the command's clock
  Watts power;
};

class ExecMeter : public Meter {
 public:
  ExecMeter(std::string command, Clock& clock) : command_(std::move(command)), clock_(clock), child_(command_) {
    for (const Seconds begun = monotonic_clock().now(); lines_.empty() && fault_ == Fault::none;) {
      const auto left = first_line_ms - static_cast<int>((monotonic_clock().now() - begun).value() * 1e3);
      if (left <= 0)
        fail(Fault::gap, "printed no line within " + std::to_string(first_line_ms / 1000) + " s");
      else
        child_.wait_for_output(left);
      take_lines();
    }
    if (lines_.empty()) throw MeterError(fault_, reason_);
  }

  std::string name() const override { return "exec"; }
  MeterLabel label() const override { return MeterLabel::measured; }
  std::span<const Zone> zones() const override { return {&zone_, 1}; }

  void read(std::span<Reading> out) override {
    if (fault_ == Fault::none) take_lines();
    const Seconds now = clock_.now();
    if (lines_.empty()) {
      out[0] = {now, std::nullopt, std::nullopt, fault_, reason_};
      return;
    }
    const Line line = lines_.front();  // one line a look, so that none is lost
    lines_.pop_front();
    out[0] = {std::max(line.time + offset(), shown_), std::nullopt, line.power, Fault::none, {}};
    shown_ = out[0].time;
  }

 private:
  void fail(Fault fault, const std::string& what) {
    fault_ = fault;
    reason_ = "meter exec: '" + printable(command_) + "' " + what;
  }

  // The command's clock against ours: the line that came with the least delay tells.
  Seconds offset() const { return *least_delay_; }

  void take_lines() {
    const bool open = child_.receive(text_);
    for (std::size_t end; fault_ == Fault::none && (end = text_.find('\n')) != std::string::npos; text_.erase(0, end + 1)) {
      ++line_number_;
      take_line(std::string_view(text_).substr(0, end));
    }
    constexpr std::size_t longest = 4096;
    if (fault_ == Fault::none && text_.size() > longest) fail(Fault::unsupported, "prints a line of more than 4096 characters");
    if (fault_ == Fault::none && !open) {
      child_.wait_for_output(0);
      ::usleep(2000);  // its exit follows the closing of its output
      fail(Fault::unplugged, child_.farewell());
    }
  }

  void take_line(std::string_view line) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    double seconds = 0, watts = 0;
    const char* end = line.data() + line.size();
    const auto first = std::from_chars(line.data(), end, seconds);
    bool good = first.ec == std::errc() && first.ptr != end && *first.ptr == ',' && std::isfinite(seconds);
    if (good) {
      const auto second = std::from_chars(first.ptr + 1, end, watts);
      good = second.ec == std::errc() && second.ptr == end && std::isfinite(watts);
    }
    if (!good) {
      fail(Fault::unsupported,
           "line " + std::to_string(line_number_) + ": '" + printable(line.substr(0, 80)) + "' is not seconds,watts");
      return;
    }
    const Seconds delay = clock_.now() - Seconds(seconds);
    least_delay_ = std::min(least_delay_.value_or(delay), delay);
    lines_.push_back({Seconds(seconds), Watts(watts)});
  }

  std::string command_;
  Clock& clock_;
  Child child_;
  Zone zone_{.name = "power", .role = ZoneRole::any, .counter = false};
  std::string text_;  // received, not yet a whole line
  int line_number_ = 0;
  std::deque<Line> lines_;
  std::optional<Seconds> least_delay_;
  Seconds shown_{-1e300};
  Fault fault_ = Fault::none;  // for good, once there is one
  std::string reason_;
};

std::unique_ptr<Meter> open(const std::string& argument, const MeterOptions& options) {
  return std::make_unique<ExecMeter>(argument, options.clock != nullptr ? *options.clock : monotonic_clock());
}

std::vector<MeterProbe> probe(const MeterOptions&) {
  return {{"exec", true, "on request: --meter exec:COMMAND reads seconds,watts lines from a command", "", {}}};
}

}  // namespace

const MeterKind& entry() {
  static const MeterKind kind{"seconds,watts lines from a command (run by sh -c)", "COMMAND", false, probe, open};
  return kind;
}

}  // namespace eaq::meter_exec
