#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh runs PROGRAM: runs of one binary print the same bits, for any number of threads and instruction set.
# check.sh flags COMPILER INCLUDE_FLAG...: with -ffp-contract=off, -O2 and -O3 with all of this processor's instructions
# print the same bits.
# check.sh threads COMPILER MAIN DATA INCLUDE_FLAG...: test_threads.cpp and those of core under ThreadSanitizer.
set -u
what=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "$0")" && pwd)
failures=0

# same NAME COMMAND...: the command prints what the first one printed.
same() {
  local name=$1
  shift
  "$@" >"$work/$name" || { echo "FAILED: $name: exit code $?"; failures=$((failures + 1)); }
  if [ ! -e "$work/first" ]; then
    cp "$work/$name" "$work/first"
    [ "$(wc -l <"$work/first")" -ge 10 ] || { echo "FAILED: $name prints too little"; failures=$((failures + 1)); }
  fi
  if ! diff "$work/first" "$work/$name" >"$work/diff"; then
    echo "FAILED: other bits with $name:"
    cat "$work/diff"
    failures=$((failures + 1))
  fi
}

case $what in
  runs)
    for threads in 1 1 2 3 4; do same "$threads threads" "$1" "$threads"; done
    for set in avx2 avx512; do same $set env HYPERSD_INSTRUCTION_SET=$set "$1" 2; done
    ;;
  threads)
    compiler=$1 main=$2 data=$3
    shift 3
    "$compiler" -std=c++20 -O1 -g1 -fsanitize=thread "$@" -DHYPERSD_TEST_DATA="\"$data\"" "$here/test_threads.cpp" \
      "$here/../core/test_parallel.cpp" "$main" -pthread -lz -lutf8proc -o "$work/threads" || exit 1
    TSAN_OPTIONS=halt_on_error=1 "$work/threads"
    exit
    ;;
  flags)
    compiler=$1
    shift
    for flags in '-O2' '-O3 -march=native'; do
      # shellcheck disable=SC2086  # flags are words
      "$compiler" -std=c++20 $flags -ffp-contract=off "$@" "$here/bits.cpp" -pthread -o "$work/bits" ||
        { echo "FAILED: $flags does not compile"; exit 1; }
      same "$flags" "$work/bits" 2
      same "$flags portable" env HYPERSD_INSTRUCTION_SET=portable "$work/bits" 2
    done
    ;;
esac
[ $failures -eq 0 ] && echo 'all the same'
exit $((failures > 0))
