#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes Stable Diffusion checkpoints with random weights, so that txt2img runs where no real ones can be downloaded.

    python3 make_pipeline.py models                     # one small folder of every kind
    python3 make_pipeline.py models --kinds sd15 lora   # some kinds
    python3 make_pipeline.py models --kinds sd15 --full # the published sizes (sd15: 4.3 GB, sdxl: 13.9 GB in float32)

kinds (OUT/<kind>):
  sd15        Stable Diffusion 1.x: epsilon, one text encoder, 1x1 convolutions around transformers; PNDM scheduler
  sd21        2.x: v-prediction, linear projections, heads per level
  sdxl        SDXL: two text encoders, pooled text and size conditioning
  deep        four levels as SD 1.5, float16 files of the variant fp16 in shards, newest layout of diffusers
  lcm         an LCM student of sd15: takes the guidance weight as an input
  tiny        the smallest complete pipeline, with a vocabulary of 800 tokens
  lora        LoRAs for sd15 and sdxl: kohya, kohya with SGM names, diffusers, peft (file and folder), text encoders too
  controlnet  ControlNets for sd15 (two of them) and sdxl
  taesd       tiny decoder and encoder: a diffusers folder, and files with the names of the original
  aesthetic   an aesthetic reward: CLIP's image encoder and LAION's head (for distill_lora)
  imagereward a reward of picture and caption: ImageReward with a vocabulary of BERT (for distill_lora)
  images      24 drawings with captions (for distill_lora)
  ldm         sd15 and sdxl as single files (needs the folders sd15 and sdxl)

