# SPDX-License-Identifier: Apache-2.0
"""Small model folders of Stable Diffusion, saved by diffusers and transformers, and what these compute with them."""

import pathlib
import shutil

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from golden_common import generator, normal, save, seed_modules

SCHEDULE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1)


def build(name, make):
    """Seeded module whose values are exact in half precision and whose norms and biases are not trivial."""
    seed_modules(name)
    module = make().eval()
    stream = generator(f"{name}.offsets")
    with torch.no_grad():
        for p in module.parameters():
            if p.dim() == 1:
                p += 0.1 * torch.randn(p.shape, generator=stream)
            p.copy_(p.half().float())
    return module


def text_config(hidden, act, projection):
    return CLIPTextConfig(
        vocab_size=40,
        max_position_embeddings=8,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_act=act,
        projection_dim=projection,
        bos_token_id=38,
        eos_token_id=39,
        pad_token_id=39,
    )


UNET = dict(
    sample_size=8,
    layers_per_block=1,
    block_out_channels=(8, 16),
    norm_num_groups=4,
    attention_head_dim=2,  # the number of heads
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)
SD15_UNET = UNET | dict(cross_attention_dim=8)
SDXL_UNET = UNET | dict(
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=(1, 2),
    transformer_layers_per_block=(1, 2),
    cross_attention_dim=20,
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=4,
    projection_class_embeddings_input_dim=10 + 6 * 4,
)


def vae(scaling_factor):
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        sample_size=16,
        scaling_factor=scaling_factor,
    )


def old_attention_names(folder):
    """Rewrites the weights of a VAE with the names that diffusers had before version 0.18."""
    path = folder / "diffusion_pytorch_model.safetensors"
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = {}
    for key, value in load_file(path).items():
        for new, old in names.items():
            key = key.replace(new, old)
        tensors[key] = value
    save_file(tensors, path, metadata={"format": "pt"})


def reference(name, pipeline):
    """One call of each network in float32."""
    ids = torch.randint(0, 40, (2, 8), generator=generator(f"{name}.ids"))
    with torch.no_grad():
        text = pipeline.text_encoder(ids, output_hidden_states=True)
        out = {"ids": ids, "text": text.last_hidden_state}
        added = None
        tokens = text.last_hidden_state
        if hasattr(pipeline, "text_encoder_2"):
            second = pipeline.text_encoder_2(ids, output_hidden_states=True)
            tokens = torch.cat([text.hidden_states[-2], second.hidden_states[-2]], dim=-1)
            sizes = torch.tensor([[64.0, 48, 0, 4, 64, 64], [32, 64, 2, 0, 128, 96]])
            out |= {"text_2": second.last_hidden_state, "pooled": second.text_embeds, "time_ids": sizes}
            added = {"text_embeds": second.text_embeds, "time_ids": sizes}
        x, t = normal(f"{name}.x", 2, 4, 9, 6), torch.tensor([801.0, 259.0])
        out |= {"tokens": tokens, "x": x, "t": t}
        out["unet"] = pipeline.unet(x, t, tokens, added_cond_kwargs=added).sample
        picture = normal(f"{name}.picture", 1, 3, 12, 8)
        out |= {"picture": picture, "moments": pipeline.vae.encode(picture).latent_dist.parameters}
        out["decoded"] = pipeline.vae.decode(x[:1]).sample
    return out


def sd15_pipeline():
    return StableDiffusionPipeline(
        unet=build("checkpoint.sd15.unet", lambda: UNet2DConditionModel(**SD15_UNET)),
        vae=build("checkpoint.sd15.vae", lambda: vae(0.18215)),
        text_encoder=build("checkpoint.sd15.text", lambda: CLIPTextModel(text_config(8, "quick_gelu", 8))),
        tokenizer=None,
        scheduler=PNDMScheduler(**SCHEDULE, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl_pipeline():
    first, second = text_config(8, "quick_gelu", 8), text_config(12, "gelu", 10)
    return StableDiffusionXLPipeline(
        unet=build("checkpoint.sdxl.unet", lambda: UNet2DConditionModel(**SDXL_UNET)),
        vae=build("checkpoint.sdxl.vae", lambda: vae(0.13025)),
        text_encoder=build("checkpoint.sdxl.text", lambda: CLIPTextModel(first)),
        text_encoder_2=build("checkpoint.sdxl.text_2", lambda: CLIPTextModelWithProjection(second)),
        tokenizer=None,
        tokenizer_2=None,
        scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading"),
        add_watermarker=False,
    )


def checkpoints(out):
    """checkpoints/sd15 (float32, old VAE names), checkpoints/sdxl (variant fp16, sharded UNet), checkpoints/control."""
    root = pathlib.Path(out) / "checkpoints"
    for name in ("sd15", "sdxl", "control"):
        shutil.rmtree(root / name, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)

    pipeline = sd15_pipeline()
    pipeline.save_pretrained(root / "sd15")
    old_attention_names(root / "sd15" / "vae")
    save(root, "sd15", reference("checkpoint.sd15", pipeline))

    pipeline = sdxl_pipeline()
    values = reference("checkpoint.sdxl", pipeline)
    pipeline.to(torch.float16).save_pretrained(root / "sdxl", variant="fp16", max_shard_size="60KB")
    save(root, "sdxl", values)

    control = build(
        "checkpoint.control",
        lambda: ControlNetModel.from_unet(
            UNet2DConditionModel(**SD15_UNET), conditioning_embedding_out_channels=(4, 8)
        ),
    )
    control.save_pretrained(root / "control")
    x, t, tokens = normal("control.x", 1, 4, 8, 6), torch.tensor([499.0]), normal("control.tokens", 1, 8, 8)
    picture = normal("control.picture", 1, 3, 16, 12)
    with torch.no_grad():
        downs, mid = control(x, t, tokens, picture, conditioning_scale=0.5, return_dict=False)
    values = {"x": x, "t": t, "tokens": tokens, "picture": picture, "mid": mid}
    save(root, "control", values | {f"down.{i}": d for i, d in enumerate(downs)})
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
