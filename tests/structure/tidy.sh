#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh [FILE...]: clang-tidy 14 with the checks of .clang-tidy over all headers and the sources of examples/, or over the
# given files. Takes some minutes. Exit code 77: there is no clang-tidy.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
tidy=$(command -v clang-tidy-14 || command -v clang-tidy) || { echo 'clang-tidy is not installed: skipped'; exit 77; }
flags=(-std=c++20 -Iinclude -Iexamples -isystem /usr/include/eigen3 -Wno-everything)
read -ra found <<<"$(pkg-config --cflags eigen3 2>/dev/null)"
[ ${#found[@]} -eq 0 ] || flags+=(-isystem "${found[0]#-I}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
files=("$@")
if [ ${#files[@]} -eq 0 ]; then
  # dist/mpi.hpp needs the paths of an MPI: without them clang would stop there.
  find include/hypersd -name '*.hpp' ! -path '*/dist/mpi.hpp' | sed 's|include/\(.*\)|#include <\1>|' | sort >"$work/headers.cpp"
  files=("$work/headers.cpp" examples/*.cpp examples/*/*.cpp)
fi
failed=0
for file in "${files[@]}"; do
  "$tidy" --quiet --config-file=.clang-tidy "$file" -- "${flags[@]}" 2>"$work/log" || { failed=1; grep -v 'warnings\? generated' "$work/log"; }
done
[ $failed -eq 0 ] && echo "tidy: ${#files[@]} files, no fault"
exit $failed
