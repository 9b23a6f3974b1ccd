// Which devices there are, and the card that a test run may insist on.
#include <gtest/gtest.h>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "eaq/backend/backend.h"

namespace eaq {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

// Why no model can run on a card here; empty where one can.
std::string why_no_cuda() {
  for (const auto& row : backends())
    if (row.name == "cuda") return row.entry == nullptr ? std::string(row.left_out) : row.entry->unavailable_reason();
  return "this version has no CUDA backend";
}

TEST(Devices, AMissingOneIsUnavailableAndAMistypedOneIsUsage) {
  try {
    backend_named("gpu3");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage);
  }
  if (why_no_cuda().empty()) GTEST_SKIP() << "a card is here";
  try {
    backend_named("cuda");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unavailable);
  }
}

// Tests that run over every device leave out a card which is not here. This one says so, and where EAQ_REQUIRE_GPU=1 promises a
// card it fails: then no run is taken for one on a card that was none.
TEST(Cuda, IsHereWhereItIsRequired) {
  const std::string reason = why_no_cuda();
  if (!reason.empty() && is_set("EAQ_REQUIRE_GPU")) FAIL() << "EAQ_REQUIRE_GPU is set, and no card can be used: " << reason;
  if (!reason.empty()) GTEST_SKIP() << reason;
  const DeviceDescription card = backend_named("cuda").make_context({})->description();
  if (is_set("EAQ_REQUIRE_GPU")) {
    EXPECT_EQ(card.name.find("emulated"), std::string::npos) << "EAQ_REQUIRE_GPU is set, and the card is emulated";
  }
  EXPECT_EQ(card.kind, "cuda");
  EXPECT_EQ(card.isa.substr(0, 3), "sm_");
  EXPECT_EQ(card.uuid.substr(0, 4), "GPU-");
}

// The architecture is read once per process: the oldest gets a process of its own.
TEST(Cuda, AttentionHoldsOnTheOldestArchitectureToo) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  if (is_set("EAQ_CUDA_ARCHITECTURE")) GTEST_SKIP() << "already at an architecture of its own";
  std::string oldest = "EAQ_CUDA_ARCHITECTURE=75", program = "/proc/self/exe", filter = "--gtest_filter=*Attention*/BF16",
              brief = "--gtest_brief=1";
  std::array<char*, 4> arguments{program.data(), filter.data(), brief.data(), nullptr};
  std::vector<char*> environment{oldest.data()};
  for (char** e = environ; *e != nullptr; ++e) environment.push_back(*e);
  environment.push_back(nullptr);
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(), environment.data()), 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace eaq
