// Which product was chosen, remembered; without a card.
#include "eaq/kernel/cuda/choice.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "eaq/kernel/cuda/hopper/products.h"

namespace {

using namespace eaq;
using kernel_cuda::HopperProduct;

TEST(HopperProducts, HaveNamesOfTheirOwn) {
  for (const HopperProduct& product : kernel_cuda::hopper_products())
    EXPECT_EQ(kernel_cuda::find_hopper_product(product.name), &product);
  EXPECT_EQ(kernel_cuda::find_hopper_product("128x128x64 by hand"), nullptr);
}

TEST(ProductChoices, AreSharedByRowCountsCloseTogether) {
  const auto kept = [](std::int64_t m) { return kernel_cuda::shared_by_neighbours({.m = m, .n = 768}).m; };
  for (const std::int64_t m : {1, 17, 127, 128, 144, 256, 4096, 8192}) EXPECT_EQ(kept(m), m);
  EXPECT_EQ(kept(129), 144);
  EXPECT_EQ(kept(4000), 4096);
  EXPECT_EQ(kept(4097), 4608);
  EXPECT_EQ(kernel_cuda::shared_by_neighbours({.m = 4000, .n = 768}).n, 768);
}

TEST(ProductChoices, AreRememberedPerCardAndLibrary) {
  const std::string card = "GPU-of-a-test";
  kernel_cuda::LtAlgorithm algorithm{};
  for (std::size_t i = 0; i < algorithm.size(); ++i) algorithm[i] = static_cast<unsigned char>(5 * i);
  const kernel_cuda::ProductKey ours{.m = 4096, .n = 768, .k = 3072}, theirs{.m = 1, .n = 50304, .k = 768};
  {
    kernel_cuda::ChoiceMemory memory(card, 130102);
    memory.remember(ours, kernel_cuda::hopper_products().data());
    memory.remember(theirs, algorithm);
  }
  const kernel_cuda::ChoiceMemory memory(card, 130102), updated(card, 130103);
  ASSERT_NE(memory.find(ours), nullptr);
  ASSERT_NE(memory.find(theirs), nullptr);
  EXPECT_EQ(*memory.find(ours), kernel_cuda::ProductChoice(kernel_cuda::hopper_products().data()));
  EXPECT_EQ(*memory.find(theirs), kernel_cuda::ProductChoice(algorithm));
  EXPECT_EQ(memory.find({.m = 2}), nullptr);
  EXPECT_EQ(updated.find(ours), nullptr);
  std::filesystem::remove(cache_folder() / ("products-" + card + ".txt"));
}

}  // namespace
