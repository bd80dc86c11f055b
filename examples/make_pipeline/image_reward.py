#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ImageReward with random weights and a vocabulary of BERT, for distill_lora. The standard library suffices.

    python3 image_reward.py FOLDER    # small: FOLDER/ImageReward.safetensors, FOLDER/vocab.txt
"""

import array
import json
import pathlib
import random
import string
import struct
import sys

SMALL = dict(image=32, patch=16, width=64, blocks=1, mlp=64, vocabulary=400, positions=40, channels=64, layers=1, hidden=64)
FULL = dict(image=224, patch=16, width=1024, blocks=24, mlp=4096, vocabulary=30524, positions=512, channels=768,
            layers=12, hidden=3072)


def linear(name, out, into):
    return {f"{name}.weight": [out, into], f"{name}.bias": [out]}


def shapes(s):
    """Names and shapes of the published checkpoint's tensors, for the sizes `s`."""
    v, t, w, c = "blip.visual_encoder", "blip.text_encoder", s["width"], s["channels"]
    norm = lambda name, n: {f"{name}.weight": [n], f"{name}.bias": [n]}
    out = {f"{v}.cls_token": [1, 1, w], f"{v}.pos_embed": [1, 1 + (s["image"] // s["patch"]) ** 2, w]}
    out |= {f"{v}.patch_embed.proj.weight": [w, 3, s["patch"], s["patch"]], f"{v}.patch_embed.proj.bias": [w]}
    for i in range(s["blocks"]):
        b = f"{v}.blocks.{i}"
        out |= norm(f"{b}.norm1", w) | norm(f"{b}.norm2", w) | linear(f"{b}.attn.qkv", 3 * w, w)
        out |= linear(f"{b}.attn.proj", w, w) | linear(f"{b}.mlp.fc1", s["mlp"], w) | linear(f"{b}.mlp.fc2", w, s["mlp"])
    out |= norm(f"{v}.norm", w) | norm(f"{t}.embeddings.LayerNorm", c)
    out |= {f"{t}.embeddings.word_embeddings.weight": [s["vocabulary"], c],
            f"{t}.embeddings.position_embeddings.weight": [s["positions"], c]}
    for i in range(s["layers"]):
        b = f"{t}.encoder.layer.{i}"
        for part, context in (("attention", c), ("crossattention", w)):
            out |= linear(f"{b}.{part}.self.query", c, c) | linear(f"{b}.{part}.self.key", c, context)
            out |= linear(f"{b}.{part}.self.value", c, context) | linear(f"{b}.{part}.output.dense", c, c)
            out |= norm(f"{b}.{part}.output.LayerNorm", c)
        out |= linear(f"{b}.intermediate.dense", s["hidden"], c) | linear(f"{b}.output.dense", c, s["hidden"])
        out |= norm(f"{b}.output.LayerNorm", c)
    widths = [c, 1024, 128, 64, 16, 1]
    for place, (a, b) in zip([0, 2, 4, 6, 7], zip(widths, widths[1:])):
        out |= linear(f"mlp.layers.{place}", b, a)
    return out


def deviation_and_mean(name, shape):
    """Weights of variance 1 / fan-in, norms near one."""
    if "norm" in name.lower() and name.endswith("weight"):
        return 0.1, 1.0
    return (0.05 if len(shape) < 2 else 0.5 if "embeddings" in name else (shape[0] / count(shape)) ** 0.5), 0.0


def count(shape):
    n = 1
    for extent in shape:
        n *= extent
    return n


def write_vocabulary(path, size):
    """Special tokens, letters and digits as words and as pieces, some words of captions; then unused tokens."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(string.punctuation)
    tokens += [p + c for p in ("", "##") for c in string.ascii_lowercase + string.digits]
    tokens += ["the", "of", "red", "green", "blue", "yellow", "ball", "box", "triangle", "picture", "photo", "cat"]
    tokens += [f"[unused{i}]" for i in range(size - len(tokens))]
    path.write_text("\n".join(tokens) + "\n")


def write(folder, sizes, normal):
    """`normal(n, deviation, mean)` gives the bytes of n random numbers in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors, entries, at = shapes(sizes), {}, 0
    for name, shape in tensors.items():
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count(shape)]}
        at += 4 * count(shape)
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with open(folder / "ImageReward.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for name, shape in tensors.items():
            file.write(normal(count(shape), *deviation_and_mean(name, shape)))
    write_vocabulary(folder / "vocab.txt", min(sizes["vocabulary"], 30522))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    rng = random.Random(0)
    write(pathlib.Path(sys.argv[1]), SMALL,
          lambda n, deviation, mean: array.array("f", (rng.gauss(mean, deviation) for _ in range(n))).tobytes())
