"""How a byte-level tokenizer splits text into words before it merges bytes: known to llama.cpp by name only.

The name is found by comparing the steps in tokenizer.json with those of the tokenizers that llama.cpp names. A guess
would make a model that answers worse and says nothing, so an unknown way of splitting is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ollama_jupyter.convert.vocabulary.tokens import TokenizerFiles
from ollama_jupyter.errors import ConversionError

_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA_3 = rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_TAIL}"
_QWEN_2 = rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_TAIL}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (
    r"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{ending}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{ending}|{digits}|{tail}"
)
_SLASHED = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = _CASED.format(upper=_UPPER, lower=_LOWER, ending="", digits=r"\p{N}", tail=_SLASHED)
_GPT_4O = _CASED.format(upper=_UPPER, lower=_LOWER, ending=_ENDINGS + "?", digits=r"\p{N}{1,3}", tail=_SLASHED)
_HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_HAN_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_Steps = tuple[tuple[str, str], ...]
_BYTES = ("bytes", "")
_WORDS = ("bytes", "words")

# steps -> name; a name for tokenizers that take a word which is a token whole, and one for those that merge it
_NAMES: dict[_Steps, tuple[str, str]] = {
    (_WORDS,): ("", "gpt-2"),
    (("digits", "each"), _WORDS): ("", "smollm"),
    (("split", _LLAMA_3), _BYTES): ("llama-bpe", "dbrx"),
    (("split", _QWEN_2), _BYTES): ("", "qwen2"),
    (("split", _TEKKEN), _BYTES): ("tekken", "tekken"),
    (("split", _GPT_4O), _BYTES): ("", "gpt-4o"),
    (("split", r"\p{N}{1,3}"), ("split", _HAN_KANA), ("split", _DEEPSEEK_3), _BYTES): ("", "deepseek-v3"),
    (
        ("split", r"[\r\n]"), ("split", r"\s?\p{L}+"), ("split", r"\s?\p{P}+"), ("split", _HAN_HANGUL),
        ("digits", "each"), _BYTES,
    ): ("", "deepseek-coder"),
}  # fmt: skip
_NORMALIZERS = ("NFC",)


def presplit_name(files: TokenizerFiles) -> str:
    """llama.cpp's name for how this tokenizer splits text.

    Raises:
        ConversionError: if llama.cpp has none.
    """
    for normalizer in _sequence(files.tokenizer.get("normalizer"), "normalizers"):
        if normalizer.get("type") not in _NORMALIZERS:
            kind = str(normalizer.get("type"))[:40]
            raise ConversionError(f"tokenizer.json: a normalizer of type {kind!r} cannot be converted for byte pairs")
    steps = tuple(_step(part) for part in _sequence(files.tokenizer.get("pre_tokenizer"), "pretokenizers"))
    whole, merged = _NAMES.get(steps, ("", ""))
    name = whole if files.model.get("ignore_merges") is True else merged
    if not name:
        raise ConversionError(
            "tokenizer.json splits text in a way that the importer does not know by llama.cpp's name; convert the "
            "model with llama.cpp's convert_hf_to_gguf.py and create from the GGUF"
        )
    return name


def _sequence(step: Any, parts: str) -> list[Mapping[str, Any]]:
    """A step, or the steps of a sequence of them, as a list."""
    if not isinstance(step, dict):
        return []
    if step.get("type") != "Sequence":
        return [step]
    inner = step.get(parts)
    return [part for part in inner if isinstance(part, dict)] if isinstance(inner, list) else []


def _step(part: Mapping[str, Any]) -> tuple[str, str]:
    kind = part.get("type")
    if kind == "ByteLevel" and not part.get("add_prefix_space"):
        return _WORDS if part.get("use_regex", True) else _BYTES
    if kind == "Digits":
        return ("digits", "each" if part.get("individual_digits") else "together")
    if kind == "Split" and _keeps_all(part):
        pattern = part.get("pattern")
        regex = str(pattern.get("Regex")) if isinstance(pattern, dict) else ""
        return ("split", regex.replace("\r", r"\r").replace("\n", r"\n"))  # some files have the characters themselves
    return (str(kind), "?")


def _keeps_all(part: Mapping[str, Any]) -> bool:
    """Whether a split makes a word of each match. To remove what is not matched is the same where all text matches."""
    return (part.get("behavior"), bool(part.get("invert"))) in (("Isolated", False), ("Removed", True))
