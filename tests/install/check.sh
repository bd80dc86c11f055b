#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh WAY SOURCE WORK [BUILD]: consumes the library in one WAY, in folders below WORK.
set -eu
way=$1 source=$2 work=$3
prefix=$work/moved
consumer=$source/tests/install/consumer

case $way in
  install)
    rm -rf "$work"
    cmake --install "$4" --prefix "$work/prefix" >/dev/null
    mv "$work/prefix" "$prefix"  # nothing in it may remember where it was installed
    if grep -rlF -e "$source" -e "$work" "$prefix"; then
      echo "the files above name the source or the first prefix"
      exit 1
    fi
    cd "$source/include"
    find hypersd -name '*.hpp' -o -name '*.cuh' | sort >"$work/expected"
    cd "$prefix/include"
    find hypersd -type f | sort | diff "$work/expected" -
    ;;
  find_package)
    cmake -S "$consumer" -B "$work/$way" -DCMAKE_PREFIX_PATH="$prefix" -DWAY=find_package >/dev/null
    cmake --build "$work/$way"
    "$work/$way/consumer"
    [ ! -x "$work/$way/consumer_files" ] || "$work/$way/consumer_files" "$work/$way"
    ;;
  components)
    # refused MESSAGE COMPONENT [OPTION]: find_package fails and says why.
    refused() {
      rm -rf "$work/$way"
      if cmake -S "$consumer" -B "$work/$way" -DCMAKE_PREFIX_PATH="$prefix" -DWAY=find_package -DCOMPONENTS="$2" ${3:+"$3"} \
        >"$work/$way.log" 2>&1; then
        echo "component $2 was found"
        exit 1
      fi
      tr -s '\n ' ' ' <"$work/$way.log" | grep -qF -- "$1" || { cat "$work/$way.log"; echo "does not say: $1"; exit 1; }
    }
    refused 'component io needs zlib (Debian: zlib1g-dev), not found' io -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON
    refused 'component png needs libpng and zlib' 'core;png' -DCMAKE_DISABLE_FIND_PACKAGE_PNG=ON
    refused 'component mpi needs MPI (Debian: libopenmpi-dev), not found' mpi -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON
    refused "component cuda needs NVIDIA's CUDA toolkit" cuda -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON
    refused 'requested version "0.2"' core -DWANTED=0.2
    refused 'requested version "0.0"' core -DWANTED=0.0
    refused 'component nonsense does not exist; core, compiled, io, png, text, mpi and cuda do' nonsense
    ;;
  add_subdirectory)
    cmake -S "$consumer" -B "$work/$way" -DWAY=add_subdirectory -DHYPERSD_SOURCE="$source" >/dev/null
    # As a subdirectory of another project the library builds no tests and installs nothing.
    if cmake --build "$work/$way" --target help | grep -E 'test_|hypersd_fashion|bench_'; then
      echo "targets of the library's own development are in the consumer's build"
      exit 1
    fi
    cmake --build "$work/$way"
    "$work/$way/consumer"
    ;;
  pkg_config)
    command -v pkg-config >/dev/null || exit 77
    export PKG_CONFIG_PATH=$prefix/share/pkgconfig
    pkg-config --exists eigen3 || exit 77
    mkdir -p "$work/$way"
    # shellcheck disable=SC2046
    "${CXX:-c++}" -std=c++20 "$consumer/main.cpp" -DVERSION="\"$(pkg-config --modversion hypersd)\"" \
      $(pkg-config --cflags --libs hypersd) -o "$work/$way/consumer"
    "$work/$way/consumer"
    ;;
esac
