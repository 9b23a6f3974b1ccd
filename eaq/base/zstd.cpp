#include "eaq/base/zstd.h"

#include <zstd.h>

#include <algorithm>
#include <memory>

#include "eaq/base/error.h"
#include "eaq/base/file.h"

namespace eaq {

std::string zstd_compressed(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 9);
  if (ZSTD_isError(size)) throw Error(ErrorKind::bug, std::string("zstd: ") + ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

std::string zstd_decompressed(std::string_view bytes, std::string_view name, std::size_t limit) {
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::input, printable(name) + ": " + what); };
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  std::string out, piece(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::size_t wanted = 1;  // 0 once a frame is whole
  while (in.pos < in.size) {
    ZSTD_outBuffer part{piece.data(), piece.size(), 0};
    wanted = ZSTD_decompressStream(context.get(), &part, &in);
    if (ZSTD_isError(wanted)) fail(std::string("not valid zstd: ") + ZSTD_getErrorName(wanted));
    if (out.size() + part.pos > limit) fail("larger than " + std::to_string(limit) + " bytes when unpacked");
    out.append(piece, 0, part.pos);
    // A full piece may leave output waiting inside although the input is used up.
    while (in.pos == in.size && part.pos == part.size && wanted != 0) {
      part = {piece.data(), piece.size(), 0};
      wanted = ZSTD_decompressStream(context.get(), &part, &in);
      if (ZSTD_isError(wanted)) fail(std::string("not valid zstd: ") + ZSTD_getErrorName(wanted));
      out.append(piece, 0, part.pos);
    }
  }
  if (wanted != 0) fail("cut off in the middle of a zstd frame");
  return out;
}

}  // namespace eaq
