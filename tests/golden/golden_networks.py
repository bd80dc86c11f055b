# SPDX-License-Identifier: Apache-2.0
"""Blocks and whole networks of diffusers: weights, inputs, outputs and gradients.

Weights and inputs are float32 numbers; the pass itself runs in float64, so that what
a test sees is its own rounding. The loss is sum(out * grad_out).
"""

import math

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D

from golden_common import generator, normal, save, seed_modules


def build(name, make):
    """Seeded module in float64 whose norms and biases are not at their trivial start values."""
    seed_modules(name)
    module = make().double().eval()
    stream = generator(f"{name}.offsets")
    with torch.no_grad():
        for key, p in module.named_parameters():
            if p.dim() == 1:
                p += 0.1 * torch.randn(p.shape, generator=stream)
            p.copy_(p.float())
    return module


def record(name, module, inputs, call):
    """Runs `call(module, inputs)`; `inputs` that are float64 get gradients."""
    differentiable = {k: v.requires_grad_() for k, v in inputs.items() if v.dtype == torch.float64}
    out = call(module, inputs)
    weight = normal(f"{name}.grad_out", *out.shape, dtype=torch.float64)
    (out * weight).sum().backward()
    tensors = {"out": out, "grad_out": weight}
    for key, value in inputs.items():
        tensors[f"in.{key}"] = value
    for key, value in differentiable.items():
        tensors[f"grad_in.{key}"] = value.grad
    for key, p in module.named_parameters():
        tensors[f"param.{key}"] = p
        tensors[f"grad.{key}"] = p.grad
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def inputs_of(name, **shapes):
    return {key: normal(f"{name}.{key}", *shape, dtype=torch.float64) for key, shape in shapes.items()}


def resnets(out):
    """resnet_same, resnet_shortcut, resnet_vae: ResnetBlock2D, 8 groups."""
    cases = {
        "resnet_same": dict(in_channels=16, out_channels=16, temb_channels=12, groups=8, eps=1e-5),
        "resnet_shortcut": dict(in_channels=16, out_channels=24, temb_channels=12, groups=8, eps=1e-5),
        "resnet_vae": dict(in_channels=16, out_channels=8, temb_channels=None, groups=8, eps=1e-6),
    }
    for name, options in cases.items():
        module = build(name, lambda: ResnetBlock2D(**options))
        shapes = {"x": (2, options["in_channels"], 4, 6)}
        if options["temb_channels"]:
            shapes["temb"] = (2, options["temb_channels"])
        call = lambda m, i: m(i["x"], i.get("temb"))
        save(out, name, record(name, module, inputs_of(name, **shapes), call))


def transformers(out):
    """transformer_conv, transformer_linear: Transformer2DModel, heads 2, one and two blocks."""
    for name, linear, layers in (("transformer_conv", False, 1), ("transformer_linear", True, 2)):
        module = build(
            name,
            lambda: Transformer2DModel(
                num_attention_heads=2,
                attention_head_dim=8,
                in_channels=16,
                num_layers=layers,
                cross_attention_dim=12,
                norm_num_groups=4,
                use_linear_projection=linear,
            ),
        )
        inputs = inputs_of(name, x=(2, 16, 4, 3), context=(2, 3, 12))
        call = lambda m, i: m(i["x"], encoder_hidden_states=i["context"]).sample
        save(out, name, record(name, module, inputs, call))


def resamplers(out):
    """downsample, downsample_vae (pads right and bottom only), upsample."""
    for name, make in (
        ("downsample", lambda: Downsample2D(8, use_conv=True, padding=1)),
        ("downsample_vae", lambda: Downsample2D(8, use_conv=True, padding=0)),
        ("upsample", lambda: Upsample2D(8, use_conv=True)),
    ):
        module = build(name, make)
        inputs = inputs_of(name, x=(2, 8, 6, 4))
        save(out, name, record(name, module, inputs, lambda m, i: m(i["x"])))


