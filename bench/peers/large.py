#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shapes of bench/bench_large.cpp in PyTorch, float32; convolutions in the faster memory format.

Prints one JSON line.
"""

import json
import os
import time

import peer


class Bench:
    def __init__(self, options):
        self.options = options
        self.rows = []

    def __call__(self, name, flop, *functions, kinds=("",)):
        """The fastest run of any of the functions, which stands beside all `kinds` of weights of hypersd."""
        if self.options.only not in name:
            return
        wall, cpu = float("inf"), float("inf")
        for f in functions:
            for i in range(self.options.warmup + self.options.iters):
                used = time.process_time()
                ms = peer.timed(f)
                used = 1e3 * (time.process_time() - used)
                if i >= self.options.warmup:
                    wall, cpu = min(wall, ms), min(cpu, used)
        for kind in kinds:
            self.rows.append({"name": name + kind, "gflop": 1e-9 * flop, "ms": wall, "cpu_ms": cpu})


def main():
    parser = peer.parser(__doc__, iters=5, warmup=1)
    parser.add_argument("--only", default="", help="only shapes with this text in their name")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import torch
    from torch.nn import functional

    torch.set_num_threads(options.threads)
    bench = Bench(options)
    last = {"memory_format": torch.channels_last}
    with torch.inference_mode():
        for m, n, k in ((1024, 1024, 1024), (4096, 320, 2880), (1024, 640, 5760), (4096, 2560, 320),
                        (256, 1280, 11520), (4096, 320, 320), (77, 3072, 768)):
            x, w, b = torch.randn(m, k), torch.randn(n, k), torch.randn(n)
            bench(f"linear {m} x {n} x {k}", 2 * m * n * k, lambda: functional.linear(x, w, b),
                  kinds=("", ", packed"))
        for side, i, o in ((64, 320, 320), (32, 640, 640), (16, 1280, 1280), (8, 1280, 1280), (64, 512, 512),
                           (128, 512, 512), (256, 256, 256), (512, 128, 128), (64, 4, 320), (64, 320, 4)):
            x, w, b = torch.randn(1, i, side, side), torch.randn(o, i, 3, 3), torch.randn(o)
            xl, wl = x.to(**last), w.to(**last)
            bench(f"conv 3x3 {side} x {side}, {i} to {o}", 18 * side * side * i * o,
                  lambda: functional.conv2d(x, w, b, padding=1), lambda: functional.conv2d(xl, wl, b, padding=1),
                  kinds=("",) if side > 64 or o < 32 else ("", ", packed"))
        for queries, keys, c in ((4096, 4096, 320), (1024, 1024, 640), (256, 256, 1280), (4096, 77, 320)):
            q, k, v = (torch.randn(1, 8, n, c // 8) for n in (queries, keys, keys))
            bench(f"attention {queries} x {keys}, {c} channels, 8 heads", 4 * queries * keys * c,
                  lambda: functional.scaled_dot_product_attention(q, k, v))
    total = sum(row["ms"] for row in bench.rows)
    print(json.dumps({"bench": "large", "ms": total, "threads": options.threads, "torch": torch.__version__,
                      "rows": bench.rows}))


if __name__ == "__main__":
    main()
