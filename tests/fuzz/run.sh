#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes the readers of foreign files with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer. See --help.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

usage() {
  cat <<'EOF'
usage: bash tests/fuzz/run.sh [options]

Builds the targets in build/fuzz with clang++, writes seeds from the golden files and runs each target.
Prints one row of a table a target; inputs that fail are left in build/fuzz/<target>.

  --seconds N    time for each target (default 60)
  --runs N       executions after which a target ends before that time
  --target NAME  only this one: clip, coco, config, idx, json, lora, npy, npz, png, safetensors, scheduler or shards
  --help         this text

exit code: 0 nothing found, 1 an input fails, 2 wrong option or something is missing

environment: CXX, a clang++ with libFuzzer (default clang++)
EOF
}

seconds=60 runs=-1 only=''
while [ $# -gt 0 ]; do
  case $1 in
    --seconds | --runs | --target)
      [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
      case $1 in --seconds) seconds=$2 ;; --runs) runs=$2 ;; --target) only=$2 ;; esac
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) echo "unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || { echo "--seconds: '$seconds' is not a whole number from 1 to 999999" >&2; exit 2; }
[[ $runs =~ ^(-1|[1-9][0-9]{0,9})$ ]] || { echo "--runs: '$runs' is not a whole number above 0" >&2; exit 2; }
[ -z "$only" ] || [ -e "tests/fuzz/fuzz_$only.cpp" ] || { echo "--target: no target '$only'" >&2; exit 2; }

compiler=${CXX:-clang++}
out=build/fuzz
mkdir -p "$out"
# shellcheck disable=SC2046  # flags are words
flags=(-std=c++20 -O2 -gline-tables-only -Iinclude $(pkg-config --cflags eigen3 2>/dev/null || echo -isystem /usr/include/eigen3)
  -fsanitize=address,undefined -fno-sanitize-recover=undefined)
"$compiler" "${flags[@]}" tests/fuzz/seeds.cpp -o "$out/seeds" -lpng -lz || exit 2
rm -rf "$out/seeds.d"
"$out/seeds" "$out/seeds.d" tests/golden/data || exit 2

echo "| target | seconds | executions | a second | edges covered | failing inputs |"
echo "|---|---:|---:|---:|---:|---:|"
failed=0
for source in tests/fuzz/fuzz_*.cpp; do
  target=$(basename "$source" .cpp)
  target=${target#fuzz_}
  [ -z "$only" ] || [ "$only" = "$target" ] || continue
  "$compiler" "${flags[@]}" -fsanitize=fuzzer "$source" -o "$out/fuzz_$target" -lpng -lz -lutf8proc || exit 2
  mkdir -p "$out/$target/corpus"
  # Long inputs are slow and show little that short ones do not.
  case $target in
    idx) longest=256 ;;
    clip | lora | scheduler) longest=512 ;;
    safetensors | npz) longest=800 ;;
    config | shards) longest=1700 ;;
    *) longest=4096 ;;
  esac
  dictionary=()
  case $target in clip | coco | config | json | lora | safetensors | scheduler | shards) dictionary=(-dict=tests/fuzz/json.dict) ;; esac
  ASAN_OPTIONS=quarantine_size_mb=8:allocator_release_to_os_interval_ms=-1 \
    "$out/fuzz_$target" -max_len="$longest" -max_total_time="$seconds" -runs="$runs" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 \
    -print_final_stats=1 -artifact_prefix="$out/$target/" "${dictionary[@]}" "$out/$target/corpus" \
    "$out/seeds.d/$target" >"$out/$target/log" 2>&1 || failed=1
  awk -v target="$target" -v failing="$(find "$out/$target" -maxdepth 1 -type f ! -name log | wc -l)" '
    / cov: / { for (i = 1; i < NF; ++i) if ($i == "cov:") edges = $(i + 1) }
    /^Done / { seconds = $(NF - 1) }
    /^stat::number_of_executed_units:/ { executions = $2 }
    /^stat::average_exec_per_sec:/ { rate = $2 }
    END { printf "| %s | %s | %d | %d | %d | %d |\n", target, seconds == "" ? "stopped" : seconds, executions, rate, edges, failing }
  ' "$out/$target/log"
done
[ "$failed" -eq 0 ] || echo "failing inputs and logs: $out/<target>/" >&2
exit "$failed"
