cmake_minimum_required(VERSION 3.25)
# Writes the commit that is being built to OUT, at every build, touching the file only where it changed. Run with -P.
execute_process(
  COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(failed)
  set(commit "unknown")
else()
  # Tracked files alone: what a study writes beside the sources does not change what was built.
  execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
  if(changes)
    string(APPEND commit "-dirty")
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define EAQ_COMMIT \"@commit@\"\n" @ONLY)
