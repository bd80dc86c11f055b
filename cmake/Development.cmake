# SPDX-License-Identifier: Apache-2.0
# Flags and libraries of tests, examples and benchmarks. Users of the library do not get them.
include(CheckCXXCompilerFlag)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(HYPERSD_CCACHE ccache)
mark_as_advanced(HYPERSD_CCACHE)
if(PROJECT_IS_TOP_LEVEL AND HYPERSD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HYPERSD_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${HYPERSD_CCACHE})
endif()

# --- warnings
add_library(hypersd_warnings INTERFACE)
target_compile_options(hypersd_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow>
                                                  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 warns about its own headers: the AVX-512 intrinsics and operator+ of std::string.
  set(quiet -Wno-maybe-uninitialized -Wno-uninitialized -Wno-restrict)
  list(JOIN quiet "," quiet_cuda)
  target_compile_options(hypersd_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${quiet}>"
                                                    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${quiet_cuda}>")
endif()
if(HYPERSD_WERROR)
  target_compile_options(hypersd_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                                                    $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
endif()

# --- processor
add_library(hypersd_machine INTERFACE)
if(HYPERSD_NATIVE)
  check_cxx_compiler_flag(-march=native HYPERSD_HAS_MARCH_NATIVE)
  check_cxx_compiler_flag(-mprefer-vector-width=512 HYPERSD_HAS_VECTOR_WIDTH)
  foreach(pair HAS_MARCH_NATIVE:-march=native HAS_VECTOR_WIDTH:-mprefer-vector-width=512)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 found)
    list(GET pair 1 flag)
    if(HYPERSD_${found})
      target_compile_options(hypersd_machine INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${flag}>)
    endif()
  endforeach()
endif()
if(HYPERSD_SANITIZE)
  target_compile_options(hypersd_machine INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${HYPERSD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(hypersd_machine INTERFACE -fsanitize=${HYPERSD_SANITIZE})
endif()

# --- libraries: all that were found
hypersd_header_package(doctest::doctest doctest doctest/doctest.h)
hypersd_header_package(CLI11::CLI11 CLI11 CLI/CLI.hpp)
hypersd_header_package(xtensor xtensor xtensor/xarray.hpp)
hypersd_header_package(nlohmann_json::nlohmann_json nlohmann_json nlohmann/json.hpp)
add_library(hypersd_libraries INTERFACE)
target_link_libraries(hypersd_libraries INTERFACE hypersd)
foreach(library hypersd_io hypersd_png hypersd_text CLI11::CLI11 xtensor nlohmann_json::nlohmann_json)
  if(TARGET ${library})
    target_link_libraries(hypersd_libraries INTERFACE ${library})
  endif()
endforeach()

# hypersd_program(<target> <source>...): an executable with the flags above.
function(hypersd_program target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE hypersd_libraries hypersd_warnings hypersd_machine)
endfunction()

# hypersd_missing(<variable> <source>...): libraries that the sources include and this machine lacks.
function(hypersd_missing variable)
  set(missing "")
  foreach(source ${ARGN})
    set(theirs "xtensor|CLI|nlohmann|png|zlib|utf8proc|benchmark|doctest|mpi\\.h|hypersd/(io|text|report|records|pipeline|interop/xtensor|dist/mpi|ops/cuda/conv2d_cudnn)|cudnn|hypersd/ops/cudnn")
    file(STRINGS ${source} includes REGEX "^ *# *include *<(${theirs})")
    foreach(line ${includes})
      if(line MATCHES "<(xtensor/|hypersd/interop/xtensor)" AND NOT TARGET xtensor)
        list(APPEND missing xtensor)
      elseif(line MATCHES "<CLI/" AND NOT TARGET CLI11::CLI11)
        list(APPEND missing CLI11)
      elseif(line MATCHES "<nlohmann/" AND NOT TARGET nlohmann_json::nlohmann_json)
        list(APPEND missing nlohmann_json)
      elseif(line MATCHES "<(png|zlib|hypersd/(io|report|records|pipeline))" AND NOT TARGET hypersd_png)
        list(APPEND missing "libpng and zlib")
      elseif(line MATCHES "<(utf8proc|hypersd/text)" AND NOT TARGET hypersd_text)
        list(APPEND missing utf8proc)
      elseif(line MATCHES "<(mpi\\.h|hypersd/dist/mpi)" AND NOT TARGET hypersd_mpi)
        list(APPEND missing MPI)
      elseif(line MATCHES "<(cudnn|hypersd/ops/.*cudnn)" AND NOT TARGET hypersd_cudnn)
        list(APPEND missing cuDNN)
      elseif(line MATCHES "<benchmark/" AND NOT TARGET benchmark::benchmark)
        list(APPEND missing "Google Benchmark")
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES missing)
  set(${variable} "${missing}" PARENT_SCOPE)
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/Cuda.cmake)
