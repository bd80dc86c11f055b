# SPDX-License-Identifier: Apache-2.0
"""Losses and gradients of learning from rewards, all in float64, on the network of golden_distill.py.

Written from equations 9, 10 and 13 of arXiv 2404.13686, apart from any C++ (a_t, s_t, Psi as in golden_distill.py;
x0(x, eps, t) = (x - s_t eps) / a_t, means are over the batch):

    reward       r(y, c): a network of the same form with one output, at time 0, y = tanh(x0 W^T + b) the decoded pictures
    bradley_terry    mean -ln sigmoid(r(preferred, c) - r(other, c)); the gradient is that of the reward's parameters
    hinge        w1 mean max(alpha1 - r1, 0) + w2 mean max(alpha2 - r2, 0)
    refl         x_0 = z; x_{i+1} = step(x_i, student, t_i -> t_{i+1}) without gradient up to `position`, then
                 hinge(decode(x0(x, student(x, t), t)))
    stay_close   mean (x0(x, student) - x0(x, teacher))^2 at that x, over all elements
    ddim         step = Psi
    tcd          step to s = floor((1 - eta) t'), then x = a_t'/a_s x + sqrt(1 - a_t'^2/a_s^2) noise
    ddpm         step = a_p x0 + sqrt(s_p^2 - v) eps + sqrt(v) noise, v = (s_p^2/s_t^2) (1 - a_t^2/a_p^2)
    velocity     the same with x0 = a_t x - s_t f, eps = s_t x + a_t f
"""

import torch
import torch.nn.functional as F
from torch import nn

from golden_common import alphas_cumprod, normal, save
from golden_distill import DIM, HIDDEN, network, predict
from golden_networks import build, inputs_of, record as record_module

B, PIXELS = 6, 10
ALPHA, WEIGHT = (1.0, 1.5), (0.5, 2.0)

# case: (list of times, position, step, eta, prediction)
CASES = {
    "one": ([999], 0, "ddim", 0.0, "eps"),
    "dedicated": ([800], 0, "ddim", 0.0, "eps"),
    "four": ([999, 749, 499, 249], 3, "ddim", 0.0, "eps"),
    "eight": ([999, 874, 749, 624, 499, 374, 249, 124], 6, "ddim", 0.0, "eps"),
    "tcd": ([999, 749, 499, 249], 3, "tcd", 0.3, "eps"),
    "ddpm": ([25 * i + 1 for i in reversed(range(40))], 33, "ddpm", 1.0, "eps"),
    "velocity": ([999, 749, 499, 249], 2, "tcd", 1.0, "v"),
}


