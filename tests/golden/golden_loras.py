# SPDX-License-Identifier: Apache-2.0
"""Adapters for the model folders of golden_checkpoints.py in every spelling, and what the adapted networks compute.

The reference adds m alpha / r B A to the weights. Where diffusers or peft reads the file right, the script checks that
they agree.
"""

import json
import pathlib

import torch
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, inject_adapter_in_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from golden_checkpoints import reference, sd15_pipeline, sdxl_pipeline
from golden_common import generator, normal, save

UNET_LAYERS = [
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.0.resnets.0.time_emb_proj",
    "down_blocks.0.downsamplers.0.conv",
    "down_blocks.1.resnets.0.conv_shortcut",
    "mid_block.attentions.0.proj_in",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
    "mid_block.resnets.1.conv2",
    "up_blocks.0.upsamplers.0.conv",
    "conv_out",
]
TEXT_LAYERS = [
    "text_model.encoder.layers.0.self_attn.q_proj",
    "text_model.encoder.layers.0.self_attn.out_proj",
    "text_model.encoder.layers.1.mlp.fc1",
]
# The same layers of the network like SDXL's (one resnet a level) by SGM's names.
SGM = {
    "down_blocks.0.resnets.0.conv1": "input_blocks_1_0_in_layers_2",
    "down_blocks.0.resnets.0.time_emb_proj": "input_blocks_1_0_emb_layers_1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks_2_0_op",
    "down_blocks.1.resnets.0.conv_shortcut": "input_blocks_3_0_skip_connection",
    "mid_block.attentions.0.proj_in": "middle_block_1_proj_in",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q": "middle_block_1_transformer_blocks_0_attn1_to_q",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": "middle_block_1_transformer_blocks_0_attn2_to_k",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0": "middle_block_1_transformer_blocks_0_attn2_to_out_0",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj": "middle_block_1_transformer_blocks_0_ff_net_0_proj",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.2": "middle_block_1_transformer_blocks_0_ff_net_2",
    "mid_block.resnets.1.conv2": "middle_block_2_out_layers_3",
    "up_blocks.0.upsamplers.0.conv": "output_blocks_1_2_conv",
    "conv_out": "out_2",
}


def module_of(network, path):
    """The layer of that path; transformers 5 has no module text_model in CLIPTextModel."""
    try:
        return network.get_submodule(path)
    except AttributeError:
        return network.get_submodule(path.removeprefix("text_model."))


def make_factors(name, pipeline, components, ranks, half=False):
    """{(component, path): (down, up, alpha)}; alpha differs from the rank and between layers."""
    factors = {}
    for component, paths in components.items():
        for i, path in enumerate(paths):
            weight = module_of(getattr(pipeline, component), path).weight
            rank = ranks[i % len(ranks)]
            down = 0.4 * normal(f"{name}.{component}.{path}.down", rank, *weight.shape[1:])
            up = 0.4 * normal(f"{name}.{component}.{path}.up", weight.shape[0], rank)
            if half:
                down, up = down.half().float(), up.half().float()
            factors[component, path] = down, up, 0.5 * rank + i % 3
    return factors


def merged_reference(case, pipeline, factors, weight=1.0, scale=lambda rank, alpha: alpha / rank):
    """What the networks compute with weight * scale * B A added."""
    kept = {}
    with torch.no_grad():
        for (component, path), (down, up, alpha) in factors.items():
            w = module_of(getattr(pipeline, component), path).weight
            kept[component, path] = w.clone()
            delta = (up.double() @ down.double().flatten(1)).reshape(w.shape)
            w.copy_(w.double() + weight * scale(down.shape[0], alpha) * delta)
    # `reference` feeds the UNet what the text encoders give.
    out = reference(case, pipeline)
    with torch.no_grad():
        for (component, path), w in kept.items():
            module_of(getattr(pipeline, component), path).weight.copy_(w)
    return {k: out[k] for k in ("unet", "text", "text_2", "pooled", "tokens") if k in out}


def conv_up(up, down):
    return up[:, :, None, None] if down.dim() == 4 else up


