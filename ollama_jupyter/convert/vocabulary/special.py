"""Which tokens begin and end a text, whether they are added, and the chat template."""

from __future__ import annotations

from typing import Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.vocabulary.tokens import TokenizerFiles, Vocabulary
from ollama_jupyter.convert.writer import Metadata

# The names in Hugging Face's files -> in GGUF's keys, spelling included.
_KEYS = {
    "bos": "bos", "eos": "eos", "eot": "eot", "unk": "unknown", "sep": "seperator", "pad": "padding", "cls": "cls",
    "mask": "mask",
}  # fmt: skip
_ADDED = ("bos", "eos")


def special_metadata(files: TokenizerFiles, config: Config, vocabulary: Vocabulary) -> Metadata:
    """The ids of the special tokens, `add_bos_token` and the like, and the chat template."""
    first, last = _frame(files)
    ids = {name: number for name in _KEYS if (number := _id(name, files, config, vocabulary)) is not None}
    # BERT names what it puts around a text `cls` and `sep` only; llama.cpp asks for `bos` and `eos`.
    for name, text, other in (("bos", first, "cls"), ("eos", last, "sep")):
        number = vocabulary.ids.get(text) if text else ids.get(other)
        if number is not None and (name not in ids or text):
            if name == "eos" and ids.get(name, number) != number:
                ids["eot"] = ids[name]  # what ends a turn is not what is put behind a text
            ids[name] = number
    keys: Metadata = {f"tokenizer.ggml.{_KEYS[name]}_token_id": number for name, number in ids.items()}
    keys |= _additions(files, vocabulary, first, last)
    if template := _template(files):
        keys["tokenizer.chat_template"] = template
    return keys


def _id(name: str, files: TokenizerFiles, config: Config, vocabulary: Vocabulary) -> int | None:
    """The id of the token that plays this part, as the tokenizer's files or config.json say."""
    for source in (files.config, files.special):
        entry = source.get(f"{name}_token")
        text = entry.get("content") if isinstance(entry, dict) else entry
        if isinstance(text, str) and text in vocabulary.ids:
            return vocabulary.ids[text]
    if vocabulary.model == "bert" and f"[{name.upper()}]" in vocabulary.ids:
        return vocabulary.ids[f"[{name.upper()}]"]  # as BERT's class assumes; llama.cpp ends the process without them
    number = config.raw(f"{name}_token_id")
    if isinstance(number, list) and number:  # several ends of a turn: llama.cpp finds the others by their texts
        number = number[0]
    return number if type(number) is int and 0 <= number < len(vocabulary.texts) else None


def _additions(files: TokenizerFiles, vocabulary: Vocabulary, first: str, last: str) -> Metadata:
    """Whether llama.cpp is to put tokens around a text: as the template says, or the settings, or neither says no."""
    keys: Metadata = {}
    framed = _post_processor(files, "TemplateProcessing") is not None
    silent = vocabulary.model != "llama" and bool(files.tokenizer)
    for name, text in zip(_ADDED, (first, last), strict=True):
        asked = files.config.get(f"add_{name}_token")
        if framed:
            keys[f"tokenizer.ggml.add_{name}_token"] = bool(text)
        elif isinstance(asked, bool):
            keys[f"tokenizer.ggml.add_{name}_token"] = asked
        elif silent:
            keys[f"tokenizer.ggml.add_{name}_token"] = False
    return keys


def _frame(files: TokenizerFiles) -> tuple[str, str]:
    """The tokens before and after a single text by the template of tokenizer.json; "" for none."""
    processor = _post_processor(files, "TemplateProcessing") or {}
    single = processor.get("single")
    parts = [part for part in single if isinstance(part, dict)] if isinstance(single, list) else []
    if len(parts) < 2:
        return "", ""
    return _special_text(parts[0]), _special_text(parts[-1])


def _special_text(part: dict[str, Any]) -> str:
    special = part.get("SpecialToken")
    text = special.get("id") if isinstance(special, dict) else None
    return text if isinstance(text, str) else ""


def _post_processor(files: TokenizerFiles, kind: str) -> dict[str, Any] | None:
    processor = files.tokenizer.get("post_processor")
    if not isinstance(processor, dict):
        return None
    inner = processor.get("processors")
    for candidate in inner if isinstance(inner, list) else [processor]:
        if isinstance(candidate, dict) and candidate.get("type") == kind:
            return candidate
    return None


def _template(files: TokenizerFiles) -> str:
    """The chat template; of several named ones the default."""
    template = files.config.get("chat_template")
    if isinstance(template, list):
        named = [entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default"]
        template = named[0].get("template") if named else None
    return template if isinstance(template, str) else files.template
