#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gpu_script.sh ROOT: bench/gpu/run.sh parses, has help and rejects invalid options; with mock tools, what it runs and
# reports. Needs neither a GPU nor nvcc.
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
{"name": "step_float32", "ms": 0.2, "limit": "copy bandwidth", "limit_ms": 0.19}
{"name": "gemm_float32_8x8x8", "ms": 2, "limit": "raw cuBLASLt", "limit_ms": 1}
{"name": "train_step", "ms": 4, "limit": "", "limit_ms": 0}
{"name": "train_step_eager", "ms": 6, "limit": "", "limit_ms": 0}
{"name": "conv3x3_bfloat16_8x8", "ms": 2, "limit": "its product", "limit_ms": 1}
{"name": "conv3x3_cudnn_bfloat16_8x8", "ms": 1, "limit": "its product", "limit_ms": 1}
{"name": "unet_bfloat16_1", "ms": 4, "limit": "", "limit_ms": 0}
EOF
cat >"$work/peers.log" <<'EOF'
{"name": "train_step", "peer": "PyTorch", "ms": 16}
{"name": "step_float32", "peer": "PyTorch", "error": "x"}
{"name": "conv3x3_bfloat16_8x8", "peer": "PyTorch", "ms": 1.5}
EOF
printf '{"name": "train_step", "peer": "torch.compile", "ms": 4.4}\n' >"$work/peers_compiled.log"
check 'the report is written' python3 "$root/bench/gpu/report.py" --logs "$work" --out "$work/gpu.json" \
  --architecture 90 --seconds 20
check 'a met goal' grep -qF '| step_float32 | 0.2 | copy bandwidth | 0.95 |  | limit >= 0.90 | yes |' "$work/gpu.md"
check 'a missed goal' grep -q '| gemm_float32_8x8x8 .* | no |' "$work/gpu.md"
check 'one of two peers missed' grep -qF \
  '| train_step | 4 |  |  | PyTorch: 16, 4; torch.compile: 4.4, 1.1 | PyTorch >= 3.00, torch.compile >= 1.20 | no |' \
  "$work/gpu.md"
check 'a figure beside it has no goal' grep -qF '| train_step_eager | 6 |  |  |  |  |  |' "$work/gpu.md"
check 'a peer missed' grep -qF '| PyTorch: 1.5, 0.75 | PyTorch >= 1.00 | no |' "$work/gpu.md"
check 'the same by cuDNN' grep -qF '| conv3x3_cudnn_bfloat16_8x8 | 1 | its product | 1 | PyTorch: 1.5, 1.5 |' "$work/gpu.md"
check 'a goal without its peer' grep -qF '| unet_bfloat16_1 | 4 |  |  |  | PyTorch >= 1.00 |  |' "$work/gpu.md"
check 'a test' grep -q '| cuda_tests | ok | 12 | 14 cases passed, 0 failed |' "$work/gpu.md"
check 'a failed step' grep -q '| memcheck | failed (9) | 5 | Error: leaked |' "$work/gpu.md"
check 'a note' grep -q '| main job | not had yet |' "$work/gpu.md"

# The whole script with mock tools: what it runs, how it handles failures, and its report.
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
  'bench_gemm | failed (3)' 'bench_memory | out of time' 'bench_train | not built' 'bench_conv | not built' \
  'bench_unet | not built' 'step_float32 | 1 '; do
  check "$row" grep -qF "| $row" "$all"
done
[ $failed -eq 0 ] || cat "$work/said" "$all"
exit $failed
