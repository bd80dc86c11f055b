# SPDX-License-Identifier: Apache-2.0
"""The model folders of golden_checkpoints.py as single files with the names of CompVis and Stability-AI.

The names are spelled out by the tables of diffusers' documentation of the conversion, written anew here; diffusers'
own reader of single files checks them. Values are exact in half precision, so that the files lose nothing.
"""

import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from golden_checkpoints import sd15_pipeline, sdxl_pipeline

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
# Both UNets have two levels and one resnet a level: blocks by number.
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE = {"conv_norm_out": "norm_out", "mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2"}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def start(name, table):
    """Replaces the longest start of `name` that the table has; its rest."""
    for old in sorted(table, key=len, reverse=True):
        if name.startswith(old + "."):
            return table[old], name[len(old) + 1 :]
    raise KeyError(name)


def unet_names(tensors, upsampler):
    out = {}
    for name, value in tensors.items():
        block, rest = start(name, UNET | {"up_blocks.0.upsamplers.0.conv": upsampler})
        if ".resnets." in name:
            kind, rest = start(rest, RESNET)
            rest = f"{kind}.{rest}"
        out[f"{block}.{rest}"] = value
    return out


def vae_names(tensors):
    out = {}
    for name, value in tensors.items():
        parts = name.split(".")
        if name.startswith(("quant_conv", "post_quant_conv")):
            out[name] = value
            continue
        half, rest = parts[0], ".".join(parts[1:])
        if rest.startswith("mid_block.attentions.0."):
            kind, tail = start(rest.removeprefix("mid_block.attentions.0."), ATTENTION)
            if value.dim() == 2:
                value = value[:, :, None, None]
            rest = f"mid.attn_1.{kind}.{tail}"
        elif rest.startswith(("down_blocks.", "up_blocks.")):
            level = int(parts[2]) if parts[1] == "down_blocks" else 1 - int(parts[2])
            direction = parts[1].removesuffix("_blocks")
            tail = ".".join(parts[4:])
            if parts[3] == "resnets":
                rest = f"{direction}.{level}.block.{tail}"
            else:
                rest = f"{direction}.{level}.{direction}sample.{tail.removeprefix('0.')}"
        elif not rest.startswith(("conv_in", "conv_out")):
            kind, tail = start(rest, VAE)
            rest = f"{kind}.{tail}"
        out[f"{half}.{rest.replace('conv_shortcut', 'nin_shortcut')}"] = value
    return out


def open_clip_names(tensors):
    tensors = {k.removeprefix("text_model."): v for k, v in tensors.items()}
    out = {
        "token_embedding.weight": tensors.pop("embeddings.token_embedding.weight"),
        "positional_embedding": tensors.pop("embeddings.position_embedding.weight"),
        "ln_final.weight": tensors.pop("final_layer_norm.weight"),
        "ln_final.bias": tensors.pop("final_layer_norm.bias"),
        "text_projection": tensors.pop("text_projection.weight").T,
        "logit_scale": torch.tensor(4.6),
    }
    names = {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
             "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for i in range(2):
        old, new = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"{old}self_attn.{p}_proj.{kind}") for p in "qkv"]
            out[f"{new}attn.in_proj_{kind}"] = torch.cat(parts)
            for a, b in names.items():
                out[f"{new}{b}.{kind}"] = tensors.pop(f"{old}{a}.{kind}")
    assert not tensors, list(tensors)
    return out


def clip_names(tensors):
    out = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in tensors.items()}
    return out | {"text_model.embeddings.position_ids": torch.arange(8)[None]}


def write(path, parts, extra):
    tensors = {f"{prefix}{k}": v for prefix, part in parts.items() for k, v in part.items()} | extra
    tensors = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    save_file(tensors, path)
    path.chmod(0o644)


def check(kind, path, config, want):
    """diffusers reads the same network from the single file."""
    got = kind.from_single_file(str(path), config=str(config), local_files_only=True).state_dict()
    assert got.keys() == want.keys()
    for key in want:
        assert torch.equal(got[key].float(), want[key]), key


def single_files(out):
    """checkpoints/sd15_single, sdxl_single, control_single: half precision."""
    root = pathlib.Path(out) / "checkpoints"
    leftovers = {"betas": torch.ones(3), "alphas_cumprod": torch.ones(3), "model_ema.decay": torch.ones(1)}

    pipeline = sd15_pipeline()
    path = root / "sd15_single.safetensors"
    parts = {
        "model.diffusion_model.": unet_names(pipeline.unet.state_dict(), "output_blocks.1.1.conv"),
        "first_stage_model.": vae_names(pipeline.vae.state_dict()),
        "cond_stage_model.transformer.": clip_names(pipeline.text_encoder.state_dict()),
    }
    write(path, parts, leftovers)
    check(UNet2DConditionModel, path, root / "sd15" / "unet", pipeline.unet.state_dict())
    check(AutoencoderKL, path, root / "sd15" / "vae", pipeline.vae.state_dict())

    pipeline = sdxl_pipeline()
    path = root / "sdxl_single.safetensors"
    parts = {
        "model.diffusion_model.": unet_names(pipeline.unet.state_dict(), "output_blocks.1.2.conv"),
        "first_stage_model.": vae_names(pipeline.vae.state_dict()),
        "conditioner.embedders.0.transformer.": clip_names(pipeline.text_encoder.state_dict()),
        "conditioner.embedders.1.model.": open_clip_names(pipeline.text_encoder_2.state_dict()),
    }
    write(path, parts, {"denoiser.sigmas": torch.ones(3)})
    check(UNet2DConditionModel, path, root / "sdxl" / "unet", pipeline.unet.state_dict())
    check(AutoencoderKL, path, root / "sdxl" / "vae", pipeline.vae.state_dict())

    tensors = load_file(root / "control" / "diffusion_pytorch_model.safetensors")
    special = {"controlnet_mid_block": "middle_block_out.0", "controlnet_cond_embedding.conv_in": "input_hint_block.0",
               "controlnet_cond_embedding.blocks.0": "input_hint_block.2",
               "controlnet_cond_embedding.blocks.1": "input_hint_block.4",
               "controlnet_cond_embedding.conv_out": "input_hint_block.6"}
    special |= {f"controlnet_down_blocks.{i}": f"zero_convs.{i}.0" for i in range(4)}
    renamed = {}
    for name, value in tensors.items():
        if name.startswith("controlnet_"):
            block, rest = start(name, special)
            renamed[f"{block}.{rest}"] = value
        else:
            renamed |= unet_names({name: value}, "")
    write(root / "control_single.safetensors", {"control_model.": renamed}, {})

