#include "eaq/base/version.h"

#include "commit.h"  // written by cmake/Commit.cmake

namespace eaq {

std::string_view version() { return EAQ_VERSION; }
std::string_view commit() { return EAQ_COMMIT; }

}  // namespace eaq
