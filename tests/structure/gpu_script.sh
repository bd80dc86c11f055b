#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gpu_script.sh ROOT: bench/gpu/run.sh parses, explains itself and refuses nonsense; what it runs and reports with tools
# that only pretend. Needs neither GPU nor nvcc.
set -u
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
check() {
  local what=$1
  shift
  "$@" || {
    printf 'failed: %s\n' "$what"
    failed=1
  }
}

script=$root/bench/gpu/run.sh
check 'bash parses it' bash -n "$script"
! command -v shellcheck >/dev/null || check 'shellcheck' shellcheck "$script"
help=$(bash "$script" --help) || failed=1
for option in --headers --out --build --jobs --limit --dry-run --help; do
  check "--help names $option" grep -q -- "$option" <<<"$help"
done
for bad in '--nonsense' '--out' '--out gpu.txt' '--limit soon' "--headers $work/none"; do
  # shellcheck disable=SC2086
  bash "$script" $bad >/dev/null 2>&1
  check "'$bad' ends with 2" test $? -eq 2
done

command -v python3 >/dev/null || exit $failed
printf 'cuda_tests\t0\t12\nbench_step\t0\t3\nmemcheck\t9\t5\n' >"$work/steps.tsv"
printf 'main job\tnot had yet\n' >"$work/notes.tsv"
printf '[doctest] test cases: 14 | 14 passed | 0 failed | 0 skipped\n' >"$work/cuda_tests.log"
printf 'Error: leaked\n' >"$work/memcheck.log"
cat >"$work/bench_step.log" <<'EOF'
{"name": "step_float32", "ms": 0.2, "limit": "copy bandwidth", "limit_ms": 0.18}
{"name": "gemm_8x8x8", "ms": 2, "limit": "cuBLAS", "limit_ms": 1}
{"name": "train_step", "ms": 4, "limit": "", "limit_ms": 0}
EOF
printf '{"name": "train_step", "ms": 8}\n{"name": "step_float32", "error": "x"}\n' >"$work/peers.log"
check 'the report is written' python3 "$root/bench/gpu/report.py" --logs "$work" --out "$work/gpu.json" \
  --architecture 90 --seconds 20
check 'a met goal' grep -q '| step_float32 | 0.2 | copy bandwidth | 0.9 | .*limit ratio >= 0.8 | yes |' "$work/gpu.md"
check 'a missed goal' grep -q '| gemm_8x8x8 .* | no |' "$work/gpu.md"
check 'a peer' grep -q '| train_step | 4 |  |  | 8 | 2 | .* | yes |' "$work/gpu.md"
check 'a test' grep -q '| cuda_tests | ok | 12 | 14 cases passed, 0 failed |' "$work/gpu.md"
check 'a failed step' grep -q '| memcheck | failed (9) | 5 | Error: leaked |' "$work/gpu.md"
check 'a note' grep -q '| main job | not had yet |' "$work/gpu.md"

# The whole script with tools that only pretend: what it runs, what it makes of failures, and its report.
tools=$work/bin
mkdir -p "$tools"
tool() {
  printf '#!/usr/bin/env bash\n%s\n' "$2" >"$1"
  chmod +x "$1"
}
tool "$tools/nvcc" 'echo "release 13.0"'
tool "$tools/ninja" ':'
tool "$tools/nvidia-smi" 'case $* in *compute_cap*) echo 9.0 ;; *) echo "Pretended GPU, 1.2, 3 MiB" ;; esac'
# shellcheck disable=SC2016
tool "$tools/compute-sanitizer" 'while [[ $1 == --* ]]; do [[ $1 == --tool ]] && echo "$2"; shift 2; done; exec "$@"'
tool "$tools/python3" "case \$* in *torch*) exit 1 ;; esac; exec $(command -v python3) \"\$@\""
# shellcheck disable=SC2016
tool "$tools/cmake" 'printf "%s\n" "$*"; [ "$1" = --build ] || exit 0; mkdir -p "$2/tests" "$2/bench"
say() { printf "#!/bin/sh\n%s\n" "$2" >"$1"; chmod +x "$1"; }
say "$2/tests/test_kernels" "echo \"test cases: 3 | 3 passed | 0 failed |\""
say "$2/tests/test_cuda" "echo \"test cases: 5 | 5 passed | 0 failed |\""
line="{\\\"name\\\": \\\"step_float32\\\", \\\"ms\\\": 1, \\\"limit_ms\\\": 1}"
say "$2/bench/bench_gpu_step" "echo \"$line\""
say "$2/bench/bench_gpu_gemm" "exit 3"
say "$2/bench/bench_gpu_memory" "exit 124"'
mkdir -p "$work/carried/eigen/include" "$work/carried/doctest"
PATH=$tools:$PATH bash "$script" --headers "$work/carried" --build "$work/build" --out "$work/all.json" --limit 600 \
  >"$work/said" 2>&1
check 'a failed step makes the exit code 1' test $? -eq 1
all=$work/all.md
check 'the GPU is named' grep -q 'Pretended GPU (sm_90, 3 MiB), driver 1.2, CUDA 13.0' "$all"
check "carried headers are passed on" grep -q "INCLUDE_PATH=.*carried/eigen/include" "$work/build/logs/configure.log"
check 'the architecture is the GPU' grep -q 'CUDA_ARCHITECTURES=90 ' "$work/build/logs/configure.log"
for row in 'kernels_on_host | ok' 'cuda_tests | ok' 'memcheck | ok' 'racecheck | ok' 'bench_step | ok' \
  'bench_gemm | failed (3)' 'bench_memory | out of time' 'bench_train | not built' 'step_float32 | 1 '; do
  check "$row" grep -qF "| $row" "$all"
done
[ $failed -eq 0 ] || cat "$work/said" "$all"
exit $failed
