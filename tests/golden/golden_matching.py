# SPDX-License-Identifier: Apache-2.0
"""Losses and gradients of easy and truncated consistency, moment matching, terminal velocities, rCM and f-divergences.

In float64, networks and processes as in golden_continuous.py (edm, flow: eta = sigma / alpha; trig), the student `map`
with two times, all others with one. D(x, t) is clean data, sg stops gradients.

    easy        eta_r = max(0, eta (1 - q^-(stage + 1) (1 + 8 sigmoid(-eta)))), D(x_r, r) = x_r where eta_r = 0,
                mean over samples of (sqrt(|D(x_t, t) - sg D(x_r, r)|^2 + c^2) - c) / (eta - eta_r); x_r has the noise of
                x_t, or (teacher) is (x_t - eta step) along the guided teacher's x0
    truncated   the same with D(x_r, r) of `first` where eta_r <= 1, times 0.1 for the first two samples
    moments     X = x - (t - s) F, groups of 3: w [mean k(y, y') + mean k(z, z') - 2 mean k(y, z)] with the diagonals,
                k = exp(-max(|a - b|, 1e-8) / (0.5 (t - s) DIM)), w = 1/2 sigmoid(b - l) (-dl/dt) alpha^a / (alpha^2 + sigma^2),
                l = ln(alpha^2 / sigma^2), b = 4, a = 1; `squares`: k = -|a - b|^2, groups of 1
    terminal    mean (d/ds X - sg F_target(X, s, s))^2 + 0.5 mean (F(x', t', t') - (z' - x0))^2
    rcm         100 sCM (normalized tangents) + DMD, both with the scales given; DMD's guidance is 2
    decoupled   g = (x0_fake - x0_c) / mean |x - x0_c| as in DMD, and at `augmented` times with `flow_noise`
                -2 (x0_c - x0_u) / mean |x - x0_c|
    divergence  DMD with g times h / mean h, h(r), r = exp(critic's logit at x_t, t) in [0.1, 20]; + 0.2 -mean logit
"""

import math

import torch
import torch.nn.functional as F

from golden_common import normal, save
from golden_continuous import B, DIM, HIDDEN, SD, Process, network, predict, tangent

ETA = {"edm": [0.1, 1.0, 3.0, 5.0, 20.0, 80.0], "flow": [0.05, 0.7, 3.0, 5.0, 20.0, 60.0]}
TRUNCATED = [1.0, 1.0, 1.002, 5.0, 20.0, 80.0]
MOMENTS = {"t": [0.9] * 3 + [0.4] * 3, "middle": [6.5 / 7.5] * 3 + [0.1] * 3, "end": [0.2] * 3 + [0.1] * 3}
TERMINAL = {"t": [0.3, 0.5, 0.7, 0.9, 1.0, 0.95], "end": [0.1, 0.45, 0.2, 0.6, 0.5, 0.05]}
FLOW_T = [0.05, 0.2, 0.4, 0.6, 0.8, 1.0]
COMPARED = [0.1, 0.4, 0.7, 1.0, 1.3, 1.5]
AUGMENTED = [0.2, 0.3, 0.9, 0.6, 1.1, 1.4]


