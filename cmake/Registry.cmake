# A registry's table is written from folder names: dropping a folder in is enough, and nothing is lost to the linker as
# self-registration from a static library would be.
#
# A folder NAME of floor F holds, in any of its sources,
#     namespace eaq::F_NAME { const ENTRY& entry(); }      e.g.  namespace eaq::format_int8 { const Format& entry(); }
# The floor's public header declares  std::span<const RegistryRow<ENTRY>> ACCESSOR();
# A folder that cannot be built here (a toolkit is missing) says why in its own `requires.cmake`, which sets LEFT_OUT: it is then
# listed with that reason and without an entry, and its sources are not compiled.
function(eaq_registry target)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "FOLDER;ENTRY;ACCESSOR" "")
  set(root ${CMAKE_CURRENT_SOURCE_DIR}/eaq/${ARG_FOLDER})
  if(NOT EXISTS ${root}/${ARG_FOLDER}.h)
    return()
  endif()
  file(GLOB children CONFIGURE_DEPENDS LIST_DIRECTORIES true ${root}/*)
  set(declarations "")
  set(rows "")
  foreach(child IN LISTS children)
    file(GLOB sources CONFIGURE_DEPENDS ${child}/*.cpp ${child}/*.cu)
    get_filename_component(name ${child} NAME)
    if(NOT IS_DIRECTORY ${child} OR NOT sources OR name MATCHES "^testdata$")
      continue()
    endif()
    set(LEFT_OUT "")
    if(EXISTS ${child}/requires.cmake)
      include(${child}/requires.cmake)
    endif()
    if(LEFT_OUT)
      string(APPEND rows "      {\"${name}\", nullptr, \"${LEFT_OUT}\"},\n")
      get_target_property(all ${target} SOURCES)
      list(FILTER all EXCLUDE REGEX "^${child}/")
      set_target_properties(${target} PROPERTIES SOURCES "${all}")
    else()
      string(APPEND declarations "namespace ${ARG_FOLDER}_${name} { const ${ARG_ENTRY}& entry(); }\n")
      string(APPEND rows "      {\"${name}\", &${ARG_FOLDER}_${name}::entry(), \"\"},\n")
    endif()
  endforeach()
  set(file ${CMAKE_CURRENT_BINARY_DIR}/registry/${ARG_FOLDER}.cpp)
  file(CONFIGURE OUTPUT ${file} @ONLY CONTENT
"// Written by cmake/Registry.cmake from the folders of eaq/@ARG_FOLDER@.
#include \"eaq/@ARG_FOLDER@/@ARG_FOLDER@.h\"

namespace eaq {
@declarations@
std::span<const RegistryRow<@ARG_ENTRY@>> @ARG_ACCESSOR@() {
  static const std::vector<RegistryRow<@ARG_ENTRY@>> rows{
@rows@  };
  return rows;
}

}  // namespace eaq
")
  target_sources(${target} PRIVATE ${file})
endfunction()

# What each format multiplies with, per device: a format NAME whose folder holds NAME_DEVICE.cpp defines there
#     namespace eaq::format_NAME { const ProductMaker& DEVICE_products(); }
# Files for a device that this build leaves out are not compiled (cmake/Floors.cmake), and have no row.
function(eaq_products target)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "DEVICES")
  set(declarations "")
  set(rows "")
  foreach(device IN LISTS ARG_DEVICES)
    file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/eaq/format/*/*_${device}.cpp)
    foreach(file IN LISTS files)
      get_filename_component(folder ${file} DIRECTORY)
      get_filename_component(name ${folder} NAME)
      get_filename_component(stem ${file} NAME_WE)
      if(stem STREQUAL ${name}_${device})
        string(APPEND declarations "namespace format_${name} { const ProductMaker& ${device}_products(); }\n")
        string(APPEND rows "      {\"${name}\", \"${device}\", &format_${name}::${device}_products},\n")
      endif()
    endforeach()
  endforeach()
  set(file ${CMAKE_CURRENT_BINARY_DIR}/registry/products.cpp)
  file(CONFIGURE OUTPUT ${file} @ONLY CONTENT
"// Written by cmake/Registry.cmake from the files eaq/format/NAME/NAME_DEVICE.cpp.
#include \"eaq/format/format.h\"

namespace eaq {
@declarations@
std::span<const ProductsRow> format_products() {
  static constexpr ProductsRow rows[]{
@rows@  };
  return rows;
}

}  // namespace eaq
")
  target_sources(${target} PRIVATE ${file})
endfunction()
