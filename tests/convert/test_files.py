"""Safetensors files and configurations: several files, types of numbers, and what is refused, in one line each."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from ollama_jupyter.convert import convert_model
from ollama_jupyter.errors import ConversionError, OllamaJupyterError
from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .reference import Array
from .running import convert

Model = tuple[Path, dict[str, Any], dict[str, Array]]
Q = "model.layers.0.self_attn.q_proj.weight"
REORDERED = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
"""Which rows of a head of 16 llama.cpp wants, in its order."""


@pytest.fixture
def model(tmp_path: Path) -> Model:
    config = folders.decoder_config("LlamaForCausalLM", "llama")
    weights = folders.random_weights(folders.decoder_shapes(config))
    vocabularies.byte_level(tmp_path)
    return folders.save(tmp_path, config, weights), config, weights


def refused(folder: Path) -> str:
    """The message with which a conversion is refused; nothing may be left behind."""
    with pytest.raises(ConversionError) as caught:
        convert(folder)
    assert not (folder / "converted.gguf").exists()
    assert str(folder) not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


# ---- what is written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "matrices", "number"), [("F16", "F16", 1), ("F32", "F16", 1), ("BF16", "BF16", 32)])
def test_matrices_keep_16_bits_and_vectors_get_32(model: Model, kind: str, matrices: str, number: int) -> None:
    folder, config, weights = model
    if kind == "BF16":
        weights = folders.as_bfloat(weights)
    path = convert(folders.save(folder, config, weights, kind))
    header = read_header(path)
    assert {tensor.type for tensor in header.tensors if len(tensor.shape) == 2} == {matrices}
    assert {tensor.type for tensor in header.tensors if len(tensor.shape) == 1} == {"F32"}
    assert header.get("general.file_type") == number
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    got = gguf.dequantize(tensors["blk.0.attn_q.weight"].data, tensors["blk.0.attn_q.weight"].tensor_type)
    rows = [head * 16 + row for head in range(4) for row in REORDERED]
    np.testing.assert_array_equal(got, weights[Q][rows])
    np.testing.assert_array_equal(tensors["output_norm.weight"].data, weights["model.norm.weight"])


def test_the_same_files_give_the_same_bytes_in_one_file_or_several(model: Model, tmp_path: Path) -> None:
    folder, _, weights = model
    whole = convert(folder).read_bytes()
    (folder / "model.safetensors").unlink()
    split_up(folder, weights)
    assert convert(folder).read_bytes() == whole
    (folder / "model.safetensors.index.json").unlink()
    assert convert(folder).read_bytes() == whole


def split_up(folder: Path, weights: dict[str, Array]) -> dict[str, str]:
    """The model in two files with an index: which tensor is where."""
    names = sorted(weights)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in halves.items():
        folders.save_weights(folder / file, {name: weights[name] for name in part})
    places = {name: file for file, part in halves.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return places


def test_progress_never_goes_back_and_ends_at_the_total(model: Model) -> None:
    seen: list[tuple[int, int]] = []
    convert_model(model[0], model[0] / "x.gguf", lambda completed, total: seen.append((completed, total)))
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {seen[-1][0]}


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A model of 256 MB, of which one tensor takes 128 MB, is converted with less than half of that more memory."""
    config = folders.decoder_config(
        "LlamaForCausalLM", "llama", vocab_size=65_536, hidden_size=1024, num_hidden_layers=1
    )
    vocabularies.byte_level(tmp_path)
    weights = {name: np.zeros(shape, np.float32) for name, shape in folders.decoder_shapes(config).items()}
    folders.save(tmp_path, config, weights, "F32")
    # Mapped pages of the file count as resident, and may be dropped at any time: the limit is on memory of its own.
    code = (
        "import resource; from pathlib import Path; import gguf, numpy\n"
        "from ollama_jupyter.convert import convert_model\n"
        "used = int(Path('/proc/self/statm').read_text().split()[5]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20),) * 2)\n"
        f"convert_model(Path({str(tmp_path)!r}), Path({str(tmp_path / 'x.gguf')!r}), lambda a, b: None)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- configurations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["MixtralForCausalLM"]}, '"MixtralForCausalLM" is not supported by the importer'),
        ({"architectures": None}, 'architecture "unknown" is not supported'),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized (gptq)"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantized (bitsandbytes)"),
        ({"hidden_act": "gelu"}, '"hidden_act" is \'gelu\'; only silu'),
        ({"hidden_size": "64"}, '"hidden_size" must be a whole number'),
        ({"hidden_size": 0}, '"hidden_size" must be a whole number'),
        ({"hidden_size": 10**30}, '"hidden_size" must be a whole number'),
        ({"num_hidden_layers": 513}, '"num_hidden_layers" must be a whole number from 1 to 512'),
        ({"num_hidden_layers": 3}, 'tensor "model.layers.2.input_layernorm.weight" is missing'),
        ({"num_hidden_layers": 1}, "is not one that LlamaForCausalLM has"),
        ({"num_key_value_heads": 3}, "must be a multiple"),
        ({"num_key_value_heads": 4}, "but config.json asks for 64 x 64"),
        ({"head_dim": 15}, "must be even"),
        ({"vocab_size": None}, '"vocab_size" is missing'),
        ({"vocab_size": 500}, "but config.json asks for 500 x 64"),
        ({"rms_norm_eps": float("nan")}, '"rms_norm_eps" must be a number'),
        ({"rope_theta": float("inf")}, '"rope_theta" must be a number'),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, 'rope scaling of type "dynamic"'),
        ({"rope_scaling": 5}, '"rope_scaling" must be an object'),
        ({"tie_word_embeddings": 1}, "must be true or false"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_refused(model: Model, changes: dict[str, Any], message: str) -> None:
    folder, config, _ = model
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert message in refused(folder)


@pytest.mark.parametrize("architecture", ["Gemma2ForCausalLM", "Gemma3ForCausalLM"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_pre_attn_scalar": 100}, '"query_pre_attn_scalar" must be 16'),
        ({"layer_types": ["full_attention", "full_attention", "sliding_attention"]}, "layer"),
        ({"hidden_activation": "relu"}, "hidden_activation"),
    ],
)
def test_a_gemma_that_llama_cpp_would_compute_wrongly_is_refused(
    model: Model, architecture: str, changes: dict[str, Any], message: str
) -> None:
    folder, config, _ = model
    config |= {
        "architectures": [architecture],
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "tie_word_embeddings": True,
    }
    del config["hidden_act"]
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert "is missing" in refused(folder)  # the tensors are those of another model: they are looked at first
    shapes = folders.decoder_shapes(config)
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.{part}_feedforward_layernorm.weight": (64,) for part in ("pre", "post")}
        if architecture == "Gemma3ForCausalLM":
            shapes |= {f"model.layers.{layer}.self_attn.{part}_norm.weight": (16,) for part in "qk"}
    folders.save(folder, config | changes, folders.random_weights(shapes))
    assert message in refused(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "\xff", "[" * 100_000, '{"a":' * 100_000, "null", "1" * 5000], ids=lambda text: text[:3]
)
def test_a_malformed_configuration_is_refused(model: Model, text: str) -> None:
    (model[0] / "config.json").write_text(text, encoding="latin-1")
    assert refused(model[0]).startswith("config.json: ")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(model: Model, name: str) -> None:
    (model[0] / name).unlink()
    assert f"{name} is missing" in refused(model[0])


