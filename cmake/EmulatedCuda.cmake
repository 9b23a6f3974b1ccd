# What needs CUDA, compiled by the C++ compiler against emulation/cuda, which stands for the toolkit (emulation/cuda/README.md).
if(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
  message(FATAL_ERROR "EAQ_CUDA=EMULATED is written for x86-64")
endif()
set(EAQ_EMULATION ${CMAKE_CURRENT_SOURCE_DIR}/emulation/cuda)
# What emulation/cuda has its own of: gemm.cpp stands for cuBLASLt and CUTLASS.
set(EAQ_NOT_EMULATED "/eaq/kernel/cuda/(gemm|cublaslt|choice)\\.cpp$|/hopper/")
# First, for everything: tests look into CUDA's folders too, and ptx.cuh is one of those found here instead.
include_directories(BEFORE ${EAQ_EMULATION})
# Kernels read memory as other types than it was written, which CUDA allows, and have pragmas for nvcc.
add_compile_options(-fno-strict-aliasing -Wno-unknown-pragmas)

function(eaq_emulate_cuda target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${EAQ_EMULATION}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  target_sources(${target} PRIVATE ${sources})
  # Kernels are to be watched, not what runs them, which takes most of the time.
  set_source_files_properties(
    ${EAQ_EMULATION}/emulated/block.cpp ${EAQ_EMULATION}/emulated/fiber.cpp PROPERTIES COMPILE_OPTIONS "-O2;-fno-sanitize=all")
  set_source_files_properties(${EAQ_EMULATION}/emulated/product.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-fno-sanitize=all")
endfunction()

function(eaq_add_emulation_test)
  file(GLOB sources CONFIGURE_DEPENDS ${EAQ_EMULATION}/*_test.cpp)
  add_executable(emulation_test ${sources})
  target_link_libraries(emulation_test PRIVATE eaq GTest::gtest GTest::gtest_main)
  eaq_warnings(emulation_test)
  gtest_discover_tests(
    emulation_test WORKING_DIRECTORY ${CMAKE_BINARY_DIR} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS emulation)
  # As Turing, which has no bf16, and as Blackwell, which has not what is written for Hopper alone and, as sm_120, less shared memory:
  # what a test counts on must not be more than the card says it has.
  foreach(card IN ITEMS Older=EAQ_CUDA_ARCHITECTURE=75 Newer=EAQ_EMULATED_SM=120)
    string(REGEX MATCH "^([A-Za-z]+)=(.+)$" card ${card})
    set(name ${CMAKE_MATCH_1}Card.RunsWhatItHas)
    add_test(NAME ${name} COMMAND engine_test --gtest_filter=Sessions/OnDevice.*/cuda WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set_tests_properties(${name} PROPERTIES ENVIRONMENT ${CMAKE_MATCH_2} FAIL_REGULAR_EXPRESSION "Running 0 tests" TIMEOUT 600 LABELS emulation)
  endforeach()
  # Where a block has 64 KiB and 99 KiB of shared memory.
  foreach(sm IN ITEMS 75 120)
    add_test(NAME Card${sm}.HasRoomForAttentionOfEveryHead COMMAND backend_test "--gtest_filter=*Attention*" WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set_tests_properties(
      Card${sm}.HasRoomForAttentionOfEveryHead
      PROPERTIES ENVIRONMENT EAQ_EMULATED_SM=${sm} FAIL_REGULAR_EXPRESSION "Running 0 tests" TIMEOUT 600 LABELS emulation)
  endforeach()
endfunction()
