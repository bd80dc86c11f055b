#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check.sh PROGRAM COMPATIBILITY GUIDANCE: end-to-end test of the main job on a few training steps, and of the programs
# that start from its run.
set -u
program=$1 compatibility=$2 guidance=$3
data=/usr/share/datasets/fashion-mnist
[ -d "$data" ] || { echo "the data set is not installed: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() { echo "FAILED: $1"; failures=$((failures + 1)); }

tiny=(--autoencoder-steps 8 --classifier-steps 6 --teacher-steps 24 --latent-images 512 --channels 16 --rank 4
      --stages 8,1 --stage-steps 6,6 --pairs 16 --one-step-steps 4 --rated 10 --reward-steps 4 --feedback-steps 4
      --eval-samples 40 --steps 1,2 --teacher-inference-steps 4 --checkpoint-every 3 --seed 5
      --autoencoder-batch 8 --teacher-batch 16 --distill-batch 16)

# Bad input: exit code 2 and a line that names the fault.
refused() {
  local words=$1
  shift
  "$program" "$@" >"$work/out" 2>&1 </dev/null
  local code=$?
  [ $code -eq 2 ] || problem "exit code $code, not 2: $*"
  grep -qiE -- "$words" "$work/out" || problem "no '$words' in the message of: $* ($(head -c 200 "$work/out"))"
}
refused 'no-such-option' --no-such-option
refused 'device.*tpu|tpu.*cuda' "${tiny[@]}" --device tpu --out "$work/bad"
# Without nvcc, or without a GPU.
command -v nvidia-smi >/dev/null || refused 'nvcc|no usable CUDA device' "${tiny[@]}" --device cuda --out "$work/bad"
[ ! -e "$work/bad" ] || problem 'a refused device left a folder behind'
refused 'process.*trig' "${tiny[@]}" --process trig --out "$work/bad"
refused 'compiled for ddpm and unet.*examples/run.sh' "${tiny[@]}" --process flow --out "$work/bad"
refused 'compiled for ddpm and unet.*examples/run.sh' "${tiny[@]}" --backbone dit --out "$work/bad"
[ ! -e "$work/bad" ] || problem 'a refused process left a folder behind'
refused 'steps.*0' "${tiny[@]}" --steps 0 --out "$work/bad"
refused 'steps.*1001' "${tiny[@]}" --steps 1001 --out "$work/bad"
refused 'stages: k = 41 is not in .1, 40.' "${tiny[@]}" --stages 41 --stage-steps 5 --out "$work/bad"
refused "stages: '0' is not" "${tiny[@]}" --stages 0 --stage-steps 5 --out "$work/bad"
refused "eta: 'nan' is not a finite number" "${tiny[@]}" --eta nan --out "$work/bad"
refused "seed: '-1' is not" --seed -1 --out "$work/bad"
refused "rank: '9223372036854775807' is not" --rank 9223372036854775807 --out "$work/bad"
refused 'no data folder' "${tiny[@]}" --data "$work/nowhere" --out "$work/bad"
mkdir "$work/broken"
cp "$data"/*.gz "$work/broken/"
head -c 1000 "$data/train-images-idx3-ubyte.gz" >"$work/broken/train-images-idx3-ubyte.gz"
refused 'train-images' "${tiny[@]}" --data "$work/broken" --out "$work/bad"
cp "$data/t10k-labels-idx1-ubyte.gz" "$work/broken/train-labels-idx1-ubyte.gz"
cp "$data/train-images-idx3-ubyte.gz" "$work/broken/"
refused '60000.*10000|10000.*60000' "${tiny[@]}" --data "$work/broken" --out "$work/bad"
refused "no part called 'nonsense'" "${tiny[@]}" --skip nonsense --out "$work/skip"
refused '/proc/nothing' "${tiny[@]}" --out /proc/nothing

"$program" "${tiny[@]}" --out "$work/whole" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the run failed'; }
for file in report.html samples.svg stages.svg sweep.csv autoencoder.svg teacher.svg metrics.csv metrics.jsonl models/unet.safetensors models/tscd_lora.safetensors \
  models/feedback_lora.safetensors models/one-step_lora.safetensors models/one-step-800_lora.safetensors \
  models/one-step-unet.safetensors recipe.json; do
  [ -s "$work/whole/$file" ] || problem "no $file"
done
grep -q '^<svg .*role="img"' "$work/whole/samples.svg" && grep -q '>teacher 4</text>' "$work/whole/samples.svg" || problem 'samples.svg lacks a caption'
grep -q 'data:image/png;base64' "$work/whole/report.html" || problem 'the report holds no picture'
grep -q 'The student is best in' "$work/whole/report.html" || problem 'the report does not say what happened'
grep -q 'class="strip" data-wide="30" data-high="7"' "$work/whole/report.html" || problem 'the report has no strip of 7 samplers'
refused 'already' "${tiny[@]}" --out "$work/whole"
refused 'seed' "${tiny[@]}" --seed 6 --resume --out "$work/whole"

# Stopped by SIGTERM as soon as the teacher has a checkpoint, killed when the feedback and a one-step part have one, then
# left to finish.
resume=()
for phase in teacher feedback one-step-800; do
  signal=KILL
  [ $phase != teacher ] || signal=TERM
  "$program" "${tiny[@]}" --out "$work/killed" "${resume[@]}" >"$work/log" 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 1200); do [ -s "$work/killed/state/$phase.safetensors" ] && break; sleep 0.05; done
  kill -s $signal $pid 2>/dev/null
  wait $pid 2>/dev/null
  code=$?
  if [ $signal = TERM ]; then
    [ $code -eq 143 ] || problem "exit code $code after SIGTERM, not 143"
    grep -q "stopped in phase 'teacher' after step .*checkpoint" "$work/log" && grep -q -- '--resume' "$work/log" ||
      problem "after SIGTERM: $(tail -n 3 "$work/log")"
  fi
  [ -e "$work/killed/report.html" ] && echo "note: the run ended before it was killed in $phase"
  resume=(--resume)
done
"$program" "${tiny[@]}" --out "$work/killed" --resume >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the resumed run failed'; }
for file in models/autoencoder.safetensors models/unet.safetensors models/tscd_lora.safetensors \
  models/feedback_lora.safetensors models/one-step_lora.safetensors models/one-step-800_lora.safetensors \
  models/one-step-unet.safetensors metrics.csv sweep.csv samples.svg logs/feedback.csv; do
  cmp -s "$work/whole/$file" "$work/killed/$file" || problem "$file differs after kill and resume"
done
# A checkpoint of another architecture fails with its name.
cp "$work/whole/state/classifier.safetensors" "$work/killed/state/teacher.safetensors"
refused 'architecture|phase' "${tiny[@]}" --out "$work/killed" --resume

# The adapter of the run with a ControlNet and other base models.
quick=(--control-steps 4 --style-steps 4 --quick --samples 20 --steps 1,2)
"$compatibility" --run "$work/whole" "${quick[@]}" --out "$work/more" >"$work/log" 2>&1 </dev/null ||
  { cat "$work/log"; problem 'the compatibility run failed'; }
for file in report.html controlnet.svg style_inverted.svg style_outlined.svg compatibility.csv; do
  [ -s "$work/more/$file" ] || problem "no $file of the compatibility run"
done
[ "$(wc -l <"$work/more/compatibility.csv")" -eq 16 ] || problem 'compatibility.csv has not 15 lines'

# A student that keeps guidance, on the same run.
"$guidance" --run "$work/whole" --quick --stage-steps 2 --samples 20 --steps 1,2 --scales 1,2 --out "$work/guided" \
  >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the guidance run failed'; }
for file in report.html guidance.svg guidance.csv; do
  [ -s "$work/guided/$file" ] || problem "no $file of the guidance run"
done
[ "$(wc -l <"$work/guided/guidance.csv")" -eq 26 ] || problem 'guidance.csv has not 25 lines'
program=$guidance
refused 'finish a run of the main job' --run "$work/nowhere" --out "$work/bad"
program=$compatibility
refused 'finish a run of the main job' --run "$work/nowhere" --out "$work/bad"

[ $failures -eq 0 ] && echo 'all checks passed'
exit $((failures > 0))
