# Build options and the flags that every target of the project shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

option(CYTOGRAD_TESTS "Build the tests" ON)
option(CYTOGRAD_BENCH "Build the benchmarks" ON)
option(CYTOGRAD_WERROR "Treat warnings as errors, as tools/test.sh does" OFF)
set(CYTOGRAD_CUDA AUTO CACHE STRING "AUTO (ON where nvcc and an NVIDIA GPU are found), ON, OFF, or EMULATE: the CUDA \
backend on a CPU, for tests")
set_property(CACHE CYTOGRAD_CUDA PROPERTY STRINGS AUTO ON OFF EMULATE)
option(CYTOGRAD_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

find_program(CCACHE ccache)
if(CCACHE)
  # Paths below the sources count as relative ones, so that clones in other folders share what is compiled.
  set(CCACHE_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_LAUNCHER})
endif()

# Flags come with this interface target, so that dependencies built elsewhere never see them.
add_library(cytograd_flags INTERFACE)
target_include_directories(cytograd_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(cytograd_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                                -Wno-sign-conversion -Wnon-virtual-dtor)
if(CYTOGRAD_WERROR)
  target_compile_options(cytograd_flags INTERFACE -Werror)
endif()
# oneDNN picks its code by the processor at run time; the project's own loops are bound by memory and gain next to
# nothing from AVX-512, so one binary serves every x86-64 with AVX2.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(default_arch x86-64-v3)
else()
  set(default_arch native)
endif()
set(CYTOGRAD_ARCH ${default_arch} CACHE STRING "Instruction set of the project's code: x86-64-v3, native, ...")
target_compile_options(cytograd_flags INTERFACE -march=${CYTOGRAD_ARCH} -fno-math-errno -fno-trapping-math)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # False alarms inside fmt 9 at -O3.
  target_compile_options(cytograd_flags INTERFACE -Wno-stringop-overflow)
  # GCC 12.2 for AVX-512 turns constant arrays such as {3, 3, 0, 0} into {3, 3, 3, 3} where it copies them in 64 bytes.
  if(CYTOGRAD_ARCH MATCHES "native|x86-64-v4" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
    target_compile_options(cytograd_flags INTERFACE -mmove-max=128 -mstore-max=128)
  endif()
endif()
if(CYTOGRAD_SANITIZE)
  target_compile_options(cytograd_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                  -fno-omit-frame-pointer -g1
                                                  -Wno-array-bounds)  # GCC 12: false alarms in instrumented loops
  target_link_options(cytograd_flags INTERFACE -fsanitize=address,undefined)
endif()
