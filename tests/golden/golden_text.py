# SPDX-License-Identifier: Apache-2.0
"""CLIP's tokenizer: its merges, ids by transformers, and what its normalizer does to each character.

`clip_merges.txt.gz` holds the first 48894 merges of the vocabulary that open_clip_torch ships (MIT; OpenAI's CLIP).
"""

import gzip
import importlib.metadata
import json
import pathlib
import tempfile
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import CLIPTokenizer

from golden_common import save_json

MERGES = 49152 - 256 - 2

PROMPTS = [
    "",
    " ",
    "\t\n \r\n",
    "a photo of a cat",
    "A Photograph of an Astronaut riding a horse, 4K, highly-detailed!!!",
    "it's we're they've I'm you'll he'd don't 'S 'LL ''s '",
    "<|startoftext|>a<|endoftext|>b <|endoftext|>!! <|EndOfText|>! x<|STARTOFTEXT|>!y !<|endoftext|>! < |endoftext| >",
    "wow! really!? (a:1.3) [b] {c} <lora:name:0.8> #1 100% $5 & more | less \\ \"quoted\" `~^",
    "1234567890 3.14159 ½ ² Ⅷ ① ٣ १२ 一二",
    "Ünïcödé ÀÉÎÕÜ ñ ç ß ẞ ø Æ œ Œ ı İ ſ ﬁ ﬀ Ｆｕｌｌ ＡＢＣ",
    "e\u0301 E\u0301 n\u0303 a\u0308\u0304 q\u0307\u0323 q\u0323\u0307 \u0344 \u212b \u2126 \u0340",
    "ΣΊΣΥΦΟΣ ΑΣ σς ΌΔΟΣ",
    "Привет, мир! Ёжик",
    "日本語の猫　写真 中文猫咪 한국어 고양이 \u1112\u1161\u11ab \uac38\u11a7x",
    "हिन्दी बिल्ली ไทยแมว العَرَبِيَّة קָטָן",
    "😀 🐈‍⬛ 👨‍👩‍👧‍👦 🇯🇵 👍🏽 ❤️ ☃ 🏴\U000e0067\U000e0062",
    "a\u0000b \u0001 \u001b[0m \u007f a\u001cb\u001dc\u001ed\u001fe \u0085 x\u0085y",
    "no\u00a0break en\u2002quad thin\u2009space line\u2028sep par\u2029sep narrow\u202fnbsp math\u205fspace ideo\u3000graphic ogham\u1680mark",
    "zero\u200bwidth join\u200der bom\ufeff soft\u00adhyphen mongolian\u180eseparator",
    "\ufffd \ufffe \U0010ffff \ue000 \U000f0000",
    "‘curly’ “quotes” – — … • ™ © ® € £ ¥ § ¶ ° ± × ÷",
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "masterpiece, best quality, " * 40,
    "x" * 3000,
    "!" * 100,
    "é" * 200,
    "😀" * 90,
]


def merges_lines():
    """The heading and the merges of open_clip_torch's vocabulary."""
    files = importlib.metadata.files("open_clip_torch")
    path = next(f for f in files if f.name == "bpe_simple_vocab_16e6.txt.gz").locate()
    return gzip.decompress(pathlib.Path(path).read_bytes()).decode().split("\n")[: MERGES + 1]


def vocabulary(merges):
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges]
    return {token: i for i, token in enumerate(tokens + ["<|startoftext|>", "<|endoftext|>"])}


def described(content, normalized):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}


START, END = "<|startoftext|>", "<|endoftext|>"
# `tokenizer_config.json` and `special_tokens_map.json` of the kinds that are published, in their words.
KINDS = {
    "plain": ({"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}, None),
    "sd15": (
        {
            "bos_token": {"__type": "AddedToken", **described(START, True)},
            "eos_token": {"__type": "AddedToken", **described(END, True)},
            "unk_token": {"__type": "AddedToken", **described(END, True)},
            "pad_token": END,
            "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        },
        {
            "bos_token": described(START, True),
            "eos_token": described(END, True),
            "unk_token": described(END, True),
            "pad_token": END,
        },
    ),
    "sdxl2": (
        {
            "added_tokens_decoder": {
                "0": {**described("!", False), "special": True},
                "49406": {**described(START, True), "special": True},
                "49407": {**described(END, True), "special": True},
            },
            "bos_token": START,
            "eos_token": END,
            "pad_token": "!",
            "unk_token": END,
            "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        },
        {"bos_token": described(START, True), "eos_token": END, "pad_token": "!", "unk_token": END},
    ),
}


def characters():
    """What the tokenizer does to each character of Unicode 14: class by ranges, and where it changes one."""
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    space = normalizers.Replace(Regex(r"\s+"), " ")
    letter, number = (pre_tokenizers.Split(Regex(p), "isolated") for p in (r"\p{L}+", r"\p{N}+"))
    # A character belongs to a class where the pattern splits it from its neighbours, which do not.
    isolated = lambda rule, c: len(rule.pre_tokenize_str(f"-{c}-")) == 3
    ranges, changed = {"letter": [], "number": [], "space": []}, {}
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000 or unicodedata.category(chr(code)) == "Cn":
            continue
        c = chr(code)
        kind = "space" if space.normalize_str(c) == " " else None
        kind = "letter" if isolated(letter, c) else "number" if isolated(number, c) else kind
        if kind:
            runs = ranges[kind]
            if runs and runs[-1][1] == code - 1:
                runs[-1][1] = code
            else:
                runs.append([code, code])
        after = normalizer.normalize_str(c)
        if after != c:
            changed[f"{code:X}"] = after
    return ranges, changed


def text(out):
    """clip_merges.txt.gz, clip_ids.json, clip_characters.json."""
    lines = merges_lines()
    path = pathlib.Path(out) / "clip_merges.txt.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", 9, mtime=0))
    ids = {}
    for kind, (config, special) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "vocab.json").write_text(json.dumps(vocabulary(lines[1:])))
            (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines[1:]) + "\n")
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
            if special:
                (folder / "special_tokens_map.json").write_text(json.dumps(special))
            tokenizer = CLIPTokenizer.from_pretrained(str(folder))
        rows = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True)["input_ids"]
        ids[kind] = {"settings": config, "special": special, "ids": rows}
    save_json(out, "clip_ids", {"prompts": PROMPTS, "kinds": ids}, indent=None)
    ranges, changed = characters()
    save_json(out, "clip_characters", {"ranges": ranges, "changed": changed}, indent=None)
