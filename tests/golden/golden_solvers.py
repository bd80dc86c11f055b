# SPDX-License-Identifier: Apache-2.0
"""Schedules, time grids and solver chains, all produced by diffusers' schedulers."""

import numpy as np
import torch
from diffusers import DDIMScheduler, TCDScheduler
from diffusers.schedulers import scheduling_ddim, scheduling_tcd

from golden_common import T, alphas_cumprod, generator, normal, save, save_json

SHAPE = (2, 4, 4, 2)
DEVIATION = 0.5
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
SCALED_LINEAR = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
KINDS = {
    "linear": dict(beta_schedule="linear", beta_start=1e-4, beta_end=2e-2),
    "scaled_linear": SCALED_LINEAR,
    "cosine": dict(beta_schedule="squaredcos_cap_v2"),
}
SELECTED = [0, 1, 19, 24, 41, 124, 147, 249, 354, 399, 499, 624, 749, 800, 874, 979, 998, 999]


def schedules(out):
    """schedules.json and schedules.safetensors: alphas_cumprod and time grids."""
    tables, tensors = {"t": SELECTED}, {"t": torch.tensor(SELECTED)}
    for kind, options in KINDS.items():
        for zero_snr in (False, True):
            name = kind + ("_zero_snr" if zero_snr else "")
            bar = DDIMScheduler(rescale_betas_zero_snr=zero_snr, **options).alphas_cumprod
            exact = alphas_cumprod(kind, zero_snr)
            # diffusers rounds betas to float32: close to a pole the tables part in relative terms.
            assert np.abs(bar.double().numpy() - exact).max() < 5e-6, name
            tables[name] = {
                "diffusers_f32": [float(bar[t]) for t in SELECTED],
                "exact_f64": [float(exact[t]) for t in SELECTED],
            }
            tensors[f"{name}.diffusers_f32"] = bar
            tensors[f"{name}.exact_f64"] = torch.from_numpy(exact)

    grids = {}
    for n in (1, 2, 3, 4, 6, 8, 16, 25):
        for spacing, offset in (("trailing", 0), ("linspace", 0), ("leading", 0), ("leading", 1)):
            s = DDIMScheduler(timestep_spacing=spacing, steps_offset=offset, **SCALED_LINEAR)
            s.set_timesteps(n)
            grids[f"{spacing}{offset or ''}.{n}"] = s.timesteps.tolist()
        for origin in (50, 40):
            s = TCDScheduler(original_inference_steps=origin)
            s.set_timesteps(n)
            grids[f"tcd{origin}.{n}"] = s.timesteps.tolist()
    for name, grid in grids.items():
        tensors[f"grid.{name}"] = torch.tensor(grid)
    save(out, "schedules", tensors)
    save_json(out, "schedules", {"alphas_cumprod": tables, "grids": grids})


class Recorder:
    """Stands in for diffusers' randn_tensor and keeps what it handed out."""

    def __init__(self, name, dtype):
        self.generator, self.dtype, self.last = generator(name), dtype, None

    def __call__(self, shape, **_):
        self.last = torch.randn(*shape, generator=self.generator).to(self.dtype)
        return self.last


def gaussian_oracle(bar, mean, prediction):
    """Exact prediction for data ~ N(mean, DEVIATION^2 I), evaluated in float64."""

    def model(x, t):
        alpha, sigma = np.sqrt(bar[t]), np.sqrt(1 - bar[t])
        shifted = (x.double() - alpha * mean.double()) / (alpha**2 * DEVIATION**2 + sigma**2)
        eps = sigma * shifted
        x0 = mean.double() + alpha * DEVIATION**2 * shifted
        value = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}[prediction]
        return value.to(x.dtype)

    return model


