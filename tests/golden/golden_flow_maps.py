# SPDX-License-Identifier: Apache-2.0
"""Losses and gradients of mean flows, flow maps and shortcut models, in float64, derivatives by torch.func.jvp.

Networks and processes as in golden_continuous.py; the student `map` has two times, u(x, t, s), v_own = u(x, t, t), and
the target network is `target`. Samples with s = t learn from v = z - x0 (trig: s F of s cos t z - sin t x0), or from
the teacher. On `flow` X(x, t, s) = x + (s - t) u, on `trig` X = cos(t - s) x - sin(t - s) sd u.

    mean_flow    mean over samples of w sum |u - sg(v - (t - s) du)|^2, du along (v, 1, 0), w = (sum d^2 + 0.01)^-1;
                 guided: v <- 0.6 v + 0.1 u(x, t, t, null) + 0.3 u(x, t, t); improved: du along (v_own, 1, 0);
                 told: u is told scale - 1, as condition + 0.1 (scale - 1), v <- v + (1 - 1 / scale) (v_own - v_null), v_null
                 told 0
    lagrangian   g = k (v(X, s) - dX/ds), k = 1 (trig: cos(t - s)), mean (u - sg(u + g))^2; `full`: mean g^2 with the
                 gradient of dX/ds, v(sg X, s) fixed
    eulerian     g = k dX/dt along (v, 1), by jvp of X itself
    progressive  mean (u - sg u*)^2 with X(x, t, s) = X(X(x, t, q), q, s) for u*, q as given
    shortcut     as progressive with q in the middle and the target network; samples with s = t - 1/16: mean (u - v)^2
"""

import torch

from golden_common import normal, save
from golden_continuous import B, DIM, SD, Process, network

T = {"flow": [0.25, 0.3, 0.5, 0.75, 0.875, 1.0], "trig": [0.2, 0.4, 0.8, 1.1, 1.4, 1.56]}
S = {"flow": [0.0, 0.3, 0.25, 0.1, 0.875, 0.0], "trig": [0.1, 0.4, 0.5, 0.2, 1.4, 0.3]}
Q = {"flow": [0.125, 0.3, 0.3, 0.5, 0.875, 0.4], "trig": [0.15, 0.4, 0.6, 0.9, 1.4, 0.7]}
SHORT_T, SHORT_S = [0.125, 0.5, 0.5, 1.0, 0.875, 1.0], [0.0, 0.4375, 0.25, 0.5, 0.8125, 0.0]


