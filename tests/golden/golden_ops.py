# SPDX-License-Identifier: Apache-2.0
"""Single operations of PyTorch (float64 pass over float32 numbers), with gradients."""

import torch
import torch.nn.functional as F

from golden_common import normal, save


def geglu(x):
    """diffusers' GEGLU after its projection: value half times exact gelu of the gate half."""
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


CASES = {
    "group_norm": (
        lambda x, weight, bias: F.group_norm(x, 4, weight, bias, eps=1e-5),
        dict(x=(2, 8, 3, 5), weight=(8,), bias=(8,)),
    ),
    "group_norm_silu": (
        lambda x, weight, bias: F.silu(F.group_norm(x, 4, weight, bias, eps=1e-5)),
        dict(x=(2, 8, 3, 5), weight=(8,), bias=(8,)),
    ),
    "layer_norm": (
        lambda x, weight, bias: F.layer_norm(x, (12,), weight, bias, eps=1e-5),
        dict(x=(2, 5, 12), weight=(12,), bias=(12,)),
    ),
    "linear": (F.linear, dict(x=(2, 5, 6), weight=(7, 6), bias=(7,))),
    "attention_self": (
        F.scaled_dot_product_attention,
        dict(q=(2, 3, 9, 8), k=(2, 3, 9, 8), v=(2, 3, 9, 8)),
    ),
    "attention_cross": (
        F.scaled_dot_product_attention,
        dict(q=(2, 2, 7, 4), k=(2, 2, 3, 4), v=(2, 2, 3, 4)),
    ),
    "softmax": (lambda x: torch.softmax(4 * x, dim=-1), dict(x=(3, 11))),
    "silu": (F.silu, dict(x=(4, 9))),
    "gelu": (F.gelu, dict(x=(4, 9))),
    "geglu": (geglu, dict(x=(2, 3, 10))),
    "conv3x3": (
        lambda x, weight, bias: F.conv2d(x, weight, bias, padding=1),
        dict(x=(2, 3, 5, 4), weight=(6, 3, 3, 3), bias=(6,)),
    ),
    "conv3x3_stride2": (
        lambda x, weight, bias: F.conv2d(x, weight, bias, stride=2, padding=1),
        dict(x=(2, 3, 5, 4), weight=(6, 3, 3, 3), bias=(6,)),
    ),
    "conv1x1": (F.conv2d, dict(x=(2, 3, 5, 4), weight=(6, 3, 1, 1), bias=(6,))),
    "upsample_nearest": (
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        dict(x=(2, 3, 3, 2)),
    ),
}


def ops(out):
    """ops.safetensors: `<op>.in.<name>`, `<op>.grad_in.<name>`, `<op>.grad_out`, `<op>.out`."""
    tensors = {}
    for op, (function, shapes) in CASES.items():
        inputs = {k: normal(f"{op}.{k}", *s, dtype=torch.float64).requires_grad_() for k, s in shapes.items()}
        y = function(*inputs.values())
        weight = normal(f"{op}.grad_out", *y.shape, dtype=torch.float64)
        (y * weight).sum().backward()
        tensors[f"{op}.out"], tensors[f"{op}.grad_out"] = y.float(), weight.float()
        for key, value in inputs.items():
            tensors[f"{op}.in.{key}"] = value.float()
            tensors[f"{op}.grad_in.{key}"] = value.grad.float()
    save(out, "ops", tensors)
