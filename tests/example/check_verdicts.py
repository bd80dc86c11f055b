#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_verdicts.py EXAMPLES: verdicts.py and the quantiles of seeds.py on numbers whose verdict is known by hand."""

import csv
import math
import pathlib
import subprocess
import sys
import tempfile

examples = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(examples))
sys.dont_write_bytecode = True
from seeds import t_quantile  # noqa: E402
from verdicts import verdict  # noqa: E402

faults = []


def check(what, is_true):
    if not is_true:
        faults.append(what)


# Quantiles of Student's t from a printed table.
for freedom, value in {1: 12.706, 2: 4.303, 9: 2.262, 10: 2.228, 15: 2.131, 20: 2.086, 30: 2.042, 120: 1.980}.items():
    check(f"t({freedom}) = {t_quantile(freedom)}", abs(t_quantile(freedom) - value) < 6e-4)

# Differences -1, -2, -3: mean -2, deviation 1, half of the interval 4.3027 / sqrt(3) = 2.484. With n seeds it is
# t(n - 1) / sqrt(n): 1.591 for four, so that four tell -2 from 0.
mean, half, word, needed = verdict([-1, -2, -3], lower_is_better=True)
check("mean of -1, -2, -3", mean == -2 and abs(half - 2.4842) < 1e-3)
check("-2 +- 2.5 cannot be told, four would", (word, needed) == ("cannot be told", "4"))
# Mean 1, deviation 2: t(n - 1) * 2 / sqrt(n) < 1 first at n = 18 (t = 2.1098: 0.9946; n = 17, t = 2.1199: 1.0283).
check("1 with deviation 2 needs 18", verdict([-1, 1, 3], lower_is_better=False)[2:] == ("cannot be told", "18"))
# The same differences ten times as far from 0.
check("holds", verdict([-21, -22, -23], lower_is_better=True)[2:] == ("holds", ""))
check("does not hold", verdict([-21, -22, -23], lower_is_better=False)[2:] == ("does not hold", ""))
check("one seed", verdict([-21], lower_is_better=True)[1:] == (None, "one seed only", ""))
check("no difference at all", verdict([0, 0, 0], lower_is_better=True)[2:] == ("cannot be told", "more than 1000"))
# Worse by 0.5 +- 0.25: behind, but not by 1; by 0.1 it is.
near = [0.4, 0.5, 0.6]
check("behind", verdict(near, lower_is_better=True)[2] == "does not hold")
check("not behind by 1", verdict(near, lower_is_better=True, margin=1)[2] == "holds")
check("behind by 0.1", verdict(near, lower_is_better=True, margin=0.1)[2] == "does not hold")


def write(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def run_row(method, steps, eta, fd):
    return {"method": method, "steps": steps, "eta": eta, "fd": fd, "agreement": 0.9, "trajectory": math.nan, "judge": 1,
            "preference": 1, "aesthetic": 1}


# A study of three seeds in which TSCD is ahead of LCM by 15, 17, 19 in FD by its first sampler, and behind by the second,
# at another guidance and with another learning rate;
# three main jobs, of which TCD's are made apart.
with tempfile.TemporaryDirectory() as name:
    work = pathlib.Path(name)
    study = []
    for seed in range(3):
        for method, sampler, fd, guidance, varied in (
                ("tscd", "first", 5, 2, ""), ("tscd", "second", 50, 2, ""), ("tscd", "first", 60, 3, ""),
                ("tscd", "first", 70, 2, "rate=0.1"), ("lcm", "first", 20 + 2 * seed, 2, "")):
            study.append({"method": method, "sampler": sampler, "varied": varied, "steps": 4, "seed": seed, "fd": fd,
                          "agreement": 90, "trajectory": "nan", "guidance": guidance})
        (work / f"run{seed}").mkdir()
        write(work / f"run{seed}/metrics.csv", [run_row("TSCD + feedback", 2, 0, 99), run_row("TSCD + feedback", 2, 0.25, 4),
                                                run_row("unified", 1, 0, 6)])
        write(work / f"tcd{seed}.csv", [run_row("TCD + feedback", 2, 0.25, 14 + seed), run_row("unified", 1, 0, 5)])
    write(work / "compare.csv", study)
    said = subprocess.run([sys.executable, "-B", str(examples / "verdicts.py"), "--study", str(work), "--runs",
                           *[str(work / f"run{s}") for s in range(3)], "--tcd-runs",
                           *[str(work / f"tcd{s}.csv") for s in range(3)]], capture_output=True, text=True, check=False)
    for line in ("| 2 | study | TSCD ahead of LCM | 4 | FD | -17.00 ± 4.97 | 3 | holds |  |",
                 "| 2 | study | TSCD ahead of LCM | 4 | agreement | +0.0 ± 0.0 | 3 | cannot be told | more than 1000 |",
                 "| 5 | main job | TSCD + feedback ahead of TCD + feedback | 2 | FD | -11.00 ± 2.48 | 3 | holds |  |",
                 "| 5 | main job | unified ahead of TCD, unified | 1 | FD | +1.00 ± 0.00 | 3 | does not hold |  |",
                 "12 comparisons: 2 holds, 1 does not hold, 9 cannot be told."):
        check(f"no line '{line}' in:\n{said.stdout}{said.stderr}", line in said.stdout.splitlines())
    missing = subprocess.run([sys.executable, "-B", str(examples / "verdicts.py"), "--study", str(work / "none")],
                             capture_output=True, text=True, check=False)
    check("a missing study is named", missing.returncode == 1 and "none/compare.csv" in missing.stderr)

for fault in faults:
    print("FAILED:", fault)
print("all checks passed" if not faults else f"{len(faults)} faults")
sys.exit(bool(faults))
