# SPDX-License-Identifier: Apache-2.0
"""What diffusers makes of txt2img's options: the other side of compare_diffusers.py."""

import argparse
import json
import pathlib

import numpy as np
import torch
from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.utils import logging
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel

logging.set_verbosity_error()
logging.disable_progress_bar()

SCHEDULERS = {
    "tcd": TCDScheduler,
    "lcm": LCMScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler-a": EulerAncestralDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "dpmpp2m": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}
# class by (SDXL, image-to-image, ControlNet)
PIPELINES = {
    (False, False, False): StableDiffusionPipeline,
    (False, False, True): StableDiffusionControlNetPipeline,
    (False, True, False): StableDiffusionImg2ImgPipeline,
    (False, True, True): StableDiffusionControlNetImg2ImgPipeline,
    (True, False, False): StableDiffusionXLPipeline,
    (True, False, True): StableDiffusionXLControlNetPipeline,
    (True, True, False): StableDiffusionXLImg2ImgPipeline,
    (True, True, True): StableDiffusionXLControlNetImg2ImgPipeline,
}


def pair(text):
    return tuple(int(v) for v in text.split(","))


def parser():
    """The options that the comparison understands; those that only choose how to compute have no effect."""
    p = argparse.ArgumentParser(prog="reference")
    for name in ("model", "config", "variant", "negative-prompt", "negative-prompt-2", "prompt-2", "scheduler", "init-image"):
        p.add_argument("--" + name)
    for name in ("latents", "noise", "tiny-decoder", "timesteps", "control-variant", "rng", "device", "dtype"):
        p.add_argument("--" + name)
    for name in ("lora", "controlnet", "control-image", "prompt", "scheduler-option"):
        p.add_argument("--" + name, action="append", default=[])
    for name in ("control-scale", "control-start", "control-end"):
        p.add_argument("--" + name, action="append", type=float, default=[])
    for name, default in (("lora-scale", 1), ("eta", None), ("guidance-scale", None), ("guidance-rescale", 0), ("strength", 0.8)):
        p.add_argument("--" + name, type=float, default=default)
    for name in ("original-size", "crops", "target-size", "negative-original-size", "negative-crops", "negative-target-size"):
        p.add_argument("--" + name, type=pair)
    for name, default in (("images-per-prompt", 1), ("clip-skip", None), ("steps", None), ("seed", 0), ("width", None), ("height", None)):
        p.add_argument("--" + name, type=int, default=default)
    for name in ("unfused-lora", "guess-mode", "canny", "vae-tiling", "allow-unused-lora", "vae-slicing"):
        p.add_argument("--" + name, action="store_true")
    p.add_argument("--threads", type=int)
    return p


def option_value(text):
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except json.JSONDecodeError:
        return text


def load_base(o):
    path = pathlib.Path(o.model)
    folder = path if path.is_dir() else pathlib.Path(o.config)
    xl = "XL" in json.loads((folder / "model_index.json").read_text())["_class_name"]
    cls = PIPELINES[xl, False, False]
    more = {} if xl else {"safety_checker": None}
    if path.is_file():
        pipe = cls.from_single_file(str(path), config=str(folder), local_files_only=True, torch_dtype=torch.float32, **more)
    else:
        variant = o.variant or ("fp16" if list((path / "unet").glob("*fp16*")) else None)
        pipe = cls.from_pretrained(path, variant=variant, torch_dtype=torch.float32, **more)
    return pipe, xl


def load_tiny(path):
    """An AutoencoderTiny from its folder or file."""
    if pathlib.Path(path).is_dir():
        return AutoencoderTiny.from_pretrained(path)
    state = {k: v.float() for k, v in load_file(path).items()}
    width = (state["decoder.layers.0.weight"].shape[0],) * 4
    tiny = AutoencoderTiny(encoder_block_out_channels=width, decoder_block_out_channels=width)
    tiny.load_state_dict(state)
    return tiny.eval()


def add_loras(pipe, o):
    """Adapters with their weights, fused unless told otherwise."""
    if not o.lora:
        return {}
    names, weights = [], []
    for i, text in enumerate(o.lora):
        path, colon, weight = text.rpartition(":")
        path, weight = (path, float(weight)) if colon else (text, 1.0)
        name = f"adapter{i}"
        if pathlib.Path(path).is_dir():  # peft's folder: alpha / r goes into the second factor
            config = json.loads((pathlib.Path(path) / "adapter_config.json").read_text())
            state = load_file(pathlib.Path(path) / "adapter_model.safetensors")
            factor = config["lora_alpha"] / config["r"]
            state = {k.replace("base_model.model.", "unet."): v * (factor if "lora_B" in k else 1) for k, v in state.items()}
            pipe.load_lora_weights(state, adapter_name=name)
        else:
            pipe.load_lora_weights(str(pathlib.Path(path).parent), weight_name=pathlib.Path(path).name, adapter_name=name)
        names.append(name)
        weights.append(weight)
    pipe.set_adapters(names, weights)
    if o.unfused_lora:
        return {"cross_attention_kwargs": {"scale": o.lora_scale}}
    pipe.fuse_lora(lora_scale=o.lora_scale)
    return {}


def picture(path, canny):
    image = Image.open(path).convert("RGB")
    if canny:
        import cv2

        edges = cv2.Canny(np.array(image), 100, 200)
        image = Image.fromarray(np.repeat(edges[..., None], 3, axis=-1))
    return image


class GivenNoise:
    """Stands in for randn_tensor of the schedulers: hands out the draws of a file."""

    def __init__(self, path):
        self.draws, self.next = torch.from_numpy(np.load(path)), 0

    def __call__(self, shape, **_):
        self.next += 1
        return self.draws[self.next - 1].reshape(shape)


def patch_noise(path):
    from diffusers.schedulers import scheduling_ddim, scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd

    noise = GivenNoise(path)
    saved = []
    for module in (scheduling_ddim, scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd):
        saved.append((module, module.randn_tensor))
        module.randn_tensor = noise
    return lambda: [setattr(module, "randn_tensor", f) for module, f in saved]


@torch.no_grad()
def reference(arguments):
    """{tokens, embeds, latents, latents_steps, image} of txt2img's arguments, NumPy arrays, NCHW."""
    o = parser().parse_args(arguments)
    flattened = o.clip_skip and not hasattr(CLIPTextModel, "text_model")
    if flattened:  # transformers 5 has no such member; clip_skip of diffusers 0.42 still asks for it
        CLIPTextModel.text_model = property(lambda self: self)
    try:
        return run(o)
    finally:
        if flattened:
            del CLIPTextModel.text_model


def run(o):
    pipe, xl = load_base(o)
    if o.scheduler:
        options = {k: option_value(v) for k, v in (text.split("=", 1) for text in o.scheduler_option)}
        pipe.scheduler = SCHEDULERS[o.scheduler].from_config(pipe.scheduler.config, **options)
    call = add_loras(pipe, o)
    if o.tiny_decoder:
        pipe.vae = load_tiny(o.tiny_decoder)
    components = pipe.components
    image_to_image = o.init_image is not None
    if o.controlnet:
        nets = [ControlNetModel.from_pretrained(path, variant=o.control_variant) for path in o.controlnet]
        components["controlnet"] = nets if len(nets) > 1 else nets[0]
        images = [picture(path, o.canny) for path in o.control_image]

        def each(values, default):
            values = values or [default]
            values = values * len(nets) if len(values) == 1 else values
            return values if len(nets) > 1 else values[0]

        call |= {
            "control_image" if image_to_image else "image": images if len(nets) > 1 else images[0],
            "controlnet_conditioning_scale": each(o.control_scale, 1.0),
            "control_guidance_start": each(o.control_start, 0.0),
            "control_guidance_end": each(o.control_end, 1.0),
            "guess_mode": o.guess_mode,
        }
    if not xl:
        components["requires_safety_checker"] = False
    cls = PIPELINES[xl, image_to_image, bool(o.controlnet)]
    if type(pipe) is not cls:
        names = cls.__init__.__code__.co_varnames
        pipe = cls(**{k: v for k, v in components.items() if k in names})
    pipe.set_progress_bar_config(disable=True)
    steps = []

    def keep(_, index, time, values):
        steps.append(values["latents"].numpy().copy())
        return values

    prompts = o.prompt or [""]
    negative = [o.negative_prompt] * len(prompts) if o.negative_prompt is not None else None
    guidance = o.guidance_scale if o.guidance_scale is not None else (5.0 if xl else 7.5)
    generator = torch.Generator("cpu").manual_seed(o.seed)
    call |= {
        "prompt": prompts,
        "negative_prompt": negative,
        "num_images_per_prompt": o.images_per_prompt,
        "guidance_scale": guidance,
        "generator": generator,
        "callback_on_step_end": keep,
        "callback_on_step_end_tensor_inputs": ["latents"],
        "clip_skip": o.clip_skip,
    }
    if not o.controlnet and (xl or not image_to_image):
        call["guidance_rescale"] = o.guidance_rescale
    if o.timesteps:
        call["timesteps"] = [int(t) for t in o.timesteps.split(",")]
    elif o.steps:
        call["num_inference_steps"] = o.steps
    if o.eta is not None:
        call["eta"] = o.eta
    if xl:
        call |= {"prompt_2": [o.prompt_2] * len(prompts) if o.prompt_2 is not None else None}
        call |= {"negative_prompt_2": [o.negative_prompt_2] * len(prompts) if o.negative_prompt_2 is not None else None}
        for name, key in (("original_size", "original_size"), ("crops", "crops_coords_top_left"), ("target_size", "target_size")):
            for prefix in ("", "negative_"):
                value = getattr(o, prefix + name)
                if value is not None:
                    call[prefix + key] = value
    if image_to_image:
        call |= {"image": Image.open(o.init_image).convert("RGB"), "strength": o.strength}
    else:
        call |= {"height": o.height, "width": o.width}
        if o.latents:
            call["latents"] = torch.from_numpy(np.load(o.latents))
    undo = patch_noise(o.noise) if o.noise else lambda: None
    try:
        image = pipe(**call, output_type="np").images
    finally:
        undo()
    out = {"latents_steps": np.stack(steps), "latents": steps[-1], "image": np.moveaxis(np.asarray(image), -1, 1)}
    tokenized = lambda t, text: np.array(t(text, padding="max_length", max_length=77, truncation=True).input_ids)
    out["tokens"] = tokenized(pipe.tokenizer, prompts)
    embeds = {"device": "cpu", "num_images_per_prompt": o.images_per_prompt, "clip_skip": o.clip_skip}
    embeds |= {"do_classifier_free_guidance": guidance > 1 and pipe.unet.config.time_cond_proj_dim is None}
    if o.unfused_lora:
        embeds["lora_scale"] = o.lora_scale
    if xl:
        second = {"prompt_2": call["prompt_2"], "negative_prompt_2": call["negative_prompt_2"]}
        found = pipe.encode_prompt(prompts, negative_prompt=negative, **second, **embeds)
        out["tokens_2"] = tokenized(pipe.tokenizer_2, call["prompt_2"] or prompts)
        for name, value in zip(("embeds", "negative_embeds", "pooled", "negative_pooled"), found):
            if value is not None:
                out[name] = value.numpy()
    else:
        found = pipe.encode_prompt(prompts, negative_prompt=negative, **embeds)
        for name, value in zip(("embeds", "negative_embeds"), found):
            if value is not None:
                out[name] = value.numpy()
    return out