def feedback(out):
    """feedback.safetensors"""
    bar = torch.from_numpy(alphas_cumprod("scaled_linear"))
    a = lambda t: bar[t].sqrt()
    s = lambda t: (1 - bar[t]).sqrt()
    nets = {role: network(role) for role in ("teacher", "student")}
    shapes = {"w1": (HIDDEN, PIXELS + 3), "b1": (HIDDEN,), "w2": (1, HIDDEN), "b2": (1,)}
    for role in ("first", "second"):
        nets[role] = {p: 0.4 * normal(f"feedback.{role}.{p}", *v, dtype=torch.float64) for p, v in shapes.items()}
    decoder = {"w": 0.3 * normal("feedback.w", PIXELS, DIM, dtype=torch.float64),
               "b": 0.3 * normal("feedback.b", PIXELS, dtype=torch.float64)}  # fmt: skip
    condition = torch.linspace(-1.0, 1.5, B, dtype=torch.float64)
    z = normal("feedback.z", B, DIM, dtype=torch.float64)
    pairs = {n: normal(f"feedback.{n}", B, PIXELS, dtype=torch.float64) for n in ("preferred", "other")}
    tensors = {"x0": torch.zeros_like(z), "z": z, "condition": condition, **pairs}
    tensors |= {f"decoder.{p}": v for p, v in decoder.items()}
    for role in ("first", "second"):
        tensors |= {f"{role}.{p}": v for p, v in nets[role].items()}

    zero = torch.zeros(B, dtype=torch.long)
    reward = lambda net, y: predict(net, y, zero, condition)[:, 0]
    decode = lambda x: torch.tanh(F.linear(x, decoder["w"], decoder["b"]))

    def record(name, role, loss_of):
        trained = {p: v.clone().requires_grad_() for p, v in nets[role].items()}
        loss = loss_of(trained)
        loss.backward()
        tensors[f"{name}.loss"] = loss.detach().reshape(1)
        tensors.update({f"{name}.grad.{p}": v.grad for p, v in trained.items()})

    record("bradley_terry", "first",
           lambda net: -torch.log(torch.sigmoid(reward(net, pairs["preferred"]) - reward(net, pairs["other"]))).mean())  # fmt: skip

    def hinges(y):
        rewards = [reward(nets[role], y) for role in ("first", "second")]
        return sum(w * torch.clamp(alpha - r, min=0).mean() for w, alpha, r in zip(WEIGHT, ALPHA, rewards)), rewards

    for case, (times, position, kind, eta, prediction) in CASES.items():
        noise = normal(f"feedback.{case}.noise", max(1, position), B, DIM, dtype=torch.float64)

        def parts(net, x, t, prediction=prediction):
            f = predict(net, x, torch.full((B,), t), condition)
            if prediction == "v":
                return a(t) * x - s(t) * f, s(t) * x + a(t) * f
            return (x - s(t) * f) / a(t), f

        x = z
        with torch.no_grad():
            for i in range(position):
                t, to = times[i], times[i + 1]
                x0, eps = parts(nets["student"], x, t)
                if kind == "ddim":
                    x = a(to) * x0 + s(to) * eps
                elif kind == "tcd":
                    low = int(torch.floor(torch.tensor(1 - eta, dtype=torch.float32) * to))
                    x = a(low) * x0 + s(low) * eps
                    x = a(to) / a(low) * x + (1 - bar[to] / bar[low]).sqrt() * noise[i]
                else:
                    v = (s(to) / s(t)) ** 2 * (1 - bar[t] / bar[to])
                    x = a(to) * x0 + (s(to) ** 2 - v).clamp(min=0).sqrt() * eps + v.sqrt() * noise[i]
        t = times[position]
        record(f"refl.{case}", "student", lambda net: hinges(decode(parts(net, x, t)[0]))[0])
        fixed = parts(nets["teacher"], x, t)[0].detach()
        record(f"stay_close.{case}", "student", lambda net: ((parts(net, x, t)[0] - fixed) ** 2).mean())
        with torch.no_grad():
            rewards = hinges(decode(parts(nets["student"], x, t)[0]))[1]
        tensors |= {f"refl.{case}.x": x, f"refl.{case}.times": torch.tensor(times), f"refl.{case}.noise": noise,
                    f"refl.{case}.position": torch.tensor([position]), f"refl.{case}.rewards": torch.stack(rewards)}  # fmt: skip
    save(out, "feedback", tensors)


class Head(nn.Module):
    """The linear stack of LAION's aesthetic predictor and of ImageReward, with its dropouts."""

    def __init__(self, sizes=(12, 10, 8, 6, 4)):
        super().__init__()
        a, b, c, d, e = sizes
        self.layers = nn.Sequential(nn.Linear(a, b), nn.Dropout(0.2), nn.Linear(b, c), nn.Dropout(0.2), nn.Linear(c, d),
                                    nn.Dropout(0.1), nn.Linear(d, e), nn.Linear(e, 1))  # fmt: skip

    def forward(self, x):
        return self.layers(x)


class ImageReward(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = Head()

    def forward(self, x):
        return (self.mlp(x) - 0.16717362830052426) / 1.0333394966054072


class Block(nn.Module):
    """silu(group norm(conv x)), plus x where the stride is 1 and the channels stay."""

    def __init__(self, i, o, kernel, stride, residual):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(i, o, kernel, stride, padding=kernel // 2), nn.GroupNorm(2, o)
        self.residual = residual

    def forward(self, x):
        h = F.silu(self.norm(self.conv(x)))
        return x + h if self.residual else h


class RewardModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(2, 4, 3, 2, False), Block(4, 4, 3, 1, True), Block(4, 6, 3, 2, False),
                                    Block(6, 6, 3, 1, True), Block(6, 8, 1, 1, False))  # fmt: skip
        self.caption_proj, self.fc, self.head = nn.Linear(5, 8), nn.Linear(24, 8), nn.Linear(8, 1)

    def forward(self, x, caption):
        f, g = self.blocks(x).mean(dim=(2, 3)), self.caption_proj(caption.mean(dim=1))
        return self.head(F.silu(self.fc(torch.cat([f, g, f * g], dim=1))))


def reward_networks(out):
    """aesthetic_head, image_reward_head, reward_model: as golden_networks.py."""
    heads = {"aesthetic_head": (Head, lambda m, i: m(F.normalize(i["x"], dim=1))[:, 0]),
             "image_reward_head": (ImageReward, lambda m, i: m(i["x"])[:, 0])}  # fmt: skip
    for name, (make, call) in heads.items():
        save(out, name, record_module(name, build(name, make), inputs_of(name, x=(5, 12)), call))
    inputs = inputs_of("reward_model", x=(3, 2, 10, 8), caption=(3, 4, 5))
    call = lambda m, i: m(i["x"], i["caption"])[:, 0]
    save(out, "reward_model", record_module("reward_model", build("reward_model", RewardModel), inputs, call))
