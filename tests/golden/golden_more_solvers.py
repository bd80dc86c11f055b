# SPDX-License-Identifier: Apache-2.0
"""Whole chains of LCM, Euler, ancestral Euler, Heun and DPM-Solver++(2M) by diffusers, and of PeRFlow in NumPy."""

import numpy as np
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete, scheduling_lcm
from diffusers.utils import logging

from golden_common import T, alphas_cumprod, normal, save
from golden_solvers import DEVIATION, PREDICTIONS, SCALED_LINEAR, Recorder, gaussian_oracle

SHAPE = (2, 3, 2)
COUNTS = (1, 2, 4, 8, 25)


def trailing(n):
    return [int(t) for t in np.round(T - np.arange(n) * T / n) - 1]


class Chains:
    """Runs schedulers on one exact teacher and gathers their states."""

    def __init__(self):
        self.bar = alphas_cumprod("scaled_linear")
        self.mean = 0.5 * normal("mean.more_solvers", 1, *SHAPE[1:])
        self.tensors = {"mean": self.mean[0], "deviation": torch.tensor([DEVIATION], dtype=torch.float64)}

    def keep(self, name, states, times, noises=()):
        self.tensors[f"{name}.x"] = torch.stack(states)
        self.tensors[f"{name}.t"] = torch.tensor(times)
        if noises:
            self.tensors[f"{name}.noise"] = torch.stack(noises)

    def run(self, name, scheduler, prediction, module=None, exploding=False):
        """`exploding`: the scheduler's samples are x / alpha, kept here as x. `module`: where its noise comes from."""
        model = gaussian_oracle(self.bar, self.mean, prediction)
        x = normal(f"start.{name}", *SHAPE)
        scale = lambda i: torch.sqrt(1 + scheduler.sigmas[i] ** 2) if exploding else 1
        states, times, noises = [x], [], []
        recorder = Recorder(f"noise.{name}", torch.float32)
        if module:
            original, module.randn_tensor = module.randn_tensor, recorder
        y = x * scale(0)
        try:
            for i, t in enumerate(scheduler.timesteps):
                recorder.last = None
                if not times or int(t) != times[-1]:
                    times.append(int(t))
                y = scheduler.step(model(scheduler.scale_model_input(y, t), int(t)), t, y).prev_sample
                # Heun's scheduler returns to first order when a step is complete, or at its last call.
                if i + 1 == len(scheduler.timesteps) or getattr(scheduler, "state_in_first_order", True):
                    states.append(y / scale(i + 1))
                    noises.append(torch.zeros_like(y) if recorder.last is None else recorder.last)
        finally:
            if module:
                module.randn_tensor = original
        assert len(states) == len(times) + 1, name
        self.keep(name, states, times, noises if module else ())


def diffusers_chains(chains):
    options = dict(timestep_spacing="trailing", **SCALED_LINEAR)
    made = lambda scheduler, n: scheduler.set_timesteps(n) or scheduler
    for n in COUNTS:
        for p in PREDICTIONS:
            scheduler = LCMScheduler(prediction_type=PREDICTIONS[p], **SCALED_LINEAR)
            scheduler.set_timesteps(timesteps=trailing(n))
            chains.run(f"lcm.{n}.{p}.clean", scheduler, p, scheduling_lcm)
        for p in ("eps", "v"):
            kind = dict(prediction_type=PREDICTIONS[p], **options)
            chains.run(f"euler.{n}.{p}.clean", made(EulerDiscreteScheduler(**kind), n), p, exploding=True)
            chains.run(
                f"euler_ancestral.{n}.{p}.clean",
                made(EulerAncestralDiscreteScheduler(**kind), n),
                p,
                scheduling_euler_ancestral_discrete,
                exploding=True,
            )
            chains.run(f"heun.{n}.{p}.clean", made(HeunDiscreteScheduler(**kind), n), p, exploding=True)
            multistep = dict(algorithm_type="dpmsolver++", solver_type="midpoint", solver_order=2, **kind)
            chains.run(
                f"dpmpp_2m.{n}.{p}.clean",
                made(DPMSolverMultistepScheduler(final_sigmas_type="zero", **multistep), n),
                p,
            )
    # Ends on the first level: the multistep scheduler's last step is of first order for n < 15 only.
    euler = EulerDiscreteScheduler(final_sigmas_type="sigma_min", **options)
    chains.run("euler.4.eps.first", made(euler, 4), "eps", exploding=True)
    multistep = DPMSolverMultistepScheduler(final_sigmas_type="sigma_min", **options)
    chains.run("dpmpp_2m.8.eps.first", made(multistep, 8), "eps")


def perflow_chain(chains, windows, n, prediction, own=False):
    """PeRFlow's formulas in continuous time t in (0, 1], in double; the level of t is entry t T - 1.

    `own`: the prediction is the noise between a window's ends (`diff_eps`).
    """
    bar, mean = chains.bar, chains.mean.double()
    model = gaussian_oracle(bar, mean, prediction)
    level = lambda t: bar[max(int(round(t * T)) - 1, 0)]
    name = f"perflow{windows}.{n}.{prediction}{'.own' if own else ''}.first"
    x = normal(f"start.{name}", *SHAPE, dtype=torch.float64)
    states, times = [x], trailing(n)
    for i, index in enumerate(times):
        t, after = (index + 1) / T, (times[i + 1] + 1) / T if i + 1 < n else 0.0
        # The window (end, start] with t in it, the lower one at a boundary.
        number = int(np.ceil(t * windows - 0.1 / T))
        start, end = number / windows, (number - 1) / windows
        alpha_s, alpha_e = np.sqrt(level(start)), np.sqrt(level(end))
        sigma_s, sigma_e = np.sqrt(1 - level(start)), np.sqrt(1 - level(end))
        ratio = alpha_e / alpha_s
        shrink = alpha_s / alpha_e
        eta = -np.sqrt(1 - shrink**2) / shrink if own else sigma_e - ratio * sigma_s
        output = model(x, index)
        noise = output if prediction == "eps" else np.sqrt(1 - bar[index]) * x + np.sqrt(bar[index]) * output
        arrival = (ratio * (end - start) * x + eta * (end - t) * noise) / (ratio * (t - start) + end - t)
        x = x + (after - t) * (arrival - x) / (end - t)
        states.append(x)
    chains.keep(name, states, times)


def more_solvers(out):
    """more_solvers.safetensors."""
    logging.set_verbosity_error()  # LCM warns of times off its grid
    chains = Chains()
    diffusers_chains(chains)
    for windows, n in ((1, 1), (1, 4), (2, 2), (2, 8), (4, 4), (4, 8), (5, 25)):
        for p in ("eps", "v"):
            perflow_chain(chains, windows, n, p)
    for windows, n in ((1, 1), (4, 4), (4, 8), (5, 25)):
        perflow_chain(chains, windows, n, "eps", own=True)
    save(out, "more_solvers", chains.tensors)
