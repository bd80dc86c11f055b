# SPDX-License-Identifier: Apache-2.0
"""What distill_lora needs beside a model: images with captions, and reward models with random weights."""

import json
import random

import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import image_reward

COLOURS = {"red": (200, 40, 40), "green": (40, 150, 60), "blue": (40, 70, 190), "yellow": (230, 200, 40)}
SHAPES = ["ball", "box", "triangle"]


def draw(shape, colour, size, rng):
    image = Image.new("RGB", (size, size), tuple(rng.randrange(200, 256) for _ in range(3)))
    x, y, r = (rng.uniform(0.35, 0.65) * size, rng.uniform(0.35, 0.65) * size, rng.uniform(0.15, 0.3) * size)
    pen = ImageDraw.Draw(image)
    if shape == "ball":
        pen.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif shape == "box":
        pen.rectangle([x - r, y - r, x + r, y + r], fill=colour)
    else:
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=colour)
    return image


def write_images(folder, count=24, size=96):
    """`count` coloured shapes and their captions, in the layout of Hugging Face's imagefolder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    lines = []
    for i in range(count):
        colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
        draw(shape, COLOURS[colour], size, rng).save(folder / f"{i:04}.png")
        lines.append(json.dumps({"file_name": f"{i:04}.png", "text": f"a {colour} {shape}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def write_aesthetic(folder, full):
    """CLIP's image encoder, and LAION's aesthetic head on its embeddings."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=1024, intermediate_size=4096, projection_dim=768, num_hidden_layers=24,
                 num_attention_heads=16, image_size=224, patch_size=14)
    if not full:
        sizes = dict(hidden_size=32, intermediate_size=64, projection_dim=24, num_hidden_layers=2,
                     num_attention_heads=4, image_size=56, patch_size=14)
    CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_act="quick_gelu", **sizes)).save_pretrained(folder / "clip")
    widths, state = [sizes["projection_dim"], 1024, 128, 64, 16, 1], {}
    for place, (a, b) in zip([0, 2, 4, 6, 7], zip(widths, widths[1:])):
        layer = torch.nn.Linear(a, b)
        state |= {f"layers.{place}.weight": layer.weight.detach(), f"layers.{place}.bias": layer.bias.detach()}
    state["layers.7.bias"] = state["layers.7.bias"] + 5  # scores are about 1 to 10
    save_file(state, folder / "head.safetensors")


def write_image_reward(folder, full):
    """ImageReward and BERT's vocabulary."""
    torch.manual_seed(0)
    image_reward.write(folder, image_reward.FULL if full else image_reward.SMALL,
                       lambda n, deviation, mean: (torch.randn(n) * deviation + mean).numpy().tobytes())
