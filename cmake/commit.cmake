# Run at each build: writes FILE with the commit that the sources are of, unless it says so already.
execute_process(COMMAND git rev-parse --show-prefix WORKING_DIRECTORY ${SOURCES} RESULT_VARIABLE failed
                OUTPUT_VARIABLE inside OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT failed AND inside STREQUAL "")  # else another repository has them, whose commit says nothing of them
  execute_process(COMMAND git describe --always --dirty --abbrev=12 WORKING_DIRECTORY ${SOURCES}
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit)
  set(commit unknown)
endif()
set(text "#pragma once\n\nnamespace cytograd::bench {\n\nconstexpr const char* kCommit = \"${commit}\";\nconstexpr const char* \
kCompiler = \"${COMPILER}\";\n\n}  // namespace cytograd::bench\n")
if(EXISTS ${FILE})
  file(READ ${FILE} old)
endif()
if(NOT "${old}" STREQUAL "${text}")
  file(WRITE ${FILE} "${text}")
endif()
