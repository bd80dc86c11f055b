# SPDX-License-Identifier: Apache-2.0
"""Losses and gradients of the objectives of continuous time, in float64, derivatives by torch.func.jvp.

Written from the papers, apart from any C++. The network takes u = sin 2n, cos 2n of its time n, with a second time also
those of the end, and the condition c: F(x, n) = w2 silu(w1 [x, u, c] + b1) + b2. The teacher has one time and is
guided, F_u + g (F_c - F_u) with c = 0 for F_u. Means are over all elements; r fades the tangent in; D(t, s) = t - s.

    trig    x = cos t x0 + sin t z s, s = 0.5 (z unit); v = s F(x / s, t); sCM, algorithm 1, with t - end for t:
            g = -cos^2 D (s F - v) - r (cos D sin D x + s dF), dF along (cos D sin D v / s, cos D sin D)
    flow    x = (1 - t) x0 + t z, v = F(x, t); g = v - F - r (t - end) dF, dF along (v, 1)  (AYF, Eulerian)
    edm     x = x0 + t z, s = 0.5, x0hat = s^2 / (t^2 + s^2) x + t s / sqrt(t^2 + s^2) F(x / sqrt(t^2 + s^2), ln t / 4)
            J = x + (end - t) (x - x0hat) / t, v = (x - x0hat_teacher) / t, g = -sqrt(t^2 + s^2) dJ along (v, 1)
    loss    mean (F - stopgrad(F + g))^2; normalize: g / (|g| + 0.1) of each sample; clip: each element to [-0.5, 0.5]
    data    v = cos t z s - sin t x0 on trig, z - x0 on flow
    weight  mean over samples of e^-u l + u, l = mean over elements of the squared difference, u = h [cos(a f), sin(a f)] + k
            with a = 64 atan(sigma / alpha), f_i = 10000^(-i / 64), i < 64; u has no gradient in the student
"""

import torch
import torch.nn.functional as F

from golden_common import normal, save

DIM, HIDDEN, B, SD = 5, 12, 6, 0.5


def network(role, times):
    shapes = {"w1": (HIDDEN, DIM + 2 * times + 1), "b1": (HIDDEN,), "w2": (DIM, HIDDEN), "b2": (DIM,)}
    scale = {"w1": 0.4, "b1": 0.1, "w2": 0.4, "b2": 0.1}
    return {p: scale[p] * normal(f"continuous.{role}.{p}", *s, dtype=torch.float64) for p, s in shapes.items()}


def predict(net, x, times, c):
    waves = [w for n in times for w in ((2 * n).sin(), (2 * n).cos())]
    features = torch.cat([x, torch.stack([*waves, c], dim=1)], dim=1)
    return F.linear(F.silu(F.linear(features, net["w1"], net["b1"])), net["w2"], net["b2"])


class Process:
    """Where x is, what a prediction at (x, t) means as a velocity, and the network's input."""

    def __init__(self, name):
        self.name = name

    def noise(self, x0, z, t):
        t = t[:, None]
        return {"trig": t.cos() * x0 + SD * t.sin() * z, "flow": (1 - t) * x0 + t * z, "edm": x0 + t * z}[self.name]

    def pair_velocity(self, x0, z, t):
        t = t[:, None]
        return {"trig": SD * t.cos() * z - t.sin() * x0, "flow": z - x0, "edm": z}[self.name]

    def call(self, net, x, t, end, c):
        """`end` None: a network with one time."""
        scale = {"trig": lambda: 1 / SD, "flow": lambda: 1, "edm": lambda: 1 / (t**2 + SD**2).sqrt()[:, None]}
        clock = (lambda u: u.log() / 4) if self.name == "edm" else (lambda u: u)
        return predict(net, x * scale[self.name](), [clock(t)] + ([] if end is None else [clock(end)]), c)

    def clean(self, x, f, t):  # edm
        t = t[:, None]
        return SD**2 / (t**2 + SD**2) * x + t * SD / (t**2 + SD**2).sqrt() * f

    def velocity(self, x, f, t):
        if self.name == "edm":
            return (x - self.clean(x, f, t)) / t[:, None]
        return SD * f if self.name == "trig" else f


