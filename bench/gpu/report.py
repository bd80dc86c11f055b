#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one JSON and one Markdown file of what the steps of bench/gpu/run.sh left behind. Standard library only."""

import argparse
import datetime
import json
import pathlib
import re
import subprocess

# Name of a figure, or a prefix if it ends with "_"; what it is compared with, a limit measured in the same run or a
# peer; and the goal, the least ratio (their time / our time).
GOALS = [
    ("step_", "limit", 0.90),
    ("gemm_", "limit", 0.98),
    ("conv3x3_bfloat16_", "PyTorch", 1.00),
    ("group_norm_silu_", "limit", 0.85),
    ("adamw_ema", "limit", 0.85),
    ("train_step", "PyTorch", 3.00),
    ("train_step", "torch.compile", 1.20),
    ("unet_bfloat16_1", "PyTorch", 1.00),
    ("unet_bfloat16_8", "PyTorch", 1.00),
]


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(architecture):
    query = output(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    words = [word.strip() for word in query.splitlines()[0].split(",")] if query else []
    name, driver, memory = (words + ["none", "none", "none"])[:3]
    release = re.search(r"release ([\d.]+)", output(["nvcc", "--version"]))
    return {
        "device": name,
        "memory": memory,
        "architecture": f"sm_{architecture}",
        "driver": driver,
        "cuda": release.group(1) if release else "unknown",
        "torch": output(["python3", "-c", "import torch; print(torch.__version__)"]) or "none",
        "commit": output(["git", "rev-parse", "--short", "HEAD"]) or "unknown",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def table(path):
    return [line.split("\t") for line in path.read_text().splitlines()] if path.exists() else []


def json_lines(path):
    lines = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        if line.startswith("{"):
            try:
                lines.append(json.loads(line))
            except ValueError:
                pass
    return lines


def last_words(path):
    """doctest's counts, or the last line that says something."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", path.read_text(errors="replace")) if path.exists() else ""
    counts = re.search(r"test cases: *(\d+) \| *(\d+) passed \| *(\d+) failed", text)
    if counts:
        return f"{counts.group(2)} cases passed, {counts.group(3)} failed"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""


def goals_of(name):
    return [(what, least) for key, what, least in GOALS if name == key or key.endswith("_") and name.startswith(key)]


def figures(logs):
    peers = {}
    for line in json_lines(logs / "peers.log") + json_lines(logs / "peers_compiled.log"):
        if "ms" in line:
            peers.setdefault(line["name"], {})[line.get("peer", "PyTorch")] = line["ms"]
    rows = []
    for path in sorted(logs.glob("bench_*.log")):
        for own in json_lines(path):
            row = dict(own)
            ratios = {}
            if row.get("limit_ms"):
                ratios["limit"] = row["limit_ratio"] = row["limit_ms"] / row["ms"]
            else:
                row.pop("limit", None), row.pop("limit_ms", None)
            plain = row["name"].replace("_cudnn", "")  # another way to the same result
            if "ms" in row and plain in peers:
                row["peers"] = [{"peer": p, "ms": ms, "ratio": ms / row["ms"]} for p, ms in peers[plain].items()]
                ratios.update((p["peer"], p["ratio"]) for p in row["peers"])
            goals = goals_of(plain)
            if goals:
                row["goal"] = ", ".join(f"{what} >= {least:.2f}" for what, least in goals)
                known = [ratios[what] >= least for what, least in goals if what in ratios]
                # Missed if one is missed; met only if all were measured.
                if not all(known) or len(known) == len(goals):
                    row["met"] = all(known)
            rows.append(row)
    return rows


def number(row, key):
    return f"{row[key]:.4g}" if key in row else ""


def markdown(report):
    m = report["machine"]
    out = ["# Figures on a GPU", "", f"{m['device']} ({m['architecture']}, {m['memory']}), driver {m['driver']}, CUDA "
           f"{m['cuda']}, PyTorch {m['torch']}; commit {m['commit']}, {m['date']}, {report['seconds']} s.", ""]
    out += ["| step | result | s | |", "|---|---|---:|---|"]
    for s in report["steps"]:
        out.append(f"| {s['name']} | {s['result']} | {s['seconds']} | {s['says'].replace('|', '/')} |")
    out += [f"| {name} | {text} | | |" for name, text in report["notes"].items()]
    out += ["", "Ratios are the time of the limit, or of a peer, divided by ours: more is better.", "",
            "| figure | ms | limit | ratio | peer: ms, ratio | goal | met |",
            "|---|---:|---|---:|---|---|---|"]
    for r in report["figures"]:
        if "ms" not in r:
            out.append(f"| {r['name']} | {r.get('skipped', '')} | | | | | |")
            continue
        met = {True: "yes", False: "no"}.get(r.get("met"), "")
        peers = "; ".join(f"{p['peer']}: {number(p, 'ms')}, {number(p, 'ratio')}" for p in r.get("peers", []))
        out.append(f"| {r['name']} | {number(r, 'ms')} | {r.get('limit', '')} | {number(r, 'limit_ratio')} | "
                   f"{peers} | {r.get('goal', '')} | {met} |")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--seconds", type=int, default=0)
    options = parser.parse_args()
    steps = []
    for name, code, seconds in table(options.logs / "steps.tsv"):
        result = {"0": "ok", "77": "skipped", "124": "out of time", "127": "not built"}.get(code, f"failed ({code})")
        steps.append({"name": name, "result": result, "seconds": int(seconds),
                      "says": last_words(options.logs / f"{name}.log")})
    report = {"machine": machine(options.architecture), "seconds": options.seconds, "steps": steps,
              "notes": dict(table(options.logs / "notes.tsv")), "figures": figures(options.logs)}
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(markdown(report))


if __name__ == "__main__":
    main()
