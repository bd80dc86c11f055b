#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_compare.sh PROGRAM: the comparison of methods, end to end on a few training steps.
set -u
program=$1
data=/usr/share/datasets/fashion-mnist
[ -d "$data" ] || { echo "the data set is not installed: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() { echo "FAILED: $1"; failures=$((failures + 1)); }

tiny=(--quick --budget 4 --autoencoder-steps 6 --classifier-steps 6 --teacher-steps 6 --latent-images 300 --eval-samples 20
      --pairs 64 --steps 1,4 --seed 3)
refused() {
  local words=$1
  shift
  "$program" "$@" >"$work/out" 2>&1 </dev/null
  local code=$?
  [ $code -eq 2 ] || problem "exit code $code, not 2: $*"
  grep -qiE -- "$words" "$work/out" || problem "no '$words' in the message of: $* ($(head -c 200 "$work/out"))"
}
refused 'methods' "${tiny[@]}" --methods tscd,magic --out "$work/bad"
refused 'steps' "${tiny[@]}" --steps 0 --out "$work/bad"
refused 'no data folder' "${tiny[@]}" --data "$work/nowhere" --out "$work/bad"

# Every method runs, and its counted cost is the planned one.
"$program" "${tiny[@]}" --out "$work/whole" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the study failed'; }
grep -q 'evaluations counted' "$work/log" && { grep 'evaluations counted' "$work/log"; problem 'a plan miscounts'; }
for file in compare.csv compare.jsonl tables.md samples.svg report.html; do
  [ -s "$work/whole/$file" ] || problem "no $file"
done
for method in teacher cd lcm ctm tcd pcm tscd scd scd4 tscd_limit pd perflow lightning add sds dmd; do
  grep -q "^$method," "$work/whole/compare.csv" || problem "no $method in compare.csv"
done
grep -q 'nan' <(cut -d, -f5,8 "$work/whole/compare.csv") && problem 'a measure is not a number'
refused 'already' "${tiny[@]}" --out "$work/whole"
refused 'budget' "${tiny[@]}" --budget 5 --resume --out "$work/whole"

# Killed after the first method and resumed with an additional one: the same numbers, except for times.
"$program" "${tiny[@]}" --methods teacher,tcd --out "$work/part" >/dev/null 2>&1 </dev/null &
pid=$!
for _ in $(seq 600); do [ -s "$work/part/seed3/results/teacher.csv" ] && break; sleep 0.1; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
"$program" "${tiny[@]}" --methods teacher,tcd,dmd --out "$work/part" --resume >"$work/log" 2>&1 </dev/null ||
  { cat "$work/log"; problem 'the resumed study failed'; }
for method in teacher tcd dmd; do
  cmp -s <(grep "^$method," "$work/whole/compare.csv" | cut -d, -f1-11) \
    <(grep "^$method," "$work/part/compare.csv" | cut -d, -f1-11) || problem "$method differs after kill and resume"
done

[ $failures -eq 0 ] && echo 'all checks passed'
exit $((failures > 0))
