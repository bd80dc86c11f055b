#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_compare_types.sh PROGRAM: the comparison of methods on lines with a transformer, tiny: what is not defined there is
# refused, every other method runs at its planned cost.
set -u
program=$1
[ -d /usr/share/datasets/fashion-mnist ] || { echo "the data set is not installed: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() { echo "FAILED: $1"; failures=$((failures + 1)); }
tiny=(--quick --budget 1.2 --autoencoder-steps 6 --classifier-steps 6 --teacher-steps 6 --latent-images 300
      --eval-samples 20 --pairs 20 --steps 1,4 --seed 3)
types=(--process flow --backbone dit)

refused() {
  local words=$1
  shift
  "$program" "$@" --out "$work/bad" >"$work/log" 2>&1 </dev/null
  local code=$?
  [ $code -eq 2 ] || problem "exit code $code, not 2: $*"
  grep -q -- "$words" "$work/log" || problem "no '$words' in the message of: $* ($(head -c 300 "$work/log"))"
}
refused '--methods perflow: not defined on --process flow' "${tiny[@]}" "${types[@]}" --methods tscd,perflow
refused '--methods imf_told: not defined on --backbone dit' "${tiny[@]}" "${types[@]}" --methods imf_told
refused 'compiled for flow and dit; examples/compare.sh' "${tiny[@]}"
refused 'process' "${tiny[@]}" --process magic

"$program" "${tiny[@]}" "${types[@]}" --out "$work/run" >"$work/log" 2>&1 </dev/null ||
  { cat "$work/log"; problem 'the study failed'; }
grep -q 'evaluations counted' "$work/log" && { grep 'evaluations counted' "$work/log"; problem 'a plan miscounts'; }
for file in compare.csv tables.md samples.svg report.html; do [ -s "$work/run/$file" ] || problem "no $file"; done
methods=(teacher cd lcm ctm tcd pcm tscd tscd_terms scd scd4 tscd_limit pd lightning add sds dmd shortcut meanflow imf lmd emd
         psd ayf tvm imm ect tcm rcm dmd2 decoupled pi_flow tscd_kept)
for method in "${methods[@]}"; do
  grep -q "^$method," "$work/run/compare.csv" || problem "no $method in compare.csv"
done
[ "$(tail -n +2 "$work/run/compare.csv" | cut -d, -f1 | sort -u | wc -l)" -eq ${#methods[@]} ] || problem 'other methods'
grep -q 'nan' <(cut -d, -f6,9 "$work/run/compare.csv") && problem 'a measure is not a number'
# 23,117,824 multiply-adds (tests/nn/test_pixart.cpp); a second time adds two layers of (256 + 128) x 128.
costs() { awk -F, -v m="$1" '$1 == m && $(NF-13) == 4 { print $(NF-2), $(NF-1); exit }' "$work/run/compare.csv"; }
[ "$(costs teacher)" = '8 184942592' ] || problem "a sample of the teacher costs $(costs teacher)"
[ "$(costs shortcut)" = '4 92667904' ] || problem "a sample of a flow map costs $(costs shortcut)"

[ $failures -eq 0 ] && echo 'all checks passed'
exit $((failures > 0))
