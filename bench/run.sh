#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the benchmarks and runs them beside their peers. See --help.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=cmake/deps.sh
. cmake/deps.sh

usage() {
  cat <<'EOF'
usage: bash bench/run.sh [options]
       bash bench/run.sh --micro [FILE.cpp...] [--threads N] [--out FILE.json] [--benchmark_filter=REGEX ...]

Builds the benchmarks, installs the peers (PyTorch, diffusers) into a virtual environment, runs all of them in turn on
this machine, and prints a table. Use an idle machine: other work makes figures worse and goals fail.

  --out FILE.json   also write the figures there
  --no-peers        without peers; no download
  --rounds N        repeat everything N times in turn and keep the best of each program (default 3)
  --threads N       threads of hypersd and of the peers (default 2)
  --quick           one short round: does everything run?
  --micro           instead: every solver, objective and operation by Google Benchmark (bench/micro), beside those that
                    the given files register (docs/how_to/micro_benchmarks.md)
  --large           only matmuls, convolutions and attention at Stable Diffusion's sizes, its UNet, decoder and text
                    encoder, and a training step of a LoRA, in GFLOP/s; with --threads 1 by CPU time. Needs 12 GB of
                    memory
  --help            this text

Environment: HYPERSD_PEERS, the folder of the virtual environment (default .venv-peers).
The exit code is 0 even if a goal is missed (the column "met" says so), 1 if a program failed, 2 for invalid options.
EOF
}

out='' peers=1 arguments=() micro=0 sources='' threads=2
while [ $# -gt 0 ]; do
  case $1 in
    --out | --rounds | --threads)
      [ $# -ge 2 ] || { say "$1 needs a value"; exit 2; }
      if [ "$1" = --out ]; then
        case $2 in /*) out=$2 ;; *) out=$here/$2 ;; esac
        # Checked before the measurements.
        if ! { mkdir -p "$(dirname "$out")" && : >>"$out"; } 2>/dev/null; then
          say "cannot write $2"
          exit 2
        fi
      elif [[ $2 =~ ^[1-9][0-9]{0,3}$ ]]; then
        [ "$1" != --threads ] || threads=$2
        arguments+=("$1" "$2")
      else
        say "$1 needs a positive number, not '$2'"
        exit 2
      fi
      shift
      ;;
    --no-peers) peers=0 ;;
    --quick | --large) arguments+=("$1") ;;
    --micro) micro=1 peers=0 ;;
    --benchmark_*) [ $micro -eq 1 ] || { say "$1 needs --micro before it"; exit 2; }; arguments+=("$1") ;;
    *.cpp)
      [ $micro -eq 1 ] && [ -r "$(cd "$here" && realpath -m "$1")" ] || { say "cannot read $1, or --micro is not before it"; exit 2; }
      sources+="${sources:+;}$(cd "$here" && realpath "$1")"
      ;;
    -h | --help) usage; exit 0 ;;
    *) say "unknown option $1"; usage; exit 2 ;;
  esac
  shift
done

groups=(build io cli bench)
[ $peers -eq 0 ] || groups+=(peers)
hypersd_install "${groups[@]}" || exit 2

directory=build/bench
if [ $micro -eq 1 ]; then
  say "building bench_micro in $directory"
  hypersd_configure "$directory/configure.log" --preset bench "-DHYPERSD_MICRO_SOURCES=$sources" || exit 1
  hypersd_build "$directory/build.log" "$directory" --target bench_micro || exit 1
  options=()
  for argument in "${arguments[@]}"; do [[ $argument == --benchmark_* ]] && options+=("$argument"); done
  [ -z "$out" ] || options+=("--benchmark_out=$out" --benchmark_out_format=json)
  HYPERSD_BENCH_THREADS=$threads exec "$directory/bench/bench_micro" --benchmark_min_time=0.1 "${options[@]}"
fi
say "building in $directory"
hypersd_configure "$directory/configure.log" --preset bench || exit 1
hypersd_build "$directory/build.log" "$directory" || exit 1

if [ $peers -eq 1 ]; then
  venv=${HYPERSD_PEERS:-.venv-peers}
  say "peers in $venv"
  bash bench/peers/setup.sh "$venv" || { say "the peers could not be installed; --no-peers measures without them"; exit 1; }
  arguments+=(--peers "$venv")
fi
[ -z "$out" ] || arguments+=(--out "$out")
say 'measuring'
exec python3 bench/collect.py --build "$directory" "${arguments[@]}"