Needs PyPI's torch, diffusers, transformers, safetensors and open_clip_torch (for CLIP's vocabulary), which
bench/peers/setup.sh installs.
"""

import argparse
import json
import pathlib
import sys
import zlib

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)
from diffusers.utils import logging
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import adapters
import single_file
import training
import vocabulary

logging.set_verbosity_error()
logging.disable_progress_bar()

KINDS = ["sd15", "sd21", "sdxl", "deep", "lcm", "tiny", "lora", "controlnet", "taesd", "aesthetic",
         "imagereward", "images", "ldm"]
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"


def generator(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


@torch.no_grad()
def randomize(model, name, dtype=torch.float32):
    """Weights of variance 1 / fan-in, norms near one, small biases: activations of about unit size everywhere."""
    g = generator(name)
    for key, p in model.named_parameters():
        fill = torch.randn(p.shape, generator=g)
        if "norm" in key and key.endswith("weight"):
            p.copy_(1 + 0.1 * fill)
        elif p.ndim < 2:
            p.copy_(0.05 * fill)
        elif "embedding.weight" in key:
            p.copy_(0.5 * fill)
        else:
            p.copy_(fill * (p.shape[0] / p.numel()) ** 0.5)
    return (model if dtype == torch.float32 else model.to(dtype)).eval()


def random_files(model, folder, stem, half):
    """The files of a network on torch's meta device, whose weights never are in memory: configuration and random weights.

    The weights have the deviations of `randomize`; their random numbers repeat after 2^22.
    """
    (getattr(model, "save_config", None) or model.config.save_pretrained)(folder)
    block = torch.randn(1 << 22, generator=generator(str(stem)))
    kind, size = ("F16", 2) if half else ("F32", 4)
    entries, at = {}, 0
    tensors = dict(model.named_parameters())
    for key, p in tensors.items():
        entries[key] = {"dtype": kind, "shape": list(p.shape), "data_offsets": [at, at + p.numel() * size]}
        at += p.numel() * size
    header = json.dumps({"__metadata__": {"format": "pt"}} | entries).encode()
    header += b" " * (-len(header) % 8)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{stem}{'.fp16' if half else ''}.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for key, p in tensors.items():
            scale, shift = 0.05, 0.0
            if "norm" in key and key.endswith("weight"):
                scale, shift = 0.1, 1.0
            elif "embedding.weight" in key:
                scale = 0.5
            elif p.ndim > 1:
                scale = (p.shape[0] / p.numel()) ** 0.5
            values = (shift + scale * block[: p.numel()]).to(torch.float16 if half else torch.float32).numpy()
            for begin in range(0, p.numel(), len(values)):
                file.write(values[: min(len(values), p.numel() - begin)].tobytes())


def unet(widths, attention, heads, cross, **more):
    down = tuple(CROSS if a else PLAIN for a in attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention))
    options = dict(
        sample_size=16,
        block_out_channels=tuple(widths),
        down_block_types=down,
        up_block_types=up,
        layers_per_block=2,
        attention_head_dim=heads,
        cross_attention_dim=cross,
        norm_num_groups=8,
    )
    return UNet2DConditionModel(**(options | more))


def autoencoder(widths, scaling=0.18215, **more):
    options = dict(
        block_out_channels=tuple(widths),
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=8,
        scaling_factor=scaling,
        sample_size=128,
    )
    return AutoencoderKL(**(options | more))


def text_encoder(width, layers, heads, vocab, projection=0, length=77, act="quick_gelu"):
    config = CLIPTextConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=length,
        hidden_act=act,
        projection_dim=projection or width,
        bos_token_id=0,
        eos_token_id=2,  # as in the published files: a marker, not an id
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


# --- the networks of each kind


def networks(kind, full, vocab=49408):
    """unet, vae, [text encoders]."""
    if kind in ("sd15", "lcm") and full:
        lcm = {"time_cond_proj_dim": 256} if kind == "lcm" else {}
        net = unet((320, 640, 1280, 1280), (1, 1, 1, 0), 8, 768, sample_size=64, norm_num_groups=32, **lcm)
        return net, published_vae(0.18215, 512), [text_encoder(768, 12, 12, vocab)]
    if kind == "sdxl" and full:
        net = unet(
            (320, 640, 1280),
            (0, 1, 1),
            [5, 10, 20],
            2048,
            sample_size=128,
            norm_num_groups=32,
            transformer_layers_per_block=[1, 2, 10],
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
        texts = [text_encoder(768, 12, 12, vocab), text_encoder(1280, 32, 20, vocab, projection=1280, act="gelu")]
        return net, published_vae(0.13025, 1024), texts
    if full:
        raise SystemExit(f"make_pipeline: --full is for sd15, lcm and sdxl, not {kind}")
    if kind == "sd21":
        net = unet((32, 64, 64), (1, 1, 0), [2, 4, 4], 48, use_linear_projection=True)
        return net, autoencoder((16, 16, 32, 32)), [text_encoder(48, 3, 4, vocab, act="gelu")]
    if kind == "sdxl":
        net = unet(
            (32, 64, 64),
            (0, 1, 1),
            [2, 4, 4],
            32 + 48,
            transformer_layers_per_block=[1, 1, 2],
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=40 + 6 * 8,
        )
        texts = [text_encoder(32, 3, 4, vocab), text_encoder(48, 4, 4, vocab, projection=40, act="gelu")]
        return net, autoencoder((16, 16, 32, 32), 0.13025), texts
    if kind == "deep":
        net = unet((16, 32, 48, 48), (1, 1, 1, 0), 4, 32)
        return net, autoencoder((16, 16, 32, 32)), [text_encoder(32, 2, 4, vocab)]
    if kind == "tiny":
        net = unet((8, 16), (1, 0), 2, 16, layers_per_block=1, norm_num_groups=4, sample_size=8)
        vae = autoencoder((4, 4, 8, 8), layers_per_block=1, norm_num_groups=4, sample_size=64)
        return net, vae, [text_encoder(16, 2, 2, vocab)]
    lcm = {"time_cond_proj_dim": 32} if kind == "lcm" else {}
    net = unet((32, 64, 64), (1, 1, 0), 4, 32, **lcm)
    return net, autoencoder((16, 16, 32, 32)), [text_encoder(32, 3, 4, vocab)]


def published_vae(scaling, size):
    return autoencoder((128, 256, 512, 512), scaling, norm_num_groups=32, sample_size=size)


def scheduler(kind):
    if kind == "sd21":
        return DDIMScheduler(**BETAS, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1, clip_sample=False)
    if kind == "sdxl":
        return EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1)
    if kind == "lcm":
        return LCMScheduler(**BETAS, set_alpha_to_one=True, steps_offset=1, clip_sample=False)
    return PNDMScheduler(**BETAS, set_alpha_to_one=False, steps_offset=1, skip_prk_steps=True)


# --- files


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def save_text_encoder(model, folder, layout, variant):
    """Published files have names with `text_model.`; transformers 5 saves CLIPTextModel without."""
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    state = load_file(path)
    prefixed = any(key.startswith("text_model.") for key in state)
    if layout == "published" and not prefixed:
        state = {f"text_model.{key}": value for key, value in state.items()}
    if layout == "published":
        state["text_model.embeddings.position_ids"] = torch.arange(model.config.max_position_embeddings)[None]
    path.unlink()
    name = f"model.{variant}.safetensors" if variant else "model.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, folder / name, {"format": "pt"})


def old_attention_names(path):
    """The autoencoder's attention as in the published files of Stable Diffusion 1.x."""
    state, names = load_file(path), {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    out = {}
    for key, value in state.items():
        for new, old in names.items():
            if ".attentions.0." in key:
                key = key.replace(f".{new}.", f".{old}.")
        out[key] = value
    save_file(out, path, {"format": "pt"})


def write_pipeline(kind, out, args):
    dtype = torch.float16 if kind == "deep" or args.half else torch.float32
    variant = "fp16" if kind == "deep" or args.half else None
    layout = "new" if kind == "deep" else "published"
    merges = vocabulary.merges_of_clip()
    if kind == "tiny":
        merges = merges[: 800 - 512 - 2]
    out.mkdir(parents=True, exist_ok=True)
    parts = {"tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", type(scheduler(kind)).__name__]}
    vocab = vocabulary.write_tokenizer(out / "tokenizer", merges)
    with torch.device("meta" if args.full else "cpu"):
        net, vae, texts = networks(kind, args.full, vocab)
    if kind == "sdxl":
        vocabulary.write_tokenizer(out / "tokenizer_2", merges, pad="!")
        parts["tokenizer_2"] = parts["tokenizer"]
    scheduler(kind).save_pretrained(out / "scheduler")
    path = out / "scheduler" / "scheduler_config.json"
    write_json(path, json.loads(path.read_text()) | {"clip_sample": False})  # as published, for PNDM too
    shards = {"max_shard_size": "120KB"} if kind == "deep" else {"max_shard_size": "40GB"}
    for name, model in {"unet": net, "vae": vae}.items():
        parts[name] = ["diffusers", type(model).__name__]
        if args.full:
            random_files(model, out / name, "diffusion_pytorch_model", args.half)
            continue
        randomize(model, f"{kind}.{name}", dtype).save_pretrained(out / name, variant=variant, **(shards if name == "unet" else {}))
    for i, model in enumerate(texts):
        name = "text_encoder" + ("_2" if i else "")
        parts[name] = ["transformers", type(model).__name__]
        if args.full:
            random_files(model, out / name, "model", args.half)
            continue
        save_text_encoder(randomize(model, f"{kind}.{name}", dtype), out / name, layout, variant)
    if kind == "sd15" and not args.full:
        old_attention_names(next((out / "vae").glob("*.safetensors")))
    if layout == "new":  # the tokenizer as transformers 5 saves it
        from transformers import CLIPTokenizer

        CLIPTokenizer.from_pretrained(out / "tokenizer").save_pretrained(out / "tokenizer")
        if (out / "tokenizer" / "tokenizer.json").exists():
            for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
                (out / "tokenizer" / name).unlink(missing_ok=True)
    if kind == "tiny":  # small files under version control
        for path in out.rglob("*.safetensors"):
            half = {k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}
            save_file(half, path, {"format": "pt"})
    if kind == "sdxl":
        index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
        parts |= {"feature_extractor": [None, None], "image_encoder": [None, None]}
    else:
        index = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": False}
        parts |= {"feature_extractor": [None, None], "safety_checker": [None, None], "image_encoder": [None, None]}
    write_json(out / "model_index.json", index | {"_diffusers_version": "0.21.4"} | parts)


