# SPDX-License-Identifier: Apache-2.0
# Finds what the library needs (Eigen, threads) and what the headers of io/, text/ and dist/mpi.hpp need. A package is found by
# its CMake configuration, or by plain headers on CMAKE_PREFIX_PATH or CMAKE_INCLUDE_PATH.

# hypersd_header_package(<target> <package> <header> [suffix...]): imported <target> from a package or from headers.
# <header> may be a list of alternative names.
function(hypersd_header_package target package header)
  if(TARGET ${target})
    return()
  endif()
  find_package(${package} QUIET CONFIG)
  if(TARGET ${target})
    return()
  endif()
  string(MAKE_C_IDENTIFIER "HYPERSD_${package}_INCLUDE_DIR" variable)
  find_path(${variable} NAMES ${header} PATH_SUFFIXES ${ARGN})
  mark_as_advanced(${variable})
  if(${variable})
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} INTERFACE ${${variable}})
  endif()
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
hypersd_header_package(Eigen3::Eigen Eigen3 Eigen/Core eigen3)
if(NOT TARGET Eigen3::Eigen)
  message(FATAL_ERROR "hypersd needs Eigen 3.4 (Debian: libeigen3-dev)")
endif()

find_package(PNG QUIET)
find_package(ZLIB QUIET)
set(HYPERSD_HAS_IO FALSE)
if(TARGET PNG::PNG AND TARGET ZLIB::ZLIB)
  set(HYPERSD_HAS_IO TRUE)
endif()

if(NOT TARGET utf8proc::utf8proc)
  find_path(HYPERSD_utf8proc_INCLUDE_DIR NAMES utf8proc.h)
  find_library(HYPERSD_utf8proc_LIBRARY NAMES utf8proc)
  mark_as_advanced(HYPERSD_utf8proc_INCLUDE_DIR HYPERSD_utf8proc_LIBRARY)
  if(HYPERSD_utf8proc_INCLUDE_DIR AND HYPERSD_utf8proc_LIBRARY)
    add_library(utf8proc::utf8proc INTERFACE IMPORTED GLOBAL)
    target_include_directories(utf8proc::utf8proc INTERFACE ${HYPERSD_utf8proc_INCLUDE_DIR})
    target_link_libraries(utf8proc::utf8proc INTERFACE ${HYPERSD_utf8proc_LIBRARY})
  endif()
endif()

set(MPI_CXX_SKIP_MPICXX TRUE)  # the C interface is all that is used
find_package(MPI QUIET COMPONENTS CXX)
