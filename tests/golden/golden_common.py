# SPDX-License-Identifier: Apache-2.0
"""What every golden family needs: named random streams, the noise schedule in double, writers."""

import json
import pathlib
import zlib

import numpy as np
import torch
from safetensors.torch import save_file

T = 1000


def generator(name):
    """A torch generator whose seed is the CRC of `name`, so that families never share numbers."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def normal(name, *shape, dtype=torch.float32):
    """Standard normal numbers of the stream `name`, exactly representable in float32."""
    return torch.randn(*shape, generator=generator(name), dtype=torch.float32).to(dtype)


def seed_modules(name):
    """Seeds torch's default generator, which module initialisers draw from."""
    torch.manual_seed(zlib.crc32(name.encode()))


def save(out, stem, tensors):
    """Writes `out/stem.safetensors`; float32, float64, bfloat16 and int64 only."""
    clean = {}
    for key, value in tensors.items():
        value = torch.as_tensor(value).detach().contiguous().clone()
        if value.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.int64):
            raise TypeError(f"{stem}: {key} is {value.dtype}")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{stem}: {key} is not finite")
        clean[key] = value
    path = pathlib.Path(out) / f"{stem}.safetensors"
    save_file(clean, str(path))
    path.chmod(0o644)


def save_json(out, stem, value, indent=1):
    """Writes `out/stem.json`, doubles with all their digits."""
    text = json.dumps(value, indent=indent, sort_keys=True)
    (pathlib.Path(out) / f"{stem}.json").write_text(text + "\n")


def betas(kind):
    """beta_t in float64; the formulas of diffusers, which itself evaluates them in float32."""
    if kind == "linear":
        return np.linspace(1e-4, 2e-2, T)
    if kind == "scaled_linear":
        return np.linspace(0.00085**0.5, 0.012**0.5, T) ** 2
    if kind == "cosine":
        bar = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
        u = np.arange(T + 1) / T
        return np.minimum(1 - bar(u[1:]) / bar(u[:-1]), 0.999)
    raise ValueError(kind)


def alphas_cumprod(kind, zero_snr=False):
    """The table of cumulative products in float64, optionally rescaled to a zero terminal SNR."""
    bar = np.cumprod(1.0 - betas(kind))
    if zero_snr:
        root = np.sqrt(bar)
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        bar = root**2
    return bar
