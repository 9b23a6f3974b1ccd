// Ctrl-C ends the block in hand, not the process: what was measured is kept.
#pragma once

namespace eaq {

/// From here on SIGINT and SIGTERM only set a flag, unless they are ignored; a second one ends the process at once with 130.
void catch_interrupts();
bool interrupted();
void clear_interrupt();  ///< for tests

}  // namespace eaq
