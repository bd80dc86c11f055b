# SPDX-License-Identifier: Apache-2.0
"""Whole loops of diffusers' schedulers around a small fixed network, as the pipelines of Stable Diffusion run them."""

import contextlib
import io
import json

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import scheduling_ddim, scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd

from golden_common import normal, save, save_json

CLASSES = {
    "tcd": TCDScheduler,
    "lcm": LCMScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler-a": EulerAncestralDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "dpmpp2m": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
    "pndm": PNDMScheduler,
}
# What the published files state (SD1.5, SDXL), and a v-prediction at zero terminal SNR.
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
SD15 = BETAS | {"_class_name": "PNDMScheduler", "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None}
SDXL = BETAS | {
    "_class_name": "EulerDiscreteScheduler", "clip_sample": False, "interpolation_type": "linear", "prediction_type": "epsilon",
    "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "timestep_spacing": "leading", "trained_betas": None, "use_karras_sigmas": False,
}
V_ZERO = BETAS | {"_class_name": "DDIMScheduler", "clip_sample": False, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "set_alpha_to_one": True, "steps_offset": 1}
SHAPE = (1, 4, 1, 2)
MATRIX = torch.tensor([[0.6, 0.2, -0.1, 0.1], [-0.2, 0.5, 0.2, 0.0], [0.1, -0.1, 0.7, 0.2], [0.0, 0.1, -0.2, 0.4]])
VECTOR = torch.tensor([0.3, -0.2, 0.1, 0.4])


def network(x, t):
    """MATRIX x + VECTOR cos(t / 100), channel by channel."""
    return torch.einsum("oc,bchw->bohw", MATRIX, x) + (VECTOR * torch.cos(torch.as_tensor(t, dtype=torch.float64) / 100).float())[None, :, None, None]


def cases():
    """name, scheduler, configuration, keywords of the run."""
    for kind in CLASSES:
        for n in (1, 2, 4, 8):
            yield f"sd15.{kind}.{n}", kind, SD15, {"steps": n}
        yield f"sdxl.{kind}.6", kind, SDXL, {"steps": 6}
        if kind != "pndm":
            yield f"v_zero.{kind}.5", kind, V_ZERO, {"steps": 5}
        if kind not in ("tcd", "lcm", "pndm"):
            for spacing in ("leading", "trailing", "linspace"):
                yield f"{spacing}.{kind}.7", kind, SD15 | {"timestep_spacing": spacing}, {"steps": 7}
        if kind not in ("euler-a", "pndm"):
            yield f"sample.{kind}.4", kind, SD15 | {"prediction_type": "sample"}, {"steps": 4}
        if kind not in ("pndm",):
            yield f"strength.{kind}.6", kind, SD15, {"steps": 6, "strength": 0.5}
    for kind in ("euler", "heun", "dpmpp2m", "unipc"):
        yield f"karras.{kind}.6", kind, SDXL | {"use_karras_sigmas": True}, {"steps": 6}
        yield f"karras_linspace.{kind}.5", kind, SD15 | {"use_karras_sigmas": True}, {"steps": 5}
    for kind in ("euler", "dpmpp2m", "unipc"):
        yield f"sigma_min.{kind}.6", kind, SD15 | {"final_sigmas_type": "sigma_min"}, {"steps": 6}
        yield f"sigma_min.{kind}.16", kind, SD15 | {"final_sigmas_type": "sigma_min"}, {"steps": 16}
        yield f"sigma_min_karras.{kind}.5", kind, SDXL | {"final_sigmas_type": "sigma_min", "use_karras_sigmas": True}, {"steps": 5}
    yield "no_lower_order.dpmpp2m.6", "dpmpp2m", SD15 | {"final_sigmas_type": "sigma_min", "lower_order_final": False}, {"steps": 6}
    yield "euler_at_final.dpmpp2m.16", "dpmpp2m", SD15 | {"final_sigmas_type": "sigma_min", "euler_at_final": True}, {"steps": 16}
    for kind in ("ddim", "pndm"):
        yield f"alpha_one.{kind}.5", kind, SD15 | {"set_alpha_to_one": True}, {"steps": 5}
    for kind in ("ddim", "lcm", "heun"):
        yield f"clip.{kind}.5", kind, SD15 | {"clip_sample": True, "clip_sample_range": 0.5}, {"steps": 5}
    yield "clip_v.ddim.5", "ddim", V_ZERO | {"clip_sample": True}, {"steps": 5, "eta": 0.5}
    for eta in (0.0, 0.3, 1.0):
        yield f"eta{eta}.tcd.4", "tcd", SD15, {"steps": 4, "eta": eta}
        yield f"eta{eta}.ddim.5", "ddim", SD15 | {"timestep_spacing": "trailing"}, {"steps": 5, "eta": eta}
    for kind in ("tcd", "lcm", "euler", "heun", "dpmpp2m"):
        yield f"times.{kind}", kind, SDXL, {"timesteps": [999, 650, 300, 80]}
    yield "times800.lcm", "lcm", SDXL, {"timesteps": [800]}
    for kind in ("euler", "ddim"):
        yield f"cosine.{kind}.4", kind, SD15 | {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"}, {"steps": 4}
    yield "linear.ddim.4", "ddim", {"_class_name": "DDIMScheduler", "clip_sample": False}, {"steps": 4}


class Draws:
    """Stands in for randn_tensor: keeps what it hands out."""

    def __init__(self, name):
        self.name, self.kept = name, []

    def __call__(self, shape, **_):
        self.kept.append(normal(f"{self.name}.draw{len(self.kept)}", *shape))
        return self.kept[-1]


@torch.no_grad()
def run(name, kind, config, steps=None, timesteps=None, strength=None, eta=None):
    # scheduler_config.json states what is not a default: from_config on the file's class and then on ours.
    scheduler = CLASSES[kind].from_config(dict(config))
    if timesteps:
        scheduler.set_timesteps(timesteps=timesteps)
    else:
        scheduler.set_timesteps(steps)
    times, noise = scheduler.timesteps, normal(f"{name}.start", *SHAPE)
    x = noise * scheduler.init_noise_sigma
    if strength is not None:  # as get_timesteps and prepare_latents of the image-to-image pipelines
        start = max(steps - min(int(steps * strength), steps), 0)
        times = times[start * scheduler.order :]
        scheduler.set_begin_index(start * scheduler.order) if hasattr(scheduler, "set_begin_index") else None
        image = normal(f"{name}.image", *SHAPE)
        x = scheduler.add_noise(image, noise, times[:1])
    draws = Draws(name)
    modules = (scheduling_ddim, scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd)
    saved = [m.randn_tensor for m in modules]
    for m in modules:
        m.randn_tensor = draws
    trajectory, asked = [], []
    keywords = {"eta": eta} if eta is not None else {}
    try:
        for t in times:
            asked.append(float(t))
            out = network(scheduler.scale_model_input(x, t), t)
            x = scheduler.step(out, t, x, return_dict=False, **keywords)[0]
            trajectory.append(x)
    finally:
        for m, f in zip(modules, saved):
            m.randn_tensor = f
    values = {"start": noise, "x": torch.stack(trajectory), "times": torch.tensor(asked, dtype=torch.float64)}
    if strength is not None:
        values["image"] = image
    if draws.kept:
        values["noise"] = torch.stack(draws.kept)
    return {f"{name}.{k}": v for k, v in values.items()}


def schedulers(out):
    """schedulers.safetensors: start, image, noise, x after each call of the network, times; scheduler_cases.json."""
    values, table = {}, {}
    with contextlib.redirect_stderr(io.StringIO()):
        for name, kind, config, options in cases():
            values |= run(name, kind, config, **options)
            table[name] = {"kind": kind, "config": config} | options
    save(out, "scheduler_loops", {k: v.contiguous() for k, v in values.items()})
    save_json(out, "scheduler_cases", table, indent=None)