def run_chain(scheduler, module, name, prediction, eta, mean, bar, dtype):
    """One chain; returns the tensors of the case, and restores what it patched."""
    recorder, original = Recorder(f"noise.{name}", dtype), module.randn_tensor
    module.randn_tensor = recorder
    if dtype == torch.float64:
        scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
        if float(scheduler.final_alpha_cumprod) != 1.0:
            scheduler.final_alpha_cumprod = torch.tensor(bar[0])
        scheduler.alphas_cumprod = torch.from_numpy(bar)
    model = gaussian_oracle(bar, mean.to(dtype), prediction)
    x = normal(f"start.{name}", *SHAPE, dtype=dtype)
    grid = scheduler.timesteps.tolist()
    states, predictions, noises, ends, landings = [x], [], [], [], []
    try:
        for i, t in enumerate(grid):
            recorder.last = None
            prediction_value = model(x, t)
            if isinstance(scheduler, TCDScheduler):
                end = grid[i + 1] if i + 1 < len(grid) else 0
                landings.append(int(torch.floor((1 - eta) * torch.tensor(end))))
            else:
                end = max(t - T // scheduler.num_inference_steps, -1)
            x = scheduler.step(prediction_value, t, x, eta=eta).prev_sample
            assert x.dtype == dtype
            states.append(x)
            predictions.append(prediction_value)
            noises.append(torch.zeros_like(x) if recorder.last is None else recorder.last)
            ends.append(end)
    finally:
        module.randn_tensor = original
    case = {
        "x": torch.stack(states),
        "model": torch.stack(predictions),
        "t": torch.tensor(grid),
        "t_next": torch.tensor(ends),
        "eta": torch.tensor([eta], dtype=torch.float64),
    }
    if eta > 0:
        case["noise"] = torch.stack(noises)
    if landings:
        case["s"] = torch.tensor(landings)
    return {f"{name}.{key}": value for key, value in case.items()}


def ddim_scheduler(n, final_one, prediction, spacing="trailing", offset=0, zero_snr=False):
    scheduler = DDIMScheduler(
        clip_sample=False,
        set_alpha_to_one=final_one,
        timestep_spacing=spacing,
        steps_offset=offset,
        prediction_type=PREDICTIONS[prediction],
        rescale_betas_zero_snr=zero_snr,
        **SCALED_LINEAR,
    )
    scheduler.set_timesteps(n)
    return scheduler


def tcd_scheduler(prediction, origin=50, n=None, grid=None):
    scheduler = TCDScheduler(
        original_inference_steps=origin, prediction_type=PREDICTIONS[prediction], set_alpha_to_one=False
    )
    scheduler.set_timesteps(n, timesteps=grid)
    return scheduler


def ddim(out):
    """solver_ddim.safetensors."""
    bar = alphas_cumprod("scaled_linear")
    mean = 0.5 * normal("mean.ddim", 1, *SHAPE[1:])
    tensors = {"mean": mean[0], "deviation": torch.tensor([DEVIATION], dtype=torch.float64)}
    add = lambda s, name, p, eta, table=bar, dtype=torch.float32: tensors.update(
        run_chain(s, scheduling_ddim, name, p, eta, mean, table, dtype)
    )
    for n in (1, 2, 4, 8):
        for final_one in (False, True):
            for p in PREDICTIONS:
                for eta in (0.0, 0.5):
                    name = f"trailing{n}.{'clean' if final_one else 'first'}.{p}.eta{eta:g}"
                    add(ddim_scheduler(n, final_one, p), name, p, eta)
    add(ddim_scheduler(4, False, "eps"), "trailing4.first.eps.eta1", "eps", 1.0)
    add(ddim_scheduler(4, False, "eps", "leading", 1), "leading4.first.eps.eta0", "eps", 0.0)
    add(ddim_scheduler(6, False, "eps"), "trailing6.first.eps.eta0", "eps", 0.0)
    zero = alphas_cumprod("scaled_linear", True)
    add(ddim_scheduler(4, True, "v", zero_snr=True), "zero_snr4.clean.v.eta0", "v", 0.0, zero)
    for p in PREDICTIONS:
        add(ddim_scheduler(4, False, p), f"f64.trailing4.first.{p}.eta0.5", p, 0.5, dtype=torch.float64)
    save(out, "solver_ddim", tensors)


def tcd(out):
    """solver_tcd.safetensors."""
    bar = alphas_cumprod("scaled_linear")
    mean = 0.5 * normal("mean.tcd", 1, *SHAPE[1:])
    tensors = {"mean": mean[0], "deviation": torch.tensor([DEVIATION], dtype=torch.float64)}
    add = lambda s, name, p, eta, dtype=torch.float32: tensors.update(
        run_chain(s, scheduling_tcd, name, p, eta, mean, bar, dtype)
    )
    for n in (1, 2, 4, 8):
        for eta in (0.0, 0.3, 1.0):
            for p in PREDICTIONS:
                add(tcd_scheduler(p, 50, n), f"origin50.{n}.{p}.eta{eta:g}", p, eta)
            add(tcd_scheduler("eps", 40, n), f"origin40.{n}.eps.eta{eta:g}", "eps", eta)
    add(tcd_scheduler("eps", grid=[999, 760, 500, 259, 10]), "custom5.eps.eta0.8", "eps", 0.8)
    add(tcd_scheduler("eps", grid=[800]), "custom1.eps.eta0.3", "eps", 0.3)
    for p in PREDICTIONS:
        add(tcd_scheduler(p, 40, 4), f"f64.origin40.4.{p}.eta0.3", p, 0.3, torch.float64)
    save(out, "solver_tcd", tensors)
