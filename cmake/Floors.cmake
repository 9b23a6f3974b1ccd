# Sources stand in folders named after the floors; nothing here lists a file by hand.

function(eaq_configure_library target)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}> $<INSTALL_INTERFACE:include>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(
    ${target} PUBLIC Threads::Threads
    PRIVATE OpenMP::OpenMP_CXX OpenSSL::Crypto nlohmann_json::nlohmann_json fmt::fmt ICU::i18n ICU::uc DNNL::dnnl PkgConfig::hwy PkgConfig::zstd)
  eaq_warnings(${target})
endfunction()

function(eaq_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor $<$<BOOL:${EAQ_WERROR}>:-Werror>)
endfunction()

# Adds every source of one folder and its subfolders.
function(eaq_add_folder target folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/eaq/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")
  target_sources(${target} PRIVATE ${sources})
endfunction()

# One test program per folder; each GoogleTest case is a ctest entry.
function(eaq_add_tests)
  file(GLOB folders CONFIGURE_DEPENDS LIST_DIRECTORIES true ${CMAKE_CURRENT_SOURCE_DIR}/eaq/*)
  foreach(path IN LISTS folders)
    file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${path}/*_test.cpp)
    if(tests)
      get_filename_component(folder ${path} NAME)
      add_executable(${folder}_test ${tests})
      target_link_libraries(${folder}_test PRIVATE eaq GTest::gtest GTest::gtest_main nlohmann_json::nlohmann_json fmt::fmt)
      target_compile_definitions(${folder}_test PRIVATE EAQ_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}" EAQ_PROGRAM="${CMAKE_BINARY_DIR}/eaq")
      eaq_warnings(${folder}_test)
      gtest_discover_tests(${folder}_test DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
      if(TARGET eaq_program)
        add_dependencies(${folder}_test eaq_program)
      endif()
    endif()
  endforeach()
endfunction()
