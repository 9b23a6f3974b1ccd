// How much of everything the emulated card has.
#pragma once

#include <cstddef>

namespace emulated {

inline constexpr std::size_t plain_shared_memory = 48 << 10;  ///< of a block that asks for no more
/// A kernel's static arrays count in both, and how large they are is not known here: so much is kept for them.
inline constexpr std::size_t static_shared_memory = 4 << 10;
std::size_t most_shared_memory();  ///< of a block, by the card's generation (EAQ_EMULATED_SM)
std::size_t card_memory();         ///< EAQ_EMULATED_MEMORY

}  // namespace emulated