def write_loras(out, args):
    out.mkdir(parents=True, exist_ok=True)
    rank, alpha = 4, 2.0
    for kind in ("sd15", "sdxl"):
        net, _, texts = networks(kind, args.full)
        parts = {"unet": net} | {"text_encoder" + ("_2" if i else ""): t for i, t in enumerate(texts)}
        xl = kind == "sdxl"

        def made(name, **more):
            return adapters.random_lora(parts, rank, generator(f"lora.{kind}.{name}"), **more)

        def save(name, state, metadata=None):
            save_file({k: v.contiguous() for k, v in state.items()}, out / f"{kind}_{name}.safetensors", metadata)

        # as Hyper-SD's files: every kind of layer of the UNet, diffusers' names in kohya's spelling
        save("hyper", adapters.kohya(made("hyper", text=False), alpha, xl))
        save("kohya", adapters.kohya(made("kohya"), alpha, xl))
        save("diffusers", adapters.diffusers_old(made("diffusers")))
        attention = made("peft", ends=adapters.UNET_ATTENTION)
        save("peft", adapters.peft(attention), adapters.peft_metadata(attention, rank, alpha))
        folder = out / f"{kind}_peft_folder"
        folder.mkdir(exist_ok=True)
        own = made("folder", text=False)
        save_file(adapters.peft(own, prefixed=False), folder / "adapter_model.safetensors")
        write_json(folder / "adapter_config.json", adapters.peft_folder_config(own, rank, alpha))
        if xl:
            up = ["CrossAttn" in b for b in net.config.up_block_types]
            ends = [e for e in adapters.UNET_LAYERS if "samplers" not in e]
            save("sgm", adapters.kohya(made("sgm", ends=ends), alpha, True, (net.config.layers_per_block, up)))