def test_pickled_weights_are_told_apart(model: Model) -> None:
    (model[0] / "model.safetensors").rename(model[0] / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle" in refused(model[0])


# ---- tensors ------------------------------------------------------------------------------------------------------


def test_a_number_beyond_f16_is_refused(model: Model) -> None:
    folder, config, weights = model
    weights[Q] = weights[Q].copy()
    weights[Q][0, 0] = 1e6
    folders.save(folder, config, weights, "F32")
    assert f'tensor "{Q}" has numbers beyond' in refused(folder)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({Q: "../model.safetensors"}, "is not the name of a file"),
        ({Q: "/etc/passwd.safetensors"}, "is not the name of a file"),
        ({Q: "a\\b.safetensors"}, "is not the name of a file"),
        ({Q: "weights.bin"}, "not .safetensors"),
        ({Q: "other.safetensors"}, "other.safetensors is missing"),
        ({Q: 5}, "weight_map"),
        ({"extra.weight": "model-00001-of-00002.safetensors"}, 'tensor "extra.weight"'),
    ],
)
def test_an_index_that_leads_astray_is_refused(model: Model, places: dict[str, Any], message: str) -> None:
    folder, _, weights = model
    (folder / "model.safetensors").unlink()
    index = split_up(folder, weights) | places
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert message in refused(folder)


