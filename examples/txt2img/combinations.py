# SPDX-License-Identifier: Apache-2.0
"""Cases of compare_diffusers.py --combinations: every solver with the options that change it, on every kind of checkpoint."""

import numpy as np
import torch

SOLVERS = ["tcd", "lcm", "ddim", "euler", "euler-a", "heun", "dpmpp2m", "unipc"]
SIGMAS = ["euler", "heun", "dpmpp2m", "unipc"]  # take Karras' sigmas


def combinations(m, work):
    """{name: options}; `m` is the folder of make_pipeline, `work` the one that compare_diffusers.cases has filled."""
    rng = torch.Generator().manual_seed(11)
    for name, shape in (("two", (2, 4, 16, 16)), ("odd_two", (2, 4, 9, 13)), ("six", (6, 4, 16, 16))):
        np.save(work / f"{name}.npy", torch.randn(*shape, generator=rng).numpy())
    one, two, three, six, odd, odd_two = (["--latents", str(work / f"{n}.npy")] for n in ("one", "two", "three", "six", "odd", "odd_two"))
    image, control, small = str(work / "init.png"), str(work / "control.png"), str(work / "control_other_size.png")

    def sd(kind, *more, prompt="two cats on a red sofa, 8k"):
        return ["--model", str(m / kind), "--prompt", prompt, "--rng", "torch", "--seed", "5", *more]

    def solver(name, steps=6, guidance="4", **options):
        out = ["--scheduler", name, "--steps", str(steps), "--guidance-scale", guidance]
        if name == "tcd":  # without it diffusers' pipelines take 0, txt2img the solver's 0.3
            out += ["--eta", "0.4"]
        for key, value in options.items():
            out += ["--scheduler-option", f"{key}={value}"]
        return out

    def nets(*list_):
        out = []
        for name, picture in list_:
            out += ["--controlnet", str(m / "controlnet" / name), "--control-image", picture]
        return out

    def lora(*list_):
        out = []
        for name, weight in list_:
            out += ["--lora", f"{m / 'lora' / name}:{weight}"]
        return out

    out = {}
    for s in SOLVERS:
        for kind in ("sd15", "sd21", "sdxl", "deep"):
            out[f"{s}/{kind}"] = sd(kind, *solver(s, 5), *one)
        for spacing in ("leading", "linspace", "trailing"):
            if s in ("tcd", "lcm"):  # their grids have no spacing
                continue
            out[f"{s}/{spacing}"] = sd("sd15", *solver(s, 7, timestep_spacing=spacing), *one)
        zero = {"rescale_betas_zero_snr": "true", "timestep_spacing": "trailing"}
        out[f"{s}/zero-snr-v"] = sd("sd21", *solver(s, 5, **zero), "--guidance-rescale", "0.7", *one)
        out[f"{s}/v"] = sd("sd15", *solver(s, 5, prediction_type="v_prediction"), *one)
        out[f"{s}/sample"] = sd("sd15", *solver(s, 5, prediction_type="sample"), *one)
        out[f"{s}/odd-batch"] = sd("sdxl", *solver(s, 4), "--height", "72", "--width", "104", "--prompt", "ein Hund", *odd_two)
        out[f"{s}/image"] = sd("sd15", *solver(s, 6), "--init-image", image, "--strength", "0.55")
        out[f"{s}/sdxl-image"] = sd("sdxl", *solver(s, 5), "--init-image", image, "--strength", "0.3")
        out[f"{s}/few"] = sd("sdxl", *solver(s, 2, "0"), *one)
        out[f"{s}/one-step"] = sd("sd15", *solver(s, 1, "0"), *one)
        out[f"{s}/window"] = sd(
            "sd15", *solver(s, 5), *nets(("sd15", control), ("sd15_second", control)), "--control-scale", "0.7",
            "--control-start", "0.2", "--control-start", "0.0", "--control-end", "1.0", "--control-end", "0.5", *one,
        )
    for s in SIGMAS:
        for kind in ("sd15", "sdxl", "sd21"):
            out[f"{s}/karras-{kind}"] = sd(kind, *solver(s, 6, use_karras_sigmas="true"), *one)
        out[f"{s}/karras-image"] = sd("sd15", *solver(s, 6, use_karras_sigmas="true"), "--init-image", image, "--strength", "0.7")
        out[f"{s}/karras-trailing"] = sd("sdxl", *solver(s, 6, use_karras_sigmas="true", timestep_spacing="trailing"), *one)
    for s in ("ddim", "tcd", "lcm"):
        out[f"{s}/alpha-one"] = sd("sd15", *solver(s, 5, set_alpha_to_one="true", steps_offset=0), *one)
        out[f"{s}/clip"] = sd("sd15", *solver(s, 5, clip_sample="true", clip_sample_range="1.5"), *one)
        eta = [] if s == "lcm" else ["--eta", "0"]
        out[f"{s}/times"] = sd("sdxl", "--scheduler", s, "--timesteps", "999,700,401,100", "--guidance-scale", "3", *eta, *one)
    out |= {
        "euler/times": sd("sd15", "--scheduler", "euler", "--timesteps", "999,700,401,100", "--guidance-scale", "3", *one),
        "dpmpp2m/times": sd("sd15", "--scheduler", "dpmpp2m", "--timesteps", "999,700,401,100", "--guidance-scale", "3", *one),
        "tcd/eta-1": sd("sdxl", "--scheduler", "tcd", "--steps", "4", "--guidance-scale", "0", "--eta", "1", *one),
        "tcd/eta-0": sd("sd21", "--scheduler", "tcd", "--steps", "4", "--guidance-scale", "4", "--eta", "0", *one),
        "ddim/eta-trailing": sd("sd21", *solver("ddim", 5, timestep_spacing="trailing"), "--eta", "1", *two, "--prompt", "a dog"),
        "ddim/beta-linear": sd("sd15", *solver("ddim", 5, beta_schedule="linear", beta_start="0.0001", beta_end="0.02"), *one),
        "ddim/cosine": sd("sd15", *solver("ddim", 5, beta_schedule="squaredcos_cap_v2"), *one),
        "lcm/original-steps": sd("lcm", *solver("lcm", 3, "6", original_inference_steps=20), *one),
        "lcm/student-image": sd("lcm", *solver("lcm", 4, "2"), "--init-image", image, "--strength", "0.5"),
        "lcm/student-batch": sd("lcm", *solver("lcm", 2, "3.5"), *two, "--prompt", "x"),
        "dpmpp2m/heun": sd("sd15", *solver("dpmpp2m", 6, solver_type="heun"), *one),
        "dpmpp2m/first-order": sd("sd15", *solver("dpmpp2m", 6, solver_order=1), *one),
        "dpmpp2m/lower-order-final": sd("sd15", *solver("dpmpp2m", 6, lower_order_final="false"), *one),
        "dpmpp2m/euler-at-final": sd("sd15", *solver("dpmpp2m", 18, euler_at_final="true"), *one),
        "dpmpp2m/sigma-min": sd("sd15", *solver("dpmpp2m", 6, final_sigmas_type="sigma_min"), *one),
        "unipc/bh1": sd("sd15", *solver("unipc", 6, solver_type="bh1"), *one),
        "unipc/third-order": sd("sd15", *solver("unipc", 7, solver_order=3), *one),
        "unipc/sigma-min": sd("sd15", *solver("unipc", 6, final_sigmas_type="sigma_min"), *one),
        "batch/prompts-images": sd("sd15", *solver("unipc", 4), "--prompt", "\u732b", "--images-per-prompt", "3", "--negative-prompt", "blurry", *six),
        "batch/sdxl-images": sd("sdxl", *solver("dpmpp2m", 4), "--images-per-prompt", "3", "--prompt-2", "oil!", "--negative-prompt", "", "--negative-prompt-2", "ugly", *three),
        "batch/torch-seed": sd("sd15", *solver("euler-a", 4), "--prompt", "one", "--prompt", "", "--images-per-prompt", "2"),
        "batch/torch-tcd": sd("sdxl", *solver("tcd", 3, "0"), "--images-per-prompt", "3"),
        "batch/clip-skip": sd("sdxl", *solver("euler", 4), "--clip-skip", "2", "--prompt", "short", *two),
        "text/mixed": sd("sdxl", *solver("euler", 3), *one, prompt="\uff33\uff24\u3000\u00c5ngstr\u00f6m \u0130\u00df\ufb01 1\u00bd2 <|endoftext|> it'LL! \U0001f468\u200d\U0001f469\u200d\U0001f467"),
        "text/long": sd("sdxl", *solver("ddim", 3), *one, "--negative-prompt", "bad " * 90, prompt="na\u00efve caf\u00e9, " * 40),
        "rescale/euler-a": sd("sd15", *solver("euler-a", 5), "--guidance-rescale", "1", *one),
        "rescale/sdxl-heun": sd("sdxl", *solver("heun", 4), "--guidance-rescale", "0.4", *one),
        "control/sdxl-window": sd("sdxl", *solver("euler", 6), *nets(("sdxl", control)), "--control-start", "0.34", "--control-end", "0.9", *one),
        "control/sdxl-guess": sd("sdxl", *solver("ddim", 4), *nets(("sdxl", control)), "--guess-mode", *one),
        "control/batch-two": sd("sd15", *solver("unipc", 4), *nets(("sd15", control), ("sd15_second", small)), "--prompt", "b", "--height", "128", "--width", "128", *two),
        "control/image-two": sd("sd15", *solver("dpmpp2m", 6), *nets(("sd15", control), ("sd15_second", control)), "--init-image", image, "--strength", "0.6"),
        "control/sdxl-image": sd("sdxl", *solver("euler", 6), *nets(("sdxl", control)), "--init-image", image, "--strength", "0.6", "--control-scale", "0.6"),
        "control/guess-windows": sd(
            "sd15", *solver("ddim", 6), *nets(("sd15", control), ("sd15_second", control)), "--guess-mode",
            "--control-start", "0", "--control-start", "0.5", "--control-end", "0.5", "--control-end", "1", *one,
        ),
        "lora/control-image": sd("sd15", *solver("tcd", 6, "0"), *lora(("sd15_hyper.safetensors", 1)), *nets(("sd15", control)), "--init-image", image, "--strength", "0.5"),
        "lora/three": sd("sdxl", *solver("ddim", 4), *lora(("sdxl_sgm.safetensors", 0.6), ("sdxl_kohya.safetensors", -0.3), ("sdxl_peft.safetensors", 1.2)), *one),
        "lora/three-unfused": sd("sdxl", *solver("ddim", 4), *lora(("sdxl_sgm.safetensors", 0.6), ("sdxl_kohya.safetensors", -0.3)), "--unfused-lora", *one),
        "lora/lcm": sd("sdxl", *solver("lcm", 4, "1"), *lora(("sdxl_diffusers.safetensors", 1)), *one),
        "lora/single-file": ["--model", str(m / "ldm" / "sdxl.safetensors"), "--config", str(m / "sdxl"), "--prompt", "x", *solver("euler", 4), *lora(("sdxl_sgm.safetensors", 1)), *one],
        "single/sd15-heun": ["--model", str(m / "ldm" / "sd15.safetensors"), "--config", str(m / "sd15"), "--prompt", "x", *solver("heun", 4), "--height", "72", "--width", "104", *odd],
        "tiny-decoder/sdxl": sd("sdxl", *solver("tcd", 2, "0"), "--tiny-decoder", str(m / "taesd" / "folder"), *two, "--prompt", "y"),
        "tiling/odd": sd("deep", *solver("euler", 3), "--vae-tiling", "--height", "72", "--width", "104", *odd),
        "sizes/sdxl": sd("sdxl", *solver("unipc", 4), "--original-size", "300,200", "--crops", "3,5", "--target-size", "128,128", "--prompt", "z", *two),
    }
    return out
