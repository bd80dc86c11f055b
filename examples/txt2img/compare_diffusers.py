#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs txt2img and diffusers with the same options on checkpoints of make_pipeline, and compares what both make.

    python3 ../make_pipeline/make_pipeline.py models
    python3 compare_diffusers.py --program PATH/hypersd_txt2img --models models             # all cases
    python3 compare_diffusers.py --program ... --models models --cases 'tcd|sdxl' --keep out
    python3 compare_diffusers.py --program ... --models models --combinations              # solvers x options x kinds

A case passes if tokens are equal, embeddings differ by at most 1e-4, latents after each step by at most 5e-4 times their
standard deviation (or 1 if that is larger), and pictures by at most 1/255. diffusers' results are kept in --cache, since
they take longest.
"""

import argparse
import hashlib
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from combinations import combinations
from reference import reference

LIMITS = {"tokens": 0, "embeds": 1e-4, "latents": 5e-4, "image": 1 / 255}


def cases(m, work):
    """{name: options}; `m` is the folder of make_pipeline, `work` one for arrays and pictures."""
    rng = torch.Generator().manual_seed(7)
    noise = lambda *shape: torch.randn(*shape, generator=rng).numpy()
    for name, shape in (("one", (1, 4, 16, 16)), ("three", (3, 4, 16, 16)), ("odd", (1, 4, 9, 13)), ("draws", (8, 1, 4, 16, 16))):
        np.save(work / f"{name}.npy", noise(*shape))
    ramp = np.linspace(0, 255, 128)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 255 - ramp[:, None]), axis=-1)
    Image.fromarray(smooth.astype(np.uint8)).save(work / "init.png")
    blocks = torch.randint(0, 256, (8, 8, 3), generator=rng, dtype=torch.uint8).numpy().repeat(16, 0).repeat(16, 1)
    Image.fromarray(blocks).save(work / "control.png")
    Image.fromarray(blocks[:100, :90]).save(work / "control_other_size.png")
    one, three, odd, draws = (["--latents", str(work / f"{n}.npy")] for n in ("one", "three", "odd", "draws"))
    draws[0] = "--noise"

    def sd(kind, *more, prompt="a photo of a cat, 4k"):
        return ["--model", str(m / kind), "--prompt", prompt, *more]

    def control(name, *more):
        return ["--controlnet", str(m / "controlnet" / name), "--control-image", str(work / "control.png"), *more]

    def lora(name, weight="0.7"):
        return ["--lora", f"{m / 'lora' / name}:{weight}"]

    image = str(work / "init.png")
    tcd8 = ["--scheduler", "tcd", "--steps", "8", "--guidance-scale", "0", "--eta", "0.3", "--rng", "torch"]
    ddim10 = ["--scheduler", "ddim", "--steps", "10", "--guidance-scale", "7.5"]
    ddim4 = ["--scheduler", "ddim", "--steps", "4", "--guidance-scale", "5"]
    trailing = ["--scheduler-option", "timestep_spacing=trailing"]
    out = {
        "tcd8": sd("sd15", *tcd8, *one),
        "tcd8-noise": sd("sd15", "--scheduler", "tcd", "--steps", "8", "--guidance-scale", "0", "--eta", "0.9", *one, *draws),
        "tcd-seed": sd("sd15", *tcd8, "--seed", "123"),
        "tcd-times": sd("sd15", "--scheduler", "tcd", "--timesteps", "999,600,200", "--eta", "0", *one),
        "ddim10": sd("sd15", *ddim10, *one),
        "ddim10-trailing": sd("sd15", *ddim10, *trailing, *one),
        "ddim-eta": sd("sd15", *ddim4, "--eta", "0.7", "--rng", "torch", *one),
        "ddim-odd": sd("sd15", *ddim4, "--height", "72", "--width", "104", *odd),
        "lcm": sd("sd15", "--scheduler", "lcm", "--steps", "4", "--guidance-scale", "1", "--rng", "torch", *one),
        "lcm-student": sd("lcm", "--steps", "4", "--guidance-scale", "8.5", "--rng", "torch", *one),
        "euler": sd("sd15", "--scheduler", "euler", "--steps", "8", *one),
        "euler-trailing": sd("sd15", "--scheduler", "euler", "--steps", "8", *trailing, *one),
        "euler-karras": sd("sd15", "--scheduler", "euler", "--steps", "8", "--scheduler-option", "use_karras_sigmas=true", *one),
        "euler-a": sd("sd15", "--scheduler", "euler-a", "--steps", "8", *one, *draws),
        "heun": sd("sd15", "--scheduler", "heun", "--steps", "5", *one),
        "dpmpp2m": sd("sd15", "--scheduler", "dpmpp2m", "--steps", "8", *one),
        "dpmpp2m-karras": sd("sd15", "--scheduler", "dpmpp2m", "--steps", "8", "--scheduler-option", "use_karras_sigmas=true", *one),
        "dpmpp2m-20": sd("sd15", "--scheduler", "dpmpp2m", "--steps", "20", *trailing, *one),
        "unipc": sd("sd15", "--scheduler", "unipc", "--steps", "8", *one),
        "batch": sd("sd15", *ddim4, "--prompt", "ein Hund", "--prompt", "", "--negative-prompt", "blurry", *three),
        "images-per-prompt": sd("sd15", *ddim4, "--images-per-prompt", "3", *three),
        "clip-skip": sd("sd15", *ddim4, "--clip-skip", "1", *one),
        "rescale": sd("sd15", *ddim4, "--guidance-rescale", "0.7", *one),
        "unicode": sd("sd15", *ddim4, *one, prompt="Ein CAFÉ\u0301 in \u6771\u4eac \U0001f63a!! it's 42"),
        "long": sd("sd15", *ddim4, *one, prompt="word " * 100),
        "sd21": sd("sd21", "--steps", "4", *one),
        "sd21-zero-snr": sd("sd21", *ddim4, *trailing, "--scheduler-option", "rescale_betas_zero_snr=true", *one),
        "deep": sd("deep", *ddim4, *one),
        "deep-odd": sd("deep", *ddim4, "--height", "72", "--width", "104", *odd),
        "sdxl": sd("sdxl", "--steps", "4", *one),
        "sdxl-tcd": sd("sdxl", *tcd8, *one),
        "sdxl-negative": sd("sdxl", *ddim4, "--negative-prompt", "", "--prompt-2", "a dog!", *one),
        "sdxl-sizes": sd(
            "sdxl", *ddim4, "--original-size", "1024,768", "--crops", "8,16", "--target-size", "512,640",
            "--negative-original-size", "256,256", "--negative-crops", "0,4", "--negative-target-size", "512,512", *one,
        ),
        "sdxl-odd-batch": sd("sdxl", *ddim4, "--clip-skip", "1", "--height", "72", "--width", "104", *odd),
        "tiny-decoder": sd("sd15", *ddim4, "--tiny-decoder", str(m / "taesd" / "folder"), *one),
        "image-to-image": sd("sd15", *ddim4, "--init-image", image, "--strength", "0.6", "--rng", "torch"),
        "image-to-image-tcd": sd("sd15", *tcd8, "--init-image", image, "--strength", "0.5"),
        "image-to-image-euler": sd("sd15", "--scheduler", "euler", "--steps", "8", "--init-image", image, "--strength", "0.5", "--rng", "torch"),
        "sdxl-image-to-image": sd("sdxl", *ddim4, "--init-image", image, "--strength", "0.75", "--rng", "torch"),
        "control": sd("sd15", *ddim4, *control("sd15", "--control-scale", "0.8"), *one),
        "control-size": sd("sd15", *ddim4, "--controlnet", str(m / "controlnet/sd15"), "--control-image", str(work / "control_other_size.png"), "--height", "128", "--width", "128", *one),
        "control-window": sd("sd15", *ddim4, *control("sd15", "--control-start", "0.25", "--control-end", "0.75"), *one),
        "control-guess": sd("sd15", *ddim4, *control("sd15", "--guess-mode"), *one),
        "control-guess-plain": sd("sd15", "--scheduler", "ddim", "--steps", "4", "--guidance-scale", "0", *control("sd15", "--guess-mode"), *one),
        "control-canny": sd("sd15", *ddim4, *control("sd15", "--canny"), *one),
        "control-two": sd("sd15", *ddim4, *control("sd15", "--control-scale", "0.8"), *control("sd15_second", "--control-scale", "0.4"), *one),
        "control-batch": sd("sd15", *ddim4, *control("sd15"), "--images-per-prompt", "3", *three),
        "sdxl-control": sd("sdxl", *ddim4, *control("sdxl", "--control-scale", "0.5"), *one),
        "control-image-to-image": sd("sd15", *ddim4, *control("sd15"), "--init-image", image, "--strength", "0.75", "--rng", "torch"),
        "lora-scale": sd("sd15", *ddim4, *lora("sd15_kohya.safetensors"), "--lora-scale", "0.5", *one),
        "lora-two": sd("sd15", *ddim4, *lora("sd15_kohya.safetensors"), *lora("sd15_diffusers.safetensors", "-0.4"), *one),
    }
    for kind in ("sd15", "sdxl"):
        names = ["hyper", "kohya", "diffusers", "peft"] + (["sgm"] if kind == "sdxl" else [])
        for name in names:
            out[f"{kind}-lora-{name}"] = sd(kind, *ddim4, *lora(f"{kind}_{name}.safetensors"), *one)
        out[f"{kind}-lora-folder"] = sd(kind, *ddim4, "--lora", str(m / "lora" / f"{kind}_peft_folder"), *one)
        unfused = [*ddim4, *lora(f"{kind}_kohya.safetensors"), "--unfused-lora", "--lora-scale", "0.5"]
        out[f"{kind}-lora-unfused"] = sd(kind, *unfused, *one)
        single = ["--model", str(m / "ldm" / f"{kind}.safetensors"), "--config", str(m / kind), "--prompt", "a cat"]
        out[f"{kind}-single-file"] = [*single, *ddim4, *one]
    return out


def cached(folder, name, options):
    """diffusers' results of a case, computed once."""
    key = hashlib.sha256(repr((name, options)).encode()).hexdigest()[:16]
    path = folder / f"{name.replace('/', '-')}.{key}.npz"
    if not path.exists():
        np.savez(path, **reference(options))
    return dict(np.load(path))


