"""The GGUF door: what it takes, and everything that it must refuse before llama.cpp sees it."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import gguf_bytes, gguf_string, gguf_tensor, gguf_value, minimal_gguf, minimal_values, write_tiny_gguf

from ollama_jupyter.errors import InvalidGGUF
from ollama_jupyter.gguf import Array, GGUFHeader, read_header
from ollama_jupyter.gguf.tables import FILE_TYPES, TENSOR_TYPES

F32 = gguf_tensor("token_embd.weight", (32, 4))


@pytest.fixture
def read(tmp_path: Path):
    """Reads a header from bytes."""

    def reader(data: bytes) -> GGUFHeader:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return read_header(path)

    return reader


# ---- what is taken ------------------------------------------------------------------------------------------------


def test_tiny_model_as_the_reference_reader_sees_it(tmp_path: Path) -> None:
    import gguf

    path = write_tiny_gguf(tmp_path / "tiny.gguf", metadata={"general.tags": ["a", "b"]})
    header, reference = read_header(path), gguf.GGUFReader(path)
    assert list(header.metadata) == [key for key in reference.fields if not key.startswith("GGUF.")]
    for key, value in header.metadata.items():
        expected = reference.fields[key].contents()
        assert (list(value.read(path)) if isinstance(value, Array) else value) == expected, key
    places = [(t.name, t.data_offset, t.n_bytes, tuple(map(int, t.shape))) for t in reference.tensors]
    assert [(t.name, t.offset, t.nbytes, t.shape) for t in header.tensors] == places
    assert header.parameter_count == sum(int(t.n_elements) for t in reference.tensors)


def test_properties_of_a_tiny_model(tmp_path: Path) -> None:
    header = read_header(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert (header.architecture, header.kind, header.version, header.alignment) == ("llama", "model", 3, 32)
    assert (header.block_count, header.context_length, header.embedding_length) == (2, 512, 32)
    assert (header.head_count, header.head_count_kv, header.vocabulary_size) == (4, 2, 313)
    assert (header.bos_token, header.eos_token, header.file_type) == ("<s>", "</s>", "F32")
    assert header.chat_template.startswith("{% for message")
    assert not header.has_pooling


@pytest.mark.parametrize("kind", sorted(TENSOR_TYPES))
def test_tensor_sizes_agree_with_ggml(kind: int) -> None:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    ours = TENSOR_TYPES[kind]
    assert ours.name == GGMLQuantizationType(kind).name
    if ours.name != "Q8_1":  # a working type, never in files; the package counts its two scales as float32
        assert (ours.block, ours.size) == GGML_QUANT_SIZES[GGMLQuantizationType(kind)]


def test_file_types_agree_with_llama_cpp() -> None:
    from gguf.constants import LlamaFileType

    names = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    assert {number: names[number] for number in FILE_TYPES} == FILE_TYPES


def test_file_type_is_guessed_by_weight_where_it_is_not_declared(read) -> None:
    norms = [gguf_tensor(f"blk.{i}.norm.weight", (32,), 0, 128 * i) for i in range(3)]
    big = gguf_tensor("token_embd.weight", (32, 100), 8, 384)
    assert read(gguf_bytes(minimal_values(), [*norms, big], data=5000)).file_type == "Q8_0"


def test_large_vocabulary_is_read_fast_and_on_demand(tmp_path: Path) -> None:
    count = 262_144
    tokens = b"".join(gguf_string(f"token-{i}") for i in range(count))
    changes = {
        "tokenizer__ggml__tokens": struct.pack("<IIQ", 9, 8, count) + tokens,
        "tokenizer__ggml__scores": struct.pack("<IIQ", 9, 6, count) + bytes(4 * count),
        "tokenizer__ggml__token_type": struct.pack("<IIQ", 9, 5, count) + struct.pack("<i", 1) * count,
        "tokenizer__ggml__eos_token_id": gguf_value("uint32", count - 1),
    }
    path = tmp_path / "large.gguf"
    path.write_bytes(minimal_gguf(**changes))
    started = time.process_time()
    header = read_header(path)
    assert time.process_time() - started < 2  # 0.15 s on an idle core
    assert (header.vocabulary_size, header.eos_token) == (count, f"token-{count - 1}")
    array = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(array, Array)
    assert array.items is None
    assert array.strings_at(path, [7, 70_000, count]) == {7: b"token-7", 70_000: b"token-70000"}
    assert array.read(path)[-1] == f"token-{count - 1}"


def test_special_token_ids_of_minus_one_mean_none(read) -> None:
    none = gguf_value("uint32", 2**32 - 1)
    header = read(minimal_gguf(tokenizer__ggml__bos_token_id=none, tokenizer__ggml__eos_token_id=None))
    assert (header.bos_token, header.eos_token) == ("", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"llama__attention__head_count": gguf_value("[uint32]", [4, 0])},
        {"llama__attention__head_count": gguf_value("[int32]", [4, 8]), "llama__attention__head_count_kv": None},
        {"llama__attention__head_count_kv": gguf_value("[uint32]", [2, 0])},
        {"llama__attention__head_count": None, "llama__attention__head_count_kv": None},
        {"llama__expert_count": gguf_value("uint32", 8), "llama__expert_used_count": gguf_value("uint32", 2)},
        {"llama__embedding_length": gguf_value("uint32", 33), "llama__attention__key_length": gguf_value("uint32", 8)},
        {"tokenizer__ggml__scores": None, "tokenizer__ggml__token_type": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_unusual_but_sound_headers_pass(read, changes: dict[str, bytes | None]) -> None:
    assert read(minimal_gguf(**changes)).block_count == 2


def test_models_without_attention_have_no_heads(read) -> None:
    values = {key.replace("llama.", "mamba."): value for key, value in minimal_values().items()}
    values |= {
        "general.architecture": gguf_value("string", "mamba"),
        "mamba.attention.head_count": gguf_value("uint32", 0),
        "mamba.attention.head_count_kv": gguf_value("uint32", 0),
    }
    assert read(gguf_bytes(values, [F32], data=512)).head_count == 0


def test_projectors_and_adapters_need_no_vocabulary(read) -> None:
    clip = {"general.architecture": gguf_value("string", "clip"), "clip.has_vision_encoder": gguf_value("bool", True)}
    assert read(gguf_bytes(clip, [F32], data=512)).kind == "projector"
    adapter = {"general.architecture": gguf_value("string", "llama"), "general.type": gguf_value("string", "adapter")}
    assert read(gguf_bytes(adapter, [F32], data=512)).kind == "adapter"


# ---- what is refused: the structure -------------------------------------------------------------------------------

HUGE = struct.pack("<Q", 2**40)
DECLARED = {
    "string of 2^40 bytes": gguf_bytes({"a": struct.pack("<I", 8) + HUGE}, [F32], data=512),
    "array of 2^40 numbers": gguf_bytes({"a": struct.pack("<II", 9, 4) + HUGE}, [F32], data=512),
    "array of 2^40 strings": gguf_bytes({"a": struct.pack("<II", 9, 8) + HUGE}, [F32], data=512),
    "2^40 keys": gguf_bytes(minimal_values(), [F32], data=512, key_count=2**40),
    "2^63 keys": gguf_bytes(minimal_values(), [F32], data=512, key_count=2**63),
    "2^40 tensors": gguf_bytes(minimal_values(), [F32], data=512, tensor_count=2**40),
    "key of 2^40 bytes": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + HUGE + bytes(900),
    "version 2, key of 2^64-1 bytes": b"GGUF" + struct.pack("<IQQ", 2, 0, 1) + b"\xff" * 8 + bytes(900),
    "tensor name of 2^40 bytes": gguf_bytes(minimal_values(), [HUGE + bytes(40)], data=512),
    "one key too many": gguf_bytes(minimal_values(), [F32], data=512, key_count=13),
}

STRUCTURE = {
    "four bytes": b"GGUF",
    "empty": b"",
    "another format": b"PK\x03\x04" + bytes(500),
    "version 0": gguf_bytes(minimal_values(), [F32], data=512, version=0),
    "version 1": gguf_bytes(minimal_values(), [F32], data=512, version=1),
    "version 4": gguf_bytes(minimal_values(), [F32], data=512, version=4),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(500),
    "unknown value type": minimal_gguf(x=struct.pack("<I", 13) + bytes(8)),
    "array of unknown type": minimal_gguf(x=struct.pack("<IIQ", 9, 99, 1) + bytes(8)),
    "array of arrays": minimal_gguf(x=struct.pack("<IIQ", 9, 9, 1) + bytes(16)),
    "key twice": gguf_bytes(
        minimal_values(), [gguf_string("general.architecture") + gguf_value("string", "llama"), F32],
        key_count=13, tensor_count=1, data=512,
    ),
    "empty key": minimal_gguf(**{"": gguf_value("uint32", 1)}),
    "key that is no text": gguf_bytes({}, [gguf_string(b"\xff\xfe") + gguf_value("uint32", 1), F32], key_count=1),
    "token over 64 KiB": minimal_gguf(tokenizer__ggml__tokens=gguf_value("[string]", ["a", "b", "c", "x" * 65_537])),
    "alignment 0": minimal_gguf(general__alignment=gguf_value("uint32", 0)),
    "alignment 3": minimal_gguf(general__alignment=gguf_value("uint32", 3)),
    "alignment 2^31": minimal_gguf(general__alignment=gguf_value("uint32", 2**31)),
    "alignment text": minimal_gguf(general__alignment=gguf_value("string", "32")),
    "alignment uint64": minimal_gguf(general__alignment=gguf_value("uint64", 32)),
    "alignment array": minimal_gguf(general__alignment=gguf_value("[uint32]", [32])),
}  # fmt: skip


def tensors(*specs: bytes, data: int = 512) -> bytes:
    return gguf_bytes(minimal_values(), list(specs), data=data)


TENSORS = {
    "none": tensors(),
    "past the end": tensors(F32, data=511),
    "offset far out": tensors(gguf_tensor("a", (32, 4), 0, 2**62)),
    "offset overflows": tensors(gguf_tensor("a", (32, 4), 0, 2**64 - 32)),
    "offset not aligned": tensors(F32, gguf_tensor("b", (4,), 0, 513), data=2000),
    "offset not behind the one before": tensors(F32, gguf_tensor("b", (4,), 0, 0), data=2000),
    "five dimensions": tensors(gguf_tensor("a", (2, 2, 2, 2, 2))),
    "dimension 0": tensors(gguf_tensor("a", (32, 0))),
    "product over 2^63": tensors(gguf_tensor("a", (2**32, 2**32))),
    "product wraps to a small one": tensors(gguf_tensor("a", (2**32, 2**32, 2**32, 2**32))),
    "dimension 2^63": tensors(gguf_tensor("a", (2**63,))),
    "two near the maximum": tensors(gguf_tensor("a", (2**60,)), gguf_tensor("b", (2**60,), 0, 2**62)),
    "unknown type": tensors(gguf_tensor("a", (32,), 42)),
    "removed type Q4_2": tensors(gguf_tensor("a", (32,), 4)),
    "removed type Q4_0_4_4": tensors(gguf_tensor("a", (32,), 31)),
    "negative type": tensors(gguf_tensor("a", (32,), 2**32 - 1)),
    "row not a multiple of the block": tensors(gguf_tensor("a", (33,), 2)),
    "name twice": tensors(F32, gguf_tensor("token_embd.weight", (4,), 0, 512), data=2000),
    "empty name": tensors(gguf_tensor("", (4,))),
    "name of 64 bytes": tensors(gguf_tensor("a" * 64, (4,))),
}


@pytest.mark.parametrize("data", [pytest.param(d, id=i) for t in (DECLARED, STRUCTURE, TENSORS) for i, d in t.items()])
def test_malformed_files_are_refused(read, data: bytes) -> None:
    with pytest.raises(InvalidGGUF):
        read(data)


@pytest.mark.parametrize("data", [pytest.param(d, id=i) for i, d in DECLARED.items()])
def test_declared_lengths_allocate_nothing(read, data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidGGUF):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_message_names_no_path(tmp_path: Path) -> None:
    path = tmp_path / "secret-folder.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(InvalidGGUF) as caught:
        read_header(path)
    assert "secret" not in caught.value.message


# ---- what is refused: the meaning ---------------------------------------------------------------------------------

u32 = lambda value: gguf_value("uint32", value)  # noqa: E731

MEANING = [
    ("general__architecture", None),
    ("general__architecture", u32(1)),
    ("general__architecture", gguf_value("string", "")),
    ("general__architecture", gguf_value("string", "a" * 65)),
    ("general__type", u32(1)),
    ("llama__block_count", None),
    ("llama__block_count", u32(0)),
    ("llama__block_count", u32(513)),
    ("llama__block_count", u32(2**32 - 1)),
    ("llama__block_count", gguf_value("string", "2")),
    ("llama__block_count", gguf_value("float32", 2.0)),
    ("llama__block_count", gguf_value("int32", -1)),
    ("llama__block_count", gguf_value("bool", True)),
    ("llama__block_count", gguf_value("uint64", 2)),
    ("llama__block_count", gguf_value("[uint32]", [2])),
    ("llama__context_length", u32(0)),
    ("llama__context_length", gguf_value("string", "512")),
    ("llama__context_length", u32(2**31)),
    ("llama__embedding_length", u32(0)),
    ("llama__embedding_length", gguf_value("int32", -32)),
    ("llama__embedding_length", u32(33)),
    ("llama__embedding_length", u32(2**31)),
    ("llama__attention__head_count", u32(0)),
    ("llama__attention__head_count", u32(2**31)),
    ("llama__attention__head_count", gguf_value("[uint32]", [4])),
    ("llama__attention__head_count", gguf_value("[uint32]", [0, 0])),
    ("llama__attention__head_count", gguf_value("[string]", ["4", "4"])),
    ("llama__attention__head_count", gguf_value("[int32]", [4, -4])),
    ("llama__attention__head_count_kv", u32(0)),
    ("llama__attention__head_count_kv", u32(3)),
    ("llama__attention__head_count_kv", u32(8)),
    ("llama__attention__head_count_kv", gguf_value("string", "2")),
    ("llama__attention__head_count_kv", gguf_value("[uint32]", [3, 2])),
    ("llama__attention__key_length", u32(0)),
    ("llama__attention__key_length", gguf_value("string", "8")),
    ("llama__attention__value_length", u32(2**31)),
    ("llama__attention__value_length", gguf_value("[uint32]", [8, 8])),
    ("llama__rope__scaling__type", gguf_value("string", "bogus")),
    ("llama__rope__scaling__type", u32(1)),
    ("llama__attention__layer_norm_rms_epsilon", gguf_value("float32", float("nan"))),
    ("llama__attention__layer_norm_rms_epsilon", gguf_value("float32", -1.0)),
    ("llama__attention__layer_norm_epsilon", gguf_value("float32", float("inf"))),
    ("llama__attention__group_norm_epsilon", u32(0)),
    ("llama__expert_count", u32(8)),
    ("llama__expert_count", u32(513)),
    ("llama__expert_used_count", u32(2)),
    ("llama__expert_group_count", u32(2)),
    ("tokenizer__ggml__model", None),
    ("tokenizer__ggml__model", u32(1)),
    ("tokenizer__ggml__model", gguf_value("string", "bert")),
    ("tokenizer__ggml__tokens", None),
    ("tokenizer__ggml__tokens", gguf_value("[uint32]", [1, 2, 3, 4])),
    ("tokenizer__ggml__tokens", gguf_value("[string]", [])),
    ("tokenizer__ggml__scores", gguf_value("[float32]", [0.0] * 3)),
    ("tokenizer__ggml__scores", gguf_value("[float64]", [0.0] * 4)),
    ("tokenizer__ggml__scores", u32(0)),
    ("tokenizer__ggml__token_type", gguf_value("[int32]", [1] * 5)),
    ("tokenizer__ggml__token_type", gguf_value("[int8]", [1] * 4)),
    ("tokenizer__ggml__token_type", gguf_value("[int32]", [6, 3, 3, 6])),
    ("tokenizer__ggml__tokens", gguf_value("[string]", ["a", "b", "c", "<0x-1>"])),
    ("tokenizer__ggml__tokens", gguf_value("[string]", ["a", "b", "c", "<0xG0>"])),
    ("tokenizer__ggml__merges", gguf_value("[uint32]", [1])),
    ("tokenizer__ggml__bos_token_id", u32(4)),
    ("tokenizer__ggml__eos_token_id", gguf_value("int32", -5)),
    ("tokenizer__ggml__eos_token_id", gguf_value("string", "2")),
    ("tokenizer__chat_template", u32(1)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), MEANING)
def test_absurd_values_are_refused_by_name(read, key: str, value: bytes | None) -> None:
    with pytest.raises(InvalidGGUF) as caught:
        read(minimal_gguf(**{key: value}))
    assert caught.value.status == 400
    names = {
        "expert": "experts",
        "ggml__model": "",
        "tokens": "token",
        "token_type": "token",
        "embedding_length": "embedding_length",
    }
    expected = next((text for part, text in names.items() if part in key), key.split("__", 1)[1].replace("__", "."))
    assert expected in caught.value.message


# ---- mutations ----------------------------------------------------------------------------------------------------


def judge(path: Path) -> GGUFHeader | None:
    try:
        return read_header(path)
    except InvalidGGUF:
        return None


def test_every_prefix_of_a_valid_file_is_refused(tmp_path: Path) -> None:
    whole = write_tiny_gguf(tmp_path / "whole.gguf").read_bytes()
    path = tmp_path / "prefix.gguf"
    for length in range(4097):
        path.write_bytes(whole[:length])
        assert judge(path) is None, length


def test_a_thousand_mutated_headers_cost_little(tmp_path: Path) -> None:
    """Each is read or refused, fast and in bounded memory; nothing else is raised."""
    rng = random.Random(20240716)
    whole = write_tiny_gguf(tmp_path / "whole.gguf").read_bytes()
    header = read_header(tmp_path / "whole.gguf").data_offset
    path, verdicts = tmp_path / "mutant.gguf", []
    tracemalloc.start()
    try:
        for _ in range(1000):
            mutant = bytearray(whole)
            for _ in range(rng.randint(1, 8)):
                place = rng.randrange(header)
                width = rng.choice((1, 1, 2, 4, 8))
                mutant[place : place + width] = rng.choice((rng.randbytes(width), b"\xff" * width, bytes(width)))
            path.write_bytes(mutant)
            tracemalloc.reset_peak()
            started = time.process_time()
            verdicts.append(judge(path))
            assert time.process_time() - started < 1
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert sum(verdict is None for verdict in verdicts) > 100  # the mutations do bite


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_behind_the_magic_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + data)
    judge(path)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["uint8", "int16", "uint32", "int64", "float64", "bool", "string"]),
    count=st.integers(0, 1500),
    data=st.data(),
)
def test_arrays_of_any_type_and_length_read_back(
    tmp_path_factory: pytest.TempPathFactory, kind: str, count: int, data: st.DataObject
) -> None:
    item = {"string": st.text(max_size=5), "bool": st.booleans(), "float64": st.floats(allow_nan=False)}
    value = data.draw(item.get(kind, st.integers(0, 100)))
    path = tmp_path_factory.getbasetemp() / "array.gguf"
    path.write_bytes(minimal_gguf(x=gguf_value(f"[{kind}]", [value] * count)))
    array = read_header(path).metadata["x"]
    assert isinstance(array, Array)
    assert (array.item_type, len(array)) == (kind, count)
    assert array.read(path) == (value,) * count
    assert (array.items is None) == (count > 1024)
