# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of UNets of diffusers, as tests/nn/test_unet.cpp expects them: prints one number a network."""
import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode


def count(side, tokens, **config):
    with torch.device("meta"):
        net = diffusers.UNet2DConditionModel(sample_size=side, **config)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.zeros(1, 4, side, side, device="meta"), torch.zeros(1, device="meta"),
            torch.zeros(1, tokens, net.config.cross_attention_dim, device="meta"))
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
