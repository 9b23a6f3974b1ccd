// What the page is made of besides a result: its style and script (web/), and the libraries that draw its charts, which the build
// takes from npm. cmake/Page.cmake writes the table.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace eaq::page {

std::string_view style();
std::string_view script();

struct PageLibrary {
  std::string_view name, version, text;
};
/// In the order in which they are loaded; empty where the build had none.
std::span<const PageLibrary> chart_libraries();
/// Why there are none.
std::string_view charts_left_out();

}  // namespace eaq::page
