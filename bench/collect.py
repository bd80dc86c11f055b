#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks and their peers in turn, prints a table and writes the figures as JSON.

Called by bench/run.sh, which builds and installs everything. Standard library only.
"""

import argparse
import datetime
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="build folder of the bench preset")
    parser.add_argument("--peers", type=pathlib.Path, help="virtual environment of the peers")
    parser.add_argument("--out", type=pathlib.Path, help="write the figures there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--large", action="store_true", help="only operations and networks of Stable Diffusion's sizes")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


class Runner:
    """Runs commands that print JSON lines; remembers the best result by label, and what failed."""

    def __init__(self):
        self.best = {}
        self.failed = []

    def run(self, label, command, key="ms"):
        """`key`: the field that says which of several rounds was best (smallest)."""
        print(f"  {label} ...", end="", flush=True)
        done = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, check=False)
        result = None
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                result = json.loads(line)
        if done.returncode != 0 or result is None or "error" in result:
            reason = (result or {}).get("error") or (done.stderr.strip().splitlines() or ["no result"])[-1]
            print(f" failed: {reason}", flush=True)
            self.failed.append(f"{label}: {reason}")
            return
        if "copy_ms" in result:
            result.setdefault("copies", result["ms"] / result["copy_ms"])
        print(f" {result[key]:.4g} {key}", flush=True)
        if label not in self.best or result[key] < self.best[label][key]:
            self.best[label] = result

    def get(self, label, key="ms"):
        return self.best.get(label, {}).get(key)


def compile_seconds(source, repeats):
    """Best wall time of compiling one file as a user would, in seconds."""
    eigen = subprocess.run(["pkg-config", "--cflags", "eigen3"], capture_output=True, text=True, check=False).stdout
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-O2", "-Iinclude", *shlex.split(eigen or "-I/usr/include/eigen3")]
    command += ["-c", f"bench/compile_time/{source}.cpp", "-o", os.devnull]
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def figure(name, value, unit, peer=None, peer_value=None, goal=None, at_most=None, at_least=None):
    """One row. ratio = peer_value / value: how many times better. A goal bounds the value or the ratio."""
    ratio = peer_value / value if value and peer_value else None
    met = None
    if at_most is not None and value is not None:
        goal, met = f"<= {at_most} {unit}", value <= at_most
    if at_least is not None:
        goal, met = f"ratio >= {at_least}", None if ratio is None else ratio >= at_least
    rounded = lambda x: None if x is None else float(f"{x:.5g}")
    return {"name": name, "value": rounded(value), "unit": unit, "peer": peer, "peer_value": rounded(peer_value),
            "ratio": rounded(ratio), "goal": goal, "met": met}


def machine():
    cpu, memory = "unknown", 0
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = round(int(line.split()[1]) / 2**20, 1)
    first = lambda *c: (subprocess.run(c, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines() or [""])[0]
    return {
        "cpu": cpu,
        "processors": len(os.sched_getaffinity(0)),
        "memory_gib": memory,
        "load_before": round(os.getloadavg()[0], 2),
        "compiler": first(os.environ.get("CXX", "g++"), "--version"),
        "commit": first("git", "rev-parse", "--short", "HEAD"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
    }


def solver_figures(ours, theirs):
    """Rows of bench_solvers beside those of diffusers, noise predictions only; the others stand in the JSON."""
    named = lambda result: {(r["solver"], r["prediction"]): r for r in (result or {}).get("rows", [])}
    rows, peers = named(ours), named(theirs)
    figures = []
    for (solver, prediction), row in rows.items():
        peer = peers.get((solver, prediction))
        if prediction == "epsilon":
            figures.append(figure(f"{solver} step, an element", row["ns_per_element"], "ns",
                                  "diffusers" if peer else None, peer and peer["ns_per_element"]))
    if rows:
        total = lambda key: sum(r[key] for r in rows.values())
        figures.append(figure(f"all {len(rows)} solver steps", total("ms"), "ms", "pass by pass", total("unfused_ms")))
        quiet = [r["copy_bandwidth"] for (solver, _), r in rows.items() if solver in ("ddim", "euler", "perflow")]
        figures.append(figure("bandwidth of a step without noise", sorted(quiet)[len(quiet) // 2], "of a copy's"))
    return figures


def large_figures(options, runner, common):
    """Rows of bench_large, bench_networks and bench_lora_step beside those of PyTorch: GFLOP/s, so the ratio is value / peer_value. The best of all rounds
    counts for each shape. By CPU time, one thread: other programs on the machine disturb that least."""
    programs = []
    for name in ("large", "networks", "lora_step"):
        programs.append((name, "ours", [options.build / f"bench/bench_{name}"]))
        if options.peers:
            programs.append((name, "torch", [options.peers / "bin/python", f"bench/peers/{name}.py"]))
    best = {}
    for round_ in range(options.rounds):
        for program, who, command in programs:
            label = f"{program}, {who}, round {round_ + 1}"
            runner.run(label, [*command, *common])
            for row in runner.best.get(label, {}).get("rows", []):
                key = "cpu_ms" if options.threads == 1 else "ms"
                rate = row["gflop"] / row[key] * 1e3
                rows = best.setdefault(row["name"], {})
                rows[who] = max(rows.get(who, 0), rate)
    figures = []
    for name, rates in best.items():
        row = figure(name, rates.get("ours"), "GFLOP/s", "torch" if "torch" in rates else None, rates.get("torch"))
        if "ours" in rates and "torch" in rates:
            row["ratio"] = float(f"{rates['ours'] / rates['torch']:.5g}")
        figures.append(row)
    return figures


def print_table(figures):
    text = lambda x: "" if x is None else f"{x:.4g}" if isinstance(x, float) else str(x)
    header = ["figure", "value", "unit", "peer", "peer value", "ratio", "goal", "met"]
    rows = [[f["name"], text(f["value"]), f["unit"], text(f["peer"]), text(f["peer_value"]), text(f["ratio"]),
             text(f["goal"]), {True: "yes", False: "NO", None: ""}[f["met"]]] for f in figures]
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    print()
    for row in [header, ["-" * w for w in widths], *rows]:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())


def main():
    options = parse()
    where = machine()
    if where["load_before"] > 0.5:
        print(f"warning: other work is running (load {where['load_before']}); figures are worse for it, and goals may fail")
    python = options.peers / "bin/python" if options.peers else None
    common = ["--threads", options.threads] + (["--iters", "3", "--warmup", "1"] if options.quick else [])
    runner = Runner()
    if options.large:
        figures = large_figures(options, runner, common)
        print_table(figures)
        for failure in runner.failed:
            print(f"failed: {failure}")
        if options.out:
            where["command"] = "bash bench/run.sh --large" + ("" if python else " --no-peers")
            versions = {"torch": r["torch"] for r in runner.best.values() if "torch" in r}
            where.update({"threads": options.threads, "rounds": options.rounds, **versions})
            options.out.write_text(json.dumps({"machine": where, "figures": figures}, indent=1) + "\n")
            print(f"\nwritten: {options.out}")
        return 1 if runner.failed else 0
    for _ in range(options.rounds):
        runner.run("train step", [options.build / "bench/bench_train_step", *common])
        if python:
            runner.run("train step, torch", [python, "bench/peers/train_step.py", *common])
            runner.run("train step, torch.compile", [python, "bench/peers/train_step.py", "--compile", *common])
        runner.run("TCD step", [options.build / "bench/bench_solver_step", *common], key="copies")
        if python:
            runner.run("TCD step, diffusers", [python, "bench/peers/tcd_step.py", *common], key="copies")
    # Many short steps, the fastest of each counts: one round suffices.
    runner.run("all solvers", [options.build / "bench/bench_solvers", *common])
    if python:
        runner.run("all solvers, diffusers", [python, "bench/peers/solvers.py", *common])

    figures = []
    ours = runner.get("train step")
    peers = {p: runner.get(f"train step, {p}") for p in ("torch", "torch.compile")}
    peers = {p: v for p, v in peers.items() if v}
    for peer, value in peers.items():
        figures.append(figure("train step", ours, "ms", peer, value))
    fastest = min(peers, key=peers.get) if peers else None
    figures.append(figure("train step, against the fastest peer", ours, "ms", fastest, peers.get(fastest), at_least=1.5))
    tcd, theirs = runner.get("TCD step", "copies"), runner.get("TCD step, diffusers", "copies")
    figures.append(figure("TCD step, eta 0.3, 4 Mi elements", tcd, "copies", "diffusers" if theirs else None, theirs,
                          at_most=2.5))
    figures.append(figure("TCD step, eta 0.3, 4 Mi elements", runner.get("TCD step"), "ms",
                          "diffusers" if theirs else None, runner.get("TCD step, diffusers")))
    solvers, solver_peers = runner.best.get("all solvers"), runner.best.get("all solvers, diffusers")
    figures += solver_figures(solvers, solver_peers)
    repeats = 1 if options.quick else 3
    for source, limit in (("single_solver", 2.0), ("everything", 12.0)):
        print(f"  compiling {source}.cpp ...", end="", flush=True)
        seconds = compile_seconds(source, repeats)
        print(f" {seconds:.2f} s", flush=True)
        figures.append(figure(f"compiling {source}.cpp at -O2", seconds, "s", at_most=limit))

    print_table(figures)
    for failure in runner.failed:
        print(f"failed: {failure}")
    if options.out:
        where["command"] = "bash bench/run.sh" + (" --quick" if options.quick else "") + ("" if python else " --no-peers")
        where["threads"] = options.threads
        where["rounds"] = options.rounds
        versions = {k: runner.best[p][k] for p in runner.best for k in ("torch", "diffusers") if k in runner.best[p]}
        document = {"machine": {**where, **versions}, "figures": figures, "failed": runner.failed}
        document["solvers"] = {name: r["rows"] for name, r in (("ours", solvers), ("diffusers", solver_peers)) if r}
        options.out.write_text(json.dumps(document, indent=1) + "\n")
        print(f"\nwritten: {options.out}")
    return 1 if ours is None or tcd is None else 0


if __name__ == "__main__":
    sys.exit(main())
