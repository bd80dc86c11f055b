#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one step of diffusers' schedulers, the network left out, against a copy of the sample.

Prints one JSON line: {"name", "ms" (sum of the rows), "copy_ms", "rows": [{"solver", "prediction", "ms",
"ns_per_element"}], ...} with the names of bench_solvers; a row is the fastest of the timed steps. The step is the
second of four, 749 -> 499. Schedulers that keep x / alpha scale the network's input anew for each evaluation; that is
part of their step.
"""

import argparse
import json
import os
import time


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--iters", type=int, default=5, help="timed steps each, default 5")
    parser.add_argument("--warmup", type=int, default=1, help="steps before timing, default 1")
    parser.add_argument("--elements", type=int, default=4 << 20, help="floats in the sample, default 4 Mi")
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
    diffusers.utils.logging.set_verbosity_error()
    schedule = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    trailing = dict(timestep_spacing="trailing", **schedule)
    times = [999, 749, 499, 249]
    count = lambda s: s.set_timesteps(4)
    listed = lambda s: s.set_timesteps(timesteps=times)
    # name: scheduler, options, how the times are set, evaluations a step, predictions
    every = ("epsilon", "v_prediction", "sample")
    peers = {
        "ddim": (diffusers.DDIMScheduler, dict(clip_sample=False, **trailing), count, 1, every),
        "tcd": (diffusers.TCDScheduler, schedule, listed, 1, every),
        "lcm": (diffusers.LCMScheduler, schedule, listed, 1, every),
        "euler": (diffusers.EulerDiscreteScheduler, trailing, count, 1, every),
        "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, trailing, count, 1, every[:2]),
        "heun": (diffusers.HeunDiscreteScheduler, trailing, count, 2, every),
        "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, trailing, count, 1, every),
    }
    elements = options.elements // 4 * 4
    sample = torch.randn(1, 4, elements // 4)
    output = torch.randn_like(sample)
    destination = torch.empty_like(sample)
    rows, copies = [], []

    def timed(f):
        begin = time.perf_counter()
        f()
        return 1e3 * (time.perf_counter() - begin)

    def step(scheduler, first, evaluations):
        y = sample
        for t in scheduler.timesteps[first : first + evaluations]:
            scheduler.scale_model_input(y, t)
            y = scheduler.step(output, t, y).prev_sample

    with torch.no_grad():
        for name, (kind, settings, set_times, evaluations, predictions) in peers.items():
            for prediction in predictions:
                scheduler = kind(prediction_type=prediction, **settings)
                steps = []
                for i in range(options.warmup + options.iters):
                    set_times(scheduler)
                    step(scheduler, 0, evaluations)
                    ms = timed(lambda: step(scheduler, evaluations, evaluations))
                    copy = timed(lambda: destination.copy_(sample))
                    if i >= options.warmup:
                        steps.append(ms)
                        copies.append(copy)
                ms = min(steps)
                row = {"solver": name, "prediction": prediction, "ms": round(ms, 4)}
                rows.append({**row, "ns_per_element": round(1e6 * ms / elements, 4)})
    result = {
        "name": "diffusers schedulers",
        "ms": round(sum(row["ms"] for row in rows), 4),
        "copy_ms": round(min(copies), 4),
        "elements": elements,
        "threads": options.threads,
        "iters": options.iters,
        "rows": rows,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
