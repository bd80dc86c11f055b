# SPDX-License-Identifier: Apache-2.0
"""Loss and gradient of policy-based flow (pi-Flow, arXiv 2510.14974, policy of clean data), in float64.

Networks and processes as in golden_continuous.py; the student's output is three predictions of DIM, which stand for
clean data at `from`, at the middle and at `to`. Clean data are linear in time between them. From x_from = the noised
data, the policy is followed to t by 4 steps x' = a' x0 + s' (x - a x0) / s, without gradient.

    loss    mean over both times t of mean (v_policy - v_teacher)^2 at x_t, v = (x - x0) / t on flow and
            cot(t) x - x0 / sin(t) on trig; the teacher is guided by `scale`
"""

import torch

from golden_common import normal, save
from golden_continuous import B, DIM, HIDDEN, SD, Process, network

NODES, STEPS = 3, 4
FROM = {"flow": [1.0, 0.75, 0.5, 0.25, 1.0, 0.5], "trig": [1.5, 1.2, 0.8, 0.4, 1.5, 0.8]}
TO = {"flow": [0.75, 0.5, 0.25, 0.0, 0.75, 0.25], "trig": [1.2, 0.8, 0.4, 0.1, 1.2, 0.4]}
AT = {"flow": ([0.8, 0.51, 0.4, 0.05, 0.99, 0.3], [0.9, 0.7, 0.26, 0.2, 0.76, 0.45]),
      "trig": ([1.3, 0.9, 0.41, 0.15, 1.45, 0.6], [1.4, 1.1, 0.7, 0.35, 1.25, 0.5])}


def pi_flow(out):
    """pi_flow.safetensors"""
    double = lambda v: torch.tensor(v, dtype=torch.float64)
    x0, z = (normal(f"pi_flow.{n}", B, DIM, dtype=torch.float64) for n in ("x0", "noise"))
    condition, scale = torch.linspace(-1, 1.5, B, dtype=torch.float64), torch.linspace(1, 4, B, dtype=torch.float64)
    teacher, student = network("teacher", 1), network("student", 1)
    student["w2"] = 0.4 * normal("pi_flow.w2", NODES * DIM, HIDDEN, dtype=torch.float64)
    student["b2"] = 0.1 * normal("pi_flow.b2", NODES * DIM, dtype=torch.float64)
    tensors = {"x0": x0, "noise": z, "condition": condition, "scale": scale}
    for role, net in (("teacher", teacher), ("student", student)):
        tensors |= {f"{role}.{p}": v for p, v in net.items()}

    for kind in ("flow", "trig"):
        process = Process(kind)
        begin, end = double(FROM[kind]), double(TO[kind])
        first, second = (double(v) for v in AT[kind])
        tensors |= {f"{kind}.from": begin, f"{kind}.to": end, f"{kind}.first": first, f"{kind}.second": second}
        level = lambda t: ((1 - t)[:, None], t[:, None]) if kind == "flow" else (t.cos()[:, None], SD * t.sin()[:, None])
        clean = lambda x, f, t: x - t[:, None] * f if kind == "flow" else t.cos()[:, None] * x - t.sin()[:, None] * SD * f
        of_clean = lambda x, y, t: (x - y) / t[:, None] if kind == "flow" else x / t.tan()[:, None] - y / t.sin()[:, None]

        net = {p: v.clone().requires_grad_() for p, v in student.items()}
        x_from = process.noise(x0, z, begin)
        y = process.call(net, x_from, begin, None, condition)
        node = torch.stack([clean(x_from, f, begin) for f in y.split(DIM, dim=1)])

        def policy(nodes, t):
            at = (begin - t) / (begin - end) * (NODES - 1)
            low = at.floor().clamp(max=NODES - 2).long()
            rows = torch.arange(B)
            return nodes[low, rows] + (at - low)[:, None] * (nodes[low + 1, rows] - nodes[low, rows])

        total = 0
        for t in (first, second):
            x = x_from
            for i in range(STEPS):
                now, after = (begin + (t - begin) * j / STEPS for j in (i, i + 1))
                (a, s), (a2, s2) = level(now), level(after)
                guess = policy(node.detach(), now)
                x = a2 * guess + s2 * (x - a * guess) / s
            c, n = (process.call(teacher, x, t, None, k) for k in (condition, torch.zeros_like(condition)))
            goal = process.velocity(x, n + scale[:, None] * (c - n), t)
            total = total + ((of_clean(x, policy(node, t), t) - goal) ** 2).mean() / 2
        total.backward()
        tensors[f"{kind}.loss"] = total.detach().reshape(1)
        tensors |= {f"{kind}.grad.{p}": v.grad for p, v in net.items()}
    save(out, "pi_flow", tensors)
