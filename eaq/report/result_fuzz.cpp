// Any bytes as a result: refused with Error{input}, or something that everything which people read can be made of.
#include <cstdlib>

#include "eaq/base/base.h"
#include "eaq/measure/measure.h"
#include "eaq/report/report.h"

namespace {

void read_as_study(std::string_view text) {
  const eaq::Study study = eaq::study_from_json(text, "fuzz");
  if (!eaq::is_utf8(eaq::html_page({eaq::page_input("fuzz", study, eaq::SampleRecord{}, {})}, {}))) std::abort();
  eaq::screen_report(study), eaq::markdown_report(study), eaq::csv_table(study);
}

void read_as_profile(std::string_view text) {
  const eaq::Profile profile = eaq::profile_from_json(text, "fuzz");
  if (!eaq::is_utf8(eaq::html_page({eaq::page_input("fuzz", profile, "/nowhere")}, {}))) std::abort();
  eaq::screen_profile(profile), eaq::markdown_profile(profile), eaq::csv_sites(profile);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto read : {read_as_study, read_as_profile}) {
    try {
      read(text);
    } catch (const eaq::Error& e) {
      if (e.kind() != eaq::ErrorKind::input || !eaq::is_utf8(e.what())) std::abort();
    }
  }
  return 0;
}
