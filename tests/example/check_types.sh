#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_types.sh PROGRAM: the main job with another process or backbone, tiny: every part, its files, a resumed run.
set -u
program=$1
[ -d /usr/share/datasets/fashion-mnist ] || { echo "the data set is not installed: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=$(basename "$program")
process=ddpm backbone=unet
case $name in *_ddpm_v*) process=ddpm-v ;; *_flow*) process=flow ;; esac
case $name in *_dit*) backbone=dit ;; esac
tiny=(--autoencoder-steps 4 --classifier-steps 4 --teacher-steps 8 --latent-images 256 --channels 16 --rank 4
      --stages 8,1 --stage-steps 3,3 --pairs 16 --one-step-steps 2 --rated 10 --reward-steps 2 --feedback-steps 2
      --eval-samples 40 --steps 1,2 --teacher-inference-steps 4 --process $process --backbone $backbone)
"$program" "${tiny[@]}" --out "$work/run" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; exit 1; }
failures=0
for file in report.html samples.svg metrics.csv "models/$backbone.safetensors" models/one-step_lora.safetensors; do
  [ -s "$work/run/$file" ] || { echo "FAILED: no $file"; failures=1; }
done
sed 's/"[^"]*"/name/' "$work/run/metrics.csv" | awk -F, 'NR == 1 && $4 != "fd" || NR > 1 && $4 !~ /^[0-9.e+-]+$/ { bad = 1 } END { exit bad || NR < 5 }' ||
  { echo 'FAILED: a Frechet distance is not a number'; failures=1; }
"$program" "${tiny[@]}" --resume --out "$work/run" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; failures=1; }
exit $failures
