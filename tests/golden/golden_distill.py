# SPDX-License-Identifier: Apache-2.0
"""Consistency, trajectory and segmented losses on a small network, all in float64.

Written from the equations (4, 5, 11, 12 of arXiv 2404.13686), apart from any C++:

    table    a_t = sqrt(abar_t), s_t = sqrt(1 - abar_t), scaled_linear, t = 0 is abar_0
    grid     g_0 = 0, g_n = 25 n - 1 for n = 1..40
    network  h = silu(w1 [x, sin(pi t / 1000), cos(pi t / 1000), c] + b1), eps = w2 h + b2
    jump     Psi(x, eps, t -> e) = a_e (x - s_t eps) / a_t + s_e eps
    teacher  eps = e_c + omega (e_c - e_u), the null condition is c = 0
    loss     d(Psi(x_t, student, t -> t_end), Psi(xh, target, t_prev -> t_end)),
             xh = Psi(x_t, teacher, t -> t_prev); where t_end == t_prev the target is xh
    kept     student and target are guided too, and the null condition is a negative one
    mse      mean over all elements of d^2
    huber    mean over all elements of sqrt(d^2 + c^2) - c, c = 1e-3
"""

import math

import torch
import torch.nn.functional as F

from golden_common import alphas_cumprod, normal, save, save_json

DIM, HIDDEN, HUBER = 8, 16, 1e-3
GRID = [0] + [25 * n - 1 for n in range(1, 41)]

# case: (k, guided, index n of t_n for each sample, t_end for each sample)
CASES = {
    "cd": (1, True, [40, 1, 2, 20, 31, 5], [0, 0, 0, 0, 0, 0]),
    "ctm": (1, True, [40, 1, 2, 20, 31, 40], [0, 0, 24, 249, 724, 974]),
    "tscd8": (8, True, [40, 6, 5, 1, 33, 20], [874, 124, 24, 0, 799, 449]),
    "tscd4": (4, True, [40, 11, 10, 1, 33, 27], [749, 249, 24, 0, 749, 649]),
    "tscd2": (2, True, [40, 21, 20, 1, 33, 27], [499, 499, 374, 0, 799, 524]),
    "tscd1": (1, True, [40, 21, 20, 1, 33, 27], [0, 499, 374, 0, 24, 649]),
    "tscd4_unguided": (4, False, [40, 11, 10, 1, 33, 27], [749, 249, 24, 0, 749, 649]),
    "tscd4_kept": (4, "kept", [40, 11, 10, 1, 33, 27], [749, 249, 24, 0, 749, 649]),
}
SHAPES = {"w1": (HIDDEN, DIM + 3), "b1": (HIDDEN,), "w2": (DIM, HIDDEN), "b2": (DIM,)}


def network(role):
    scale = {"w1": 0.4, "b1": 0.1, "w2": 0.3, "b2": 0.1}
    return {p: scale[p] * normal(f"distill.{role}.{p}", *s, dtype=torch.float64) for p, s in SHAPES.items()}


def predict(net, x, t, c):
    angle = math.pi * t.double() / 1000
    features = torch.cat([x, angle.sin()[:, None], angle.cos()[:, None], c[:, None]], dim=1)
    return F.linear(F.silu(F.linear(features, net["w1"], net["b1"])), net["w2"], net["b2"])


def segment_begin(t, k):
    """Largest segment end below t: 0 and the trailing grid of k steps (k divides 1000)."""
    ends = [0] + [j * 1000 // k - 1 for j in range(1, k)]
    return max((b for b in ends if b < t), default=0)


def distance(kind, a, b):
    d2 = (a - b) ** 2
    return d2.mean() if kind == "mse" else ((d2 + HUBER**2).sqrt() - HUBER).mean()


def distill(out):
    """distill.safetensors, and distill.json with the cases in words."""
    bar = torch.from_numpy(alphas_cumprod("scaled_linear"))
    a = lambda t: bar[t].sqrt()[:, None]
    s = lambda t: (1 - bar[t]).sqrt()[:, None]
    jump = lambda x, eps, t, e: a(e) * (x - s(t) * eps) / a(t) + s(e) * eps

    nets = {role: network(role) for role in ("teacher", "student", "target")}
    batch = len(next(iter(CASES.values()))[2])
    x0 = normal("distill.x0", batch, DIM, dtype=torch.float64)
    noise = normal("distill.noise", batch, DIM, dtype=torch.float64)
    condition = torch.linspace(-1.0, 1.5, batch, dtype=torch.float64)
    omega = torch.linspace(1.0, 6.0, batch, dtype=torch.float64)
    negative = torch.linspace(0.9, -0.7, batch, dtype=torch.float64)
    tensors = {"x0": x0, "noise": noise, "condition": condition, "negative": negative, "omega": omega, "grid": torch.tensor(GRID)}
    for role, net in nets.items():
        tensors |= {f"{role}.{p}": v for p, v in net.items()}

    words = {}
    for case, (k, guided, index, ends) in CASES.items():
        t = torch.tensor([GRID[n] for n in index])
        t_prev = torch.tensor([GRID[n - 1] for n in index])
        t_end = torch.tensor(ends)
        for now, before, end in zip(t.tolist(), t_prev.tolist(), ends):
            assert segment_begin(now, k) <= end <= before and end in GRID, (case, now)
        x_t = a(t) * x0 + s(t) * noise
        null = negative if guided == "kept" else torch.zeros_like(condition)
        guidance = omega[:, None] if guided else 0.0

        def guide(net, x, t):
            conditional = predict(net, x, t, condition)
            return conditional + guidance * (conditional - predict(net, x, t, null))

        def few(net, x, t):
            return guide(net, x, t) if guided == "kept" else predict(net, x, t, condition)

        with torch.no_grad():
            teacher_eps = guide(nets["teacher"], x_t, t)
            xh = jump(x_t, teacher_eps, t, t_prev)
            target = jump(xh, few(nets["target"], xh, t_prev), t_prev, t_end)
            target = torch.where((t_end == t_prev)[:, None], xh, target)
        times = {"n": torch.tensor(index), "t": t, "t_prev": t_prev, "t_end": t_end}
        states = {"x_t": x_t, "teacher_eps": teacher_eps, "xh": xh, "x_target": target}
        tensors |= {f"{case}.{key}": value for key, value in (times | states).items()}
        for kind in ("mse", "huber"):
            student = {p: v.clone().requires_grad_() for p, v in nets["student"].items()}
            x_student = jump(x_t, few(student, x_t, t), t, t_end)
            loss = distance(kind, x_student, target)
            loss.backward()
            tensors[f"{case}.x_student"] = x_student
            tensors[f"{case}.{kind}.loss"] = loss.detach().reshape(1)
            tensors |= {f"{case}.{kind}.grad.{p}": v.grad for p, v in student.items()}
        words[case] = {
            "k": k, "guided": guided, "t": t.tolist(), "t_prev": t_prev.tolist(), "t_end": ends,
            "t_begin": [segment_begin(now, k) for now in t.tolist()],
            "mse": float(tensors[f"{case}.mse.loss"]), "huber": float(tensors[f"{case}.huber.loss"]),
        }  # fmt: skip
    save(out, "distill", tensors)
    save_json(out, "distill", {"cases": words, "dim": DIM, "hidden": HIDDEN, "huber_c": HUBER})
