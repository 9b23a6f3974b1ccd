# Sources stand in folders named after the floors; nothing here lists a file by hand.

# Switches that hold for everything that is compiled: set before the first target.
macro(eaq_configure_build)
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(EAQ_CCACHE ccache DOC "Compiler cache, used where there is one")
    if(EAQ_CCACHE)
      set(CMAKE_CXX_COMPILER_LAUNCHER ${EAQ_CCACHE})
    endif()
  endif()
  if(EAQ_SANITIZE)
    # A finding ends the program: otherwise a test with one would pass.
    add_compile_options(-fsanitize=${EAQ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${EAQ_SANITIZE})
  endif()
  if(EAQ_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL Clang)
      message(FATAL_ERROR "EAQ_FUZZ needs Clang, for libFuzzer: cmake --preset fuzz")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
  endif()
  if(EAQ_CUDA STREQUAL EMULATED)
    include(EmulatedCuda)
  elseif(EAQ_CUDA)
    include(Cuda)
  endif()
endmacro()

function(eaq_configure_library target)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}> $<INSTALL_INTERFACE:include>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(
    ${target} PUBLIC Threads::Threads
    PRIVATE OpenMP::OpenMP_CXX OpenSSL::Crypto CURL::libcurl nlohmann_json::nlohmann_json fmt::fmt ICU::i18n ICU::uc DNNL::dnnl PkgConfig::hwy PkgConfig::zstd)
  eaq_warnings(${target})
  if(EAQ_CUDA STREQUAL EMULATED)
    eaq_emulate_cuda(${target})
  elseif(EAQ_CUDA)
    eaq_add_hopper(${target})
    target_include_directories(${target} PRIVATE ${EAQ_CUDA_INCLUDE})
    target_link_libraries(${target} PRIVATE eaq_cublasLt eaq_cudart_static ${CMAKE_DL_LIBS} rt)
  endif()
endfunction()

# missing-field-initializers: options are given by name, and those that are not given keep their defaults on purpose.
function(eaq_warnings target)
  target_compile_options(
    ${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers $<$<BOOL:${EAQ_WERROR}>:-Werror>>)
endfunction()

# Sanitized builds spend most of their time on templates that each file has from libraries: there several files are compiled as
# one (a fifth of the time). Not those of the folders named here, where files have names in common that no other file sees, or a
# header that is read anew for every instruction set.
function(eaq_unite target)
  if(EAQ_SANITIZE)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON)
    get_target_property(sources ${target} SOURCES)
    list(FILTER sources INCLUDE REGEX "/(base|emulation|hub|kernel|measure|profile|report|stats|text)/")
    set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()

