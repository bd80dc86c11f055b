# SPDX-License-Identifier: Apache-2.0
"""Tensor names of single-file checkpoints (LDM for Stable Diffusion 1.x and 2.x, SGM for SDXL) from those of diffusers."""

import re

import torch

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _resnet(rest):
    head, _, tail = rest.partition(".")
    return f"{RESNET[head]}.{tail}"


def unet_name(name, layers, attention_up):
    """`attention_up[i]`: whether up block i has transformers; `layers`: layers_per_block."""
    for ours, theirs in UNET_TOP.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    if m := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, j, rest = m.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(j)}.{rest if kind == 'attentions' else _resnet(rest)}"
    m = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    way, i, kind, j, rest = m[1], int(m[2]), m[3], int(m[4]), m[5]
    if way == "down":
        n = layers + 1
        if kind == "downsamplers":
            return f"input_blocks.{n * (i + 1)}.0.op{rest.removeprefix('conv')}"
        return f"input_blocks.{1 + n * i + j}.{0 if kind == 'resnets' else 1}.{_resnet(rest) if kind == 'resnets' else rest}"
    n = layers + 1
    if kind == "upsamplers":
        return f"output_blocks.{n * i + n - 1}.{2 if attention_up[i] else 1}.{rest}"
    return f"output_blocks.{n * i + j}.{0 if kind == 'resnets' else 1}.{_resnet(rest) if kind == 'resnets' else rest}"


def vae_tensor(name, value, levels=4):
    """Name and value of an autoencoder's tensor."""
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        name = name.replace("to_out.0", "proj_out")
        name = re.sub(r"\.to_([qkv])\.", r".\1.", name)
        if value.ndim == 2:
            value = value[:, :, None, None]
    return name, value


def open_clip_state(state):
    """The tensors of transformers' CLIPTextModelWithProjection under OpenCLIP's names."""
    out, fused = {}, {}
    for name, value in state.items():
        if name == "text_projection.weight":
            out["text_projection"] = value.T.contiguous()
            continue
        name = name.removeprefix("text_model.")
        if m := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", name):
            fused.setdefault((m[1], m[3]), {})[m[2]] = value
            continue
        name = name.replace("embeddings.token_embedding.weight", "token_embedding.weight")
        name = name.replace("embeddings.position_embedding.weight", "positional_embedding")
        name = name.replace("final_layer_norm", "ln_final").replace("encoder.layers", "transformer.resblocks")
        name = name.replace("self_attn.out_proj", "attn.out_proj").replace("layer_norm1", "ln_1")
        name = name.replace("layer_norm2", "ln_2").replace("mlp.fc1", "mlp.c_fc").replace("mlp.fc2", "mlp.c_proj")
        out[name] = value
    for (layer, kind), parts in fused.items():
        out[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat([parts["q"], parts["k"], parts["v"]])
    return out


def single_file(unet, vae, texts, unet_config):
    """One state dict from those of the parts; `texts` has one entry (LDM) or two (SGM)."""
    attention_up = ["CrossAttn" in kind for kind in unet_config["up_block_types"]]
    out = {}
    for name, value in unet.items():
        out["model.diffusion_model." + unet_name(name, unet_config["layers_per_block"], attention_up)] = value
    for name, value in vae.items():
        name, value = vae_tensor(name, value)
        out["first_stage_model." + name] = value
    first = "conditioner.embedders.0" if len(texts) == 2 else "cond_stage_model"
    for name, value in texts[0].items():
        out[f"{first}.transformer.text_model.{name.removeprefix('text_model.')}"] = value
    if len(texts) == 2:
        for name, value in open_clip_state(texts[1]).items():
            out["conditioner.embedders.1.model." + name] = value
    return out
