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
