#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

TEST(Exec, ReadsLinesAndTellsTheEnd) {
  MeterSet meters = open_one("exec:printf '0,10\\n0.1,20.5\\n'; exit 3");
  EXPECT_EQ(meters.read()[0].power, Watts(10));
  EXPECT_EQ(meters.read()[0].power, Watts(20.5));
  Reading last;
  for (int i = 0; i < 500 && last.fault == Fault::none; ++i) {
    ::usleep(10000);
    last = meters.read()[0];
  }
  EXPECT_EQ(last.fault, Fault::unplugged);
  EXPECT_TRUE(contains(last.reason, "exit code 3"));
  EXPECT_FALSE(last.power.has_value());
}

TEST(Exec, ACommandThatIsNotThereSaysSo) {
  EXPECT_TRUE(contains(message_of([] { open_one("exec:/no/such/wattmeter 2>/dev/null"); }), "exit code 127"));
}

TEST(Exec, AnotherLineIsAnErrorWithItsNumber) {
  EXPECT_TRUE(contains(message_of([] { open_one("exec:echo watts: 5"); }), "line 1: 'watts: 5'"));
}

TEST(Exec, LeavesNoProcessBehind) {
  const Folder folder;
  const auto file = folder.path() / "pid";
  { open_one("exec:echo $$ > " + file.string() + "; echo 0,1; sleep 1000 & trap '' TERM; sleep 1000"); }
  pid_t group = 0;
  std::ifstream(file) >> group;
  ASSERT_GT(group, 1);
  // Whatever ignored the first signal was ended by the second; an orphan may wait a moment for its reaper.
  bool gone = false;
  for (int i = 0; i < 500 && !gone; ++i) {
    gone = ::kill(-group, 0) != 0;
    if (!gone) ::usleep(10000);
  }
  if (!gone) {  // in a container whose first process reaps nobody, zombies of orphans remain; no process of the group runs
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream stat(entry.path() / "stat");
      std::string line;
      if (!std::getline(stat, line) || line.rfind(')') == std::string::npos) continue;
      char state = 0;
      int parent = 0, its_group = 0;
      std::sscanf(line.c_str() + line.rfind(')') + 1, " %c %d %d", &state, &parent, &its_group);
      if (its_group == group) {
        EXPECT_EQ(state, 'Z') << line;
        EXPECT_NE(parent, ::getpid()) << "our own zombie: " << line;
      }
    }
  }
}

}  // namespace
}  // namespace eaq
