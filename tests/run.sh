#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs all tests. See --help.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh

usage() {
  cat <<'EOF'
usage: bash tests/run.sh [options]

Installs missing Debian packages, builds all tests and runs them. The last line is
"N passed, N failed": cases of the test programs, and other checks one each.

  --filter REGEX    only CTest tests whose name matches (see ctest -N)
  --build-dir DIR   where to build (default build/release, with sanitizers build/asan)
  --sanitize        with AddressSanitizer and UndefinedBehaviorSanitizer
  --werror          warnings are errors
  --slow            also what takes longest, most of it where there is nvcc: GPU code for two architectures, tests and
                    benchmarks of the GPU executed from their PTX, the example programs compiled by nvcc,
                    all CUDA code compiled by clang 19 with CUDA 12's headers from PyPI, clang-tidy, all tests with
                    --sanitize, and threads, samplers and trainers under ThreadSanitizer
  --no-install      install nothing
  -j N              build jobs (default: processors, one for each 2 GiB of memory)
  --help            this text

exit code: 0 all passed, 1 something failed, 2 wrong option or something is missing
EOF
}

preset=release directory='' filter='' install=1 groups=(build io cli data tests) arguments=() jobs=''
while [ $# -gt 0 ]; do
  case $1 in
    --filter | --build-dir | -j)
      [ $# -ge 2 ] || { say "$1 needs a value"; exit 2; }
      case $1 in --filter) filter=$2 ;; --build-dir) directory=$2 ;; *) jobs=$2 ;; esac
      shift
      ;;
    --sanitize) preset=asan ;;
    --werror) arguments+=(-DHYPERSD_WERROR=ON) ;;
    --slow)
      groups+=(slow)
      arguments+=(-DHYPERSD_SLOW_TESTS=ON '-DHYPERSD_CUDA_ARCHITECTURES=80;90')
      export HYPERSD_CUDA12_DOWNLOAD=1
      ;;
    --no-install) install=0 ;;
    -h | --help) usage; exit 0 ;;
    *) say "unknown option $1"; usage; exit 2 ;;
  esac
  shift
done
directory=${directory:-build/$preset}
if [ -z "$jobs" ]; then
  memory=$(awk '/MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null)
  jobs=$(nproc)
  [ "${memory:-99}" -ge "$jobs" ] || jobs=$((memory > 1 ? memory : 1))
fi

if [ "$install" -eq 1 ]; then
  hypersd_install "${groups[@]}" || exit 2
fi

say "building in $directory ($jobs jobs)"
hypersd_configure "$directory/configure.log" --preset "$preset" -B "$directory" -DHYPERSD_WERROR=OFF \
  -DHYPERSD_SLOW_TESTS=OFF -DHYPERSD_CUDA_ARCHITECTURES=80-virtual "${arguments[@]}" ||
  { echo '0 passed, 1 failed'; exit 1; }
# What does not compile must not hide what the rest has to say.
built=1
hypersd_build "$directory/build.log" "$directory" -j "$jobs" -- -k 0 || built=0

say 'testing'
rm -f "$directory/tests.xml"
ctest --test-dir "$directory" -j "$(nproc)" ${filter:+-R "$filter"} --output-on-failure --no-tests=ignore \
  --output-junit tests.xml --test-output-size-passed 100000000 --test-output-size-failed 100000000 </dev/null |
  grep --line-buffered -vE '^ *[0-9]+/[0-9]+ Test .* Passed |^ *Start +[0-9]+:|^Internal ctest|^Test project|^Could not find exec|^Looked in the|^[^ ]*/test_[a-z_]+$|^$'

# Cases of doctest's programs count one by one; a program that crashed has failed at least once.
awk -v built="$built" '
  /^[ \t]*<testcase / { name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name); p = f = bad = skip = 0 }
  /^[ \t]*<testcase / && /status="(disabled|notrun)"/ { if (!/status="disabled"/) skip = 1 }
  /^[ \t]*<failure/ { bad = 1 }
  /^[ \t]*<skipped/ { skip = 1; if (/Unable to find executable|Not Run|Required Files/) bad = 1 }
  /\[doctest\] test cases:/ { n = split($0, part, "|"); sub(/ passed.*/, "", part[2]); p = part[2] + 0; f = part[3] + 0 }
  /^[ \t]*<\/testcase>/ {
    if (bad) { passed += p; failed += f > 0 ? f : 1; names = names " " name }
    else if (skip) skipped = skipped " " name
    else passed += p > 0 ? p : 1
  }
  END {
    if (skipped != "") print "skipped:" skipped
    if (names != "") print "failed:" names
    if (!built) { print "failed: the build"; if (!failed) failed = 1 }
    if (passed + failed == 0) { print "failed: no test ran"; failed = 1 }
    printf "%d passed, %d failed\n", passed, failed
    exit failed > 0
  }' "$directory/tests.xml" || exit 1
