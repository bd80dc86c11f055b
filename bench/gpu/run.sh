#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the CUDA tests and benchmarks for the GPU of this machine, runs them and writes one report. See --help.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

usage() {
  cat <<'EOF'
usage: bash bench/gpu/run.sh [options]

Builds for the GPU found, then runs the CUDA tests (a part of them under compute-sanitizer, where that is installed),
the GPU benchmarks, PyTorch beside them where it sees the GPU, and the main job where its program takes --device cuda.
A step that fails is recorded, and the rest goes on. Needs nvcc, cmake, ninja and python3; no network.

  --headers DIR     folder of carried headers or installs (Eigen, doctest, nlohmann, CLI11, ...), looked at first
  --out FILE.json   the report, and the same as FILE.md (default bench/results/gpu.json)
  --build DIR       build folder (default build/gpu)
  --jobs N          compilers at a time (default: all processors)
  --limit SECONDS   for everything together (default 530; with --dry-run, which may have few processors, 7200)
  --dry-run         build everything and run what needs no GPU; without a GPU the architecture is 90
  --help            this text

The exit code is 0 if every step worked, 1 if one failed (the report says which), 2 for bad options or a missing tool.
EOF
}
say() { printf '%s\n' "$*"; }
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$here/$1" ;; esac; }

headers='' out=$PWD/bench/results/gpu.json build=$PWD/build/gpu dry=0 limit='' jobs=$(nproc)
while [ $# -gt 0 ]; do
  case $1 in
    --headers | --out | --build | --limit | --jobs)
      [ $# -ge 2 ] || { say "$1 needs a value"; exit 2; }
      case $1 in
        --headers) headers=$(absolute "$2") ;;
        --out) out=$(absolute "$2") ;;
        --build) build=$(absolute "$2") ;;
        --limit) limit=$2 ;;
        --jobs) jobs=$2 ;;
      esac
      shift
      ;;
    --dry-run) dry=1 ;;
    -h | --help) usage; exit 0 ;;
    *) say "unknown option $1"; usage; exit 2 ;;
  esac
  shift
done
[ -n "$limit" ] || limit=$((dry == 1 ? 7200 : 530))
[[ $limit =~ ^[1-9][0-9]*$ && $jobs =~ ^[1-9][0-9]*$ ]] || { say "--limit and --jobs need a positive number"; exit 2; }
case $out in *.json) ;; *) say "--out needs a name that ends in .json"; exit 2 ;; esac
[ -z "$headers" ] || [ -d "$headers" ] || { say "no folder $headers"; exit 2; }
export PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"
for tool in nvcc cmake ninja python3; do
  command -v "$tool" >/dev/null || { say "$tool is missing"; exit 2; }
done

architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. \r')
if ! [[ $architecture =~ ^[0-9]+$ ]]; then
  [ $dry -eq 1 ] || { say "no GPU found; --dry-run builds without one"; exit 2; }
  architecture=90
fi

logs=$build/logs
mkdir -p "$logs" "$(dirname "$out")" || exit 2
rm -f "$logs"/*
start=$(date +%s)

# step NAME SECONDS COMMAND...: runs it within the remaining time; keeps its output and exit code. 77: skipped.
failed=0
step() {
  local name=$1 seconds=$2 begin code left
  shift 2
  begin=$(date +%s)
  left=$((limit - (begin - start)))
  if [ $left -le 0 ]; then
    code=124
    say 'no time left' >"$logs/$name.log"
  else
    [ "$seconds" -le $left ] || seconds=$left
    timeout --kill-after=5 "$seconds" "$@" >"$logs/$name.log" 2>&1 </dev/null
    code=$?
  fi
  printf '%s\t%s\t%s\n' "$name" $code $(($(date +%s) - begin)) >>"$logs/steps.tsv"
  case $code in
    0) say "  $name: $(($(date +%s) - begin)) s" ;;
    77) say "  $name: skipped" ;;
    *)
      say "  $name: failed ($code), see $logs/$name.log"
      failed=1
      ;;
  esac
  return $code
}
note() { printf '%s\t%s\n' "$1" "$2" >>"$logs/notes.tsv"; }

# Headers given by --headers are in the folder itself or in one folder per library, as headers or as an installed tree.
arguments=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DHYPERSD_CUDA=ON "-DHYPERSD_CUDA_ARCHITECTURES=$architecture"
  -DHYPERSD_BUILD_TESTS=ON -DHYPERSD_GPU_TESTS=ON -DHYPERSD_MERGE_TESTS=OFF
  -DHYPERSD_BUILD_BENCH=ON -DHYPERSD_BUILD_EXAMPLES=ON -DHYPERSD_CUDA_EXAMPLES=ON -DHYPERSD_INSTALL=OFF)
if [ -n "$headers" ]; then
  paths=$headers
  for folder in "$headers"/*/; do paths+=";${folder%/}"; done
  includes=''
  while IFS= read -r folder; do
    includes+="${includes:+;}$folder"
  done < <(printf '%s\n' "$paths" | tr ';' '\n' | while IFS= read -r p; do
    for q in "$p" "$p/include" "$p/include/eigen3" "$p/single_include"; do [ ! -d "$q" ] || printf '%s\n' "$q"; done
  done)
  arguments+=("-DCMAKE_PREFIX_PATH=$paths" "-DCMAKE_INCLUDE_PATH=$includes")
