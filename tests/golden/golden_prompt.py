# SPDX-License-Identifier: Apache-2.0
"""Embeddings of prompts by the pipelines of diffusers, with small random text encoders.

The tokenizer has CLIP's 512 byte symbols, its first 100 merges and the two special tokens, and pads to 16 ids.
"""

import json
import pathlib
import tempfile

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from golden_common import generator, save, seed_modules
from golden_text import KINDS, described, merges_lines, vocabulary

MERGES, LENGTH = 100, 16
# transformers 5 has no inner `text_model` any more, which diffusers 0.42 asks for where layers are skipped.
CLIPTextModel.text_model = property(lambda self: self)
PROMPTS = ["a cat on the moon!", "", "the <|endoftext|> end, and an other thing in the rain that goes on and on"]
SECOND = ["an old man", "in <style> on", "!"]


def tokenizer(kind):
    lines = merges_lines()[: MERGES + 1]
    tokens = vocabulary(lines[1:])
    config = json.loads(json.dumps(KINDS[kind][0])) | {"model_max_length": LENGTH}
    ids = {"!": tokens["!"], **{t: tokens[t] for t in ("<|startoftext|>", "<|endoftext|>")}}
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = {str(ids[t["content"]]): t for t in config["added_tokens_decoder"].values()}
        config["added_tokens_decoder"][str(len(tokens))] = described("<style>", False)  # an id above the end token's
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "vocab.json").write_text(json.dumps(tokens))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines[1:]) + "\n")
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return CLIPTokenizer.from_pretrained(str(folder))


def encoder(name, cls, tokens, hidden, layers, act, projection, legacy):
    """A text encoder with random norms and biases. `legacy` files name 2 as the end token."""
    seed_modules(name)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        max_position_embeddings=LENGTH,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        hidden_act=act,
        projection_dim=projection,
        bos_token_id=0 if legacy else tokens.bos_token_id,
        eos_token_id=2 if legacy else tokens.eos_token_id,
        pad_token_id=1,
    )
    module = cls(config).eval()
    stream = generator(f"{name}.offsets")
    with torch.no_grad():
        for key, p in module.named_parameters():
            p.mul_(1 if p.dim() == 1 else 8)  # so that attention is not uniform
            if p.dim() == 1:
                p += 0.1 * torch.randn(p.shape, generator=stream)
    return module


def parameters(prefix, module):
    """Under the names of the older files, with `text_model.`."""
    out = {}
    for key, p in module.named_parameters():
        name = key if key.startswith("text_") else "text_model." + key
        out[f"{prefix}.param.{name}"] = p.float()
    return out


def ids(tokens, texts):
    rows = tokens(texts, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
    return torch.tensor(rows)


@torch.no_grad()
def prompt(out):
    """prompt: sd15 (quick gelu), sd21 (gelu), sdxl (two encoders; `pooled.new` with the real end token)."""
    values = {}
    scheduler = DDIMScheduler()
    none = dict(vae=None, unet=None, scheduler=scheduler)
    for name, act in (("sd15", "quick_gelu"), ("sd21", "gelu")):
        tokens = tokenizer("sd15")
        text = encoder(f"prompt.{name}", CLIPTextModel, tokens, 8, 3, act, 8, True)
        pipe = StableDiffusionPipeline(
            text_encoder=text, tokenizer=tokens, safety_checker=None, feature_extractor=None,
            requires_safety_checker=False, **none,
        )
        values |= parameters(f"{name}.0", text) | {f"{name}.ids.0": ids(tokens, PROMPTS)}
        for skip in (None, 1, 2):
            states, _ = pipe.encode_prompt(PROMPTS, "cpu", 1, False, clip_skip=skip)
            values[f"{name}.states.{skip or 0}"] = states
    first, second = tokenizer("sd15"), tokenizer("sdxl2")
    text = encoder("prompt.sdxl.0", CLIPTextModel, first, 8, 3, "quick_gelu", 8, True)
    text_2 = encoder("prompt.sdxl.1", CLIPTextModelWithProjection, second, 12, 4, "gelu", 10, True)
    pipe = StableDiffusionXLPipeline(
        text_encoder=text, text_encoder_2=text_2, tokenizer=first, tokenizer_2=second, add_watermarker=False, **none
    )
    values |= parameters("sdxl.0", text) | parameters("sdxl.1", text_2)
    values |= {"sdxl.ids.0": ids(first, PROMPTS), "sdxl.ids.1": ids(second, SECOND)}
    for skip in (None, 1):
        states, _, pooled, _ = pipe.encode_prompt(PROMPTS, SECOND, "cpu", 1, False, clip_skip=skip)
        values |= {f"sdxl.states.{skip or 0}": states, "sdxl.pooled": pooled}
    # The same weights where the configuration has the real end token.
    inner = text_2.text_model if hasattr(text_2, "text_model") else text_2
    assert inner.eos_token_id == 2
    inner.eos_token_id = second.eos_token_id
    values["sdxl.pooled.new"] = pipe.encode_prompt(PROMPTS, SECOND, "cpu", 1, False)[2]
    save(out, "prompt", values)
