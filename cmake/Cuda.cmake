# The CUDA toolkit, where the build wants one (preset cuda; scripts/cuda-toolkit finds or fetches it and says where it is).
# Not FindCUDAToolkit: that of CMake 3.25, as Debian 12 has it, does not know CUDA 13.
set(EAQ_CUDA_OLD "" CACHE STRING "Compile kernels as for an older architecture (75, 80, 89), to run on a Hopper card: for tests of those paths")
if(EAQ_CUDA_OLD)
  # The old architecture's PTX, assembled for sm_90: __CUDA_ARCH__ is the old one's. The program asks what it was compiled for.
  set(CMAKE_CUDA_ARCHITECTURES OFF CACHE STRING "" FORCE)
elseif(NOT CMAKE_CUDA_ARCHITECTURES)
  # Turing, Ampere, Ada, Hopper, Blackwell. The compiler's own default is the oldest, and `native` fails where there is no card.
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 89-real 90a-real 100-real 120-real)
endif()
enable_language(CUDA)
string(APPEND CMAKE_CUDA_FLAGS " -Xcompiler=-Wall,-Wextra -Xfatbin=-compress-all")
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that this compiler has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
endif()
set(CMAKE_CUDA_STANDARD 20)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
  message(FATAL_ERROR "CUDA ${CMAKE_CUDA_COMPILER_VERSION} (${CMAKE_CUDA_COMPILER}) is older than 12.8: `make build-cuda` fetches a newer one")
endif()

get_filename_component(EAQ_CUDA_ROOT ${CMAKE_CUDA_COMPILER} DIRECTORY)
get_filename_component(EAQ_CUDA_ROOT ${EAQ_CUDA_ROOT} DIRECTORY)
foreach(library cudart_static cublasLt)
  find_library(EAQ_${library} NAMES ${library} HINTS ${EAQ_CUDA_ROOT} PATH_SUFFIXES lib64 lib targets/x86_64-linux/lib REQUIRED)
  add_library(eaq_${library} UNKNOWN IMPORTED)
  set_target_properties(eaq_${library} PROPERTIES IMPORTED_LOCATION ${EAQ_${library}})
endforeach()
find_path(EAQ_CUDA_INCLUDE cublasLt.h HINTS ${EAQ_CUDA_ROOT} PATH_SUFFIXES include targets/x86_64-linux/include REQUIRED)
# CUTLASS is headers alone; where eaq looks for them scripts/cuda-toolkit puts them.
file(GLOB fetched ${CMAKE_CURRENT_SOURCE_DIR}/.cuda/lib/python3*/site-packages/cutlass_library/source/include)
find_path(EAQ_CUTLASS_INCLUDE cutlass/cutlass.h HINTS $ENV{EAQ_CUTLASS_INCLUDE} ${fetched} NO_DEFAULT_PATH REQUIRED
          DOC "The folder that holds cutlass/cutlass.h, of CUTLASS 4.2")

# What is written for Hopper's tensor cores stands in folders named hopper and is compiled for those cards alone.
function(eaq_add_hopper target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/eaq/*.cu)
  list(FILTER sources INCLUDE REGEX "/hopper/")
  add_library(${target}_hopper OBJECT ${sources})
  if(EAQ_CUDA_OLD)  # of all but these
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-gencode arch=compute_${EAQ_CUDA_OLD},code=sm_90>")
  endif()
  set_target_properties(${target}_hopper PROPERTIES CUDA_ARCHITECTURES 90a-real)
  target_compile_features(${target}_hopper PRIVATE cxx_std_20)
  # An assertion is a call, before which the tensor cores' pipeline is emptied.
  target_compile_definitions(${target}_hopper PRIVATE NDEBUG)
  target_compile_options(${target}_hopper PRIVATE --expt-relaxed-constexpr)
  target_include_directories(${target}_hopper PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_include_directories(${target}_hopper SYSTEM PRIVATE ${EAQ_CUTLASS_INCLUDE})
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_hopper>)
endfunction()
