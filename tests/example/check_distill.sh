#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_distill.sh PROGRAM MODEL_FOLDER: distils a tiny checkpoint end to end; bad input fails with a message; a run that is
# killed by SIGKILL and resumed gives the bytes of an uninterrupted one.
set -u
program=$1 model=$2
images=$(cd "$(dirname "$0")/../../docs/images" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() { echo "FAILED: $1"; failures=$((failures + 1)); }

mkdir "$work/images"
i=0
for picture in "$images"/*.png; do
  cp "$picture" "$work/images/$i.png"
  printf '{"file_name": "%d.png", "text": "picture %d"}\n' $i $i >>"$work/images/metadata.jsonl"
  i=$((i + 1))
  [ $i -lt 3 ] || break
done

# shellcheck disable=SC2054  # the commas are the program's
steps=(--stages 2,1 --stage-steps 3,3 --one-step-steps 2 --checkpoint-every 1 --threads 2)
tiny=(--model "$model" --images "$work/images" --batch 2 --rank 2 "${steps[@]}")
refused() {
  local words=$1
  shift
  "$program" "$@" >"$work/out" 2>&1 </dev/null
  local code=$?
  [ $code -eq 2 ] || problem "exit code $code, not 2: $*"
  grep -qiE -- "$words" "$work/out" || problem "no '$words' in the message of: $* ($(tail -c 300 "$work/out"))"
}
files=(--model "$model" --images "$work/images" --out "$work/bad")
refused 'unet/config.json' --model "$work/nowhere" --images "$work/images" --out "$work/bad"
refused 'metadata.jsonl' --model "$model" --images "$work" --batch 1 --rank 2 --out "$work/no_images"
refused 'not a multiple' "${files[@]}" --size 33
refused 'belong together' "${files[@]}" --clip "$work"
refused '--stage-steps 4' "${files[@]}" --stages 1
refused 'fall from stage' "${files[@]}" --stages 1,2 --stage-steps 3,3
refused 'smaller --batch' "${files[@]}" --size 4096 --batch 65536 --keep-activations
[ ! -e "$work/bad" ] || problem 'a refused run wrote a folder'
"$program" "${tiny[@]}" --dry-run --out "$work/dry" | grep -q 'in all' || problem 'no sum of the memory'
[ ! -e "$work/dry" ] || problem 'a dry run wrote a folder'

"$program" "${tiny[@]}" --out "$work/whole" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the run failed'; }
for file in models/tscd_lora.safetensors models/one-step_lora.safetensors samples.svg logs/tscd-k-1.csv; do
  [ -s "$work/whole/$file" ] || problem "no $file"
done
refused 'already' "${tiny[@]}" --out "$work/whole"
refused 'rank' --model "$model" --images "$work/images" --batch 2 --rank 3 "${steps[@]}" --resume --out "$work/whole"

"$program" "${tiny[@]}" --out "$work/killed" >"$work/log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 600); do
  [ ! -e "$work/killed/state/tscd-k-1.safetensors" ] || break
  sleep 0.05
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
"$program" "${tiny[@]}" --resume --out "$work/killed" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'resuming failed'; }
for part in tscd one-step; do
  cmp -s "$work/whole/models/${part}_lora.safetensors" "$work/killed/models/${part}_lora.safetensors" ||
    problem "the resumed run's $part adapter differs"
done
[ $failures -eq 0 ]
