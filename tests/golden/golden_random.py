# SPDX-License-Identifier: Apache-2.0
"""Random numbers of torch's CPU generator."""

import torch

from golden_common import save

# Sizes drawn one after the other from one generator: blocks of 16, tails, fewer than 16 even and odd.
SIZES = [16, 64, 17, 31, 1, 3, 40, 15, 2, 100, 1, 7]


def torch_random(out):
    """torch_random: `<seed>.<i>` of SIZES[i] numbers."""
    values = {}
    for seed in (0, 42, 2**32 + 7, 2**63 - 1):
        generator = torch.Generator("cpu").manual_seed(seed)
        for i, size in enumerate(SIZES):
            values[f"{seed}.{i}"] = torch.randn(size, generator=generator)
    save(out, "torch_random", values)
