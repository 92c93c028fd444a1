"""What was converted splits texts as the tokenizer does, and puts the same tokens around them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ollama_jupyter.errors import ConversionError
from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .running import convert, loaded


def model_around(folder: Path) -> Path:
    """A model for the tokenizer files in `folder`, converted."""
    config = folders.decoder_config("LlamaForCausalLM", "llama", vocab_size=640)
    folders.save(folder, config, folders.random_weights(folders.decoder_shapes(config)))
    return convert(folder)


def same_tokens(path: Path, tokenizer: Tokenizer, *, whole: bool = True) -> None:
    """Fail unless all texts become the same tokens: with those around them, and alone."""
    with loaded(path, vocab_only=True) as model:
        for text in vocabularies.TEXTS:
            alone = tokenizer.encode(text, add_special_tokens=False).ids
            assert model.tokenize(text.encode(), add_bos=False, special=True) == alone, text
            if whole:
                assert model.tokenize(text.encode(), add_bos=True, special=True) == tokenizer.encode(text).ids, text


@pytest.mark.parametrize("begin", [True, False], ids=["with a beginning", "without"])
@pytest.mark.parametrize(
    "kind", ["gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "gpt-4o", "tekken", "deepseek-v3", "deepseek-coder"]
)
def test_byte_pairs(tmp_path: Path, kind: str, begin: bool) -> None:
    tokenizer = vocabularies.byte_level(tmp_path, kind, begin=begin)
    path = model_around(tmp_path)
    assert read_header(path).get("tokenizer.ggml.pre") == kind
    same_tokens(path, tokenizer)
    begin_id, think = tokenizer.token_to_id(vocabularies.BEGIN), tokenizer.token_to_id("<think>")
    with loaded(path, vocab_only=True) as model:
        text = f"a{vocabularies.BEGIN}b<think>c{vocabularies.END}"
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        assert model.tokenize(text.encode(), add_bos=False, special=True) == wanted
        # A user who writes a control token's text does not write the token.
        written = model.tokenize(text.encode(), add_bos=False, special=False)
        assert (begin_id in written, think in written) == (False, True)


@pytest.mark.parametrize("space", [True, False], ids=["a space before", "none"])
def test_pieces_with_bytes(tmp_path: Path, space: bool) -> None:
    tokenizer = vocabularies.pieces(tmp_path, space=space)
    path = model_around(tmp_path)
    assert read_header(path).get("tokenizer.ggml.add_space_prefix") is space
    same_tokens(path, tokenizer)


def test_a_sentencepiece_model(tmp_path: Path) -> None:
    """The same pieces in SentencePiece's own file give the same tokens."""
    tokenizer = vocabularies.pieces(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(vocabularies.sentencepiece_model(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    vocabularies.configure(
        tmp_path, add_bos_token=True, add_eos_token=False, added_tokens_decoder={"600": {"content": "<|im_start|>"}}
    )
    path = model_around(tmp_path)
    same_tokens(path, tokenizer)
    with loaded(path, vocab_only=True) as model:
        assert model.tokenize(b"<|im_start|>", add_bos=False, special=True) == [600]


def test_the_special_tokens_and_the_template(tmp_path: Path) -> None:
    tokenizer = vocabularies.byte_level(tmp_path)
    header = read_header(model_around(tmp_path))
    assert (header.bos_token, header.eos_token) == (vocabularies.BEGIN, vocabularies.END)
    assert header.chat_template == "{{ messages[0].content }}"
    assert header.get("tokenizer.ggml.bos_token_id") == tokenizer.token_to_id(vocabularies.BEGIN)
    assert header.vocabulary_size == 640


@pytest.mark.parametrize(
    ("file", "text"),
    [("chat_template.jinja", "{{ 1 }}"), ("chat_template.json", '{"chat_template": "{{ 1 }}"}')],
)
def test_a_template_in_a_file_of_its_own(tmp_path: Path, file: str, text: str) -> None:
    vocabularies.byte_level(tmp_path)
    vocabularies.configure(tmp_path, bos_token=vocabularies.BEGIN)
    (tmp_path / file).write_text(text)
    assert read_header(model_around(tmp_path)).chat_template == "{{ 1 }}"


def test_of_several_templates_the_default_is_taken(tmp_path: Path) -> None:
    vocabularies.byte_level(tmp_path)
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    vocabularies.configure(tmp_path, chat_template=named)
    assert read_header(model_around(tmp_path)).chat_template == "yes"


# ---- refused ------------------------------------------------------------------------------------------------------


def changed(folder: Path, change: str) -> None:
    """A tokenizer.json that is wrong in one way."""
    vocabularies.byte_level(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    exec(change, {"t": content, "m": content["model"]})
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("t['pre_tokenizer']['pretokenizers'][0]['pattern']['Regex'] = 'x'", "splits text in a way"),
        ("t['pre_tokenizer'] = {'type': 'Whitespace'}", "splits text in a way"),
        ("t['normalizer'] = {'type': 'Lowercase'}", "normalizer of type 'Lowercase'"),
        ("m['type'] = 'Unigram'", "type 'Unigram' cannot be converted"),
        ("m['vocab'] = []", "no vocab"),
        ("m['vocab']['x' * 9] = -1", "no proper id"),
        ("m['merges'] = None", "no merges"),
        ("m['merges'][0] = 'abc'", "not a pair"),
        ("m['merges'][0] = ['a', 5]", "not a pair"),
        ("t['added_tokens'][0]['id'] = 'x'", "no proper id"),
        ("t['added_tokens'] = [5]", "no content"),
        ("t['added_tokens'][0]['content'] = 'the'; m['vocab']['the'] = 300", "token 'the' twice"),
        ("m['byte_fallback'] = True", "without a token for each byte"),
        ("m['vocab']['\\ud800'] = 600", "surrogate"),
    ],
)
def test_what_llama_cpp_could_not_do_is_refused(tmp_path: Path, change: str, message: str) -> None:
    changed(tmp_path, change)
    with pytest.raises(ConversionError, match=message):
        model_around(tmp_path)
    assert not (tmp_path / "converted.gguf").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Unigram model"),
        (b"\x0a\x05abc", "cut"),
        (b"\xff" * 12, "cut"),
        (b"\x0a\x03\x0a\x01\xff", "UTF-8"),
        (b"\x0a\x00", "piece 0"),
        (b"\x0a\x05\x0a\x01a\x18\x63", "piece 0"),
        (b"\x0b", "cut"),
        (b"\x15" + struct.pack("<f", 1), "Unigram model"),
    ],
)
def test_a_malformed_sentencepiece_model_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(ConversionError, match=message):
        model_around(tmp_path)
