// Any bytes as JSON: refused with Error{input}, or a document that reads back as itself.
#include <cstdlib>

#include "eaq/base/base.h"
#include "eaq/base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (eaq::is_utf8(eaq::printable(text)) == false) std::abort();
  try {
    const eaq::Json value = eaq::parse_json(text, "fuzz");
    if (eaq::parse_json(value.dump(), "again") != value) std::abort();
  } catch (const eaq::Error& e) {
    if (e.kind() != eaq::ErrorKind::input || !eaq::is_utf8(e.what())) std::abort();
  }
  return 0;
}
