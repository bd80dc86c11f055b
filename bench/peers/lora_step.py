#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The training step of bench/bench_lora_step.cpp in diffusers and peft: a LoRA of rank 64 on the UNet of SD 1.5.

256 x 256 pixels, one sample, gradient checkpointing, AdamW, float32, eager. Prints one JSON line.
"""

import json
import time

import peer

# hypersd::nn::stable_diffusion_targets
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
           "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"]


def main():
    options = peer.parser(__doc__, iters=2, warmup=1).parse_args()
    torch, diffusers = peer.start(options)
    import peft

    net = diffusers.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=32)
    net.requires_grad_(False)
    net.add_adapter(peft.LoraConfig(r=64, lora_alpha=64, target_modules=TARGETS))
    net.enable_gradient_checkpointing()
    net.train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)
    x, target, tokens = torch.randn(1, 4, 32, 32), torch.randn(1, 4, 32, 32), torch.randn(1, 77, 768)

    def step():
        optimiser.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(net(x, 500, tokens).sample, target).backward()
        optimiser.step()

    wall, cpu = float("inf"), float("inf")
    for i in range(options.warmup + options.iters):
        used = time.process_time()
        ms = peer.timed(step)
        used = 1e3 * (time.process_time() - used)
        if i >= options.warmup:
            wall, cpu = min(wall, ms), min(cpu, used)
    row = {"name": "LoRA step, UNet of SD 1.5, 32 x 32", "gflop": 570, "ms": wall, "cpu_ms": cpu,
           "params": sum(p.numel() for p in trained)}
    print(json.dumps({"bench": "lora_step", "ms": wall, "rows": [row], "peft": peft.__version__,
                      **peer.conditions(options, torch, diffusers)}))


if __name__ == "__main__":
    main()
