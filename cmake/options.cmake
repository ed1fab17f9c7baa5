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
option(CYTOGRAD_WERROR "Treat warnings as errors" ON)
option(CYTOGRAD_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Flags come with this interface target, so that dependencies built elsewhere never see them.
add_library(cytograd_flags INTERFACE)
target_include_directories(cytograd_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(cytograd_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                                -Wno-sign-conversion -Wnon-virtual-dtor)
if(CYTOGRAD_WERROR)
  target_compile_options(cytograd_flags INTERFACE -Werror)
endif()
set(CYTOGRAD_ARCH native CACHE STRING "Instruction set: native, or for other machines x86-64-v3, x86-64-v4, ...")
target_compile_options(cytograd_flags INTERFACE -march=${CYTOGRAD_ARCH} -fno-math-errno -fno-trapping-math)
if(CYTOGRAD_SANITIZE)
  target_compile_options(cytograd_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                  -fno-omit-frame-pointer -g1)
  target_link_options(cytograd_flags INTERFACE -fsanitize=address,undefined)
endif()
