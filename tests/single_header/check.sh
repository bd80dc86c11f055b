#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh COMPILER: the single header needs neither the library nor Eigen, and compiles without warnings.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bash "$here/../../cmake/single_header.sh" "$work/hypersd_single.hpp"
if grep -nE '^ *# *include +(<(hypersd|Eigen)|")' "$work/hypersd_single.hpp"; then
  echo 'the lines above include what the header should contain'
  exit 1
fi
cp "$here/program.cpp" "$work"
cd "$work"
"$1" -std=c++20 -O0 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror program.cpp -pthread -o program
./program
