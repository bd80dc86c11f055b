#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The networks of bench/bench_networks.cpp in diffusers and transformers, float32, random weights, eager.

Prints one JSON line.
"""

import json
import os
import pathlib
import time

import peer


def status(key):
    """A line of /proc/self/status in MiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0


def main():
    parser = peer.parser(__doc__, iters=2, warmup=1)
    parser.add_argument("--only", default="", help="only rows with this text in their name")
    parser.add_argument("--channels-last", action="store_true", help="NHWC memory format")
    options = parser.parse_args()
    torch, diffusers = peer.start(options)
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    import transformers

    layout = torch.channels_last if options.channels_last else torch.contiguous_format

    def unet(batch=1):
        net = diffusers.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
        x, tokens = torch.randn(batch, 4, 64, 64).to(memory_format=layout), torch.randn(batch, 77, 768)
        return net, lambda: net(x, 500, tokens)

    def decoder():
        net = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
        z = torch.randn(1, 4, 64, 64).to(memory_format=layout)
        return net, lambda: net.decode(z)

    def clip():
        config = transformers.CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12,
                                             num_hidden_layers=12, max_position_embeddings=77, vocab_size=49408)
        net = transformers.CLIPTextModel(config)
        ids = torch.arange(77)[None] * 601
        return net, lambda: net(ids)

    rows = []
    for name, flop, make in (("UNet of SD 1.5, 64 x 64", 803e9, unet),
                             ("UNet of SD 1.5, 64 x 64, batch 2", 1606e9, lambda: unet(2)), ("VAE decoder, 512 x 512", 2514e9, decoder),
                             ("CLIP-L, 77 tokens", 13.3e9, clip)):
        if options.only not in name:
            continue
        net, call = make()
        net.eval().to(memory_format=layout)
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        wall, cpu = float("inf"), float("inf")
        with torch.inference_mode():
            for i in range(options.warmup + options.iters):
                used = time.process_time()
                ms = peer.timed(call)
                used = 1e3 * (time.process_time() - used)
                if i >= options.warmup:
                    wall, cpu = min(wall, ms), min(cpu, used)
        weights = sum(p.numel() for p in net.parameters()) * 4 / 2**20
        rows.append({"name": name, "gflop": 1e-9 * flop, "ms": wall, "cpu_ms": cpu, "weights_mb": weights,
                     "peak_mb": status("VmHWM:")})
        # The peer of the same network with half weights, packed or not, is that in float32.
        for kind in ("", "packed "):
            rows.append({**rows[-1], "name": f"{name}, {kind}half weights"})
        del net, call
    print(json.dumps({"bench": "networks", "ms": sum(row["ms"] for row in rows[::3]), "threads": options.threads,
                      "torch": torch.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
