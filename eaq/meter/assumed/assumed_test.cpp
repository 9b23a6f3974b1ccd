#include <gtest/gtest.h>

#include "eaq/meter/testing.h"

namespace eaq {
namespace {

using namespace testing_meter;

TEST(Assumed, RefusesWhatIsNoPower) {
  for (const char* watts : {"0", "-3", "abc", "nan", "inf", "65W"})
    EXPECT_THROW(open_one(std::string("assumed:") + watts), Error) << watts;
}

}  // namespace
}  // namespace eaq
