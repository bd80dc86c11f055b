#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one training step of a small latent UNet in diffusers: forward, backward, AdamW.

8x8x4 latents, one context token, block_out_channels 32/64/64, float32 on the CPU.
Prints one JSON line: {"name", "ms" (median), "ms_min", "params", ...}. Where
torch.compile does not work (no C++ compiler, no Python headers) --compile prints
{"name", "error"} and exits with 3. It compiles anew each time, because a killed run
leaves broken objects in the shared cache; TORCHINDUCTOR_CACHE_DIR names one to keep.
"""

import json
import os
import statistics
import sys
import tempfile

import peer


def parse():
    parser = peer.parser(__doc__, iters=30, warmup=5)
    parser.add_argument("--batch", type=peer.at_least(1), default=128, help="default 128")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--channels-last", action="store_true", help="NHWC memory format")
    return parser.parse_args()


def main():
    options = parse()
    if options.compile and not os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        with tempfile.TemporaryDirectory(prefix="inductor-", ignore_cleanup_errors=True) as cache:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
            return measure(options)
    return measure(options)


def measure(options):
    torch, diffusers = peer.start(options)
    net = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    x = torch.randn(options.batch, 4, 8, 8)
    if options.channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    target = torch.randn_like(x)
    t = torch.randint(0, 1000, (options.batch,))
    context = torch.randn(options.batch, 1, 64)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4)
    name = "torch.compile" if options.compile else "torch"
    model = torch.compile(net) if options.compile else net

    def step():
        loss = torch.nn.functional.mse_loss(model(x, t, context, return_dict=False)[0], target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss

    times = []
    try:
        for i in range(options.warmup + options.iters):
            ms = peer.timed(step)
            if i >= options.warmup:
                times.append(ms)
    except Exception as error:
        if not options.compile:
            raise
        message = (str(error).strip().splitlines() or [""])[0][:300]
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {message}"}))
        return 3
    result = {
        "name": name + (" channels_last" if options.channels_last else ""),
        "ms": round(statistics.median(times), 3),
        "ms_min": round(min(times), 3),
        "params": sum(p.numel() for p in net.parameters()),
        "batch": options.batch,
        **peer.conditions(options, torch, diffusers),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