def kohya(factors, two_encoders, layer=lambda path: path.replace(".", "_"), dtype=torch.float32):
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_" if two_encoders else "lora_te_", "text_encoder_2": "lora_te2_"}
    out = {}
    for (component, path), (down, up, alpha) in factors.items():
        name = prefix[component] + (layer(path) if component == "unet" else path.replace(".", "_"))
        out[f"{name}.lora_down.weight"] = down.to(dtype)
        out[f"{name}.lora_up.weight"] = conv_up(up, down).to(dtype)
        out[f"{name}.alpha"] = torch.tensor(float(alpha), dtype=dtype)
    return out


def diffusers_old(factors):
    out = {}
    for (component, path), (down, up, _) in factors.items():
        kind = "lora" if component == "unet" else "lora_linear_layer"
        out[f"{component}.{path}.{kind}.down.weight"] = down
        out[f"{component}.{path}.{kind}.up.weight"] = conv_up(up, down)
    return out


def processors(factors):
    out = {}
    for (component, path), (down, up, _) in factors.items():
        block, layer = path.replace(".to_out.0", ".to_out").rsplit(".", 1)
        if component == "unet":
            name = f"unet.{block}.processor.{layer}_lora"
        else:
            name = f"text_encoder.{block}.to_{'out' if layer == 'out_proj' else layer[0]}_lora"
        out[f"{name}.down.weight"], out[f"{name}.up.weight"] = down, up
    return out


def write(root, name, tensors, metadata=None):
    path = root / f"{name}.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata=metadata or {"format": "pt"})
    return path


def same(a, b):
    for key in a:
        assert torch.allclose(a[key], b[key], atol=2e-5), key


def through_diffusers(case, pipeline, path, weight=1.0):
    """The same by diffusers' own loader."""
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="a")
    pipeline.set_adapters(["a"], [weight])
    out = reference(case, pipeline)
    pipeline.unload_lora_weights()
    return out


def set_factors(model, name):
    """Gives peft's factors seeded values."""
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_" in key:
                p.copy_(0.3 * torch.randn(p.shape, generator=generator(f"peft.{name}.{key}")))


def sorted_config(config):
    """peft writes the set target_modules in an order that changes from run to run."""
    return {k: sorted(v) if k.endswith("target_modules") else v for k, v in config.items()}


def exported(root):
    """The files that tests/stable_diffusion/test_lora.cpp writes, byte for byte, mean the same to diffusers."""
    both = {"unet": UNET_LAYERS, "text_encoder": TEXT_LAYERS}
    pipeline = sd15_pipeline()
    factors = make_factors("lora.kohya", pipeline, both, (3, 1, 2), half=True)
    path = root / "exported" / "diffusers.safetensors"
    if path.exists():
        same(merged_reference("checkpoint.sd15", pipeline, factors), through_diffusers("checkpoint.sd15", pipeline, path))
    pipeline = sdxl_pipeline()
    factors = make_factors("lora.sgm", pipeline, {"unet": UNET_LAYERS}, (2,))
    factors = {key: (d.bfloat16().float(), u.bfloat16().float(), 1.0) for key, (d, u, _) in factors.items()}
    path = root / "exported" / "kohya_sdxl.safetensors"
    if path.exists():
        same(merged_reference("checkpoint.sdxl", pipeline, factors), through_diffusers("checkpoint.sdxl", pipeline, path))