def time_embedding(out):
    """time_embedding: the sinusoid (cos first) and the two-layer MLP; in.t holds the times."""
    name = "time_embedding"
    times = torch.tensor([0.0, 1.0, 24.0, 499.0, 800.0, 999.0], dtype=torch.float64)
    waves = {}
    for dim in (8, 16, 320):
        wave = get_timestep_embedding(times, dim, flip_sin_to_cos=True, downscale_freq_shift=0)
        frequency = torch.exp(-math.log(1e4) * torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
        angle = times[:, None] * frequency
        exact = torch.cat([angle.cos(), angle.sin()], dim=1)
        assert (exact - wave).abs().max() < 1e-4  # diffusers rounds frequencies to float32
        waves |= {f"sinusoid.{dim}": wave.float(), f"sinusoid_exact.{dim}": exact}
    module = build(name, lambda: TimestepEmbedding(16, 32))
    inputs = {"sinusoid": waves["sinusoid.16"].double()}
    tensors = record(name, module, inputs, lambda m, i: m(i["sinusoid"]))
    save(out, name, tensors | waves | {"in.t": times.float()})


def unets(out):
    """unet_sd15, unet_sdxl: complete UNet2DConditionModel of both families, tiny."""
    common = dict(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=2,  # as in Stable Diffusion's configs, this is the number of heads
    )
    sd15 = common | dict(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    sdxl = common | dict(
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        attention_head_dim=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=10 + 6 * 8,
    )
    for name, options in (("unet_sd15", sd15), ("unet_sdxl", sdxl)):
        module = build(name, lambda: UNet2DConditionModel(**options))
        inputs = inputs_of(name, x=(2, 4, 8, 8), context=(2, 3, 12))
        inputs["t"] = torch.tensor([999, 249])
        if name == "unet_sdxl":
            inputs |= inputs_of(name, text_embeds=(2, 10))
            inputs["time_ids"] = torch.tensor([[64, 48, 0, 4, 64, 64], [32, 64, 2, 0, 128, 96]])

        def call(m, i):
            added = {k: i[k] for k in ("text_embeds", "time_ids") if k in i} or None
            return m(i["x"], i["t"], i["context"], added_cond_kwargs=added).sample

        save(out, name, record(name, module, inputs, call))


def unet_guided(out):
    """unet_guided: a UNet of one level that takes the guidance weight w as an input (time_cond_proj_dim)."""
    name, width = "unet_guided", 16
    module = build(
        name,
        lambda: UNet2DConditionModel(
            sample_size=4,
            layers_per_block=1,
            block_out_channels=(4,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            norm_num_groups=2,
            cross_attention_dim=4,
            attention_head_dim=2,
            time_cond_proj_dim=width,
        ),
    )
    w = torch.tensor([6.5, 0.0], dtype=torch.float64)
    half = width // 2
    angle = 1000 * w[:, None] * torch.exp(-math.log(1e4) * torch.arange(half, dtype=torch.float64) / (half - 1))
    features = torch.cat([angle.sin(), angle.cos()], dim=1)
    inputs = inputs_of(name, x=(2, 4, 4, 4), context=(2, 3, 4))
    inputs["t"] = torch.tensor([999, 249])
    call = lambda m, i: m(i["x"], i["t"], i["context"], timestep_cond=features).sample
    save(out, name, record(name, module, inputs, call) | {"in.w": w.float()})


def autoencoder(out):
    """autoencoder: AutoencoderKL; `out` is the decoded image, `moments` the encoder's output."""
    name = "autoencoder"
    module = build(
        name,
        lambda: AutoencoderKL(
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 12),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
        ),
    )
    kept = {}

    def call(m, i):
        moments = m.quant_conv(m.encoder(i["x"]))
        kept["moments"] = moments.detach().float()
        return m.decode(moments[:, :4]).sample  # the mean, not a sample

    tensors = record(name, module, inputs_of(name, x=(2, 1, 12, 8)), call)
    save(out, name, tensors | kept)


def tiny_autoencoder(out):
    """tiny_autoencoder: AutoencoderTiny (TAESD) of width 4; `latents` from images in.x, `out` the image decoded from them."""
    name = "tiny_autoencoder"
    module = build(name, lambda: AutoencoderTiny(encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4))
    kept = {}

    def call(m, i):
        latents = m.encode(i["x"]).latents
        kept["latents"] = latents.detach().float()
        return m.decode(3 * latents).sample  # large ones meet the soft clamp

    tensors = record(name, module, inputs_of(name, x=(2, 3, 24, 16)), call)
    save(out, name, tensors | kept)


def networks(out):
    resnets(out)
    transformers(out)
    resamplers(out)
    time_embedding(out)
    unets(out)
    unet_guided(out)
    autoencoder(out)
    tiny_autoencoder(out)
