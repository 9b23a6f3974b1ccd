#include "eaq/base/base.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "eaq/base/json.h"

namespace eaq {
namespace {

TEST(Units, PowerTimesTimeIsEnergy) { EXPECT_EQ(Watts(3) * Seconds(2), Joules(6)); }

TEST(Sha256, OfAbcIsTheOneInTheStandard) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Printable, EscapesControlsAndInvalidBytes) { EXPECT_EQ(printable("a\x1b[\xff\xc3\xa9"), "a\\x1b[\\xff\xc3\xa9"); }

TEST(Json, RefusesAKeyThatStandsTwice) { EXPECT_THROW(parse_json(R"({"a":1,"a":2})", "x.json"), Error); }
TEST(Json, RefusesDeepNesting) { EXPECT_THROW(parse_json(std::string(100000, '['), "x.json"), Error); }
TEST(Json, RefusesTrailingText) { EXPECT_THROW(parse_json("{} {}", "x.json"), Error); }
TEST(Json, KeepsNestedValues) {
  EXPECT_EQ(parse_json(R"({"b":[1,{"c":true}],"a":null})", "x").dump(), R"({"b":[1,{"c":true}],"a":null})");
}

TEST(ProgressBar, TellsTheTimeLeftFromWhatCostTime) {
  testing::internal::CaptureStderr();
  {
    Progress progress("x", 100, Progress::Style::bar);
    progress.count_as_given(50);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    progress.update(60);  // 10 in 1.1 s; 40 are left
  }
  const std::string text = testing::internal::GetCapturedStderr();
  const std::size_t end = text.find(" s left");
  ASSERT_NE(end, std::string::npos) << text;
  EXPECT_GE(std::stoi(text.substr(text.rfind(' ', end - 1))), 4) << text;  // of all that is done it would be one
}

}  // namespace
}  // namespace eaq
