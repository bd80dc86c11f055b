# SPDX-License-Identifier: Apache-2.0
"""Losses and gradients of the other distillation objectives, all in float64, on the network of golden_distill.py.

Written from the equations of the papers, apart from any C++ (a_t, s_t, Psi, teacher guidance as in golden_distill.py;
x0(x, eps, t) = (x - s_t eps) / a_t; means are over all elements):

    pd          goal = Psi(Psi(x_t, teacher, t -> m), teacher, m -> r). x: mean (Psi(x_t, student, t -> r) - goal)^2.
                x0: x* = (goal - s_r/s_t x_t) / (a_r - s_r/s_t a_t), mean w (x0_student - x*)^2 with w = 1,
                max(SNR, 1) or SNR + 1. eps: e* = (x_t - a_t x*) / s_t, mean (student - e*)^2
    pcm         as tscd, t_end = beginning of the segment; Huber
    lcm         mean huber(c_skip x_t + c_out x0_student, c_skip' xh + c_out' x0_target(xh, t_prev)), scaling 10, 0.5
    sds         x = x0(z, student, T-1), g = s_t^2 (teacher(x_t) - noise), d loss / d x = g / elements
    dmd         g = (x0_fake - x0_teacher) / mean |x - x0_teacher| a sample; with regression 0.25 mean (G(z2) - y)^2;
                simulated: x at a start time below the highest is a_t x0_student + s_t noise from the one above
    add         -mean D(x0_student, 0) + 2.5 mean a_t (x0_student - x0_teacher(a_t x + s_t noise))^2
    lightning   teacher: DDIM steps within the jump; 0.5 mse + 0.3 mean softplus(-D(fake; x_t))
    perflow     teacher: DDIM across the window; eps* = (z_end - lambda z_begin) / eta on the straight line, or the
                velocity (z_end - z_begin) / (tau_end - tau_begin), tau = (t + 1) / 1000
    preserve    mean (Psi(x_t, student, t -> end) - Psi(x_t, target, t -> end))^2
    denoising   mean (x0_student(x_t) - x0)^2
    data_adversarial   -mean D(Psi(x_t, student, t -> 0), 0)

The critic D(x, t, c) is a fixed network of the same form with one output; Lightning's sees [x, x_begin].
"""

import torch
import torch.nn.functional as F

from golden_common import alphas_cumprod, normal, save
from golden_distill import DIM, HIDDEN, HUBER, network, predict, segment_begin

B = 6


