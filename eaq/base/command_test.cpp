// Commands run as a shell runs them: their exit codes, signals and files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "eaq/base/base.h"

namespace eaq {
namespace {

CommandEnd shell(const std::string& line) { return run_command(std::vector<std::string>{"sh", "-c", line}); }

TEST(Command, PassesTheExitCodeOn) {
  EXPECT_EQ(shell("exit 0").exit_code, 0);
  EXPECT_EQ(shell("exit 7").exit_code, 7);
  EXPECT_FALSE(shell("exit 7").signalled);
}

TEST(Command, ASignalIs128AndItsNumber) {
  const CommandEnd end = shell("kill -KILL $$");
  EXPECT_TRUE(end.signalled);
  EXPECT_EQ(end.exit_code, 128 + SIGKILL);
}

TEST(Command, WhatIsNotThereIs127AndWhatCannotRunIs126) {
  const CommandEnd missing = run_command(std::vector<std::string>{"eaq-no-such-command"});
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_NE(missing.not_run, "");
  const CommandEnd folder = run_command(std::vector<std::string>{"/"});
  EXPECT_EQ(folder.exit_code, 126);
  EXPECT_NE(folder.not_run, "");
}

TEST(Command, ASignalToUsReachesIt) {
  const std::filesystem::path ready = std::filesystem::path(::testing::TempDir()) / ("ready-" + std::to_string(::getpid()));
  std::filesystem::remove(ready);
  std::thread sender([&] {
    while (!std::filesystem::exists(ready)) ::usleep(1000);
    ::kill(::getpid(), SIGTERM);
  });
  const CommandEnd end = shell("trap 'exit 9' TERM; : > '" + ready.string() + "'; while :; do sleep 0.01; done");
  sender.join();
  std::filesystem::remove(ready);
  EXPECT_EQ(end.exit_code, 9);
}

TEST(Command, HasTheDispositionsOfTheStart) {
  // SigIgn of the command: SIGPIPE is bit 12, SIGINT bit 1.
  const std::string ignored =
      "read_mask=$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/$$/status); exit $(( (0x$read_mask >> BIT) & 1 ))";
  const auto ignores = [&](int signal) {
    std::string line = ignored;
    line.replace(line.find("BIT"), 3, std::to_string(signal - 1));
    return shell(line).exit_code;
  };
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(ignores(SIGPIPE), 0);
  ::signal(SIGPIPE, before);
  const auto interrupt = ::signal(SIGINT, SIG_IGN);
  EXPECT_EQ(ignores(SIGINT), 1);
  ::signal(SIGINT, interrupt);
  EXPECT_EQ(ignores(SIGINT), 0);
}

TEST(Command, InheritsOnlyWhatWasOpenBefore) {
  const int before = ::open("/dev/null", O_RDONLY);
  const InheritedFiles inherited;
  const int ours = ::open("/dev/null", O_RDONLY);
  inherited.keep_the_rest();
  const auto has = [](int file) { return shell("test -e /proc/$$/fd/" + std::to_string(file)).exit_code == 0; };
  EXPECT_TRUE(has(before));
  EXPECT_FALSE(has(ours));
  ::close(ours);
  ::close(before);
}

}  // namespace
}  // namespace eaq
