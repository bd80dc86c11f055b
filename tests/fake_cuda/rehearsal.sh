#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rehearsal.sh ROOT PROGRAM...: the benchmarks of bench/gpu, linked with the stand-in for the CUDA runtime, run to their
# end without a fault, and the report finds a figure for each goal. Their times mean nothing here.
set -u
root=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
for program in "$@"; do
  name=$(basename "$program")
  name=${name#rehearsal_gpu_}
  "$program" >"$work/bench_$name.log" 2>&1
  code=$?
  printf 'bench_%s\t%d\t1\n' "$name" $code >>"$work/steps.tsv"
  if [ $code -ne 0 ] || ! grep -q '"ms"' "$work/bench_$name.log"; then
    echo "bench_gpu_$name ends with $code:"
    tail -n 5 "$work/bench_$name.log"
    failed=1
  fi
done
command -v python3 >/dev/null || exit $failed
python3 "$root/bench/gpu/report.py" --logs "$work" --out "$work/gpu.json" --architecture 90 --seconds 1 >/dev/null || failed=1
python3 - "$root/bench/gpu" "$work" <<'PYTHON' || failed=1
import json, pathlib, re, sys

sys.path.insert(0, sys.argv[1])
import report

work = pathlib.Path(sys.argv[2])
text = "".join(log.read_text() for log in work.glob("bench_*.log"))
names = [json.loads(line)["name"] for line in text.splitlines() if line.startswith("{")]
missing = [goal for goal, *_ in report.GOALS if not any(n == goal or (goal[-1] == "_" and n.startswith(goal)) for n in names)]
missing += [n for n in names if n not in (work / "gpu.md").read_text()]
print(len(names), "figures")
if missing or len(set(names)) != len(names):
    sys.exit(f"no figure for {missing}, or one twice")
PYTHON
exit $failed
