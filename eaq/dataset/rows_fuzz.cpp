// Any bytes as a task file: rows that keep their promises, or Error{input}.
#include <cstdlib>

#include "eaq/dataset/rows.h"

namespace {

using eaq::dataset::joined_text;
using eaq::dataset::read_labelled;

template <class F>
void only_input_errors(F&& f) {
  try {
    f();
  } catch (const eaq::Error& e) {
    if (e.kind() != eaq::ErrorKind::input || !eaq::is_utf8(e.what())) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string content(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"x.tsv", "x.jsonl"}) {
    only_input_errors([&] {
      for (const auto& row : read_labelled(name, content, {}))
        if (row.label < 0 || row.label > 1 || row.line < 1 || !eaq::is_utf8(row.text)) std::abort();
    });
    for (const auto join : {eaq::Join::raw, eaq::Join::hf})
      only_input_errors([&] {
        if (!eaq::is_utf8(joined_text(name, content, {.join = join}))) std::abort();
      });
  }
  return 0;
}