def loras(out):
    """checkpoints/lora: adapters of sd15 and sdxl; lora.safetensors beside it holds `<file>.<value>`."""
    root = pathlib.Path(out) / "checkpoints" / "lora"
    root.mkdir(parents=True, exist_ok=True)
    values = {}

    def record(name, tensors):
        values.update({f"{name}.{key}": value for key, value in tensors.items()})

    # Stable Diffusion 1.5.
    case, pipeline = "checkpoint.sd15", sd15_pipeline()
    both = {"unet": UNET_LAYERS, "text_encoder": TEXT_LAYERS}
    factors = make_factors("lora.kohya", pipeline, both, (3, 1, 2), half=True)
    write(root, "sd15_kohya", kohya(factors, False, dtype=torch.float16))
    record("sd15_kohya", merged_reference(case, pipeline, factors, 0.8))  # at weight 0.8

    factors = make_factors("lora.diffusers", pipeline, both, (2, 3))
    path = write(root, "sd15_diffusers", diffusers_old(factors))
    want = merged_reference(case, pipeline, factors, scale=lambda rank, alpha: 1.0)
    same(want, through_diffusers(case, pipeline, path))
    record("sd15_diffusers", want)

    attention = {"unet": [p for p in UNET_LAYERS if ".attn" in p], "text_encoder": TEXT_LAYERS[:2]}
    factors = make_factors("lora.processor", pipeline, attention, (2, 2))
    path = write(root, "sd15_processor", processors(factors))
    want = merged_reference(case, pipeline, factors, scale=lambda rank, alpha: 1.0)
    same(want, through_diffusers(case, pipeline, path))
    record("sd15_processor", want)

    # Adapters of peft, saved by diffusers with the metadata of both configurations ...
    pipeline = sd15_pipeline()
    pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=["to_q", "ff.net.2", "conv1"],
                                         rank_pattern={"ff.net.2": 1}, alpha_pattern={"conv1": 5}))
    text_lora = LoraConfig(r=2, lora_alpha=1, target_modules=["q_proj", "fc1"], use_rslora=True)
    inject_adapter_in_model(text_lora, pipeline.text_encoder)
    set_factors(pipeline.unet, "unet")
    set_factors(pipeline.text_encoder, "text_encoder")
    want = reference(case, pipeline)
    pipeline.save_lora_weights(
        str(root),
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        text_encoder_lora_layers=get_peft_model_state_dict(pipeline.text_encoder),
        weight_name="sd15_peft_metadata.safetensors",
        **_collate_lora_metadata({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}),
    )
    path = root / "sd15_peft_metadata.safetensors"
    with safe_open(path, "pt") as file:
        config = sorted_config(json.loads(file.metadata()["lora_adapter_metadata"]))
    write(root, path.stem, load_file(path), {"lora_adapter_metadata": json.dumps(config, sort_keys=True)})
    record("sd15_peft_metadata", {k: want[k] for k in ("unet", "text")})

    # ... and a folder of peft itself, rank-stabilised.
    pipeline = sd15_pipeline()
    model = PeftModel(pipeline.unet, LoraConfig(r=3, lora_alpha=2, target_modules=["to_v", "to_out.0", "conv2"],
                                                use_rslora=True, alpha_pattern={"to_v": 4}), adapter_name="default")
    set_factors(model, "folder")
    record("sd15_peft", {"unet": reference(case, pipeline)["unet"]})
    model.save_pretrained(str(root / "sd15_peft"))
    (root / "sd15_peft" / "README.md").unlink(missing_ok=True)
    path = root / "sd15_peft" / "adapter_config.json"
    path.write_text(json.dumps(sorted_config(json.loads(path.read_text())), indent=1, sort_keys=True) + "\n")

    # SDXL.
    case, pipeline = "checkpoint.sdxl", sdxl_pipeline()
    all_three = {"unet": UNET_LAYERS, "text_encoder": TEXT_LAYERS, "text_encoder_2": TEXT_LAYERS}
    factors = make_factors("lora.sdxl", pipeline, all_three, (2, 1, 3))
    write(root, "sdxl_kohya", kohya(factors, True))
    record("sdxl_kohya", merged_reference(case, pipeline, factors))

    factors = make_factors("lora.sgm", pipeline, {"unet": UNET_LAYERS}, (2,))
    factors = {key: (down, up, 1.0) for key, (down, up, _) in factors.items()}
    path = write(root, "sdxl_sgm", kohya(factors, True, layer=SGM.get, dtype=torch.bfloat16))
    factors = {key: (d.bfloat16().float(), u.bfloat16().float(), a) for key, (d, u, a) in factors.items()}
    record("sdxl_sgm", merged_reference(case, pipeline, factors))
    save(root.parent, "lora", values)
    exported(root)
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
