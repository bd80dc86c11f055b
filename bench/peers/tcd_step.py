#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one step of diffusers' TCDScheduler (eta 0.3, noise drawn inside) against a copy of its sample.

Prints one JSON line: {"name", "ms" (median), "copy_ms", "copies" (ms / copy_ms), "elements", ...}.
"""

import json
import statistics

import peer


def parse():
    parser = peer.parser(__doc__, iters=30, warmup=3)
    peer.add_elements(parser)
    parser.add_argument("--eta", type=float, default=0.3, help="default 0.3")
    return parser.parse_args()


def main():
    options = parse()
    torch, diffusers = peer.start(options)
    scheduler = diffusers.TCDScheduler()
    elements = options.elements // 4 * 4
    sample = torch.randn(1, 4, elements // 4)
    prediction = torch.randn_like(sample)
    with torch.no_grad():
        steps, copies = peer.timed_with_copy(
            options,
            sample,
            lambda: scheduler.set_timesteps(4),
            lambda: scheduler.step(prediction, scheduler.timesteps[0], sample, eta=options.eta),
        )
    ms, copy_ms = statistics.median(steps), statistics.median(copies)
    result = {
        "name": "diffusers TCDScheduler",
        "ms": round(ms, 4),
        "copy_ms": round(copy_ms, 4),
        "copies": round(ms / copy_ms, 2),
        "elements": elements,
        "eta": options.eta,
        **peer.conditions(options, torch, diffusers),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
