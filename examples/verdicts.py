#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Claims of the Hyper-SD paper, judged by numbers of this code, as a Markdown table.

    python3 examples/verdicts.py --study runs/compare [--runs runs/seed0 runs/seed1 ...] [--tcd-runs runs/tcd0 ...]

--study is a study of compare_methods (its folder or compare.csv), --runs are runs of the main job that differ in the seed,
--tcd-runs the same with --stages 1. What is compared has the same seed, hence the same teacher, classifier and noise.

A claim "A ahead of B" holds if the 95 % interval (Student's t) of the difference over seeds is on A's side of 0, does not
hold if it is on the other, and cannot be told if it holds 0. "A not behind B" allows a margin in place of 0. The last column
is how many seeds would tell, if mean and deviation stay as they are. Standard library only.
"""

import argparse
import csv
import math
import pathlib
import statistics
import sys

from seeds import t_quantile

MOST = 1000  # seeds that anybody would run
DIGITS = {"FD": 2, "agreement": 1, "trajectory error": 4}
LOWER = {"FD", "trajectory error"}  # is better
# Of a main job: its column and factor.
RUN_FIELDS = {"FD": ("fd", 1), "agreement": ("agreement", 100), "trajectory error": ("trajectory", 1),
              "judge": ("judge", 1), "preference": ("preference", 1), "aesthetic": ("aesthetic", 1)}
STUDY_FIELDS = {"FD": "fd", "agreement": "agreement", "trajectory error": "trajectory"}
TITLES = {"tscd": "TSCD", "tscd_terms": "TSCD with CTM's terms", "tcd": "TCD", "cd": "CD", "lcm": "LCM", "ctm": "CTM",
          "perflow": "PeRFlow", "add": "ADD", "lightning": "Lightning", "dmd": "DMD", "sds": "SDS"}  # of a study
# "Not behind": what does not count. An FD of 1.10 is that of 2,000 real images.
MARGIN = {"FD": 1.1, "agreement": 2}


def seeds_needed(mean, deviation):
    """The smallest number of seeds whose interval of a difference would not hold 0."""
    for n in range(2, MOST + 1):
        if t_quantile(n - 1) * deviation / math.sqrt(n) < abs(mean):
            return str(n)
    return f"more than {MOST}"


def verdict(differences, lower_is_better, margin=0.0):
    """(mean, half of the interval or None, verdict, seeds needed) of A minus B over seeds."""
    mean = statistics.mean(differences)
    gain = (-mean if lower_is_better else mean) + margin
    if len(differences) < 2:
        return mean, None, "one seed only", ""
    deviation = statistics.stdev(differences)
    half = t_quantile(len(differences) - 1) * deviation / math.sqrt(len(differences))
    if gain > half:
        return mean, half, "holds", ""
    if gain < -half:
        return mean, half, "does not hold", ""
    return mean, half, "cannot be told", seeds_needed(gain, deviation)


def study_claims():
    """(table, A, B, steps, measure, margin) by the methods' names in a study."""
    def rows(table, better, others, steps, measures=("FD", "agreement")):
        return [(table, better, other, n, m, False) for n in steps for other in others for m in measures]

    return (rows("2", "tscd", ("lcm", "cd", "tcd", "ctm", "perflow", "add", "lightning"), (4,)) +
            rows("2", "tscd", ("add", "lightning"), (1,)) +
            rows("3", "dmd", ("tscd", "add", "lightning", "sds"), (1,)) +
            rows("5", "tscd", ("tcd",), (1, 2, 4, 8), ("FD", "agreement", "trajectory error")) +
            rows("5", "tscd", ("cd", "ctm"), (2,)) +
            rows("5", "tscd_terms", ("ctm",), (2, 4)))


def run_claims():
    """The same by the names of the main job's samplers."""
    quality = ("FD", "agreement")
    rewards = ("judge", "preference", "aesthetic")
    one, few, all_steps = (1,), (2, 4), (1, 2, 4, 8)

    def rows(table, a, b, steps, measures, margin=False):
        return [(table, a, b, n, m, margin) for n in steps for m in measures]

    return (rows("3", "unified", "DMD of the teacher, t = 999", one, quality + rewards) +
            rows("3", "one step, t = 800", "DMD of the teacher, t = 800", one, quality + rewards) +
            rows("3", "TSCD + feedback", "TSCD", one, quality + rewards) +
            rows("3", "unified", "TSCD + feedback", one, quality) +
            rows("4", "unified", "one step, t = 800", one, quality, True) +
            rows("4", "unified", "TSCD + feedback", (2, 4, 8), quality, True) +
            rows("5", "TSCD", "TCD", all_steps, quality + ("trajectory error",)) +
            rows("5", "TSCD + feedback", "TSCD", few, quality + rewards) +
            rows("5", "TSCD + feedback", "TCD + feedback", few, quality + rewards) +
            rows("5", "TCD + feedback", "TCD", few, quality + rewards) +
            rows("5", "unified", "TCD, unified", one, quality + rewards) +
            rows("5", "TCD, unified", "DMD of the teacher, t = 999", one, quality + rewards))


def rows_of(path, name):
    path = pathlib.Path(path)
    path = path if path.suffix == ".csv" else path / name
    try:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        sys.exit(f"verdicts.py: {path}: {error.strerror}")


def number(row, field):
    try:
        return float(row[field])
    except (KeyError, TypeError, ValueError):
        sys.exit(f"verdicts.py: no number in column '{field}' of {row}")


def read_study(path, guidance):
    """{(method, steps, measure): {seed: value}} at one guidance, by each method's own settings and its first sampler, which
    the tables show. Studies of earlier versions have neither guidance nor settings."""
    out, first = {}, {}
    for row in rows_of(path, "compare.csv"):
        if float(row.get("guidance", guidance)) != guidance or row.get("varied"):
            continue
        if first.setdefault(row["method"], row["sampler"]) != row["sampler"]:
            continue
        for measure, field in STUDY_FIELDS.items():
            value = number(row, field)
            if not math.isnan(value):
                out.setdefault((row["method"], int(number(row, "steps")), measure), {})[row["seed"]] = value
    return out


def read_runs(paths, rename):
    """The same of main jobs, in the order of `paths`; more than one step with noise where there are such rows."""
    out = {}
    for seed, path in enumerate(paths):
        rows = rows_of(path, "metrics.csv")
        noisy = {(r["method"], r["steps"]) for r in rows if number(r, "eta") > 0}
        for row in rows:
            if (row["method"], row["steps"]) in noisy and number(row, "eta") == 0:
                deterministic = {"trajectory error"}
            else:
                deterministic = set(RUN_FIELDS)
            for measure, (field, factor) in RUN_FIELDS.items():
                value = factor * number(row, field)
                if measure in deterministic and not math.isnan(value):
                    key = (rename(row["method"]), int(number(row, "steps")), measure)
                    out.setdefault(key, {})[seed] = value
    return out


def judged(claims, values, source):
    """The table's rows for which both sides have a seed in common."""
    out = []
    for table, a, b, steps, measure, allowed in claims:
        ours, theirs = values.get((a, steps, measure), {}), values.get((b, steps, measure), {})
        pairs = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
        if not pairs:
            continue
        margin = MARGIN[measure] if allowed else 0
        mean, half, word, needed = verdict(pairs, measure in LOWER, margin)
        digits = DIGITS.get(measure, 2)
        difference = f"{mean:+.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None else "")
        a, b = TITLES.get(a, a), TITLES.get(b, b)
        claim = f"{a} not behind {b} by {margin:g}" if allowed else f"{a} ahead of {b}"
        out.append((table, source, claim, steps, measure, difference, len(pairs), word, needed))
    return out


def as_table(rows):
    head = ("Table", "Numbers of", "Claim", "Steps", "Measure", "Difference here", "Seeds", "Verdict", "Would tell")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def as_count(rows):
    words = [row[7] for row in rows]
    kinds = ("holds", "does not hold", "cannot be told", "one seed only")
    return f"{len(rows)} comparisons: " + ", ".join(f"{words.count(k)} {k}" for k in kinds if k in words) + "."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", help="a study's folder, or its compare.csv")
    parser.add_argument("--guidance", type=float, default=2, help="of the study's students, if it has several")
    parser.add_argument("--runs", nargs="+", default=[], help="run folders of the main job, or their metrics.csv")
    parser.add_argument("--tcd-runs", nargs="+", default=[], help="the same with --stages 1, in the order of --runs")
    options = parser.parse_args()
    rows = judged(study_claims(), read_study(options.study, options.guidance), "study") if options.study else []
    values = read_runs(options.runs, lambda name: name)
    tcd = read_runs(options.tcd_runs, lambda name: name if "TCD" in name else "TCD, " + name)
    for key, by_seed in tcd.items():
        values.setdefault(key, by_seed)
    rows += judged(run_claims(), values, "main job")
    rows.sort(key=lambda row: row[0])
    if not rows:
        sys.exit("verdicts.py: nothing to compare: give --study or --runs")
    print(as_table(rows))
    print("\n" + as_count(rows))


if __name__ == "__main__":
    main()
