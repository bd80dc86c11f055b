# SPDX-License-Identifier: Apache-2.0
"""The instance loss (equation 14 of arXiv 2404.13686 with SOLO's loss, arXiv 1912.04488), in float64, apart from any C++.

    decoder     y = tanh(x W^T + b), 64 numbers: a picture of 8 x 8
    segmenter   category logits [3, 3, 2] and mask logits [4, 4, 9] (row, column, cell), linear in y
    solo        focal (gamma 2, alpha 0.25) summed over cells and classes / (positive cells + 1)
                + 3 mean over positive cells of 1 - 2 sum p q / (sum p^2 + 1e-3 + sum q^2 + 1e-3)
    instance    x_t = a x0 + s noise at t_a; two jumps Psi of the student without gradient, half way and to 24; x0 of one
                evaluation there, decoded, segmented
"""

import torch
import torch.nn.functional as F

from golden_common import alphas_cumprod, normal, save
from golden_distill import DIM, network, predict

B, S, K, M = 6, 3, 2, 4


def boxes():
    """Objects by sample: (label, top, left, bottom, right), the last two excluded; masks are 8 x 8."""
    return [[(0, 0, 0, 4, 4)], [(1, 2, 2, 8, 8), (0, 0, 0, 2, 8)], [], [(1, 3, 1, 5, 7)], [(0, 0, 4, 8, 8)], [(1, 0, 0, 8, 8)]]


def targets():
    category = torch.zeros(B, S, S, K, dtype=torch.float64)
    mask = torch.zeros(B, M, M, S * S, dtype=torch.float64)
    positive = torch.zeros(B, S * S, dtype=torch.float64)
    for b, objects in enumerate(boxes()):
        for label, top, left, bottom, right in objects:
            full = torch.zeros(8, 8, dtype=torch.float64)
            full[top:bottom, left:right] = 1
            small = (F.avg_pool2d(full[None], 2)[0] >= 0.5).double()
            y, x = (top + bottom - 1) / 2, (left + right - 1) / 2
            dy, dx = 0.1 * (bottom - 1 - top), 0.1 * (right - 1 - left)
            cell = lambda v: int(v / 8 * S // 1)
            for r in range(max(0, cell(y) - 1, cell(y - dy)), min(S - 1, cell(y) + 1, cell(y + dy)) + 1):
                for c in range(max(0, cell(x) - 1, cell(x - dx)), min(S - 1, cell(x) + 1, cell(x + dx)) + 1):
                    category[b, r, c] = F.one_hot(torch.tensor(label), K).double()
                    mask[b, :, :, r * S + c] = small
                    positive[b, r * S + c] = 1
    return category, mask, positive


def solo(category_logits, mask_logits):
    category, mask, positive = targets()
    p = torch.sigmoid(category_logits)
    focal = torch.where(category == 1, -0.25 * (1 - p) ** 2 * torch.log(p), -0.75 * p**2 * torch.log(1 - p))
    count = positive.sum()
    q = torch.sigmoid(mask_logits)
    dice = []
    for b in range(B):
        for cell in range(S * S):
            if positive[b, cell] == 1:
                x, y = q[b, :, :, cell], mask[b, :, :, cell]
                dice.append(1 - 2 * (x * y).sum() / ((x**2).sum() + 1e-3 + (y**2).sum() + 1e-3))
    return focal.sum() / (count + 1) + 3 * torch.stack(dice).mean()


def instance(out):
    """instance.safetensors"""
    bar = torch.from_numpy(alphas_cumprod("scaled_linear"))
    a = lambda t: bar[t].sqrt()[:, None]
    s = lambda t: (1 - bar[t]).sqrt()[:, None]
    student = {p: v.clone().requires_grad_() for p, v in network("student").items()}
    draw = lambda n, *shape, scale=1.0: scale * normal(f"instance.{n}", *shape, dtype=torch.float64)
    tensors = {"x0": draw("x0", B, DIM), "noise": draw("noise", B, DIM),
               "condition": torch.linspace(-1.0, 1.5, B, dtype=torch.float64),
               "decoder.w": draw("w", 64, DIM, scale=0.4), "decoder.b": draw("b", 64, scale=0.3),
               "segmenter.category": draw("category", S * S * K, 64, scale=0.3),
               "segmenter.mask": draw("mask", M * M * S * S, 64, scale=0.3)}  # fmt: skip
    segment = lambda y: ((y @ tensors["segmenter.category"].T).view(B, S, S, K),
                         (y @ tensors["segmenter.mask"].T).view(B, M, M, S * S))  # fmt: skip
    noisy = torch.tensor([249, 749, 500, 301, 622, 400])
    x = a(noisy) * tensors["x0"] + s(noisy) * tensors["noise"]
    t = noisy
    with torch.no_grad():
        for i in (1, 2):
            to = noisy - torch.div((noisy - 24) * i, 2, rounding_mode="floor")
            f = predict(student, x, t, tensors["condition"])
            x = a(to) * (x - s(t) * f) / a(t) + s(to) * f
            t = to
    x0 = (x - s(t) * predict(student, x, t, tensors["condition"])) / a(t)
    loss = solo(*segment(torch.tanh(F.linear(x0, tensors["decoder.w"], tensors["decoder.b"]))))
    loss.backward()
    tensors |= {"times": noisy, "instance.loss": loss.detach().reshape(1)}
    tensors |= {f"instance.grad.{p}": v.grad for p, v in student.items()}
    logits = {"category": draw("logits.c", B, S, S, K), "mask": draw("logits.m", B, M, M, S * S)}
    free = {n: v.clone().requires_grad_() for n, v in logits.items()}
    loss = solo(free["category"], free["mask"])
    loss.backward()
    tensors |= {"solo.loss": loss.detach().reshape(1)} | {f"solo.{n}": v for n, v in logits.items()}
    tensors |= {f"solo.grad.{n}": v.grad for n, v in free.items()}
    tensors |= dict(zip(("target.category", "target.mask", "target.positive"), targets()))
    save(out, "instance", tensors)
