#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden values that the C++ tests compare with.

Every value comes from an independent implementation (diffusers, PyTorch, SciPy)
and from fixed seeds; running it twice writes the same bytes. The environment is
the one of bench/peers/setup.sh. See README.md for what each file holds.

    bash bench/peers/setup.sh VENV && VENV/bin/python tests/golden/generate.py --out tests/golden/data
"""

import argparse
import pathlib
import sys

import torch

import golden_arrays
import golden_checkpoints
import golden_continuous
import golden_data
import golden_distill
import golden_feedback
import golden_flow_maps
import golden_image_encoder
import golden_image_reward
import golden_instance
import golden_loras
import golden_matching
import golden_more_solvers
import golden_narrow
import golden_networks
import golden_objectives
import golden_ops
import golden_pi_flow
import golden_pipeline
import golden_prompt
import golden_random
import golden_schedulers
import golden_single_files
import golden_solvers
import golden_text
import golden_training
import golden_transformers
import golden_word_pieces

FAMILIES = {
    "arrays": golden_arrays.arrays,
    "schedules": golden_solvers.schedules,
    "solver_ddim": golden_solvers.ddim,
    "solver_tcd": golden_solvers.tcd,
    "more_solvers": golden_more_solvers.more_solvers,
    "networks": golden_networks.networks,
    "transformers": golden_transformers.transformers,
    "ops": golden_ops.ops,
    "ops_bf16": golden_narrow.narrow,
    "adamw": golden_training.adamw,
    "adamw_bf16": golden_training.adamw_bf16,
    "lora": golden_training.lora,
    "continuous": golden_continuous.continuous,
    "distill": golden_distill.distill,
    "flow_maps": golden_flow_maps.flow_maps,
    "canny": golden_data.canny,
    "checkpoints": golden_checkpoints.checkpoints,
    "resize": golden_data.resize,
    "image_encoder": golden_image_encoder.image_encoder,
    "image_reward": golden_image_reward.image_reward,
    "loras": golden_loras.loras,
    "matching": golden_matching.matching,
    "single_files": golden_single_files.single_files,
    "instance": golden_instance.instance,
    "objectives": golden_objectives.objectives,
    "feedback": golden_feedback.feedback,
    "reward_networks": golden_feedback.reward_networks,
    "pi_flow": golden_pi_flow.pi_flow,
    "frechet": golden_training.frechet,
    "philox": golden_training.philox,
    "pipeline": golden_pipeline.pipeline,
    "text": golden_text.text,
    "word_pieces": golden_word_pieces.word_pieces,
    "schedulers": golden_schedulers.schedulers,
    "torch_random": golden_random.torch_random,
    "prompt": golden_prompt.prompt,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(pathlib.Path(__file__).parent / "data"), help="folder to write to")
    parser.add_argument("--only", nargs="*", choices=sorted(FAMILIES), help="write these families only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    for name, family in FAMILIES.items():
        if not options.only or name in options.only:
            print(f"golden: {name}", file=sys.stderr)
            family(options.out)


if __name__ == "__main__":
    main()
