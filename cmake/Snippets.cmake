# SPDX-License-Identifier: Apache-2.0
# hypersd_snippets(<variable> <directory> <file.md>...): writes every block
#   <!-- compile: name -->
#   ```cpp
#   ...
#   ```
# of the files to <directory>/<name>.cpp and returns these paths. CMake runs again when a page changes.
function(hypersd_snippets variable directory)
  set(result "")
  foreach(page ${ARGN})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
    file(READ ${page} text)
    while(TRUE)
      string(FIND "${text}" "<!-- compile: " begin)
      if(begin EQUAL -1)
        break()
      endif()
      math(EXPR begin "${begin} + 14")
      string(SUBSTRING "${text}" ${begin} -1 text)
      string(FIND "${text}" " -->" end)
      string(SUBSTRING "${text}" 0 ${end} name)
      string(FIND "${text}" "```cpp\n" begin)
      math(EXPR begin "${begin} + 7")
      string(SUBSTRING "${text}" ${begin} -1 text)
      string(FIND "${text}" "\n```" end)
      if(end EQUAL -1 OR NOT name MATCHES "^[a-z0-9_]+$")
        message(FATAL_ERROR "${page}: the snippet '${name}' has no end or no plain name")
      endif()
      math(EXPR end "${end} + 1")
      string(SUBSTRING "${text}" 0 ${end} code)
      file(GENERATE OUTPUT ${directory}/${name}.cpp CONTENT "${code}")
      list(APPEND result ${directory}/${name}.cpp)
    endwhile()
  endforeach()
  set(${variable} "${result}" PARENT_SCOPE)
endfunction()
