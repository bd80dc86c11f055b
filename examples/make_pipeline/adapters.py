# SPDX-License-Identifier: Apache-2.0
"""Random LoRA files in the spellings that are found in the wild."""

import json

import torch

from single_file import unet_name

UNET_LAYERS = (
    "to_q to_k to_v to_out.0 proj_in proj_out ff.net.0.proj ff.net.2 conv1 conv2 conv_shortcut downsamplers.0.conv "
    "upsamplers.0.conv time_emb_proj"
).split()
UNET_ATTENTION = UNET_LAYERS[:4]
TEXT_LAYERS = "q_proj k_proj v_proj out_proj fc1 fc2".split()


def layers_of(model, ends):
    """Paths and weights of the layers that a LoRA adapts."""
    for path, module in model.named_modules():
        if hasattr(module, "weight") and any(path == e or path.endswith("." + e) for e in ends):
            yield path, module.weight.detach()


def factors(weight, rank, generator, scale):
    """Down and up factor of a layer: [r, in, kh, kw] and [out, r, 1, 1], or matrices."""
    out, rest = weight.shape[0], weight.shape[1:]
    down = torch.randn(rank, *rest, generator=generator) / rest.numel() ** 0.5
    up = torch.randn(out, rank, *(1,) * (weight.ndim - 2), generator=generator) * (scale / rank**0.5)
    return down, up


def random_lora(parts, rank, generator, scale=0.1, text=True, ends=UNET_LAYERS):
    """{part: {path: (down, up)}} for part = unet, text_encoder, text_encoder_2."""
    out = {}
    for part, model in parts.items():
        if part != "unet" and not text:
            continue
        ends_here = ends if part == "unet" else TEXT_LAYERS
        out[part] = {
            path if part == "unet" or path.startswith("text_model.") else "text_model." + path: factors(w, rank, generator, scale)
            for path, w in layers_of(model, ends_here)
        }
    return out


def kohya(lora, alpha, sdxl, sgm=None):
    """`sgm` = (layers_per_block, attention_up): UNet layers under SGM's names."""
    out = {}
    for part, layers in lora.items():
        prefix = {"unet": "lora_unet", "text_encoder": "lora_te1" if sdxl else "lora_te", "text_encoder_2": "lora_te2"}[part]
        for path, (down, up) in layers.items():
            if part == "unet" and sgm:
                path = unet_name(path + ".", *sgm).rstrip(".")
            key = f"{prefix}_{path.replace('.', '_')}"
            out[key + ".lora_down.weight"], out[key + ".lora_up.weight"] = down, up
            out[key + ".alpha"] = torch.tensor(float(alpha))
    return out


def diffusers_old(lora):
    """unet.<path>.lora.down.weight, text_encoder.<path>.lora_linear_layer.down.weight; alpha = rank."""
    out = {}
    for part, layers in lora.items():
        middle = "lora" if part == "unet" else "lora_linear_layer"
        for path, (down, up) in layers.items():
            out[f"{part}.{path}.{middle}.down.weight"], out[f"{part}.{path}.{middle}.up.weight"] = down, up
    return out


def peft(lora, prefixed=True):
    """unet.<path>.lora_A.weight; alpha is in the header's metadata, see `peft_metadata`."""
    out = {}
    for part, layers in lora.items():
        for path, (down, up) in layers.items():
            key = f"{part}.{path}" if prefixed else f"base_model.model.{path}"
            out[key + ".lora_A.weight"], out[key + ".lora_B.weight"] = down, up
    return out


def peft_metadata(lora, rank, alpha):
    settings = {}
    for part, layers in lora.items():
        targets = UNET_ATTENTION if part == "unet" else TEXT_LAYERS  # ends of paths: prefixes differ between versions
        values = {"r": rank, "lora_alpha": alpha, "target_modules": targets, "rank_pattern": {}, "alpha_pattern": {}}
        settings |= {f"{part}.{key}": value for key, value in values.items()}
    return {"format": "pt", "lora_adapter_metadata": json.dumps(settings, sort_keys=True)}


def peft_folder_config(lora, rank, alpha):
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(lora["unet"]),
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "use_dora": False,
        "bias": "none",
        "lora_dropout": 0.0,
        "inference_mode": True,
    }