fi

say "building in $build for sm_$architecture"
targets=(test_kernels test_cuda bench_gpu_step bench_gpu_gemm bench_gpu_conv bench_gpu_memory bench_gpu_train
  bench_gpu_unet)
if step configure 60 cmake -S . -B "$build" "${arguments[@]}"; then
  # The main job is one long compilation: it is built in parallel with the others.
  ! ninja -C "$build" -t query hypersd_fashion >/dev/null 2>&1 || targets+=(hypersd_fashion)
  step build $((limit * 3 / 5)) cmake --build "$build" --parallel "$jobs" --target "${targets[@]}" -- -k 0
fi

say 'tests'
# runs NAME SECONDS PROGRAM...: a step whose program may not have been built.
runs() {
  local name=$1 seconds=$2 program=$3
  shift 3
  if [ -x "$program" ]; then
    step "$name" "$seconds" "$program" "$@"
  else
    printf '%s\t127\t0\n' "$name" >>"$logs/steps.tsv"
    say 'not built' >"$logs/$name.log"
    say "  $name: not built"
    failed=1
  fi
}
runs kernels_on_host $((dry == 1 ? limit : 120)) "$build/tests/test_kernels"
[ $dry -eq 1 ] || export HYPERSD_REQUIRE_GPU=1
runs cuda_tests 90 "$build/tests/test_cuda"
sanitizer=$(command -v compute-sanitizer)
if [ $dry -eq 0 ] && [ -n "$sanitizer" ] && [ -x "$build/tests/test_cuda" ]; then
  # Single kernels only: whole networks take too long under compute-sanitizer.
  cases='CUDA: gather*,CUDA: softmax*,CUDA: group*,CUDA: attention*,AdamW*'
  for tool in memcheck racecheck; do
    step "$tool" 60 "$sanitizer" --tool "$tool" --error-exitcode 9 "$build/tests/test_cuda" "--test-case=$cases"
  done
elif [ -n "$sanitizer" ]; then
  note compute-sanitizer 'not run without a GPU'
else
  note compute-sanitizer 'not installed'
fi

say 'benchmarks'
for name in step gemm conv memory train unet; do runs "bench_$name" 60 "$build/bench/bench_gpu_$name"; done
torch=0
if [ $dry -eq 1 ]; then
  note peers 'not run without a GPU'
elif python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; then
  torch=1
  step peers 90 python3 bench/gpu/peers.py
else
  note peers 'PyTorch with this GPU is not installed'
fi

if [[ " ${targets[*]} " != *' hypersd_fashion '* ]]; then
  note 'main job' 'not built: the build has no hypersd_fashion (it needs libpng, zlib and CLI11)'
elif [ $dry -eq 1 ] && [ -x "$build/examples/hypersd_fashion" ]; then
  note 'main job' 'built, not run without a GPU'
else
  rm -rf "$build/main_job"
  runs main_job 150 "$build/examples/hypersd_fashion" --quick --device cuda --out "$build/main_job"
fi

# Last, because compilation takes long.
[ $torch -eq 0 ] || step peers_compiled 150 python3 bench/gpu/peers.py --compiled

python3 bench/gpu/report.py --logs "$logs" --out "$out" --architecture "$architecture" \
  --seconds $(($(date +%s) - start)) || exit 1
say "report: $out and ${out%.json}.md"
exit $failed
