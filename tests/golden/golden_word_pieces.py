# SPDX-License-Identifier: Apache-2.0
"""BERT's WordPiece tokenizer: ids by transformers, and what it does to each character, by tokenizers.

Characters that Unicode 9 and later added or reclassified are left out: tokenizers knows the categories of Unicode 8.
"""

import pathlib
import tempfile
import unicodedata

from tokenizers import normalizers, pre_tokenizers
from transformers import BertTokenizer

from golden_common import save_json

WORDS = """a photo of the cat cats sat on mat an astronaut riding horse high quality best masterpiece un aff able embed
ding dings naive cafe resume uber strasse don t s re i m 4 k 12 3 14 100 привет мир еж ик ωμεγα σ ος 日 本 中 文 猫 の 写 真 ℃
한 국 हिन ไทย المر ﬁ æ œ ø ß""".split()
PIECES = """##s ##t ##aff ##able ##ding ##dings ##ed ##ing ##er ##ly ##a ##b ##c ##d ##e ##f ##g ##h ##i ##j ##k ##l ##m ##n
##o ##p ##q ##r ##u ##v ##w ##x ##y ##z ##0 ##1 ##2 ##3 ##4 ##ик ##вет ##ος ##の ##写 ##ᆨ ##ᅡ""".split()
LETTERS = "b c d e f g h j l n o p q r u v w x y z 0 1 2 5 6 7 8 9 ᄒ п ω".split()
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list("—“”…¿§、。")
SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = list(dict.fromkeys(SPECIAL + MARKS + LETTERS + WORDS + PIECES))

TEXTS = [
    "",
    " ",
    "\t\n \r\n",
    "a photo of a cat",
    "A Photo of the CATS, 4K; high-quality!!!",
    "unaffable embeddings xyzzy qqq embed#ding",
    "don't you're I'm it''s",
    "naïve café résumé Übér STRASSE straße Ångström ñ",
    "e\u0301 E\u0301 a\u0308\u0304 \u0130 \u0130st q\u0307\u0323 \u212b \u0340",
    "ﬁ ﬀ ﬁx Ｆｕｌｌ Æ Œ ø ı ſ",
    "ΩΜΈΓΑ ΣΟΣ ος",
    "Привет, мир! Ёжик ЁЖ й",
    "日本語の猫　写真 中文猫咪 a日b本c",
    "\U00020000x\U0002f800 \uf900\u3400 ㄅ ゟ",
    "한국어 고양이 \u1112\u1161\u11ab",
    "हिन्दी बिल्ली ไทยแมว العَرَبِيَّة קָטָן",
    "😀 🐈‍⬛ ❤️ ☃ ℃ © ® ™ € £ + < = > | ~ ^ ` $",
    "a\u0000b \u0001c \u001b[0m \u007f x\u0085y a\u001cb\u001dc\u001ed\u001fe a\u000bb\u000cc",
    "no\u00a0break en\u2002quad line\u2028sep par\u2029sep ideo\u3000graphic ogham\u1680mark math\u205fx",
    "zero\u200bwidth join\u200der bom\ufeff soft\u00adhyphen mongolian\u180esep",
    "a\ufffdb \ue000 c\U000f0000d \ufffe \u0378x",
    "‘curly’ “quotes” – — … • ¿que? §3 ¶ ° ± × ÷ ·",
    "[CLS] a [SEP]cat[MASK] [PAD] [sep] [UNK]x [unused0] [CLS",
    "_ a_b __init__ a-b a/b\\c 3.14 1,000 100%",
    "a" * 99 + " " + "a" * 100 + " " + "a" * 101 + " cat",
    "é" * 100 + " " + "é" * 101,
    "best quality masterpiece " * 40,
    "x" * 3000,
    "! " * 60,
    "猫" * 60,
]
LENGTH = 35


def new_in_later_versions(code):
    """Whether the class of a character differs between Unicode 8 and Python's version, by what tokenizers does."""
    c = chr(code)
    category = unicodedata.category(c)
    if category == "Cn":
        return not 0x20000 <= code < 0x2A6E0  # ideographs by their block
    stripped = lambda s: "".join(x for x in unicodedata.normalize("NFD", s) if unicodedata.category(x) != "Mn")
    normalizer = normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=True, lowercase=False)
    if category[0] != "C" and not c.isspace() and normalizer.normalize_str(c) != stripped(c) and code != 0xFFFD:
        return True
    if category == "Cf" and normalizer.normalize_str(c) != "":
        return True
    ascii_mark = code < 128 and c.isprintable() and not c.isalnum() and c != " "
    isolated = len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{c}b")) == 3
    return category[0] not in "ZC" and isolated != (category[0] == "P" or ascii_mark)


def characters():
    """Ranges of characters by class, and texts before and after where a character changes in another way."""
    plain = normalizers.BertNormalizer(handle_chinese_chars=True, strip_accents=False, lowercase=False)
    full = normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=True, lowercase=True)
    punctuation = pre_tokenizers.BertPreTokenizer()
    ranges = {"dropped": [], "space": [], "ideograph": [], "mark": [], "newer": []}
    changed, hangul = {}, range(0xAC00, 0xD7A4)
    for code in range(0x110000):
        c = chr(code)
        if 0xD800 <= code < 0xE000:
            continue
        kind, after = None, plain.normalize_str(c)
        if new_in_later_versions(code):
            kind = "newer"
        elif after == "":
            kind = "dropped"
        elif after == " ":
            kind = "space"
        elif after == f" {c} ":
            kind = "ideograph"
        elif len(punctuation.pre_tokenize_str(f"a{c}b")) == 3:
            kind = "mark"
        if kind:
            runs = ranges[kind]
            if runs and runs[-1][1] == code - 1:
                runs[-1][1] = code
            else:
                runs.append([code, code])
        if kind in (None, "mark", "ideograph") and (code not in hangul or code % 97 == 0):
            lowered = full.normalize_str(c)
            if lowered != c and unicodedata.category(c) != "Mn":
                changed[f"{code:X}"] = lowered
    return ranges, changed


def word_pieces(out):
    """word_pieces.json: vocabulary, texts with ids of an uncased and a cased tokenizer, characters, a tokenizer.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
        ids, files = {}, {}
        for kind, lower in (("uncased", True), ("cased", False)):
            tokenizer = BertTokenizer(str(folder / "vocab.txt"), do_lower_case=lower)
            assert tokenizer.vocab_size == len(VOCABULARY), tokenizer.vocab_size
            ids[kind] = [tokenizer(t, truncation=True, max_length=LENGTH)["input_ids"] for t in TEXTS]
            tokenizer.save_pretrained(folder / kind)
            files[kind] = (folder / kind / "tokenizer.json").read_text()
    ranges, changed = characters()
    save_json(out, "word_pieces", {"vocabulary": VOCABULARY, "texts": TEXTS, "max_length": LENGTH, "ids": ids,
                                   "tokenizer_json": files["uncased"], "ranges": ranges, "changed": changed}, indent=None)