def flow_maps(out):
    """flow_maps.safetensors"""
    double = lambda v: torch.tensor(v, dtype=torch.float64)
    x0, z = (normal(f"flow_maps.{n}", B, DIM, dtype=torch.float64) for n in ("x0", "noise"))
    condition, scale = torch.linspace(-1, 1.5, B, dtype=torch.float64), torch.linspace(1, 4, B, dtype=torch.float64)
    null = torch.zeros_like(condition)
    nets = {"teacher": network("teacher", 1), "map": network("map", 2), "target": network("target", 2)}
    tensors = {"x0": x0, "noise": z, "condition": condition, "scale": scale}
    tensors |= {f"{role}.{p}": v for role, net in nets.items() for p, v in net.items()}
    tensors |= {f"{kind}.{name}": double(v[kind]) for kind in T for name, v in (("t", T), ("end", S), ("middle", Q))}
    tensors |= {"shortcut.t": double(SHORT_T), "shortcut.end": double(SHORT_S)}

    def jump(kind, x, u, t, s):
        d = (t - s)[:, None]
        return x - d * u if kind == "flow" else d.cos() * x - d.sin() * SD * u

    def case(name, kind, loss_of):
        student = {p: w.clone().requires_grad_() for p, w in nets["map"].items()}
        process, t, s, q = Process(kind), *(double(v[kind]) for v in (T, S, Q))
        u = lambda x, t, s, c=condition, net=student: process.call(net, x, t, s, c)
        loss = loss_of(process, u, t, s, q)
        loss.backward()
        tensors[f"{name}.loss"] = loss.detach().reshape(1)
        tensors.update({f"{name}.grad.{p}": w.grad for p, w in student.items()})

    def teacher_velocity(process, x, t):
        c, n = (process.call(nets["teacher"], x, t, None, k) for k in (condition, null))
        return process.velocity(x, n + scale[:, None] * (c - n), t)

    def mean_flow(improved, guided):
        def loss(process, u, t, s, q):
            x = process.noise(x0, z, t)
            v = process.pair_velocity(x0, z, t)
            own = u(x, t, t).detach()
            if guided:
                v = 0.6 * v + 0.1 * u(x, t, t, null).detach() + 0.3 * own
            along = own if improved else v
            du = torch.func.jvp(lambda y, a: u(y, a, s), (x, t), (along, torch.ones_like(t)))[1].detach()
            d = u(x, t, s) - (v - (t - s)[:, None] * du)
            return ((d**2).sum(1) * ((d**2).sum(1).detach() + 0.01) ** -1).mean()

        return loss

    def told(process, u, t, s, q):
        x = process.noise(x0, z, t)
        asked = condition + 0.1 * (scale - 1)
        own = u(x, t, t, asked).detach()
        v = process.pair_velocity(x0, z, t) + (1 - 1 / scale[:, None]) * (own - u(x, t, t, null).detach())
        du = torch.func.jvp(lambda y, a: u(y, a, s, asked), (x, t), (own, torch.ones_like(t)))[1].detach()
        d = u(x, t, s, asked) - (v - (t - s)[:, None] * du)
        return ((d**2).sum(1) * ((d**2).sum(1).detach() + 0.01) ** -1).mean()

    def flow_map(kind, identity, source):
        k = lambda t, s: 1 if kind == "flow" else (t - s).cos()[:, None]
        scale_of = lambda process, f: process.velocity(None, f, None)  # v of u for flow and trig

        def velocity(process, u, x, t, same):
            if source == "teacher":
                return teacher_velocity(process, x, t).detach()
            own = scale_of(process, u(x, t, t)).detach()
            return torch.where(same[:, None], process.pair_velocity(x0, z, t), own)

        def loss(process, u, t, s, q):
            x = process.noise(x0, z, t)
            same = t == s
            f = u(x, t, s)
            if identity.startswith("lagrangian"):
                X, dX = torch.func.jvp(lambda e: jump(kind, x, u(x, t, e), t, e), (s,), (torch.ones_like(s),))
                g = k(t, s) * (velocity(process, u, X.detach(), s, same) - dX)
                if identity == "lagrangian.full":
                    return (g**2).mean()
            elif identity == "eulerian":
                v = velocity(process, u, x, t, same)
                g = k(t, s) * torch.func.jvp(
                    lambda y, a: jump(kind, y, u(y, a, s), a, s), (x, t), (v, torch.ones_like(t)))[1]
                # Where s = t the derivative of the jump is v - v_own.
            else:
                goal = jump(kind, jump(kind, x, u(x, t, q), t, q), u(jump(kind, x, u(x, t, q), t, q), q, s), q, s)
                d = (t - s)[:, None]
                star = (x - goal) / d if kind == "flow" else (d.cos() * x - goal) / (d.sin() * SD)
                v = velocity(process, u, x, t, same)
                star = torch.where(same[:, None], v if kind == "flow" else v / SD, star)
                g = star - f
            return ((f - (f + g).detach()) ** 2).mean()

        return loss

    def shortcut(process, u, t, s, q):
        t, s = double(SHORT_T), double(SHORT_S)
        q = (t + s) / 2
        x = process.noise(x0, z, t)
        f = u(x, t, s)
        first = u(x, t, q, net=nets["target"])
        second = u(jump("flow", x, first, t, q), q, s, net=nets["target"])
        matched = (t - s) == 1 / 16
        goal = torch.where(matched[:, None], z - x0, (first + second) / 2)
        return ((f - goal.detach()) ** 2).mean()

    for improved in (False, True):
        for guided in (False, True):
            name = ("improved" if improved else "mean_flow") + (".guided" if guided else "")
            case(name, "flow", mean_flow(improved, guided))
    case("improved.told", "flow", told)
    for kind in ("flow", "trig"):
        for identity in ("lagrangian", "lagrangian.full", "eulerian", "progressive"):
            for source in ("data", "teacher"):
                case(f"{kind}.{identity}.{source}", kind, flow_map(kind, identity, source))
    case("shortcut", "flow", shortcut)
    save(out, "flow_maps", tensors)