def test_missing_and_repeated_parts_are_told(model: Model) -> None:
    folder, _, weights = model
    (folder / "model.safetensors").unlink()
    split_up(folder, weights)
    (folder / "model.safetensors.index.json").unlink()
    part = folder / "model-00002-of-00002.safetensors"
    part.unlink()
    assert "1 of 2 safetensors files" in refused(folder)
    part.write_bytes((folder / "model-00001-of-00002.safetensors").read_bytes())
    assert "is in another file too" in refused(folder)


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        ({"a": entry()}, 15, "do not fill it"),
        ({"a": entry()}, 17, "do not fill it"),
        ({"a": entry(data_offsets=[4, 20])}, 20, "does not lie"),
        ({"a": entry(), "b": entry()}, 32, "does not lie"),
        ({"a": entry(), "b": entry(data_offsets=[8, 24])}, 24, "does not lie"),
        ({"a": entry(shape=[2, 3])}, 16, "does not lie"),
        ({"a": entry(shape=[2, -2])}, 16, "no proper shape"),
        ({"a": entry(shape=[True, 4])}, 16, "no proper shape"),
        ({"a": entry(shape=[2**40, 2**40])}, 16, "no proper shape"),
        ({"a": entry(shape=[1] * 9)}, 16, "no proper shape"),
        ({"a": entry(data_offsets=[16, 0])}, 16, "does not lie"),
        ({"a": entry(data_offsets=[0])}, 16, "no proper data_offsets"),
        ({"a": entry(data_offsets=[0, 2**70])}, 16, "no proper data_offsets"),
        ({"a": entry(dtype="F12")}, 16, "unknown type 'F12'"),
        ({"a": entry(dtype=["F32"])}, 16, "unknown type"),
        ({"a": 5}, 16, "unknown type"),
        ([], 16, "must hold a JSON object"),
        ({"lm_head.weight": entry(dtype="F8_E4M3", shape=[4, 4])}, 16, "is missing"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_describe_the_file_is_refused(
    model: Model, header: Any, size: int, message: str
) -> None:
    text = json.dumps(header).encode()
    (model[0] / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    assert message in refused(model[0])


def test_numbers_of_8_bits_are_refused(model: Model) -> None:
    file = model[0] / "model.safetensors"
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header[Q] |= {"dtype": "F8_E4M3", "shape": [64, 128]}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    assert f'tensor "{Q}" is of type F8_E4M3' in refused(model[0])


@pytest.mark.parametrize("length", [0, 7, 100, 2**40, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_refused(model: Model, length: int) -> None:
    (model[0] / "model.safetensors").write_bytes(struct.pack("<Q", length) + b"{}")
    assert refused(model[0]).startswith("model.safetensors: not ")


def test_mutated_files_end_in_an_error_of_ours_or_in_a_file(tmp_path: Path) -> None:
    """2,000 files with a few bytes changed, removed or repeated."""
    config = folders.decoder_config(
        "LlamaForCausalLM", "llama", hidden_size=8, intermediate_size=8, num_attention_heads=2, num_key_value_heads=1,
        num_hidden_layers=1, vocab_size=270,
    )  # fmt: skip
    vocabularies.byte_level(tmp_path, size=258)
    folders.save(tmp_path, config, folders.random_weights(folders.decoder_shapes(config)))
    good = {name: (tmp_path / name).read_bytes() for name in ("model.safetensors", "config.json", "tokenizer.json")}
    limits = {"model.safetensors": 1500, "config.json": 500, "tokenizer.json": 1500}
    rng = random.Random(1)
    files, messages = 0, []
    for _ in range(2000):
        name = rng.choice(["model.safetensors"] * 6 + ["config.json"] * 3 + ["tokenizer.json"])
        (tmp_path / name).write_bytes(mutated(good[name], limits[name], rng))
        try:
            convert(tmp_path)
            files += 1
        except OllamaJupyterError as error:
            messages.append(error.message)
        (tmp_path / name).write_bytes(good[name])
    assert files > 100
    assert len(messages) > 500
    assert not [message for message in messages if "\n" in message]


def mutated(data: bytes, limit: int, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(min(limit, len(changed)))
        kind = rng.randrange(4)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            changed[at] = ord(rng.choice('0123456789[]{}",:-.eE'))
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 9)]
        else:
            changed[at:at] = changed[at : at + rng.randrange(1, 9)]
    return bytes(changed)