def distance(name, ours, theirs):
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, diffusers {theirs.shape}"
    scale = max(1.0, float(theirs.std())) if name.startswith("latents") else 1.0
    return float(np.max(np.abs(ours.astype(np.float64) - theirs))) / scale


def limit(name):
    for prefix in ("tokens", "latents", "image"):
        if name.startswith(prefix):
            return LIMITS[prefix]
    return LIMITS["embeds"]


def compare(folder, theirs, options):
    """Worst distances of a case by name, and whether all are within their limits."""
    found, good = {}, True
    if "heun" in options:  # diffusers counts both evaluations of a step
        theirs["latents_steps"] = np.concatenate([theirs["latents_steps"][1:-1:2], theirs["latents_steps"][-1:]])
    for name, value in theirs.items():
        path = folder / f"{name}.npy"
        if not path.exists():
            found[name] = "missing"
            good = False
            continue
        found[name] = distance(name, np.load(path), value)
        good = good and not isinstance(found[name], str) and found[name] <= limit(name)
    shown = folder / ("image.png" if len(theirs["image"]) == 1 else "image0.png")
    picture = np.moveaxis(np.array(Image.open(shown)).astype(np.float64) / 255, -1, 0)
    found["png"] = float(np.max(np.abs(picture - theirs["image"][0])))
    return found, good and found["png"] <= 1.5 / 255


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--program", required=True, help="hypersd_txt2img")
    p.add_argument("--models", required=True, type=pathlib.Path, help="folder that make_pipeline has written")
    p.add_argument("--cases", default="", help="regular expression; default: all cases")
    p.add_argument("--keep", type=pathlib.Path, default=pathlib.Path("compare_diffusers"), help="folder for results")
    p.add_argument("--cache", type=pathlib.Path, help="folder for diffusers' results; default: KEEP/cache")
    p.add_argument("--combinations", action="store_true", help="the solvers with all their options on all kinds instead: 193 cases")
    p.add_argument("--only-reference", action="store_true", help="fill the cache; do not run the program")
    args = p.parse_args()
    torch.set_num_threads(1)
    cache = args.cache or args.keep / "cache"
    for folder in (args.keep, cache, args.keep / "inputs"):
        folder.mkdir(parents=True, exist_ok=True)
    failed = []
    chosen = cases(args.models, args.keep / "inputs")
    if args.combinations:
        chosen = combinations(args.models, args.keep / "inputs")
    for name, options in chosen.items():
        if not re.search(args.cases, name):
            continue
        started = time.time()
        try:
            theirs = cached(cache, name, options)
        except Exception as error:  # an option that diffusers does not have there
            print(f"none   {name}: diffusers: {type(error).__name__}: {str(error)[:200]}", flush=True)
            continue
        if args.only_reference:
            print(f"{name}: {time.time() - started:.1f} s", flush=True)
            continue
        folder = args.keep / name
        command = [args.program, *options, "--out", str(folder), "--save-steps", "--dump-embeds", "--dump-tokens"]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 2 and "not supported" in run.stderr:
            print(f"refused {name}: {run.stderr.strip()[-200:]}", flush=True)
            continue
        if run.returncode != 0:
            print(f"FAILED {name}: exit code {run.returncode}: {run.stderr.strip()[-400:]}", flush=True)
            failed.append(name)
            continue
        found, good = compare(folder, theirs, options)
        numbers = "  ".join(f"{k} {v if isinstance(v, str) else format(v, '.1e')}" for k, v in found.items())
        print(f"{'ok    ' if good else 'FAILED'} {name}: {numbers}", flush=True)
        if not good:
            failed.append(name)
    print(f"{len(failed)} failed" + (": " + " ".join(failed) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
