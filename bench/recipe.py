#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A try of the main job's recipe that begins where a finished run's distillation began.

    python3 bench/recipe.py --program build/examples/examples/hypersd_fashion --base runs/fashion --out runs/try -- \\
        --stages 4,1 --stage-steps 240,720 --grid-points 8 --skip feedback

Autoencoder, classifier, teacher, rewards and the teacher's pairs are the base's, so that a try costs only its own phases and
its measures. Options after -- go to the program; those of the base that decide its phases (seed, preset, teacher) must be
among them. --keep names further phases to take over, by their beginnings, e.g. "tscd,feedback,one-step-800". Standard
library only.
"""

import argparse
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

OWN = ("tscd", "tcd", "feedback", "one-step", "dmd of the teacher")  # phases of a try, by their beginnings


def empty_run(command, out):
    """A folder that says which options made it: the program is stopped as soon as it has written that."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (out / "run.json").is_file() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1]
    if not (out / "run.json").is_file():
        sys.exit(f"recipe.py: {said.strip()}")


def begins(name, phases, but):
    """Whether a phase, or a file that is named after one, begins as one of `phases` and as none of `but`."""
    spelled = lambda phase: phase.replace(" ", "-").replace(",", "")
    match = lambda those: spelled(name).startswith(tuple(map(spelled, those)))
    return match(phases) and not match(but)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="hypersd_fashion")
    parser.add_argument("--base", required=True, type=pathlib.Path, help="a run whose phases before distillation are done")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of the try; must not exist")
    parser.add_argument("--keep", default="", help="phases of distillation to take over too")
    parser.add_argument("options", nargs="*", help="of the program, after --")
    options = parser.parse_args()
    keep = [phase for phase in options.keep.split(",") if phase]
    if options.out.exists():
        sys.exit(f"recipe.py: {options.out} exists")
    command = [options.program, *options.options, "--out", str(options.out)]
    empty_run(command, options.out)
    base = json.loads((options.base / "run.json").read_text())
    run = json.loads((options.out / "run.json").read_text())
    run["done"] = [phase for phase in base["done"] if not begins(phase["phase"], OWN, keep)]
    shutil.rmtree(options.out / "state")
    shutil.rmtree(options.out / "logs")
    for folder in ("state", "logs"):
        (options.out / folder).mkdir()
        for file in (options.base / folder).iterdir():
            if not begins(file.name, OWN, keep):
                shutil.copy(file, options.out / folder / file.name)
    (options.out / "run.json").write_text(json.dumps(run, indent=2) + "\n")
    sys.exit(subprocess.run([*command, "--resume"], check=False).returncode)


if __name__ == "__main__":
    main()
