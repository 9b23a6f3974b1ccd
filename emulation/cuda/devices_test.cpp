// What a person is told where no card can be used.
#include <gtest/gtest.h>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/device.h"

namespace eaq::kernel_cuda {
namespace {

TEST(WhyNoCard, SaysWhatIsMissingAndWhatToDo) {
  const auto says = [](const Missing& missing, const std::string& wanted) {
    EXPECT_NE(why_no_card(missing).find(wanted), std::string::npos) << why_no_card(missing);
  };
  says({.code = cudaErrorInsufficientDriver}, "no NVIDIA driver is installed");
  says({.code = cudaErrorInsufficientDriver, .control = true}, "--gpus all");
  says({.code = cudaErrorInsufficientDriver, .driver = 12040, .runtime = 13020},
       "offers CUDA 12.4, and this program needs CUDA 13.0 or newer: update the driver");
  says({.code = cudaErrorNoDevice, .hidden = true}, "CUDA_VISIBLE_DEVICES hides");
  says({.code = cudaErrorNoDevice}, "shows this process no card");
  says({.code = cudaErrorInitializationError}, "initialization error");
}

TEST(OldCards, AreRefusedByName) {
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(usable_architecture(properties), 90);
  setenv("EAQ_EMULATED_SM", "70", 1);
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  try {
    usable_architecture(properties);
    ADD_FAILURE() << "was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unavailable);
    EXPECT_EQ(std::string(error.what()).find("this program has no kernels for emulated card (CPU), which is sm_70"), 0u)
        << error.what();
  }
  unsetenv("EAQ_EMULATED_SM");
}

TEST(FailedCalls, AreNamedWithTheirSite) {
  try {
    check(cudaErrorInvalidDevice, "cudaSetDevice: turning to the card");
    FAIL();
  } catch (const Error& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.find("cudaSetDevice: turning to the card: invalid device ordinal ("), 0u) << what;
    EXPECT_NE(what.find("devices_test.cpp:" + std::to_string(__LINE__ - 5) + ")"), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace eaq::kernel_cuda
