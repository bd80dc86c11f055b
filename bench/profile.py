#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up a `perf report --sort symbol` (standard input) by operation. Called by bench/profile.sh."""

import argparse
import collections
import json
import pathlib
import platform
import re
import sys

# The first match names the operation; a function without a match keeps its own name.
GROUPS = [
    (r"(Patches|FlippedWeights|conv2d|scatter_patches|add_patches)", "convolution: gathering and scattering"),
    (r"(multiply|dots)_(avx2|avx512|portable)|gemm_|pack_(rows|columns)|GemmOperand", "matmul and packing"),
    (r"group_norm|spread_statistics|apply_scale_shift|finish_moments|add_gradient_sums|load_lanes", "group norm and SiLU"),
    (r"layer_norm", "layer norm"),
    (r"attention|score_tile|attend", "attention"),
    (r"[Aa]dam|multi_tensor|optim::", "AdamW"),
    (r"ops::map|map_into|backend::map|backend::transform", "element-wise maps"),
    (r"reduce|sum_to|column_sum|row_sum|sum_columns", "reductions"),
    (r"concat|slice|copy|resample|memcpy|memset|memmove", "copies, concatenation, resampling"),
    (r"gemm|matmul|Eigen", "matrix products"),
    (r"ThreadPool|parallel|futex|sched|pthread|\[k\]", "waiting for the other thread, system"),
]


def group(symbol):
    for pattern, name in GROUPS:
        if re.search(pattern, symbol):
            return name
    return "other"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, help="write the table there as JSON")
    parser.add_argument("--command", default="", help="kept in the file: how to get it again")
    options = parser.parse_args()
    shares, largest = collections.Counter(), {}
    for line in sys.stdin:
        match = re.match(r"\s*([0-9.]+)%\s+(\[.\]\s+.*)", line)
        if not match:
            continue
        share, symbol = float(match[1]), match[2].strip()
        name = group(symbol)
        shares[name] += share
        largest.setdefault(name, []).append((share, symbol))
    if not shares:
        sys.exit("profile: perf gave no samples (is perf allowed here? see kernel.perf_event_paranoid)")
    rows = [{"operation": n, "percent": round(s, 2)} for n, s in shares.most_common()]
    for row in rows:
        print(f"{row['percent']:7.2f} %  {row['operation']}")
    if shares["other"] > 5:
        for share, symbol in sorted(largest["other"], reverse=True)[:10]:
            print(f"  other: {share:.2f} %  {symbol[:150]}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": platform.processor() or platform.machine(), "command": options.command, "operations": rows}
        options.out.write_text(json.dumps(report, indent=2) + "\n")
        print(f"written to {options.out}")


if __name__ == "__main__":
    main()
