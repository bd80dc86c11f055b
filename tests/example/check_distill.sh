#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_distill.sh PROGRAM MODEL_FOLDER [MPIRUN -n 2]: distils a tiny checkpoint end to end; bad input fails with a message; a
# run that is stopped by SIGTERM, or killed by SIGKILL, and resumed gives the bytes of an uninterrupted one. With MPIRUN two
# processes train it to the same loss curves, up to rounding.
set -u
program=$1 model=$2
shift 2
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

python3 "$(dirname "$0")/../../examples/make_pipeline/image_reward.py" "$work/reward" || problem 'no reward model'
reward=(--image-reward "$work/reward/ImageReward.safetensors" --image-reward-vocabulary "$work/reward")

# shellcheck disable=SC2054  # the commas are the program's
steps=(--stages 2,1 --stage-steps 3,3 --feedback-steps 2 --one-step-steps 2 --checkpoint-every 1 --threads 2 "${reward[@]}")
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
refused 'belong together' "${files[@]}" --image-reward "$work"
refused '--stage-steps 4' "${files[@]}" --stages 1
refused 'fall from stage' "${files[@]}" --stages 1,2 --stage-steps 3,3
refused 'smaller --batch' "${files[@]}" --size 4096 --batch 65536 --keep-activations
[ ! -e "$work/bad" ] || problem 'a refused run wrote a folder'
"$program" "${tiny[@]}" --dry-run --out "$work/dry" | grep -q 'in all' || problem 'no sum of the memory'
refused '--device cpu' "${files[@]}" --dtype bf16 --device cuda
[ ! -e "$work/dry" ] || problem 'a dry run wrote a folder'

"$program" "${tiny[@]}" --out "$work/whole" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the run failed'; }
for file in models/tscd_lora.safetensors models/feedback_lora.safetensors models/one-step_lora.safetensors samples.svg logs/tscd-k-1.csv; do
  [ -s "$work/whole/$file" ] || problem "no $file"
done
head -n 1 "$work/whole/logs/feedback.csv" | grep -q 'image_reward' || problem 'no reward in the log of the feedback'
refused 'already' "${tiny[@]}" --out "$work/whole"
refused 'rank' --model "$model" --images "$work/images" --batch 2 --rank 3 "${steps[@]}" --resume --out "$work/whole"

resume=()
for signal in TERM KILL; do
  state=tscd-k-1
  [ $signal = KILL ] || state=tscd-k-2
  "$program" "${tiny[@]}" "${resume[@]}" --out "$work/killed" >"$work/log" 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 600); do
    [ ! -e "$work/killed/state/$state.safetensors" ] || break
    sleep 0.05
  done
  kill -s $signal $pid 2>/dev/null
  wait $pid 2>/dev/null
  code=$?
  if [ $signal = TERM ]; then
    [ $code -eq 143 ] || problem "exit code $code after SIGTERM, not 143"
    grep -qE "stopped in phase '.*' after step .*checkpoint" "$work/log" && grep -q -- '--resume' "$work/log" ||
      problem "after SIGTERM: $(tail -n 3 "$work/log")"
  fi
  resume=(--resume)
done
"$program" "${tiny[@]}" --resume --out "$work/killed" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'resuming failed'; }
for part in tscd feedback one-step; do
  cmp -s "$work/whole/models/${part}_lora.safetensors" "$work/killed/models/${part}_lora.safetensors" ||
    problem "the resumed run's $part adapter differs"
done

if [ $# -gt 0 ]; then
  # As tests/dist/check.sh: a container's root user, fewer processors than ranks, no remote shell.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
  export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  export OMPI_MCA_plm_rsh_agent=sh OMPI_MCA_btl_vader_single_copy_mechanism=none
  "$@" "$program" "${tiny[@]}" --mpi --out "$work/ranks" >"$work/log" 2>&1 </dev/null ||
    { tail -n 20 "$work/log"; problem 'the run on two processes failed'; }
  for log in tscd-k-2 tscd-k-1 feedback one-step; do
    # Rows of step, loss, ...: the losses differ by less than 1e-3 of their value.
    paste -d, "$work/whole/logs/$log.csv" "$work/ranks/logs/$log.csv" | awk -F, '
      NR == 1 { for (i = 1; i <= NF; ++i) if ($i == "loss") at[++n] = i; next }
      { a = $at[1]; b = $at[2]; d = a > b ? a - b : b - a; rows += d <= 1e-3 * (a < 0 ? -a : a) }
      END { exit n != 2 || rows != NR - 1 || NR < 2 }' ||
      problem "$log: two processes have another loss curve: $(paste -d' ' "$work/whole/logs/$log.csv" "$work/ranks/logs/$log.csv" | tail -n 1)"
  done
fi
[ $failures -eq 0 ]
