// Compressed text, for raw records that are large and seldom read.
#pragma once

#include <string>
#include <string_view>

namespace eaq {

std::string zstd_compressed(std::string_view text);
/// Error{input} naming `name` for what is not zstd, is cut off, or grows beyond `limit` bytes.
std::string zstd_decompressed(std::string_view bytes, std::string_view name, std::size_t limit = std::size_t{1} << 32);

}  // namespace eaq
