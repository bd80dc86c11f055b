#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Means over runs of the main job that differ in the seed, as a Markdown table.

    python3 examples/seeds.py runs/seed0 runs/seed1 runs/seed2

Each entry is the mean over the runs and half of its 95 % interval (Student's t). Runs with --baseline get a second table:
TSCD minus TCD in pairs of the same seed, hence of the same teacher. Standard library only.
"""

import argparse
import csv
import math
import pathlib
import statistics
import sys

# 97.5 % quantiles of Student's t by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def read(folder):
    path = pathlib.Path(folder)
    path = path / "metrics.csv" if path.is_dir() or not path.suffix else path
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        sys.exit(f"seeds.py: {path}: {error.strerror}")
    return {(r["method"], int(float(r["steps"])), float(r["eta"])): r for r in rows}


def entry(runs, key, field, digits, factor=1, minus=None):
    def value(run, at):
        return factor * float(run[at][field] or "nan")

    values = [value(run, key) - (value(run, minus) if minus else 0) for run in runs]
    if any(math.isnan(v) for v in values):
        return ""
    mean = f"{statistics.mean(values):{'+' if minus else ''}.{digits}f}"
    if len(values) < 2:
        return mean
    half = T.get(len(values) - 1, 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean} ± {half:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders, or their metrics.csv")
    options = parser.parse_args()
    runs = [read(folder) for folder in options.runs]
    keys = [key for key in runs[0] if all(key in run for run in runs)]
    if not keys:
        sys.exit("seeds.py: the runs have no sampler in common")
    head = "| FD | agreement, % | trajectory error |\n|---|---|---|---|"
    columns = [("fd", 2, 1), ("agreement", 1, 100), ("trajectory", 4, 1)]

    def row(key, minus=None):
        _, steps, eta = key
        name = key[0] if steps == 0 else f"{key[0]}, {steps} step{'s' if steps > 1 else ''}"
        name += f", eta {eta:g}" if eta > 0 else ""
        cells = [entry(runs, key, *column, minus=minus) for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")

    print(f"| sampler {head}")
    for key in keys:
        row(key)
    pairs = [(key, ("TCD", *key[1:])) for key in keys if key[0] == "TSCD" and ("TCD", *key[1:]) in keys]
    if pairs:
        print(f"\n| TSCD minus TCD {head}")
    for key, rival in pairs:
        row(key, rival)


if __name__ == "__main__":
    main()
