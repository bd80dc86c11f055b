# SPDX-License-Identifier: Apache-2.0
"""A tiny Stable Diffusion checkpoint with random weights, and what diffusers makes of it.

`pipeline/tiny`, `control`, `lora.safetensors`, `taesd.safetensors` come from examples/make_pipeline; `cases.json` has the
options of txt2img for each case, and `<case>.safetensors` the result of examples/txt2img/reference.py with them.
"""

import argparse
import json
import os
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from golden_common import generator

ROOT = pathlib.Path(__file__).parents[2]
CONTROL = ["--controlnet", "control", "--control-image", "control.png"]
CASES = {
    "tcd": ["--model", "tiny", "--prompt", "a photo of a cat", "--scheduler", "tcd", "--steps", "4", "--eta", "0.3",
            "--guidance-scale", "0", "--seed", "5", "--rng", "torch"],
    "ddim": ["--model", "tiny", "--prompt", "Ein H\u00fcndchen, 2 B\u00e4ume", "--prompt", "", "--negative-prompt", "blurry",
             "--scheduler", "ddim", "--scheduler-option", "timestep_spacing=trailing", "--steps", "3",
             "--guidance-scale", "7.5", "--guidance-rescale", "0.5", "--height", "40", "--width", "56", "--rng", "torch"],
    "control": ["--model", "tiny", "--prompt", "a house", "--scheduler", "euler", "--steps", "3", *CONTROL,
                "--control-scale", "0.8", "--control-end", "0.7", *CONTROL, "--control-scale", "0.3", "--control-end", "1",
                "--guess-mode", "--lora", "lora.safetensors:0.6", "--height", "64", "--width", "64", "--rng", "torch"],
    "image": ["--model", "tiny", "--prompt", "a house", "--scheduler", "unipc", "--steps", "4", "--init-image", "control.png",
              "--strength", "0.75", "--vae-tiling", "--rng", "torch"],
    "lcm": ["--model", "tiny", "--prompt", "a house", "--scheduler", "lcm", "--steps", "2", "--guidance-scale", "1",
              "--tiny-decoder", "taesd.safetensors", "--clip-skip", "1", "--rng", "torch"],
}  # fmt: skip


def halves(path):
    """Stores the numbers of a file in 16 bits."""
    state = {k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file(state, path, {"format": "pt"})


def pipeline(out):
    for folder in ("make_pipeline", "txt2img"):
        sys.path.insert(0, str(ROOT / "examples" / folder))
    import adapters
    import make_pipeline
    import reference

    folder = pathlib.Path(out) / "pipeline"
    folder.mkdir(parents=True, exist_ok=True)
    make_pipeline.write_pipeline("tiny", folder / "tiny", argparse.Namespace(full=False, half=False))
    net, _, texts = make_pipeline.networks("tiny", False, 800)
    make_pipeline.write_controlnet(folder / "control", net, "golden", (4, 4, 8, 8))
    halves(folder / "control" / "diffusion_pytorch_model.safetensors")
    parts = {"unet": net, "text_encoder": texts[0]}
    lora = adapters.kohya(adapters.random_lora(parts, 2, generator("pipeline.lora")), 1.0, False)
    save_file({k: v.half().contiguous() for k, v in lora.items()}, folder / "lora.safetensors")
    tiny = make_pipeline.tiny_autoencoder(4)
    save_file({k: v.half() for k, v in tiny.state_dict().items()}, folder / "taesd.safetensors")
    picture = torch.randint(0, 256, (5, 6, 3), generator=generator("pipeline.picture"), dtype=torch.uint8).numpy()
    Image.fromarray(picture.repeat(8, 0).repeat(8, 1)).save(folder / "control.png")
    (folder / "cases.json").write_text(json.dumps(CASES, indent=1) + "\n")
    here = os.getcwd()
    os.chdir(folder)
    try:
        for name, options in CASES.items():
            found = reference.reference(options)
            tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in found.items()}
            tensors = {k: v.long() if not v.is_floating_point() else v.float() for k, v in tensors.items()}
            del tensors["latents"]  # the last of latents_steps
            save_file(tensors, f"{name}.safetensors")
    finally:
        os.chdir(here)