def write_controlnet(folder, net, name, widths):
    """A ControlNet of `net`, with residuals smaller than the features they are added to."""
    control = ControlNetModel.from_unet(net, conditioning_embedding_out_channels=widths, load_weights_from_unet=False)
    control = randomize(control, f"controlnet.{name}")
    with torch.no_grad():
        for key, p in control.named_parameters():
            if "controlnet_down_blocks" in key or "controlnet_mid" in key:
                p *= 0.3
    control.save_pretrained(folder)


def write_controlnets(out, args):
    for name, kind in (("sd15", "sd15"), ("sd15_second", "sd15"), ("sdxl", "sdxl")):
        net, _, _ = networks(kind, args.full)
        write_controlnet(out / name, net, name, (16, 32, 96, 256) if args.full else (8, 8, 16, 16))


def tiny_autoencoder(width):
    tiny = AutoencoderTiny(encoder_block_out_channels=(width,) * 4, decoder_block_out_channels=(width,) * 4)
    return randomize(tiny, "taesd")


def write_taesd(out, args):
    tiny = tiny_autoencoder(64 if args.full else 8)
    tiny.save_pretrained(out / "folder")
    for half in ("encoder", "decoder"):
        shift = 1 if half == "decoder" else 0  # the original's decoder begins with a layer without weights
        state = {}
        for key, value in getattr(tiny, half).state_dict().items():
            number, rest = key.removeprefix("layers.").split(".", 1)
            state[f"{int(number) + shift}.{rest}"] = value
        save_file(state, out / f"taesd_{half}.safetensors")


def write_single_files(out, args):
    out.mkdir(parents=True, exist_ok=True)
    for kind, texts in (("sd15", ["text_encoder"]), ("sdxl", ["text_encoder", "text_encoder_2"])):
        folder = args.out / kind
        if not (folder / "model_index.json").exists():
            print(f"make_pipeline: ldm: {folder} is not there; left out", file=sys.stderr)
            continue

        def state(part):
            path = next((folder / part).glob("*.safetensors"))
            names = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
            found = {}
            for key, value in load_file(path).items():
                for old, new in names.items():
                    key = key.replace(f"attentions.0.{old}.", f"attentions.0.{new}.")
                if not key.endswith("position_ids"):
                    found[key] = value
            return found

        config = json.loads((folder / "unet" / "config.json").read_text())
        whole = single_file.single_file(state("unet"), state("vae"), [state(t) for t in texts], config)
        alphas = torch.cumprod(1 - torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, 1000) ** 2, 0)
        whole |= {"alphas_cumprod": alphas, "model_ema.decay": torch.tensor(0.9999)}  # strays to be ignored
        save_file({k: v.contiguous() for k, v in whole.items()}, out / f"{kind}.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="folder to write to, made if needed")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help="default: all of the list above")
    parser.add_argument("--full", action="store_true", help="the published sizes instead of small ones")
    parser.add_argument("--half", action="store_true", help="float16 files of the variant fp16")
    args = parser.parse_args()
    for kind in args.kinds:
        folder = args.out / kind
        if kind == "lora":
            write_loras(folder, args)
        elif kind == "controlnet":
            write_controlnets(folder, args)
        elif kind == "taesd":
            write_taesd(folder, args)
        elif kind == "aesthetic":
            training.write_aesthetic(folder, args.full)
        elif kind == "imagereward":
            training.write_image_reward(folder, args.full)
        elif kind == "images":
            training.write_images(folder)
        elif kind == "ldm":
            write_single_files(folder, args)
        else:
            write_pipeline(kind, folder, args)
        print(f"{folder}: {sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
