#include "eaq/base/version.h"

namespace eaq {

std::string_view version() { return EAQ_VERSION; }

}  // namespace eaq
