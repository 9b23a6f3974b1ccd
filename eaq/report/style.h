// How the screen's text is set off, where a terminal reads it. columns() knows that these signs take no room.
#pragma once

#include <string>

namespace eaq {

/// As colour_screens() was told last; without it the text comes back as it is.
std::string bold(const std::string& text);
std::string dim(const std::string& text);
std::string good(const std::string& text);  ///< green
std::string bad(const std::string& text);   ///< red
bool screens_are_coloured();

}  // namespace eaq
