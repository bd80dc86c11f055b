#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Means over runs of the main job that differ in the seed, as a Markdown table.

    python3 examples/seeds.py runs/seed0 runs/seed1 runs/seed2

Each entry is the mean over the runs and half of its 95 % interval (Student's t). Below come differences in pairs of the same
seed, hence of the same teacher: feedback against none, and with --baseline TSCD against TCD and one-step enhancement of the
student against that of the teacher; then ratios of FD. Standard library only.
"""

import argparse
import csv
import math
import pathlib
import statistics
import sys

# 97.5 % quantiles of Student's t by degrees of freedom.
T = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060, 9: 2.2622}


COLUMNS = [
    ("FD", "fd", 2, 1),
    ("agreement, %", "agreement", 1, 100),
    ("trajectory error", "trajectory", 4, 1),
    ("judge", "judge", 3, 1),
    ("preference", "preference", 2, 1),
    ("aesthetic", "aesthetic", 2, 1),
]
# What is compared with what: at every number of steps that both have.
PAIRS = [
    ("TSCD", "TCD"),
    ("TSCD + feedback", "TSCD"),
    ("unified", "TSCD + feedback"),
    ("unified", "DMD of the teacher, t = 999"),
    ("one step, t = 800", "DMD of the teacher, t = 800"),
]


def t_quantile(freedom):
    """The 97.5 % quantile of Student's t; beyond the table by three terms of its expansion, right to 1e-4."""
    if freedom in T:
        return T[freedom]
    z = 1.959964
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms))


def read(folder):
    path = pathlib.Path(folder)
    path = path / "metrics.csv" if path.is_dir() or not path.suffix else path
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        sys.exit(f"seeds.py: {path}: {error.strerror}")
    return {(r["method"], int(float(r["steps"])), float(r["eta"])): r for r in rows}


def read_sweep(folder):
    path = pathlib.Path(folder) / "sweep.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {float(r["weight"]): r for r in csv.DictReader(file)}


def interval(values, digits, sign=""):
    """Mean and half of the 95 % interval; nothing where a run has no such number."""
    if any(math.isnan(v) for v in values):
        return ""
    mean = f"{statistics.mean(values):{sign}.{digits}f}"
    if len(values) < 2:
        return mean
    half = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"


def number(run, key, field):
    return float(run[key].get(field) or "nan")


def name_of(method, steps, eta):
    name = method if steps == 0 else f"{method}, {steps} step{'s' if steps > 1 else ''}"
    return name + (f", eta {eta:g}" if eta > 0 else "")


def table(title, rows):
    """Rows of (name, cells); columns that are empty everywhere are left out."""
    if not rows:
        return
    kept = [i for i in range(len(rows[0][1])) if any(cells[i] for _, cells in rows)]
    print(f"\n| {title} | " + " | ".join(COLUMNS[i][0] for i in kept) + " |\n|---|" + "---|" * len(kept))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells[i] for i in kept) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders, or their metrics.csv")
    options = parser.parse_args()
    runs = [read(folder) for folder in options.runs]
    keys = [key for key in runs[0] if all(key in run for run in runs)]
    if not keys:
        sys.exit("seeds.py: the runs have no sampler in common")

    def cells(value, sign=""):
        return [interval([factor * value(run, field) for run in runs], digits, sign)
                for _, field, digits, factor in COLUMNS]

    table("sampler", [(name_of(*key), cells(lambda run, field, key=key: number(run, key, field))) for key in keys])
    for method, rival in PAIRS:
        pairs = [(key, (rival, *key[1:])) for key in keys if key[0] == method and (rival, *key[1:]) in keys]
        table(f"{method} minus {rival}", [
            (name_of(*a), cells(lambda run, field, a=a, b=b: number(run, a, field) - number(run, b, field), "+"))
            for a, b in pairs])

    ratios = [(a, b) for a in keys for b in keys
              if (a[0], b[0]) == ("TSCD + feedback", "TSCD") and a[1:] == b[1:] or b[0] == "teacher" and a[1] == 1]
    if ratios:
        print("\n| ratio of FD | |\n|---|---|")
    for a, b in ratios:
        print(f"| {name_of(*a)} / {name_of(*b)} | {interval([number(r, a, 'fd') / number(r, b, 'fd') for r in runs], 2)} |")
    sweeps = [read_sweep(folder) for folder in options.runs]
    if all(sweeps):
        print("\n| weight of the feedback adapter, 4 steps | judge | FD to the teacher |\n|---|---|---|")
        for weight in sweeps[0]:
            judge, away = ([float(s[weight][field]) for s in sweeps] for field in ("judge", "fd_to_teacher"))
            print(f"| {weight:g} | {interval(judge, 3)} | {interval(away, 2)} |")
    unified = [key for key in keys if key[0] == "unified" and (key[2] > 0 or key[1] == 1)]
    if len(unified) > 1:
        spread = [max(v) - min(v) for v in ([100 * number(run, key, "agreement") for key in unified] for run in runs)]
        print(f"\nAgreement of the unified adapter, highest minus lowest over "
              f"{', '.join(str(key[1]) for key in unified)} steps: {interval(spread, 1)} points")


if __name__ == "__main__":
    main()
