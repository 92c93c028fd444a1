"""A model's tokenizer files as the keys of a GGUF header. Which files there are decides which of the readers is asked.

`tokenizer.model` is SentencePiece's. `tokenizer.json` holds byte pairs, the same pieces that SentencePiece has, or
word pieces; `vocab.txt` holds word pieces.
"""

from __future__ import annotations

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.folder import MAX_TOKENIZER, Folder
from ollama_jupyter.convert.vocabulary import bytepairs, pieces, sentencepiece, wordpiece
from ollama_jupyter.convert.vocabulary.special import special_metadata
from ollama_jupyter.convert.vocabulary.tokens import TokenizerFiles, Vocabulary
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

__all__ = ["vocabulary_metadata"]


def vocabulary_metadata(folder: Folder, config: Config) -> Metadata:
    """The `tokenizer.` keys for a model of `config`, whose vocabulary is padded to the size that its weights have.

    Raises:
        ConversionError: if the files are missing or malformed, or llama.cpp has no such tokenizer.
    """
    files = _read(folder)
    size = config.integer("vocab_size", high=4 << 20)
    vocabulary = _vocabulary(folder, files, size)
    return vocabulary.metadata() | special_metadata(files, config, vocabulary)


def _read(folder: Folder) -> TokenizerFiles:
    template = ""
    if folder.has("chat_template.jinja"):
        template = folder.text("chat_template.jinja")
    elif folder.has("chat_template.json"):
        found = folder.json("chat_template.json").get("chat_template")
        template = found if isinstance(found, str) else ""
    return TokenizerFiles(
        folder.json_or_empty("tokenizer.json", MAX_TOKENIZER),
        folder.json_or_empty("tokenizer_config.json"),
        folder.json_or_empty("added_tokens.json"),
        folder.json_or_empty("special_tokens_map.json"),
        template,
    )


def _vocabulary(folder: Folder, files: TokenizerFiles, size: int) -> Vocabulary:
    if folder.has("tokenizer.model"):
        return sentencepiece.read_vocabulary(folder.read("tokenizer.model", MAX_TOKENIZER), files, size)
    if not files.tokenizer:
        if folder.has("vocab.txt"):
            return wordpiece.from_lines(folder.text("vocab.txt"), files, size)
        raise ConversionError("tokenizer.json is missing (or tokenizer.model, or for BERT vocab.txt)")
    kind = files.model.get("type")
    if kind == "WordPiece":
        return wordpiece.from_json(files, size)
    if kind == "BPE" or (kind is None and "merges" in files.model):
        return (
            pieces.read_vocabulary(files, size)
            if files.model.get("byte_fallback")
            else bytepairs.read_vocabulary(files, size)
        )
    raise ConversionError(f"tokenizer.json: a tokenizer of type {str(kind)[:40]!r} cannot be converted")
