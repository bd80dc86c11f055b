# SPDX-License-Identifier: Apache-2.0
"""CLIP's tokenizer folder, from the vocabulary that PyPI's open_clip_torch ships."""

import gzip
import importlib.util
import json
import pathlib

START, END = "<|startoftext|>", "<|endoftext|>"


def merges_of_clip():
    """CLIP's 48894 merges, in the order of their ranks."""
    package = importlib.util.find_spec("open_clip")  # not imported: it needs torchvision
    if package is None or package.origin is None:
        raise SystemExit("make_pipeline: CLIP's vocabulary is in PyPI's open_clip_torch; pip install --no-deps open_clip_torch")
    path = pathlib.Path(package.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    return lines[1 : 49152 - 256 - 2 + 1]


def byte_symbols():
    """One printable symbol for each byte: printable bytes first, then the others, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def vocabulary(merges):
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges] + [START, END]
    return {token: i for i, token in enumerate(tokens)}


def write_tokenizer(folder, merges, length=77, pad=END):
    """Writes vocab.json, merges.txt and both configurations; returns the number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab = vocabulary(merges)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")

    def token(text):
        return {"content": text, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}

    special = {"bos_token": token(START), "eos_token": token(END), "pad_token": pad, "unk_token": token(END)}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2))
    config = {
        "add_prefix_space": False,
        "bos_token": token(START),
        "do_lower_case": True,
        "eos_token": token(END),
        "errors": "replace",
        "model_max_length": length,
        "pad_token": pad,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": token(END),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    return len(vocab)
