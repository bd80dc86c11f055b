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

tiny=(--quick --budget 1.2 --autoencoder-steps 6 --classifier-steps 6 --teacher-steps 6 --latent-images 300 --eval-samples 20
      --pairs 20 --steps 1,4 --seed 3)
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
refused 'pairs: 19 are fewer' --quick --pairs 19 --out "$work/bad"
refused 'budget.*1 thousand on --pairs' "${tiny[@]/#1.2/1}" --out "$work/bad"
refused 'guidance' "${tiny[@]}" --guidance 1 --out "$work/bad"
refused 'no method has this setting.*decay' "${tiny[@]}" --vary speed=1 --out "$work/bad"
refused 'not a number above 0' "${tiny[@]}" --vary rate=0.1,0 --out "$work/bad"
refused 'last=1 leaves nothing' "${tiny[@]}" --methods tscd --vary last=1 --out "$work/last"
refused 'is not NAME=VALUE' "${tiny[@]}" --vary rate --out "$work/bad"
refused 'no data folder' "${tiny[@]}" --data "$work/nowhere" --out "$work/bad"

# Every method runs, and its counted cost is the planned one.
"$program" "${tiny[@]}" --out "$work/whole" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; problem 'the study failed'; }
grep -q 'evaluations counted' "$work/log" && { grep 'evaluations counted' "$work/log"; problem 'a plan miscounts'; }
for file in compare.csv compare.jsonl tables.md samples.svg report.html; do
  [ -s "$work/whole/$file" ] || problem "no $file"
done
for method in teacher cd lcm ctm tcd pcm tscd scd scd4 tscd_limit pd perflow lightning add sds dmd shortcut meanflow imf \
  lmd emd psd ayf tvm imm ect tcm rcm dmd2 decoupled pi_flow imf_told tscd_kept; do
  grep -q "^$method," "$work/whole/compare.csv" || problem "no $method in compare.csv"
done
grep -q 'nan' <(cut -d, -f6,9 "$work/whole/compare.csv") && problem 'a measure is not a number'
refused 'already' "${tiny[@]}" --out "$work/whole"
refused 'budget' "${tiny[@]/#1.2/5}" --resume --out "$work/whole"

# What a sample costs: the guided teacher twice a step, a flow map once and 20480 multiply-adds for its second time.
costs() { awk -F, -v m="$1" -v s="$2" '$1 == m && $(NF-13) == s { print $(NF-2), $(NF-1); exit }' "$work/whole/compare.csv"; }
[ "$(costs teacher 4)" = '8 164560896' ] || problem "a sample of the teacher costs $(costs teacher 4)"
[ "$(costs shortcut 4)" = '4 82362368' ] || problem "a sample of a flow map costs $(costs shortcut 4)"

# Killed after the first method and resumed with additional ones, another guidance and a varied setting: the same numbers, except for times.
# Meanwhile the finished result becomes one of an earlier version, which had fewer columns.
"$program" "${tiny[@]}" --methods teacher,tcd --out "$work/part" >/dev/null 2>&1 </dev/null &
pid=$!
for _ in $(seq 600); do [ -s "$work/part/seed3/results/teacher.csv" ] && break; sleep 0.1; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
sed -i -E 's/(,[^,]*){4}$//; s/,varied,/,/; s/,,/,/' "$work/part/seed3/results/teacher.csv"
"$program" "${tiny[@]}" --methods teacher,tcd,dmd,ect,imf_told --guidance 2,3 --vary decay=0.95,0.5 --out "$work/part" \
  --resume >"$work/log" 2>&1 </dev/null ||
  { cat "$work/log"; problem 'the resumed study failed'; }
rows() {  # of a method at the default guidance and its own settings, up to the seconds
  awk -F, -v m="$2" '$1 == m && $(NF-3) == 2 && $(NF-14) == "" { for (i = 1; i < NF - 4; ++i) printf "%s,", $i; print "" }' "$work/$1/compare.csv"
}
for method in teacher tcd dmd ect; do
  [ -n "$(rows whole $method)" ] && cmp -s <(rows whole $method) <(rows part $method) ||
    problem "$method differs after kill and resume"
done
# Students of another guidance beside the others', except where none is learned.
guided() { awk -F, -v m="$1" '$1 == m && $(NF-3) == 3' "$work/part/compare.csv" | wc -l; }
[ "$(guided tcd)" -eq 3 ] && [ "$(guided dmd)" -eq 2 ] && [ "$(guided ect)" -eq 0 ] || problem 'wrong rows of guidance 3'
[ -s "$work/part/seed3/results/tcd_g3.csv" ] || problem 'no file of guidance 3'
grep -q 'guidance 3 |' "$work/part/tables.md" || problem 'no table by guidance'

# A student that is told its guidance is trained once and sampled with each.
of_told() { awk -F, -v g="$1" '$1 == "imf_told" && $(NF-3) == g { print $(NF-11) }' "$work/part/compare.csv"; }
[ "$(of_told 2 | wc -l)" -eq 2 ] && [ "$(of_told 3 | wc -l)" -eq 2 ] || problem 'wrong rows of a student that is told'
cmp -s <(of_told 2) <(of_told 3) && problem 'a student that is told its guidance does not listen'
[ -z "$(find "$work/part" -name '*imf_told_g3*' -name '*safetensors*')" ] || problem 'trained anew for guidance 3'
for n in 1 4; do
  grep -q '<text' "$work/part/guidance_fd_$n.svg" && grep -q '<text' "$work/part/guidance_agreement_$n.svg" ||
    problem "no plots by guidance at $n steps"
done

# Students of another decay in the method that has a target, one of its own value being no other; they learn otherwise.
varied() { awk -F, -v m="$1" '$1 == m && $(NF-14) == "decay=0.5"' "$work/part/compare.csv"; }
[ "$(varied tcd | wc -l)" -eq 3 ] && [ "$(grep -c 'decay=' "$work/part/compare.csv")" -eq 3 ] || problem 'wrong rows of decay 0.5'
cmp -s <(varied tcd | cut -d, -f7-) <(rows part tcd | cut -d, -f7-) && problem 'decay 0.5 and 0.95 give the same student'
grep -q 'TCD (Eq 5) | TCD, eta 0 | 0.95 |' "$work/part/tables.md" || problem 'no table by decay'

[ $failures -eq 0 ] && echo 'all checks passed'
exit $((failures > 0))
