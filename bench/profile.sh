#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where the time of a training step goes, by operation. See --help.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh

usage() {
  cat <<'EOF'
usage: bash bench/profile.sh [--out FILE.json] [--threads N] [--iters N]

Samples the train-step benchmark with perf (Debian: linux-perf) and adds the samples up by operation: what was
executing, not who called it. Prints a table and writes it as JSON with --out.
EOF
}

out='' threads=2 iterations=100
while [ $# -gt 0 ]; do
  case $1 in
    --out | --threads | --iters)
      [ $# -ge 2 ] || { say "$1 needs a value"; exit 2; }
      case $1 in
        --out) case $2 in /*) out=$2 ;; *) out=$here/$2 ;; esac ;;
        --threads) threads=$2 ;;
        *) iterations=$2 ;;
      esac
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) say "unknown option $1"; usage; exit 2 ;;
  esac
  shift
done

command -v perf >/dev/null || { say 'perf is missing (Debian: apt-get install linux-perf)'; exit 2; }
hypersd_install build cli bench || exit 2
directory=build/bench
hypersd_configure "$directory/configure.log" --preset bench || exit 1
hypersd_build "$directory/build.log" "$directory" || exit 1
samples=$(mktemp)
trap 'rm -f "$samples"' EXIT
program=$(find "$directory" -name bench_train_step -type f | head -n 1)
perf record -q -F 1999 -o "$samples" "$program" --threads "$threads" --iters "$iterations" || exit 1
perf report -i "$samples" --stdio --no-children --sort symbol -g none 2>/dev/null |
  python3 bench/profile.py --command "bash bench/profile.sh --threads $threads --iters $iterations" ${out:+--out "$out"}