def objectives(out):
    """objectives.safetensors"""
    bar = torch.from_numpy(alphas_cumprod("scaled_linear"))
    a = lambda t: bar[t].sqrt()[:, None]
    s = lambda t: (1 - bar[t]).sqrt()[:, None]
    x0_of = lambda x, eps, t: (x - s(t) * eps) / a(t)
    jump = lambda x, eps, t, e: a(e) * x0_of(x, eps, t) + s(e) * eps
    times = lambda *v: torch.tensor(v)
    last = torch.full((B,), 999)

    nets = {role: network(role) for role in ("teacher", "student", "target")}
    nets["fake"] = {
        p: v + 0.05 * normal(f"objectives.fake.{p}", *v.shape, dtype=torch.float64) for p, v in nets["teacher"].items()
    }
    sizes = {"critic": DIM, "pair_critic": 2 * DIM}
    for role, width in sizes.items():
        shapes = {"w1": (HIDDEN, width + 3), "b1": (HIDDEN,), "w2": (1, HIDDEN), "b2": (1,)}
        nets[role] = {p: 0.4 * normal(f"objectives.{role}.{p}", *v, dtype=torch.float64) for p, v in shapes.items()}
    noise = {n: normal(f"objectives.{n}", B, DIM, dtype=torch.float64) for n in ("x0", "noise", "z", "judge", "pair")}
    x0, condition = noise["x0"], torch.linspace(-1.0, 1.5, B, dtype=torch.float64)
    scale = torch.linspace(1.0, 6.0, B, dtype=torch.float64)  # of the teacher, g form
    tensors = {**noise, "condition": condition, "scale": scale}
    for role in ("fake", "critic", "pair_critic"):
        tensors |= {f"{role}.{p}": v for p, v in nets[role].items()}

    def teacher(x, t, g):
        c, u = (predict(nets["teacher"], x, t, k) for k in (condition, torch.zeros_like(condition)))
        return u + g[:, None] * (c - u)

    def record(name, loss_of):
        student = {p: v.clone().requires_grad_() for p, v in nets["student"].items()}
        loss = loss_of(lambda x, t, c=condition: predict(student, x, t, c))
        loss.backward()
        tensors[f"{name}.loss"] = loss.detach().reshape(1)
        tensors.update({f"{name}.grad.{p}": v.grad for p, v in student.items()})

    def inject(x, g):
        return (x * g.detach()).sum() / x.numel() + (0.5 * g**2).mean().detach() - ((x * g).sum() / x.numel()).detach()

    # Progressive distillation, N = 4: t -> middle -> end.
    t, m, r = times(999, 749, 499, 249, 999, 249), times(874, 624, 374, 124, 874, 124), times(749, 499, 249, 0, 749, 0)
    tensors |= {"pd.t": t, "pd.middle": m, "pd.end": r}
    x_t = a(t) * x0 + s(t) * noise["noise"]
    xm = jump(x_t, teacher(x_t, t, scale), t, m)
    goal = jump(xm, teacher(xm, m, scale), m, r)
    ratio = s(r) / s(t)
    clean = (goal - ratio * x_t) / (a(r) - ratio * a(t))
    snr = (a(t) / s(t)) ** 2
    record("pd.x", lambda f: ((jump(x_t, f(x_t, t), t, r) - goal) ** 2).mean())
    record("pd.eps", lambda f: ((f(x_t, t) - (x_t - a(t) * clean) / s(t)) ** 2).mean())
    for name, w in (("one", torch.ones_like(snr)), ("truncated", snr.clamp(min=1)), ("plus", snr + 1)):
        record(f"pd.x0.{name}", lambda f: (w * (x0_of(x_t, f(x_t, t), t) - clean) ** 2).mean())

    # N = 16, whose trailing grid is rounded: 937.5 - 1 -> 937 and so on (halves to even).
    fine = [round(1000 - i * 1000 / 32) - 1 for i in range(32)] + [0]
    n = torch.tensor([0, 1, 3, 8, 14, 15])
    t2, m2, r2 = (torch.tensor(fine)[2 * n + i] for i in range(3))
    tensors |= {"pd16.t": t2, "pd16.middle": m2, "pd16.end": r2}
    y_t = a(t2) * x0 + s(t2) * noise["noise"]
    ym = jump(y_t, teacher(y_t, t2, scale), t2, m2)
    y_r = jump(ym, teacher(ym, m2, scale), m2, r2)
    slope = s(r2) / s(t2)
    known16 = (y_r - slope * y_t) / (a(r2) - slope * a(t2))
    weight16 = (a(t2) / s(t2)).square().clamp(min=1)
    record("pd16", lambda f: (weight16 * (x0_of(y_t, f(y_t, t2), t2) - known16) ** 2).mean())

    # Phased and latent consistency.
    t, before = times(999, 274, 249, 24, 824, 499), times(974, 249, 224, 0, 799, 474)
    x_t = a(t) * x0 + s(t) * noise["noise"]
    xh = jump(x_t, teacher(x_t, t, scale), t, before)
    on_xh = predict(nets["target"], xh, before, condition)
    edge = torch.tensor([segment_begin(v, 4) for v in t.tolist()])
    target = torch.where((edge == before)[:, None], xh, jump(xh, on_xh, before, edge))
    huber = lambda d: ((d**2 + HUBER**2).sqrt() - HUBER).mean()
    tensors |= {"pcm.t": t, "pcm.t_prev": before, "pcm.t_end": edge}
    record("pcm", lambda f: huber(jump(x_t, f(x_t, t), t, edge) - target))
    skip = lambda v: (0.25 / ((10 * v.double()) ** 2 + 0.25))[:, None]
    scaled = lambda v: (10 * v.double() / ((10 * v.double()) ** 2 + 0.25).sqrt())[:, None]
    known = skip(before) * xh + scaled(before) * x0_of(xh, on_xh, before)
    record("lcm", lambda f: huber(skip(t) * x_t + scaled(t) * x0_of(x_t, f(x_t, t), t) - known))

    # The student held to the target's jumps, by mean square.
    low = times(499, 0, 24, 24, 0, 474)
    tensors["preserve.end"] = low
    on_xt = predict(nets["target"], x_t, t, condition)
    record("preserve", lambda f: ((jump(x_t, f(x_t, t), t, low) - jump(x_t, on_xt, t, low)) ** 2).mean())

    # Networks that are told the guidance scale: c + 0.1 w, w = scale - 1.
    told = condition + 0.1 * (scale - 1)
    on_xh = predict(nets["target"], xh, before, told)
    known_w = skip(before) * xh + scaled(before) * x0_of(xh, on_xh, before)

    def embedded(f):
        return huber(skip(t) * x_t + scaled(t) * x0_of(x_t, f(x_t, t, told), t) - known_w)

    record("lcm.w", embedded)

    # Score distillation from one evaluation at the last time.
    t = times(20, 200, 400, 600, 800, 979)
    tensors["judged"] = t
    two = torch.full((B,), 2.0, dtype=torch.float64)
    noised = lambda x: a(t) * x + s(t) * noise["judge"]

    def sds(f):
        x = x0_of(noise["z"], f(noise["z"], last), last)
        return inject(x, s(t) ** 2 * (teacher(noised(x.detach()), t, two) - noise["judge"]))

    def dmd(f, alpha=False, x=None):
        x = x0_of(noise["z"], f(noise["z"], last), last) if x is None else x
        x_n = noised(x.detach())
        real = x0_of(x_n, teacher(x_n, t, two), t)
        own = x0_of(x_n, predict(nets["fake"], x_n, t, condition), t)
        g = (own - real) / (x.detach() - real).abs().mean(dim=1, keepdim=True)
        return inject(x, a(t) * g if alpha else g)

    def regression(f):
        return ((x0_of(noise["pair"], f(noise["pair"], last), last) - x0) ** 2).mean()

    record("sds", sds)
    record("dmd", dmd)
    record("dmd.alpha", lambda f: dmd(f, True))
    record("dmd.regression", lambda f: dmd(f) + 0.25 * regression(f))

    # Two start times, the higher in pure noise; and a critic of the samples in both forms.
    begin = times(800, 499, 800, 499, 499, 800)
    tensors["dmd.start"] = begin
    x_b = torch.where((begin == 800)[:, None], noise["z"], a(begin) * x0 + s(begin) * noise["z"])
    zero = torch.zeros(B, dtype=torch.long)

    def several(f, form=None):
        x = x0_of(x_b, f(x_b, begin), begin)
        judged = predict(nets["critic"], x, zero, condition)
        term = {None: 0.0, "hinge": -judged.mean(), "ns": F.softplus(-judged).mean()}[form]
        return dmd(f, x=x) + 0.2 * term

    record("dmd.several", several)
    record("dmd.hinge", lambda f: several(f, "hinge"))
    record("dmd.non_saturating", lambda f: several(f, "ns"))

    # Backward simulation: three start times, the inputs of the lower two are the student's own, without gradient.
    begin = times(800, 499, 200, 200, 499, 800)
    tensors["dmd.simulated.start"] = begin
    path = [normal(f"objectives.step{i}", B, DIM, dtype=torch.float64) for i in (1, 2)]
    tensors |= {f"dmd.step{i + 1}": v for i, v in enumerate(path)}

    def simulated(f):
        x = noise["z"]
        with torch.no_grad():
            for high, low, fresh in ((800, 499, path[0]), (499, 200, path[1])):
                high, low = torch.full((B,), high), torch.full((B,), low)
                y = a(low) * x0_of(x, f(x, high), high) + s(low) * fresh
                x = torch.where((begin <= low)[:, None], y, x)
        return dmd(f, x=x0_of(x, f(x, begin), begin))

    record("dmd.simulated", simulated)

    # Adversarial diffusion distillation; the third and fifth sample start in pure noise.
    start = times(249, 499, 999, 749, 999, 249)
    tensors["add.start"] = start
    x_s = torch.where((start == 999)[:, None], noise["noise"], a(start) * x0 + s(start) * noise["noise"])

    def add(f, sds_weight=False):
        x = x0_of(x_s, f(x_s, start), start)
        x_n = noised(x.detach())
        c = 0.5 * s(t) * a(t) if sds_weight else a(t)
        term = (c * (x - x0_of(x_n, teacher(x_n, t, two), t)) ** 2).mean()
        return -predict(nets["critic"], x, zero, condition).mean() + 2.5 * term

    record("add", add)
    record("add.sds", lambda f: add(f, True))

    # Progressive adversarial distillation: 4 jumps, the teacher takes 2 steps in each.
    t, m, r = tensors["pd.t"], tensors["pd.middle"], tensors["pd.end"]
    x_t = torch.where((t == 999)[:, None], noise["noise"], a(t) * x0 + s(t) * noise["noise"])
    xm = jump(x_t, teacher(x_t, t, scale), t, m)
    goal = jump(xm, teacher(xm, m, scale), m, r)

    def lightning(f):
        fake = jump(x_t, f(x_t, t), t, r)
        judged = predict(nets["pair_critic"], torch.cat([fake, x_t], dim=1), r, condition)
        return 0.5 * ((fake - goal) ** 2).mean() + 0.3 * F.softplus(-judged).mean()

    record("lightning", lightning)
    # The one-step mode: the student's output is the clean data.
    record("lightning.x0", lambda f: ((a(r) * f(x_t, t) + s(r) * (x_t - a(t) * f(x_t, t)) / s(t) - goal) ** 2).mean())

    # Piecewise rectified flow: 4 windows, 2 teacher steps in each; the window's lower end -1 is table entry 0.
    t, begin = times(999, 800, 600, 499, 120, 249), times(999, 999, 749, 499, 249, 249)
    end = begin - 250
    tensors |= {"perflow.t": t, "perflow.begin": begin, "perflow.end": end}
    low = end.clamp(min=0)
    z_begin = a(begin) * x0 + s(begin) * noise["noise"]
    z = jump(z_begin, teacher(z_begin, begin, scale), begin, begin - 125)
    z_end = jump(z, teacher(z, begin - 125, scale), begin - 125, low)
    share = ((begin - t).double() / (begin - end).double())[:, None]
    lam = a(low) / a(begin)
    goal = (z_end - lam * z_begin) / (s(low) - lam * s(begin))
    record("perflow", lambda f: ((f((1 - share) * z_begin + share * z_end, t) - goal) ** 2).mean())
    speed = (z_end - z_begin) / ((end - begin).double() / 1000)[:, None]
    record("perflow.velocity", lambda f: ((f((1 - share) * z_begin + share * z_end, t) - speed) ** 2).mean())

    # Terms on data.
    t = tensors["judged"]
    x_t = noised(x0)
    record("denoising", lambda f: ((x0_of(x_t, f(x_t, t), t) - x0) ** 2).mean())
    judged = lambda f: predict(nets["critic"], jump(x_t, f(x_t, t), t, zero), zero, condition)
    record("data_adversarial", lambda f: -judged(f).mean())
    save(out, "objectives", tensors)
