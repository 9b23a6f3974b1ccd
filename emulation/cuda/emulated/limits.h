// How much of everything the emulated card has.
#pragma once

#include <cstddef>

namespace emulated {

inline constexpr std::size_t plain_shared_memory = 48 << 10;  ///< of a block that asks for no more
std::size_t most_shared_memory();                             ///< of a block, by the card's generation (EAQ_EMULATED_SM)
std::size_t card_memory();                                    ///< EAQ_EMULATED_MEMORY

}  // namespace emulated
