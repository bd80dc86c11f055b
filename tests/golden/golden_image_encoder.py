# SPDX-License-Identifier: Apache-2.0
"""CLIP's image encoder by transformers and its bicubic filter by torch, with gradients by the pixels."""

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from golden_common import normal, save, seed_modules

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def image_encoder(out):
    seed_modules("image_encoder")
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=24, projection_dim=10, num_hidden_layers=2, num_attention_heads=4,
        image_size=12, patch_size=4, hidden_act="quick_gelu",
    )
    net = CLIPVisionModelWithProjection(config).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" in name or "bias" in name:
                p.add_(0.1 * normal(f"image_encoder.{name}", *p.shape))
    tensors = {f"param.{k}": v for k, v in net.state_dict().items() if "position_ids" not in k}
    for kind, (h, w) in {"same": (12, 12), "shrink": (30, 21), "grow": (7, 12)}.items():
        pixels = normal(f"image_encoder.{kind}", 2, 3, h, w).clamp(-1, 1).requires_grad_()
        small = torch.nn.functional.interpolate(pixels, size=(12, 12), mode="bicubic", antialias=True)
        given = (small / 2 + 0.5 - MEAN) / DEVIATION
        embeds = net(pixel_values=given).image_embeds
        weight = normal(f"image_encoder.{kind}.weight", *embeds.shape)
        (gradient,) = torch.autograd.grad((embeds * weight).sum(), pixels)
        tensors |= {f"{kind}.pixels": pixels, f"{kind}.given": given, f"{kind}.embeds": embeds,
                    f"{kind}.weight": weight, f"{kind}.gradient": gradient}
    save(out, "image_encoder", tensors)
