# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of networks of diffusers, as tests/nn expects them: prints one number a network."""
import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode


def count(side, tokens, **config):
    with torch.device("meta"):
        net = diffusers.UNet2DConditionModel(sample_size=side, **config)
    return flops(net, side, tokens, net.config.cross_attention_dim)


def count_pixart(side, tokens, **config):
    with torch.device("meta"):
        net = diffusers.PixArtTransformer2DModel(sample_size=side, norm_type="ada_norm_single", **config)
    sizes = dict(resolution=torch.zeros(1, 2, device="meta"), aspect_ratio=torch.zeros(1, 1, device="meta"))
    return flops(net, side, tokens, net.config.caption_channels or net.config.cross_attention_dim, added_cond_kwargs=sizes)


def flops(net, side, tokens, width, **more):
    x = torch.zeros(1, 4, side, side, device="meta")
    text, t = torch.zeros(1, tokens, width, device="meta"), torch.zeros(1, device="meta")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(x, timestep=t, encoder_hidden_states=text, **more)
    return counter.get_total_flops()


SMALL = dict(block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
             up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=64, attention_head_dim=4,
             norm_num_groups=8)
print("SD 1.5", count(64, 77, cross_attention_dim=768))
for side, tokens in ((8, 5), (7, 3), (10, 8)):
    print("small,", side, "x", side, count(side, tokens, **SMALL))
three = dict(SMALL, block_out_channels=(32, 48, 64), layers_per_block=2, transformer_layers_per_block=(1, 2, 2),
             attention_head_dim=(1, 2, 2), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
             up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))
print("three levels", count(12, 8, **three))
print("PixArt-alpha at 1024", count_pixart(128, 120, num_layers=28, caption_channels=4096, use_additional_conditions=True))
for tokens in (8, 2):
    print("PixArt, small,", tokens, "tokens", count_pixart(
        8, tokens, num_layers=6, num_attention_heads=4, attention_head_dim=32, out_channels=4, cross_attention_dim=128,
        caption_channels=64, use_additional_conditions=False))
print("PixArt, no caption projection", count_pixart(12, 5, num_layers=2, num_attention_heads=2, attention_head_dim=16,
                                                    out_channels=8, cross_attention_dim=24, caption_channels=None,
                                                    use_additional_conditions=False))
