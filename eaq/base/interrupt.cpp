#include "eaq/base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "eaq/base/error.h"

namespace eaq {
namespace {

std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // a signal handler may touch nothing else

void on_signal(int) {
  if (flag.exchange(true)) ::_exit(static_cast<int>(ErrorKind::interrupted));
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    // A shell starts what runs in the background with SIGINT ignored, and so it stays.
    if (before.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
  }
}

bool interrupted() { return flag; }
void clear_interrupt() { flag = false; }

}  // namespace eaq
