"""Writes a GGUF file tensor by tensor, so that a model of any size takes the memory of a few rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ollama_jupyter.convert.safetensors import Tensor
from ollama_jupyter.convert.weights import Weight, read_chunks

if TYPE_CHECKING:
    import gguf
    from numpy.typing import NDArray

Metadata = dict[str, Any]
"""Keys of a GGUF header. A whole number is written as uint32, a float as float32; lists as arrays of the same.

A key without a known prefix belongs to the architecture.
"""
Report = Callable[[int, int], None]
"""Told the bytes that are done, and their total."""

_ALIGNMENT = 32
_COMMON = ("general.", "tokenizer.", "adapter.")
_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}


def write_gguf(
    target: Path,
    architecture: str,
    metadata: Metadata,
    weights: Sequence[tuple[Weight, Tensor]],
    report: Report,
    extras: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write `target`: the metadata, the F32 tensors of `extras`, and what the weights' tensors become.

    Raises:
        ConversionError: if a tensor is of a type, or holds a number, that cannot be converted.
        OSError: if the file cannot be written.
    """
    import gguf

    extras = extras or {}
    writer = gguf.GGUFWriter(None, architecture)
    try:
        _add_metadata(writer, architecture, metadata)
        for name, values in extras.items():
            writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
        for weight, tensor in weights:
            _add_info(writer, weight, tensor)
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()
    with target.open("ab") as file:
        _write_data(file, extras, weights, report)


def _add_metadata(writer: gguf.GGUFWriter, architecture: str, metadata: Metadata) -> None:
    import gguf

    scalars: dict[type, tuple[gguf.GGUFValueType, Callable[[Any], Any]]] = {
        bool: (gguf.GGUFValueType.BOOL, bool),
        int: (gguf.GGUFValueType.UINT32, int),
        float: (gguf.GGUFValueType.FLOAT32, float),
    }
    for key, value in metadata.items():
        name = key if key.startswith(_COMMON) else f"{architecture}.{key}"
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            kind, convert = scalars[type(value)]
            writer.add_key_value(name, convert(value), kind)


def _add_info(writer: gguf.GGUFWriter, weight: Weight, tensor: Tensor) -> None:
    import gguf
    import numpy as np

    kind = weight.kind(tensor)
    size = prod(tensor.shape) * _WIDTHS[kind]
    number = gguf.GGMLQuantizationType[kind]
    writer.add_tensor_info(weight.target, tensor.shape, np.dtype(np.float32), size, raw_dtype=number)


def _write_data(
    file: Any, extras: Mapping[str, NDArray[Any]], weights: Sequence[tuple[Weight, Tensor]], report: Report
) -> None:
    total = sum(tensor.nbytes for _, tensor in weights)
    done = 0
    _pad(file)
    for values in extras.values():
        file.write(values.tobytes())
        _pad(file)
    report(0, total)
    for weight, tensor in weights:
        for chunk in read_chunks(weight, tensor):
            file.write(chunk.tobytes())
            done += chunk.size * tensor.nbytes // max(1, prod(tensor.shape))
            report(done, total)
        _pad(file)


def _pad(file: Any) -> None:
    file.write(bytes(-file.tell() % _ALIGNMENT))


def file_type(weights: Sequence[tuple[Weight, Tensor]]) -> int:
    """The number for `general.file_type`: what most of the matrices' numbers are written as."""
    import gguf

    counts: Counter[str] = Counter()
    for weight, tensor in weights:
        if len(tensor.shape) > 1:
            counts[weight.kind(tensor)] += prod(tensor.shape)
    kind = counts.most_common(1)[0][0] if counts else "F32"
    names = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}
    return int(gguf.LlamaFileType[names[kind]])