def matching(out):
    """matching.safetensors"""
    double = lambda v: torch.tensor(v, dtype=torch.float64)
    noises = {n: normal(f"matching.{n}", B, DIM, dtype=torch.float64) for n in ("x0", "noise", "flow_noise", "z")}
    x0, z = noises["x0"], noises["noise"]
    condition, scale = torch.linspace(-1, 1.5, B, dtype=torch.float64), torch.linspace(1, 4, B, dtype=torch.float64)
    null = torch.zeros_like(condition)
    nets = {role: network(role, 1) for role in ("teacher", "student", "first", "fake")}
    nets |= {"map": network("map", 2), "target": network("target", 2)}
    nets["critic"] = network("critic", 1)
    nets["critic"] |= {"w2": 2 * normal("matching.critic.w2", 1, HIDDEN, dtype=torch.float64), "b2": nets["critic"]["b2"][:1]}
    tensors = {**noises, "condition": condition, "scale": scale}
    tensors |= {f"{role}.{p}": v for role, net in nets.items() for p, v in net.items()}
    tensors |= {f"{k}.eta": double(v) for k, v in ETA.items()}
    tensors |= {f"moments.{k}": double(v) for k, v in MOMENTS.items()}
    tensors |= {f"terminal.{k}": double(v) for k, v in TERMINAL.items()}
    tensors |= {"truncated.eta": double(TRUNCATED), "terminal.flow": double(FLOW_T), "compared": double(COMPARED)}

    def case(name, role, loss_of):
        student = {p: w.clone().requires_grad_() for p, w in nets[role].items()}
        loss = loss_of(student)
        loss.backward()
        tensors[f"{name}.loss"] = loss.detach().reshape(1)
        tensors.update({f"{name}.grad.{p}": w.grad for p, w in student.items()})

    def guided(process, x, t, g):
        c, u = (process.call(nets["teacher"], x, t, None, k) for k in (condition, null))
        return u + g * (c - u)

    def clean(process, x, f, t):
        if process.name == "edm":
            return process.clean(x, f, t)
        t = t[:, None]
        return x - t * f if process.name == "flow" else t.cos() * x - t.sin() * SD * f

    time = lambda kind, eta: eta / (1 + eta) if kind == "flow" else eta
    next_eta = lambda eta, gap: (eta * (1 - gap * (1 + 8 * torch.sigmoid(-eta)))).clamp(min=0)

    def pairs(kind, student, eta, gap, huber, teacher=False, first=None, weight=1.0):
        process, below = Process(kind), next_eta(eta, gap)
        t, r = time(kind, eta), time(kind, below)
        x = process.noise(x0, z, t)
        x_r = process.noise(x0, z, r)
        if teacher:
            x0hat = clean(process, x, guided(process, x, t, scale[:, None]), t)
            alpha_t, alpha_r = ((1 - t)[:, None], (1 - r)[:, None]) if kind == "flow" else (1, 1)
            eps = (x - alpha_t * x0hat) / t[:, None]
            x_r = alpha_r * x0hat + r[:, None] * eps
        safe = r.clamp(min=1e-3)  # where r = 0 the result is not used
        goal = clean(process, x_r, process.call(student, x_r, safe, None, condition), safe)
        if first is not None:
            low = clean(process, x_r, process.call(first, x_r, safe, None, condition), safe)
            goal = torch.where((below <= 1)[:, None], low, goal)
        goal = torch.where((r == 0)[:, None], x_r, goal).detach()
        gap_x = clean(process, x, process.call(student, x, t, None, condition), t) - goal
        return (weight * ((gap_x**2).sum(1) + huber**2).sqrt().sub(huber) / (eta - below)).mean()

    for kind in ("edm", "flow"):
        eta = double(ETA[kind])
        tensors[f"{kind}.next"] = next_eta(eta, 0.5)
        case(f"easy.{kind}", "student", lambda n: pairs(kind, n, eta, 0.5, 0.0))
        case(f"easy.{kind}.teacher", "student", lambda n: pairs(kind, n, eta, 0.5**3, 0.06, teacher=True))
    weight = double([0.1, 0.1, 1, 1, 1, 1])
    case("truncated", "student",
         lambda n: pairs("edm", n, double(TRUNCATED), 0.5**9, 0.0, first=nets["first"], weight=weight))

    flow = Process("flow")
    jump = lambda net, x, t, s: x - (t - s)[:, None] * flow.call(net, x, t, s, condition)

    def moments(student, particles, squares):
        t, r, s = (double(MOMENTS[k]) for k in ("t", "middle", "end"))
        y = jump(student, flow.noise(x0, z, t), t, s)
        g = jump(student, flow.noise(x0, z, r), r, s).detach()
        leaf = t.clone().requires_grad_()
        snr = 2 * ((1 - leaf) / leaf).log()
        (rate,) = torch.autograd.grad(snr.sum(), leaf)
        w = 0.5 * torch.sigmoid(4 - snr.detach()) * -rate * (1 - t) / ((1 - t) ** 2 + t**2)
        total = 0.0
        for first in range(0, B, particles):
            i = slice(first, first + particles)
            def k(a, b):
                d = ((a[i][:, None] - b[i][None]) ** 2).sum(2)
                if squares:
                    return -d.mean()
                return torch.exp(-d.clamp(min=1e-16).sqrt() / (0.5 * (t - s)[first] * DIM)).mean()
            total = total + w[first] * (k(y, y) + k(g, g) - 2 * k(y, g))
        return total / (B // particles)

    case("moments", "map", lambda n: moments(n, 3, False))
    case("moments.squares", "map", lambda n: moments(n, 1, True))

    def terminal(student):
        t, s, u = double(TERMINAL["t"]), double(TERMINAL["end"]), double(FLOW_T)
        x = flow.noise(x0, z, t)
        there, rate = torch.func.jvp(lambda e: jump(student, x, t, e), (s,), (torch.ones_like(s),))
        goal = flow.call(nets["target"], there.detach(), s, s, condition).detach()
        x_u = flow.noise(x0, noises["flow_noise"], u)
        own = flow.call(student, x_u, u, u, condition)
        return ((rate - goal) ** 2).mean() + 0.5 * ((own - (noises["flow_noise"] - x0)) ** 2).mean()

    case("terminal", "map", terminal)

    trig, last = Process("trig"), torch.full((B,), math.atan(160.0), dtype=torch.float64)
    compared = double(COMPARED)

    def dmd(student, h=None):
        begin = SD * last.sin()[:, None] * noises["z"]
        x = clean(trig, begin, trig.call(student, begin, last, None, condition), last)
        x_t = trig.noise(x, z, compared)
        at = x_t.detach()
        real = clean(trig, at, guided(trig, at, compared, 2.0), compared)
        own = clean(trig, at, trig.call(nets["fake"], at, compared, None, condition), compared)
        g = (own - real) / (x.detach() - real).abs().mean(1, keepdim=True)
        if h is None:
            return 0.5 * ((x - (x - g).detach()) ** 2).mean()
        # The critic sees the state itself, and so does the gradient of its term.
        logit = predict(nets["critic"], x_t, [compared], condition)[:, 0]
        weight = h(logit.detach().exp().clamp(0.1, 20))
        g = g * (weight / weight.mean())[:, None]
        return 0.5 * ((x - (x - g).detach()) ** 2).mean() - 0.2 * logit.mean()

    def rcm(student):
        t, zero = double([0.05, 0.4, 0.8, 1.1, 1.4, 1.56]), torch.zeros(B, dtype=torch.float64)
        x = trig.noise(x0, z, t)
        v = trig.velocity(x, guided(trig, x, t, scale[:, None]), t)
        f, g = tangent(trig, lambda y, u: trig.call(student, y, u, None, condition), x, v, t, zero, 1.0)
        g = (g / (g.norm(dim=1, keepdim=True) + 0.1)).detach()
        return 100 * ((f - (f.detach() + g)) ** 2).mean() + dmd(student)

    def decoupled(student):
        begin = SD * last.sin()[:, None] * noises["z"]
        x = clean(trig, begin, trig.call(student, begin, last, None, condition), last)
        inject = lambda g: 0.5 * ((x - (x - g).detach()) ** 2).mean()

        def teachers(t, noise):
            at = trig.noise(x, noise, t).detach()
            real, free = (clean(trig, at, trig.call(nets["teacher"], at, t, None, c), t) for c in (condition, null))
            own = clean(trig, at, trig.call(nets["fake"], at, t, None, condition), t)
            return real, free, own, (x.detach() - real).abs().mean(1, keepdim=True)

        real, _, own, size = teachers(compared, z)
        real2, free, _, size2 = teachers(double(AUGMENTED), noises["flow_noise"])
        return inject((own - real) / size) + inject(-2 * (real2 - free) / size2)

    tensors["augmented"] = double(AUGMENTED)
    case("decoupled", "student", decoupled)
    tensors["rcm.t"] = double([0.05, 0.4, 0.8, 1.1, 1.4, 1.56])
    case("rcm", "student", rcm)
    forms = {
        "softened_reverse_kl": lambda r: 1 / (1 + r),
        "jensen_shannon": lambda r: r / (1 + r),
        "squared_hellinger": lambda r: r.sqrt(),
        "forward_kl": lambda r: r,
        "jeffreys": lambda r: 1 + r,
        "neyman": lambda r: 1 / r,
    }
    for name, h in forms.items():
        case(f"divergence.{name}", "student", lambda n: dmd(n, h))
    save(out, "matching", tensors)
