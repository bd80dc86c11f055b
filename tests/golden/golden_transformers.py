# SPDX-License-Identifier: Apache-2.0
"""Diffusion transformers of diffusers: weights, inputs, outputs and gradients, as golden_networks.py records them."""

import torch
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel, SD3Transformer2DModel

from golden_common import normal, save
from golden_networks import build, inputs_of, record

TIMES = torch.tensor([999, 249])


def with_other_size(name, module, tensors, shape, call):
    """Adds `other.x` of another size than the trained one, and `other.out`."""
    x = normal(f"{name}.other.x", *shape)
    with torch.no_grad():
        tensors |= {"other.x": x, "other.out": call(module, {"x": x.double()}).float()}
    for key, buffer in module.named_buffers():
        if key in module.state_dict():
            tensors[f"param.{key}"] = buffer.float()
    return tensors


def dit(out):
    """dit: classes, learned variance; `other` is larger than the trained size."""
    name = "dit"
    module = build(
        name,
        lambda: DiTTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=8,
            num_layers=2,
            sample_size=8,
            patch_size=2,
            num_embeds_ada_norm=10,
        ),
    )
    labels = torch.tensor([3, 10])  # the last row of the table is the null class
    call = lambda m, i: m(i["x"], i.get("t", TIMES), i.get("labels", labels)).sample
    inputs = inputs_of(name, x=(2, 4, 8, 8)) | {"t": TIMES, "labels": labels}
    tensors = record(name, module, inputs, call)
    save(out, name, with_other_size(name, module, tensors, (2, 4, 12, 12), call))


def pixart(out):
    """pixart: captions, size and aspect ratio; pixart_plain: tokens of the network's own width, interpolated positions."""
    common = dict(num_attention_heads=2, attention_head_dim=12, in_channels=4, cross_attention_dim=24, sample_size=8)
    cases = {
        "pixart": dict(num_layers=2, out_channels=8, caption_channels=10, use_additional_conditions=True),
        "pixart_plain": dict(num_layers=1, out_channels=4, interpolation_scale=2, use_additional_conditions=False),
    }
    for name, options in cases.items():
        module = build(name, lambda: PixArtTransformer2DModel(**common, **options))
        inputs = inputs_of(name, x=(2, 4, 8, 8), context=(2, 3, options.get("caption_channels", 24)))
        inputs["t"] = TIMES
        sizes = {}
        if options["use_additional_conditions"]:
            sizes = {
                "resolution": torch.tensor([[512.0, 768.0], [1024.0, 256.0]]),
                "aspect_ratio": torch.tensor([[0.6667], [4.0]]),
            }
        context = inputs["context"].clone()
        call = lambda m, i: m(i["x"], i.get("context", context), TIMES, sizes or None).sample
        tensors = record(name, module, inputs, call) | {f"in.{k}": v for k, v in sizes.items()}
        save(out, name, with_other_size(name, module, tensors, (2, 4, 6, 10), call))


def sd3(out):
    """sd3: two joint blocks; sd35: RMS norms of queries and keys, a second attention in the first block."""
    common = dict(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=10,
        caption_projection_dim=16,
        pooled_projection_dim=12,
        pos_embed_max_size=6,
    )
    for name, options in (("sd3", {}), ("sd35", dict(qk_norm="rms_norm", dual_attention_layers=(0,)))):
        module = build(name, lambda: SD3Transformer2DModel(**common, **options))
        inputs = inputs_of(name, x=(2, 4, 8, 8), context=(2, 3, 10), pooled=(2, 12))
        inputs["t"] = TIMES
        context, pooled = inputs["context"].clone(), inputs["pooled"].clone()
        call = lambda m, i: m(i["x"], i.get("context", context), i.get("pooled", pooled), TIMES).sample
        tensors = record(name, module, inputs, call)
        save(out, name, with_other_size(name, module, tensors, (2, 4, 6, 10), call))


def transformers(out):
    dit(out)
    pixart(out)
    sd3(out)
