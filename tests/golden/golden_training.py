# SPDX-License-Identifier: Apache-2.0
"""Optimiser, learning rates, LoRA, Frechet distance and Philox."""

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from diffusers.optimization import get_scheduler

from golden_common import normal, save, save_json

STEPS = 5


def adamw(out):
    """adamw.safetensors: torch's AdamW after clip_grad_norm_; adamw.json holds the settings.

    Keys: `start.<p>`, `grad.<i>.<p>`, and for each run (`clipped`, `free`)
    `<run>.norm` [5] (before clipping), `<run>.<i>.<p>`, `<run>.exp_avg.<p>`, `<run>.exp_avg_sq.<p>`.
    """
    shapes = {"weight": (3, 4), "bias": (3,)}
    start = {p: normal(f"adamw.start.{p}", *s, dtype=torch.float64) for p, s in shapes.items()}
    grads = [{p: normal(f"adamw.{i}.{p}", *s, dtype=torch.float64) for p, s in shapes.items()} for i in range(STEPS)]
    grads[2] = {p: g / 64 for p, g in grads[2].items()}  # below the clipping norm
    options = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    tensors = {f"start.{p}": v for p, v in start.items()}
    for i, g in enumerate(grads):
        tensors |= {f"grad.{i}.{p}": v for p, v in g.items()}
    for run, max_norm in (("clipped", 1.0), ("free", float("inf"))):
        params = {p: torch.nn.Parameter(v.clone()) for p, v in start.items()}
        optimiser = torch.optim.AdamW(params.values(), **options)
        norms = []
        for i in range(STEPS):
            for p, v in params.items():
                v.grad = grads[i][p].clone()
            norms.append(torch.nn.utils.clip_grad_norm_(params.values(), max_norm))
            optimiser.step()
            tensors |= {f"{run}.{i}.{p}": v.clone() for p, v in params.items()}
        tensors[f"{run}.norm"] = torch.stack(norms)
        for p, v in params.items():
            for key in ("exp_avg", "exp_avg_sq"):
                tensors[f"{run}.{key}.{p}"] = optimiser.state[v][key]

    peak, warmup, total = 1e-3, 10, 100
    for kind in ("cosine", "linear", "constant_with_warmup"):
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        schedule = get_scheduler(kind, optimiser, num_warmup_steps=warmup, num_training_steps=total)
        rates = []
        for _ in range(total + 1):
            rates.append(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
        tensors[f"lr.{kind}"] = torch.tensor(rates, dtype=torch.float64)
    save(out, "adamw", tensors)
    options |= {"max_norm": {"clipped": 1.0, "free": None}}
    save_json(out, "adamw", {"adamw": options, "lr": {"peak": peak, "warmup": warmup, "total": total}})


def adamw_bf16(out):
    """adamw_bf16.safetensors: bfloat16 parameters of which torch's AdamW trains masters in float32.

    Keys: `start`, `grad.<i>`, `param.<i>` (of bfloat16, stored as float32) and `master.<i>` after each of 8 steps. The
    steps are below half a bfloat16 unit of most parameters.
    """
    start = normal("adamw_bf16.start", 40, dtype=torch.float32).bfloat16()
    master = torch.nn.Parameter(start.float())
    optimiser = torch.optim.AdamW([master], lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    tensors = {"start": start.float()}
    for i in range(8):
        master.grad = normal(f"adamw_bf16.{i}", 40, dtype=torch.float32).bfloat16().float()
        optimiser.step()
        tensors |= {f"grad.{i}": master.grad, f"master.{i}": master.detach().clone(),
                    f"param.{i}": master.detach().bfloat16().float()}
    save(out, "adamw_bf16", tensors)


def lora(out):
    """lora.safetensors: W + sum_i weight_i * alpha_i / rank_i * B_i A_i on a linear and a 3x3 convolution.

    Keys for `linear` and `conv`: `.in.x`, `.base.weight`, `.base.bias`, `.a<i>.down` (A),
    `.a<i>.up` (B), `.a<i>.alpha`, `.a<i>.weight`, `.one.weight` / `.one.out` (adapter 0 at
    weight 1), `.both.weight` / `.both.out`, and for `.one` the gradients of
    sum(out * grad_out): `.one.grad_in.x`, `.one.grad.down`, `.one.grad.up`.
    """
    adapters = ((4, 4.0, 0.75), (2, 8.0, -0.5))  # rank, alpha, merge weight
    tensors = {}
    for kind, x_shape, w_shape in (("linear", (2, 5, 6), (7, 6)), ("conv", (2, 3, 5, 4), (6, 3, 3, 3))):
        make = lambda key, *s: normal(f"lora.{kind}.{key}", *s, dtype=torch.float64)
        x, base, bias = make("x", *x_shape), make("base", *w_shape), make("bias", w_shape[0])
        x.requires_grad_()
        if kind == "linear":
            forward = lambda i, w: F.linear(i, w, bias)
        else:
            forward = lambda i, w: F.conv2d(i, w, bias, padding=1)
        tensors |= {f"{kind}.in.x": x, f"{kind}.base.weight": base, f"{kind}.base.bias": bias}
        deltas = []
        for i, (rank, alpha, weight) in enumerate(adapters):
            down = make(f"down{i}", rank, *w_shape[1:]).requires_grad_()
            up = make(f"up{i}", w_shape[0], rank, *((1, 1) if kind == "conv" else ())).requires_grad_()
            product = (up.flatten(1) @ down.flatten(1)).reshape(w_shape)
            deltas.append((alpha / rank * product, weight, down, up))
            tensors |= {f"{kind}.a{i}.down": down, f"{kind}.a{i}.up": up}
            tensors[f"{kind}.a{i}.alpha"] = torch.tensor([alpha], dtype=torch.float64)
            tensors[f"{kind}.a{i}.weight"] = torch.tensor([weight], dtype=torch.float64)
        one = base + deltas[0][0]
        y = forward(x, one)
        # The merged product must equal the two-layer form that a network runs.
        low = F.linear(x, deltas[0][2]) if kind == "linear" else F.conv2d(x, deltas[0][2], padding=1)
        high = F.linear(low, deltas[0][3]) if kind == "linear" else F.conv2d(low, deltas[0][3])
        assert torch.allclose(y, forward(x, base) + adapters[0][1] / adapters[0][0] * high)
        weight = make("grad_out", *y.shape)
        (y * weight).sum().backward()
        both = base + sum(w * d for d, w, _, _ in deltas)
        tensors |= {
            f"{kind}.one.weight": one,
            f"{kind}.one.out": y,
            f"{kind}.grad_out": weight,
            f"{kind}.one.grad_in.x": x.grad,
            f"{kind}.one.grad.down": deltas[0][2].grad,
            f"{kind}.one.grad.up": deltas[0][3].grad,
            f"{kind}.both.weight": both,
            f"{kind}.both.out": forward(x, both),
        }
    keep = (".alpha", ".a0.weight", ".a1.weight")
    save(out, "lora", {k: v if k.endswith(keep) else v.float() for k, v in tensors.items()})


def frechet(out):
    """frechet.safetensors: features `a`, `b` (float64) and what SciPy makes of them; frechet.json the distances."""
    mix = normal("frechet.mix", 6, 6, dtype=torch.float64).numpy()
    a = normal("frechet.a", 64, 6, dtype=torch.float64).numpy()
    b = normal("frechet.b", 48, 6, dtype=torch.float64).numpy() @ mix * 0.5 + 0.3
    few = normal("frechet.few", 5, 6, dtype=torch.float64).numpy()  # covariance of rank 4

    def distance(p, q):
        cp, cq = np.cov(p, rowvar=False), np.cov(q, rowvar=False)
        root = scipy.linalg.sqrtm(cp @ cq).real
        return float(((p.mean(0) - q.mean(0)) ** 2).sum() + np.trace(cp + cq - 2 * root))

    def by_eigenvalues(p, q):
        cp, cq = np.cov(p, rowvar=False), np.cov(q, rowvar=False)
        values = np.linalg.eigvals(cp @ cq).real.clip(0)
        return float(((p.mean(0) - q.mean(0)) ** 2).sum() + np.trace(cp + cq) - 2 * np.sqrt(values).sum())

    pairs = {"a_b": (a, b), "b_a": (b, a), "a_a": (a, a), "a_few": (a, few)}
    distances = {k: by_eigenvalues(*v) for k, v in pairs.items()}
    assert abs(distances["a_b"] - distance(a, b)) < 1e-9
    assert abs(distances["a_few"] - distance(a, few)) < 1e-6
    tensors = {"a": a, "b": b, "few": few, "cov_a": np.cov(a, rowvar=False), "cov_b": np.cov(b, rowvar=False)}
    tensors = {k: torch.from_numpy(v) for k, v in tensors.items()}
    tensors |= {f"distance.{k}": torch.tensor([v], dtype=torch.float64) for k, v in distances.items()}
    save(out, "frechet", tensors)
    save_json(out, "frechet", {"distance": distances, "covariance": "divided by n - 1"})


def philox4x32(counter, key, rounds=10):
    """Philox4x32 as Salmon et al. define it (SC11), on plain integers."""
    c, k = list(counter), list(key)
    for _ in range(rounds):
        high0, low0 = divmod(0xD2511F53 * c[0], 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 1 << 32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % (1 << 32), (k[1] + 0xBB67AE85) % (1 << 32)]
    return c


def philox(out):
    """philox.json: Random123's published vectors, and further ones of the same function."""
    known = [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]
    words = lambda text: [int(w, 16) for w in text.split()]
    vectors = []
    for counter, key, result in known:
        assert philox4x32(words(counter), words(key)) == words(result)
        vectors.append({"counter": words(counter), "key": words(key), "result": words(result), "source": "Random123"})
    for i in (1, 2, 1 << 31):
        counter, key = [i, 0, 7, 0], [42, 1]
        vectors.append({"counter": counter, "key": key, "result": philox4x32(counter, key), "source": "generate.py"})
    save_json(out, "philox", {"philox4x32_10": vectors})
    save(out, "philox", {n: torch.tensor([v[n] for v in vectors]) for n in ("counter", "key", "result")})