# Adds every source of one folder and its subfolders.
function(eaq_add_folder target folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/eaq/${folder}/*.cpp)
  if(EAQ_CUDA)
    file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/eaq/${folder}/*.cu)
    list(FILTER cuda_sources EXCLUDE REGEX "/hopper/")  # eaq_add_hopper
    list(APPEND sources ${cuda_sources})
  else()
    list(FILTER sources EXCLUDE REGEX "_cuda\\.cpp$")  # a part of a folder that needs CUDA
  endif()
  if(EAQ_CUDA STREQUAL EMULATED)
    list(FILTER sources EXCLUDE REGEX ${EAQ_NOT_EMULATED})
    # nvcc includes this header by itself.
    set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-include;cuda_runtime.h")
  endif()
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")
  if(EAQ_FUZZ AND folder STREQUAL kernel)
    # No parser calls a kernel, and Clang's sanitizers need ten times the rest of the compilation for code in vectors.
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all")
  endif()
  target_sources(${target} PRIVATE ${sources})
endfunction()

# One program of KIND (test, bench) per folder that has *_KIND.cpp files.
function(eaq_add_programs kind)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "BUILT" "LINK")
  set(built "")
  file(GLOB folders CONFIGURE_DEPENDS LIST_DIRECTORIES true ${CMAKE_CURRENT_SOURCE_DIR}/eaq/*)
  foreach(path IN LISTS folders)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${path}/*_${kind}.cpp)
    if(NOT EAQ_CUDA)
      list(FILTER sources EXCLUDE REGEX "/cuda/[^/]*$|_cuda_${kind}\\.cpp$")
    endif()
    if(NOT EAQ_CUDA OR EAQ_CUDA STREQUAL EMULATED)
      list(FILTER sources EXCLUDE REGEX "/hopper/")
    endif()
    if(NOT sources)
      continue()
    endif()
    get_filename_component(folder ${path} NAME)
    set(program ${folder}_${kind})
    add_executable(${program} ${sources})
    target_link_libraries(${program} PRIVATE eaq ${ARG_LINK} nlohmann_json::nlohmann_json fmt::fmt)
    target_compile_definitions(${program} PRIVATE EAQ_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}" EAQ_PROGRAM="${CMAKE_BINARY_DIR}/eaq")
    eaq_warnings(${program})
    eaq_unite(${program})
    list(APPEND built ${folder})
  endforeach()
  set(${ARG_BUILT} ${built} PARENT_SCOPE)
endfunction()

# One test program per folder. Each GoogleTest case is a ctest entry, labelled with its folder, and runs in the build folder.
function(eaq_add_tests)
  eaq_add_programs(test BUILT folders LINK GTest::gtest GTest::gtest_main)
  foreach(folder IN LISTS folders)
    if(TARGET eaq_program)
      add_dependencies(${folder}_test eaq_program)
    endif()
    gtest_discover_tests(
      ${folder}_test WORKING_DIRECTORY ${CMAKE_BINARY_DIR} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS ${folder})
  endforeach()

  # What kernels promise, at every level of instructions; one that the processor lacks is skipped, and says so.
  foreach(level IN ITEMS avx2 avx512 avx512_vnni_bf16 amx)
    foreach(folder IN ITEMS kernel format backend)
      if(TARGET ${folder}_test)
        add_test(NAME Level.${level}.${folder} COMMAND ${folder}_test --gtest_brief=1 "--gtest_filter=-Cuda.*" WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
        set_tests_properties(
          Level.${level}.${folder}
          PROPERTIES ENVIRONMENT "EAQ_CPU_ISA=${level};CUDA_VISIBLE_DEVICES=-1;EAQ_REQUIRE_GPU=0" SKIP_REGULAR_EXPRESSION "this processor .* goes up to" TIMEOUT 600
                     LABELS ${folder})
      endif()
    endforeach()
  endforeach()

  if(EAQ_CUDA STREQUAL EMULATED)
    eaq_add_emulation_test()
  endif()

  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME Layers.HoldInThisTree COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/check_layers.py)
  add_test(NAME Layers.EveryBrokenRuleIsNoticed COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/check_layers_test.py)
  set_tests_properties(Layers.HoldInThisTree Layers.EveryBrokenRuleIsNoticed PROPERTIES LABELS house)
  add_test(NAME Types.HaveNamesOfTheirOwn COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/check_types.py)
  add_test(NAME Types.ANameTakenTwiceIsNoticed COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/check_types_test.py)
  set_tests_properties(Types.HaveNamesOfTheirOwn Types.ANameTakenTwiceIsNoticed PROPERTIES LABELS house)
  add_test(NAME Peers.BenchmarkCountsWhatItShould COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/peers_test.py)
  add_test(NAME Peers.OnAProcessorCountWhatTheyShould COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/cpu/cpu_test.py)
  add_test(NAME Peers.OnACardCountWhatTheyShould COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/gpu_test.py)
  add_test(NAME Peers.PerformancePageIsWhatTheResultsSay COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/performance.py --check)
  add_test(NAME Card.SanitizersNoticeWhatFails COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/scripts/card_sanitizers_test.py)
  add_test(NAME Kernels.OfARunAreCounted COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/kernels/of_a_run_test.py)
  add_test(NAME Study.TakesTheBuildThatSuitsTheMachine COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/scripts/study_test.py)
  set_tests_properties(Peers.BenchmarkCountsWhatItShould Peers.OnAProcessorCountWhatTheyShould Peers.OnACardCountWhatTheyShould Peers.PerformancePageIsWhatTheResultsSay Card.SanitizersNoticeWhatFails Kernels.OfARunAreCounted Study.TakesTheBuildThatSuitsTheMachine PROPERTIES LABELS scripts)
  # A sanitized library asks its users for the same sanitizers, and an emulated card is not installed.
  if(TARGET eaq_program AND NOT EAQ_SANITIZE AND NOT EAQ_CUDA STREQUAL EMULATED)
    add_test(NAME Install.FindPackageBuildsAConsumer COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/scripts/check_consumer ${CMAKE_BINARY_DIR})
    set_tests_properties(Install.FindPackageBuildsAConsumer PROPERTIES LABELS house TIMEOUT 600)
  endif()
endfunction()

function(eaq_add_benchmarks)
  eaq_add_programs(bench BUILT folders LINK benchmark::benchmark benchmark::benchmark_main)
  add_executable(tokenizer_parity bench/tokenizers/encode.cpp)  # for bench/tokenizers/parity.py
  target_link_libraries(tokenizer_parity PRIVATE eaq)
  eaq_warnings(tokenizer_parity)
endfunction()

# Every *_fuzz.cpp is a libFuzzer program of its own; scripts/fuzz runs them.
function(eaq_add_fuzzers)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/eaq/*_fuzz.cpp)
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE eaq nlohmann_json::nlohmann_json fmt::fmt -fsanitize=fuzzer)
    eaq_warnings(${name})
  endforeach()
endfunction()
