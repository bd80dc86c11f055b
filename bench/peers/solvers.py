#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one step of diffusers' schedulers, the network left out, against a copy of the sample.

Prints one JSON line: {"name", "ms" (sum of the rows), "copy_ms", "rows": [{"solver", "prediction", "ms",
"ns_per_element"}], ...} with the names of bench_solvers; a row is the fastest of the timed steps. The step is the
second of four, 749 -> 499. Schedulers that keep x / alpha scale the network's input anew for each evaluation; that is
part of their step.
"""

import json

import peer


def parse():
    parser = peer.parser(__doc__, iters=5, warmup=1)
    peer.add_elements(parser)
    return parser.parse_args()


def main():
    options = parse()
    torch, diffusers = peer.start(options)
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
    rows, copies = [], []

    def step(scheduler, first, evaluations):
        y = sample
        for t in scheduler.timesteps[first : first + evaluations]:
            scheduler.scale_model_input(y, t)
            y = scheduler.step(output, t, y).prev_sample

    with torch.no_grad():
        for name, (kind, settings, set_times, evaluations, predictions) in peers.items():
            for prediction in predictions:
                scheduler = kind(prediction_type=prediction, **settings)

                def prepare():
                    set_times(scheduler)
                    step(scheduler, 0, evaluations)

                steps, copied = peer.timed_with_copy(
                    options, sample, prepare, lambda: step(scheduler, evaluations, evaluations)
                )
                copies += copied
                ms = min(steps)
                row = {"solver": name, "prediction": prediction, "ms": round(ms, 4)}
                rows.append({**row, "ns_per_element": round(1e6 * ms / elements, 4)})
    result = {
        "name": "diffusers schedulers",
        "ms": round(sum(row["ms"] for row in rows), 4),
        "copy_ms": round(min(copies), 4),
        "elements": elements,
        "rows": rows,
        **peer.conditions(options, torch, diffusers),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
