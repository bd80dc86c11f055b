# SPDX-License-Identifier: Apache-2.0
"""Single operations of PyTorch in bfloat16 on the CPU, with gradients."""

import torch

from golden_common import normal, save
from golden_ops import CASES

NAMES = ("linear", "conv3x3", "conv3x3_stride2", "group_norm_silu", "layer_norm", "attention_self", "softmax", "geglu")


def narrow(out):
    """ops_bf16.safetensors: the keys of ops.safetensors, in BF16."""
    tensors = {}
    for op in NAMES:
        function, shapes = CASES[op]
        inputs = {k: normal(f"{op}.{k}", *s, dtype=torch.bfloat16).requires_grad_() for k, s in shapes.items()}
        y = function(*inputs.values())
        weight = normal(f"{op}.grad_out", *y.shape, dtype=torch.bfloat16)
        y.backward(weight)
        tensors[f"{op}.out"], tensors[f"{op}.grad_out"] = y, weight
        for key, value in inputs.items():
            tensors[f"{op}.in.{key}"], tensors[f"{op}.grad_in.{key}"] = value, value.grad
    save(out, "ops_bf16", tensors)
