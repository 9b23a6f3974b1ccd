#include <algorithm>
#include <map>
#include <set>

#include "eaq/base/base.h"
#include "eaq/report/page/assets.h"
#include "eaq/report/page/sections.h"

namespace eaq {
namespace page {
namespace {

std::string base64(std::string_view hex) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) { return k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0U; };
    const unsigned three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int k = 0; k < 4; ++k) text += i + static_cast<std::size_t>(k) > bytes.size() ? '=' : digits[three >> (18 - 6 * k) & 63];
  }
  return text;
}

// Nothing may be fetched, and of scripts only these may run, whatever a result's names hold.
std::string policy(const std::vector<std::string_view>& scripts) {
  std::string hashes;
  for (const std::string_view text : scripts) hashes += " 'sha256-" + base64(sha256(text)) + "'";
  return "default-src 'none'; script-src" + hashes +
         "; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
}

// A library that held "</script" would end its element; none does, and one that did would only be a comparison with a pattern.
std::string script_element(std::string_view text) { return "<script>" + std::string(text) + "</script>\n"; }

std::vector<std::string_view> scripts() {
  std::vector<std::string_view> all;
  for (const PageLibrary& library : chart_libraries()) all.push_back(library.text);
  all.push_back(script());
  return all;
}

const Manifest& manifest_of(const PageInput& input) {
  return std::visit([](const auto& result) -> const Manifest& { return result.manifest; }, input.result);
}

std::string title_of(const PageInput& input) {
  if (const auto* profile = std::get_if<Profile>(&input.result))
    return "Profile: " + profile->run.model + " in " + profile->run.format + " on " + profile->manifest.device.name;
  const Study& study = std::get<Study>(input.result);
  std::string models;
  for (const Run& run : study.runs)
    if (models.find(run.model) == std::string::npos) models += (models.empty() ? "" : ", ") + run.model;
  return "Study: " + models + " on " + study.manifest.device.name;
}

std::string section(const PageInput& input, std::size_t index, const PageOptions& options) {
  const std::string id = "result-" + std::to_string(index + 1);
  std::string text = "<section aria-labelledby=\"" + id + "\">\n" + heading(2, title_of(input), id);
  const Manifest& m = manifest_of(input);
  text += paragraph(m.started + ", eaq " + m.eaq + " (" + m.commit + ")", "method");
  const std::string json = std::visit([](const auto& result) { return to_json(result); }, input.result);
  if (const auto* study = std::get_if<Study>(&input.result))
    text += study_section(input, *study, options);
  else
    text += profile_section(input, std::get<Profile>(input.result), options);
  return text + method_section(m, input.name, json) + "</section>\n";
}

std::string head(const std::string& title) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         policy(scripts()) +
         "\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light "
         "dark\">\n"
         "<title>" +
         escaped(title) + "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n" + std::string(style()) +
         "</style>\n</head>\n";
}

std::string formats_of(const Study& study) {
  std::string formats;
  std::set<std::string> seen;
  for (const Run& run : study.runs)
    if (seen.insert(run.format).second) formats += (formats.empty() ? "" : ", ") + run.format;
  return formats;
}

// Studies of one name are told apart by their formats.
std::string contents(const std::vector<PageInput>& results) {
  std::map<std::string, int> called;
  for (const PageInput& result : results) ++called[title_of(result)];
  std::string text = "<nav aria-label=\"Contents\"><ul>\n";
  for (std::size_t i = 0; i < results.size(); ++i) {
    std::string title = title_of(results[i]);
    const auto* study = std::get_if<Study>(&results[i].result);
    if (study != nullptr && called[title] > 1) title += " (" + formats_of(*study) + ")";
    text += "<li><a href=\"#result-" + std::to_string(i + 1) + "\">" + escaped(title) + "</a></li>\n";
  }
  return text + "</ul></nav>\n";
}

std::string footer() {
  std::string drawn;
  for (const PageLibrary& library : chart_libraries())
    drawn += (drawn.empty() ? "" : ", ") + std::string(library.name) + " " + std::string(library.version);
  return "<footer>" +
         paragraph("Written by eaq " + std::string(version()) + " (" + std::string(commit()) + ")." +
                   (drawn.empty() ? "" : " Charts by " + drawn + " (BSD-3-Clause), which this file carries.") +
                   " It fetches nothing and keeps nothing.") +
         "</footer>\n";
}

std::string whole_page(const std::vector<PageInput>& results, const PageOptions& options) {
  const std::string title =
      results.size() == 1 ? title_of(results.front()) : "eaq: " + std::to_string(results.size()) + " results";
  std::string text = head(title) + "<body>\n<a class=\"skip\" href=\"#main\">To the results</a>\n<header>" +
                     heading(1, "Joules per inference") +
                     paragraph(
                         "Which numeric format costs the fewest joules per inference here, and are the answers still as good? "
                         "Measured by eaq; every figure "
                         "with its 95 % interval and how it was obtained.",
                         "lead") +
                     "</header>\n" + contents(results);
  if (chart_libraries().empty())
    text += paragraph("This page has tables and no charts: the program was built without their libraries (" +
                          std::string(charts_left_out()) +
                          "). With Node.js and npm installed, build eaq again and write the page anew.",
                      "warn");
  else
    text += "<noscript>" +
            paragraph("Charts and sorting need JavaScript, which is off here; the tables have the same figures.", "warn") +
            "</noscript>\n";
  text += "<main id=\"main\">\n";
  for (std::size_t i = 0; i < results.size(); ++i) text += section(results[i], i, options);
  text += "</main>\n" + footer();
  for (const std::string_view script : scripts()) text += script_element(script);
  return text + "</body>\n</html>\n";
}

}  // namespace
}  // namespace page

std::string html_page(const std::vector<PageInput>& results, const PageOptions& options) {
  std::string text = page::whole_page(results, options);
  std::vector<PageInput> lighter;
  constexpr std::size_t fewest_points = 90;  // still a trace
  for (std::size_t points = page::points_of_a_trace / 2; text.size() > most_page_bytes && points > fewest_points; points /= 2) {
    if (lighter.empty()) lighter = results;
    for (PageInput& input : lighter)
      for (PowerTrace& trace : input.power) trace.watts = page::thinned(trace.watts, points);
    text = page::whole_page(lighter, options);
  }
  return text;
}

std::string_view page_charts_left_out() { return page::charts_left_out(); }

}  // namespace eaq
