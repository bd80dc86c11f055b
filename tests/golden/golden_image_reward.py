# SPDX-License-Identifier: Apache-2.0
"""ImageReward's network: BLIP's encoders by transformers under the names of its checkpoint, with the gradient by the pixels."""

import torch
from transformers import BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

from golden_common import normal, save, seed_modules
from golden_image_encoder import DEVIATION, MEAN


def image_name(name):
    """transformers' name of the vision model -> that of the checkpoint."""
    for theirs, ours in (
        ("embeddings.class_embedding", "cls_token"),
        ("embeddings.position_embedding", "pos_embed"),
        ("embeddings.patch_embedding", "patch_embed.proj"),
        ("encoder.layers", "blocks"),
        ("self_attn.projection", "attn.proj"),
        ("self_attn", "attn"),
        ("layer_norm", "norm"),
        ("post_layernorm", "norm"),
    ):
        name = name.replace(theirs, ours)
    return "blip.visual_encoder." + name


def image_reward(out):
    seed_modules("image_reward")
    vision = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, image_size=12,
            patch_size=4, hidden_act="gelu", layer_norm_eps=1e-6,
        )
    ).eval()
    text = BlipTextModel(
        BlipTextConfig(
            vocab_size=20, hidden_size=12, encoder_hidden_size=16, intermediate_size=18, num_hidden_layers=2,
            num_attention_heads=3, max_position_embeddings=9, hidden_act="gelu", layer_norm_eps=1e-12,
            hidden_dropout_prob=0, attention_probs_dropout_prob=0,
        ),
        add_pooling_layer=False,
    ).eval()
    state = {image_name(k): v for k, v in vision.state_dict().items()}
    state |= {f"blip.text_encoder.{k}": v for k, v in text.state_dict().items() if "position_ids" not in k}
    with torch.no_grad():
        for name, p in state.items():
            scale = 0.5 if p.ndim > 1 and "embeddings" not in name else 0.1
            p.copy_(scale * normal(f"image_reward.{name}", *p.shape) / (p[0].numel() ** 0.5 if p.ndim > 1 else 1))
            if "norm" in name.lower() and name.endswith("weight"):
                p.add_(1)
    tensors = {f"param.{k.removeprefix('blip.')}": v for k, v in state.items()}
    pixels = normal("image_reward.pixels", 2, 3, 12, 12).clamp(-1, 1).requires_grad_()
    ids = torch.tensor([[2, 7, 11, 5, 3], [2, 4, 3, 0, 0]])  # the second is padded
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    image = vision(pixel_values=(pixels / 2 + 0.5 - MEAN) / DEVIATION).last_hidden_state
    states = text(
        input_ids=ids, attention_mask=mask, encoder_hidden_states=image,
        encoder_attention_mask=torch.ones(image.shape[:2], dtype=torch.long), is_decoder=False,
    ).last_hidden_state
    first = states[:, 0]
    weight = normal("image_reward.weight", *first.shape)
    (gradient,) = torch.autograd.grad((first * weight).sum(), pixels)
    tensors |= {"pixels": pixels, "ids": ids, "mask": mask, "image": image, "first": first, "weight": weight, "gradient": gradient}
    save(out, "image_reward", tensors)
