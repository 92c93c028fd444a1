"""BERT: embeddings as the checkpoint gives them, all-MiniLM's among them, and its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from ollama_jupyter.errors import ConversionError
from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .reference import Array, bert
from .running import convert, loaded

SENTENCES = [
    "A man is eating food.",
    "Two men pushed carts through the woods, didn't they?",
    "Über naïve Cafés: déjà vu — 3,14159 €!",
    "def f(x): return x ** 2  # squares",
    "東京は日本の首都です。",
]
CONFIG = {
    "architectures": ["BertModel"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def embed(path: Path, texts: list[str]) -> list[Array]:
    with loaded(path, embedding=True) as model:
        return [np.array(model.embed(text, normalize=True)) for text in texts]


def shapes(config: dict[str, Any]) -> folders.Shapes:
    hidden, fed = config["hidden_size"], config["intermediate_size"]
    found: folders.Shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
        "pooler.dense.weight": (hidden, hidden),
    }
    parts = {
        "attention.self.query": (hidden, hidden), "attention.self.key": (hidden, hidden),
        "attention.self.value": (hidden, hidden), "attention.output.dense": (hidden, hidden),
        "attention.output.LayerNorm": (hidden,), "intermediate.dense": (fed, hidden),
        "output.dense": (hidden, fed), "output.LayerNorm": (hidden,),
    }  # fmt: skip
    for layer in range(config["num_hidden_layers"]):
        for name, shape in parts.items():
            found[f"encoder.layer.{layer}.{name}.weight"] = shape
            found[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    return found


Made = tuple[Path, dict[str, Array], dict[str, Any], Tokenizer]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    tokenizer = vocabularies.word_pieces(tmp_path)
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size()}
    weights = folders.random_weights(shapes(config))
    return folders.save(tmp_path, config, weights), weights, config, tokenizer


@pytest.mark.parametrize("pooling", ["mean", "cls", "unsaid"])
def test_the_embeddings_are_those_of_the_checkpoint(made: Made, pooling: str) -> None:
    folder, weights, config, tokenizer = made
    if pooling != "unsaid":
        mean = pooling == "mean"
        vocabularies.pooled_by(
            folder, pooling_mode_mean_tokens=mean, pooling_mode_cls_token=not mean, pooling_mode_max_tokens=False
        )
    path = convert(folder)
    for text, got in zip(SENTENCES, embed(path, SENTENCES), strict=True):
        wanted = bert(weights, config, tokenizer.encode(text).ids, "cls" if pooling == "cls" else "mean")
        assert float(got @ wanted) > 0.999
    assert read_header(path).has_pooling


def test_older_names_and_larger_classes_are_taken(made: Made) -> None:
    folder, weights, config, tokenizer = made
    stored = {"bert." + name: values for name, values in weights.items()}
    stored = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): values
        for name, values in stored.items()
    } | {"cls.predictions.bias": np.zeros(4, np.float32)}
    folders.save(folder, config | {"architectures": ["BertForMaskedLM"]}, stored)
    (got,) = embed(convert(folder), SENTENCES[:1])
    assert float(got @ bert(weights, config, tokenizer.encode(SENTENCES[0]).ids)) > 0.999


@pytest.mark.parametrize("absent", [[], ["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]], ids=str)
def test_it_splits_texts_as_the_tokenizer_does(made: Made, absent: list[str]) -> None:
    folder, _, _, tokenizer = made
    for file in absent:
        (folder / file).unlink()
    with loaded(convert(folder), vocab_only=True) as model:
        for text in vocabularies.TEXTS:
            plain = text.replace("안녕하세요", "")  # llama.cpp takes Hangul apart in a way of its own
            assert model.tokenize(plain.encode(), add_bos=True, special=True) == tokenizer.encode(plain).ids, plain


def test_a_pooling_that_llama_cpp_lacks_is_refused(made: Made) -> None:
    folder = made[0]
    vocabularies.pooled_by(folder, pooling_mode_max_tokens=True)
    with pytest.raises(ConversionError, match="pooling must be one of"):
        convert(folder)


def test_all_minilm_embeds_like_the_original(all_minilm: Path, tmp_path: Path) -> None:
    weights = {name: np.asarray(values) for name, values in load_file(all_minilm / "model.safetensors").items()}
    config = json.loads((all_minilm / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(all_minilm / "tokenizer.json"))
    tokenizer.no_padding()
    path = convert(all_minilm, tmp_path)
    for text, got in zip(SENTENCES, embed(path, SENTENCES), strict=True):
        wanted = bert(weights, config, tokenizer.encode(text).ids)
        assert float(got @ wanted) > 0.999, text
    assert read_header(path).file_type == "F16"
