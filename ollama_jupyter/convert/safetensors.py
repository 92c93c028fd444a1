"""Reads safetensors files: a length, a JSON header, the tensors' bytes. Nothing in the header is believed unchecked.

The format demands that the tensors fill the rest of the file without holes or overlaps, and so do we.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from ollama_jupyter.convert.folder import Folder, parse_object, refused
from ollama_jupyter.errors import ConversionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_HEADER = 100 << 20
MAX_TENSORS = 65_536
INDEX = ".safetensors.index.json"

_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
_READABLE = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_NUMBERED = re.compile(r".*-\d{5}-of-(\d{5})\.safetensors\Z")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: `shape` with the slowest dimension first, `offset` in bytes from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * _SIZES[self.dtype]

    def check_type(self) -> None:
        """Raise ConversionError unless the numbers are plain floats of 16 or 32 bits."""
        if self.dtype not in _READABLE:
            raise ConversionError(
                f'tensor "{self.name[:80]}" is of type {self.dtype}; only F32, F16 and BF16 can be converted'
            )

    def open(self) -> NDArray[Any]:
        """The numbers, mapped into memory and read as they are used. BF16 comes as the uint16 that it is stored as."""
        import numpy as np

        self.check_type()
        return _mapped(np.dtype(_READABLE[self.dtype]), self)


def _mapped(dtype: np.dtype[Any], tensor: Tensor) -> NDArray[Any]:
    import numpy as np

    if not prod(tensor.shape):
        return np.zeros(tensor.shape, dtype)
    return np.memmap(tensor.path, dtype, "r", tensor.offset, tensor.shape)


class Checkpoint(Mapping[str, Tensor]):
    """All tensors of a model, whichever file they are in."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._tensors.values())


def open_checkpoint(folder: Folder, stem: str = "model") -> Checkpoint:
    """The tensors of `stem`.safetensors, or of the files that its index names, or of its numbered parts.

    Raises:
        ConversionError: if a file is missing or malformed, or two files hold a tensor of one name.
    """
    if folder.has(stem + INDEX):
        return _from_index(folder, stem + INDEX)
    names = [f"{stem}.safetensors"] if folder.has(f"{stem}.safetensors") else folder.names(f"{stem}*.safetensors")
    if not names:
        raise _nothing_to_read(folder, stem)
    numbered = _NUMBERED.match(names[0])
    if numbered and int(numbered[1]) != len(names):
        raise ConversionError(f"{len(names)} of {int(numbered[1])} safetensors files are there; the others are missing")
    return Checkpoint(_merged(folder, names))


def _nothing_to_read(folder: Folder, stem: str) -> ConversionError:
    pickled = folder.names("*.bin") + folder.names("*.pth")
    hint = f" ({pickled[0]} is a pickle, which is not read; save the model as safetensors)" if pickled else ""
    return ConversionError(f"{stem}.safetensors is missing{hint}")


def _merged(folder: Folder, names: list[str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name in names:
        for tensor in read_file(folder, name).values():
            if tensor.name in tensors:
                raise refused(name, f'tensor "{tensor.name}" is in another file too')
            tensors[tensor.name] = tensor
    return tensors


def _from_index(folder: Folder, index: str) -> Checkpoint:
    places = folder.json(index, MAX_HEADER).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise refused(index, '"weight_map" must name the file of each tensor')
    names = sorted(set(places.values()))
    if any(not name.endswith(".safetensors") for name in names):
        raise refused(index, "names a file that is not .safetensors")
    tensors = _merged(folder, names)
    for name, file in places.items():
        if name not in tensors:
            raise refused(file, f'tensor "{name}", which {index} places there, is missing')
    return Checkpoint(tensors)


# ---- one file -----------------------------------------------------------------------------------------------------


def read_file(folder: Folder, name: str) -> dict[str, Tensor]:
    """The tensors of one file, by name.

    Raises:
        ConversionError: if the file is missing, or its header does not describe exactly the file's bytes.
    """
    path = folder.path(name)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER, size - 8):
                raise refused(name, "not a safetensors file: its header is longer than the file or the limit")
            header = parse_object(name, file.read(length))
    except FileNotFoundError:
        raise ConversionError(f"{name} is missing") from None
    except OSError as error:
        raise refused(name, f"cannot be read: {error.strerror}") from None
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise refused(name, f"more than {MAX_TENSORS} tensors")
    return _place(name, path, header, 8 + length, size)


def _place(file: str, path: Path, header: dict[str, Any], start: int, size: int) -> dict[str, Tensor]:
    """Check that the tensors lie one behind the other and end where the file ends."""
    spans = sorted((_span(file, name, entry), name) for name, entry in header.items())
    tensors: dict[str, Tensor] = {}
    position = 0
    for (begin, end), name in spans:
        tensor = Tensor(name, header[name]["dtype"], tuple(header[name]["shape"]), path, start + begin)
        if begin != position or end - begin != tensor.nbytes:
            raise refused(file, f'tensor "{name[:80]}" does not lie where the one before it ends, or has another size')
        position = end
        tensors[name] = tensor
    if start + position != size:
        raise refused(file, "its tensors do not fill it: the file is cut or has something appended")
    return tensors


def _span(file: str, name: str, entry: Any) -> tuple[int, int]:
    fields = entry if isinstance(entry, dict) else {}
    shape, offsets, dtype = fields.get("shape"), fields.get("data_offsets"), fields.get("dtype")
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise refused(file, f'tensor "{name[:80]}" is of the unknown type {str(dtype)[:20]!r}')
    if not _whole_numbers(shape) or len(shape) > 8 or prod(shape) >= 1 << 48:
        raise refused(file, f'tensor "{name[:80]}" has no proper shape')
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise refused(file, f'tensor "{name[:80]}" has no proper data_offsets')
    return offsets[0], offsets[1]


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)
