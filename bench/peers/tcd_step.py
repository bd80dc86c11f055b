#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one step of diffusers' TCDScheduler (eta 0.3, noise drawn inside) against a copy of its sample.

Prints one JSON line: {"name", "ms" (median), "copy_ms", "copies" (ms / copy_ms), "elements", ...}.
Step and copy are timed in turn in one process, so that both see the same machine.
"""

import argparse
import json
import os
import statistics
import time


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--iters", type=int, default=30, help="timed steps, default 30")
    parser.add_argument("--warmup", type=int, default=3, help="steps before timing, default 3")
    parser.add_argument("--elements", type=int, default=4 << 20, help="floats in the sample, default 4 Mi")
    parser.add_argument("--eta", type=float, default=0.3, help="default 0.3")
    options = parser.parse_args()
    if min(options.threads, options.iters) < 1 or options.warmup < 0 or options.elements < 4:
        parser.error("--threads and --iters must be at least 1, --warmup at least 0, --elements at least 4")
    return options


def main():
    options = parse()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import diffusers
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    scheduler = diffusers.TCDScheduler()
    elements = options.elements // 4 * 4
    sample = torch.randn(1, 4, elements // 4)
    prediction = torch.randn_like(sample)
    destination = torch.empty_like(sample)
    steps, copies = [], []

    def timed(f):
        begin = time.perf_counter()
        f()
        return 1e3 * (time.perf_counter() - begin)

    with torch.no_grad():
        for i in range(options.warmup + options.iters):
            scheduler.set_timesteps(4)
            step = timed(lambda: scheduler.step(prediction, scheduler.timesteps[0], sample, eta=options.eta))
            copy = timed(lambda: destination.copy_(sample))
            if i >= options.warmup:
                steps.append(step)
                copies.append(copy)
    ms, copy_ms = statistics.median(steps), statistics.median(copies)
    result = {
        "name": "diffusers TCDScheduler",
        "ms": round(ms, 4),
        "copy_ms": round(copy_ms, 4),
        "copies": round(ms / copy_ms, 2),
        "elements": elements,
        "eta": options.eta,
        "threads": options.threads,
        "iters": options.iters,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
