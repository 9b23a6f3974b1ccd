# The report page's parts, carried by the program: its style and script from web/, and the libraries that draw its charts, as
# web/package-lock.json pins them. npm installs those into the build tree, once for each lock file. Where that cannot be done the
# table of libraries is empty and holds the reason, which the page tells.
option(EAQ_CHARTS "Charts in the report page: npm fetches their libraries" ON)
set(EAQ_PAGE_LIBRARIES vega/build/vega.min.js vega-lite/build/vega-lite.min.js vega-interpreter/build/vega-interpreter.js
                       vega-embed/build/vega-embed.min.js)

function(eaq_page_has_libraries modules result)
  set(${result} TRUE PARENT_SCOPE)
  foreach(library IN LISTS EAQ_PAGE_LIBRARIES)
    if(NOT EXISTS ${modules}/${library})
      set(${result} FALSE PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

# Sets `result` to the folder node_modules that holds the libraries, or `why` to the reason why there is none.
function(eaq_install_page_libraries result why)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/web)
  set(place ${CMAKE_BINARY_DIR}/web)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source}/package-lock.json)
  set(${result} "" PARENT_SCOPE)
  if(NOT EAQ_CHARTS)
    set(${why} "EAQ_CHARTS is OFF" PARENT_SCOPE)
    return()
  endif()
  eaq_page_has_libraries(${source}/node_modules there)
  if(there)  # a developer's own
    set(${result} ${source}/node_modules PARENT_SCOPE)
    return()
  endif()
  file(SHA256 ${source}/package-lock.json wanted)
  set(stamp "")
  if(EXISTS ${place}/stamp)
    file(READ ${place}/stamp stamp)
  endif()
  eaq_page_has_libraries(${place}/node_modules there)
  if(there AND stamp STREQUAL wanted)
    set(${result} ${place}/node_modules PARENT_SCOPE)
    return()
  endif()
  find_program(EAQ_NPM npm DOC "Installs what the report page draws its charts with")
  if(NOT EAQ_NPM)
    set(${why} "npm was not found" PARENT_SCOPE)
    return()
  endif()
  file(REMOVE ${place}/stamp)
  file(COPY ${source}/package.json ${source}/package-lock.json DESTINATION ${place})
  execute_process(
    COMMAND ${EAQ_NPM} ci --omit=dev --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error --fetch-retries=1
            --fetch-timeout=30000
    WORKING_DIRECTORY ${place} RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said TIMEOUT 180)
  eaq_page_has_libraries(${place}/node_modules there)
  if(failed OR NOT there)
    string(REGEX MATCH "npm (ERR!|error) (code )?[^\n]*" line "${said}")
    string(REGEX REPLACE "^npm (ERR!|error) (code )?" "" line "${line}")
    if(NOT line)
      set(line "${failed}")
    endif()
    string(REGEX REPLACE "[^A-Za-z0-9 ./_:@-]" "" line "${line}")  # it becomes a C++ string
    set(${why} "npm could not install the chart libraries (${line})" PARENT_SCOPE)
    return()
  endif()
  file(WRITE ${place}/stamp ${wanted})
  set(${result} ${place}/node_modules PARENT_SCOPE)
endfunction()

# The interpreter comes as an ES module alone: made a script that takes what it imports from vega, and leaves its name.
function(eaq_page_interpreter source target)
  file(READ ${source} text)
  string(REGEX REPLACE "import {([^}]*)} from 'vega-util';" "const {\\1} = vega;" text "${text}")
  string(REGEX REPLACE "export { expression as expressionInterpreter };" "window.expressionInterpreter = expression;" text "${text}")
  string(REGEX REPLACE "\n//# sourceMappingURL=[^\n]*" "" text "${text}")
  if(text MATCHES "(^|\n)(import|export) ")
    message(FATAL_ERROR "${source}: is no module as cmake/Page.cmake knows it")
  endif()
  file(CONFIGURE OUTPUT ${target} CONTENT "(() => {\n@text@\n})();\n" @ONLY)
endfunction()

function(eaq_page_assets target)
  eaq_install_page_libraries(modules why)
  set(files "${CMAKE_CURRENT_SOURCE_DIR}/web/page.css" "${CMAKE_CURRENT_SOURCE_DIR}/web/page.js")
  set(rows "")
  if(modules)
    foreach(library IN LISTS EAQ_PAGE_LIBRARIES)
      string(REGEX REPLACE "/.*" "" name ${library})
      file(READ ${modules}/${name}/package.json description)
      string(JSON version GET "${description}" version)
      set(file ${modules}/${library})
      if(name STREQUAL vega-interpreter)
        set(file ${CMAKE_BINARY_DIR}/web/vega-interpreter.js)
        eaq_page_interpreter(${modules}/${library} ${file})
      endif()
      list(LENGTH files index)
      list(APPEND files ${file})
      string(APPEND rows "      {\"${name}\", \"${version}\", between(eaq_page_${index}, eaq_page_${index}_end)},\n")
    endforeach()
  elseif(EAQ_CHARTS)
    message(NOTICE "The report page will have tables and no charts: ${why} (scripts/setup charts installs what is missing)")
  endif()
  set(blobs "")
  set(declarations "")
  set(index 0)
  foreach(file IN LISTS files)
    string(APPEND blobs "eaq_page_${index}: .incbin \\\"${file}\\\"\\neaq_page_${index}_end: .byte 0\\n")
    string(APPEND declarations "extern const char eaq_page_${index}[], eaq_page_${index}_end[];\n")
    math(EXPR index "${index} + 1")
  endforeach()
  set(table ${CMAKE_CURRENT_BINARY_DIR}/registry/page.cpp)
  file(CONFIGURE OUTPUT ${table} @ONLY CONTENT
"// Written by cmake/Page.cmake: the files of the report page, as they are.
#include \"eaq/report/page/assets.h\"

// The assembler takes them in: a compiler would need seconds for a megabyte of text.
__asm__(\".pushsection .rodata\\n@blobs@.popsection\\n\");
extern \"C\" {
@declarations@}

namespace eaq::page {
namespace {

std::string_view between(const char* begin, const char* end) { return {begin, static_cast<std::size_t>(end - begin)}; }

}  // namespace

std::string_view style() { return between(eaq_page_0, eaq_page_0_end); }
std::string_view script() { return between(eaq_page_1, eaq_page_1_end); }
std::string_view charts_left_out() { return \"@why@\"; }

std::span<const PageLibrary> chart_libraries() {
  static const std::vector<PageLibrary> libraries{
@rows@  };
  return libraries;
}

}  // namespace eaq::page
")
  target_sources(${target} PRIVATE ${table})
  set_source_files_properties(${table} PROPERTIES OBJECT_DEPENDS "${files}")
endfunction()