def tangent(process, call, x, v, t, end, r):
    """(F, g) of `call(x, t)`; r != 1 for trig and flow alone."""
    d = (t - end)[:, None]
    if process.name == "trig":
        cs = d.cos() * d.sin()
        f, df = torch.func.jvp(call, (x, t), (cs * v, cs[:, 0]))
        return f, -d.cos() ** 2 * (SD * f - v) - r * (cs * x + SD * df)
    if process.name == "flow":
        f, df = torch.func.jvp(call, (x, t), (v, torch.ones_like(t)))
        return f, v - f - r * d * df
    assert r == 1
    jump = lambda y, u: y + (end - u)[:, None] * (y - process.clean(y, call(y, u), u)) / u[:, None]
    return call(x, t), -(t**2 + SD**2).sqrt()[:, None] * torch.func.jvp(jump, (x, t), (v, torch.ones_like(t)))[1]


TIMES = {
    "trig": ([0.05, 0.4, 0.8, 1.1, 1.4, 1.56], [0.0, 0.39, 0.5, 0.4, 1.17, 0.0]),
    "flow": ([0.02, 0.3, 0.55, 0.7, 0.9, 1.0], [0.0, 0.25, 0.5, 0.2, 0.75, 0.0]),
    "edm": ([0.002, 0.1, 0.5, 1.2, 6.0, 80.0], [0.002, 0.05, 0.5, 0.7, 1.0, 20.0]),
}


def continuous(out):
    """continuous.safetensors"""
    x0, z = (normal(f"continuous.{n}", B, DIM, dtype=torch.float64) for n in ("x0", "noise"))
    condition, scale = torch.linspace(-1, 1.5, B, dtype=torch.float64), torch.linspace(1, 4, B, dtype=torch.float64)
    nets = {"teacher": network("teacher", 1), "student": network("student", 1), "map": network("map", 2)}
    tensors = {"x0": x0, "noise": z, "condition": condition, "scale": scale}
    tensors |= {f"{role}.{p}": v for role, net in nets.items() for p, v in net.items()}

    def case(name, kind, to_zero=False, role="student", r=1.0, source="teacher", bound="none", weight=None):
        process = Process(kind)
        t, end = (torch.tensor(v, dtype=torch.float64) for v in TIMES[kind])
        if to_zero:
            end = torch.full_like(end, 0.002 if kind == "edm" else 0.0)
        x = process.noise(x0, z, t)
        if source == "teacher":
            c, u = (process.call(nets["teacher"], x, t, None, k) for k in (condition, torch.zeros_like(condition)))
            v = process.velocity(x, u + scale[:, None] * (c - u), t)
        else:
            v = process.pair_velocity(x0, z, t)
        student = {p: w.clone().requires_grad_() for p, w in nets[role].items()}
        call = lambda y, u: process.call(student, y, u, end if role == "map" else None, condition)
        f, g = tangent(process, call, x, v, t, end, r)
        g = g.detach()
        if bound == "normalize":
            g = g / (g.norm(dim=1, keepdim=True) + 0.1)
        if bound == "clip":
            g = g.clamp(-0.5, 0.5)
        losses = ((f - (f + g).detach()) ** 2).mean(dim=1)
        if weight:
            head = {p: w.clone().requires_grad_() for p, w in weight.items()}
            alpha, sigma = {"trig": (t.cos(), SD * t.sin()), "flow": (1 - t, t), "edm": (torch.ones_like(t), t)}[kind]
            angle = 64 * torch.atan2(sigma, alpha)[:, None] * 10000 ** (-torch.arange(64, dtype=torch.float64) / 64)
            u = (torch.cat([angle.cos(), angle.sin()], dim=1) @ head["weight"].T + head["bias"])[:, 0]
            losses = (-u).exp() * losses + u
        loss = losses.mean()
        loss.backward()
        if weight:
            tensors.update({f"{name}.grad.head.{p}": w.grad for p, w in head.items()})
        tensors.update({f"{name}.t": t, f"{name}.end": end})
        tensors[f"{name}.loss"] = loss.detach().reshape(1)
        tensors.update({f"{name}.grad.{p}": w.grad for p, w in student.items()})

    for kind in ("trig", "flow", "edm"):
        case(f"{kind}.segment", kind)
        case(f"{kind}.end", kind, to_zero=True, bound="normalize")
        case(f"{kind}.map", kind, role="map", bound="clip")
    for kind in ("trig", "flow"):
        case(f"{kind}.warm_up", kind, r=0.3)
        case(f"{kind}.data", kind, source="data")
    head = {p: 0.2 * normal(f"continuous.head.{p}", *n, dtype=torch.float64) for p, n in (("weight", (1, 128)), ("bias", (1,)))}
    tensors |= {f"head.{p}": v for p, v in head.items()}
    for kind in ("trig", "flow", "edm"):
        case(f"{kind}.weight", kind, to_zero=True, bound="normalize", weight=head)
    save(out, "continuous", tensors)
