"""Weight: how one tensor of a GGUF comes from one of a checkpoint; and the reading of it, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ollama_jupyter.convert.safetensors import Tensor
from ollama_jupyter.errors import ConversionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 16 << 20
"""Bytes of a tensor that are in memory at once, about."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor to write.

    `shape` is what the source must have, slowest dimension first. `heads` says that its rows are so many attention
    heads whose halves llama.cpp wants interleaved. `shift` is added to each number. `exact` keeps F32.
    """

    target: str
    source: str
    shape: tuple[int, ...]
    heads: int = 0
    shift: float = 0.0
    exact: bool = False
    required: bool = True

    def kind(self, tensor: Tensor) -> str:
        """The type to write: F32 for vectors, else BF16 from BF16 and F16 from F16 and F32."""
        if len(self.shape) < 2 or self.exact:
            return "F32"
        return "BF16" if tensor.dtype == "BF16" else "F16"

    def check(self, tensor: Tensor) -> None:
        """Raise ConversionError if `tensor` cannot be the source: another type of numbers, or another shape."""
        tensor.check_type()
        if tensor.shape != self.shape:
            found, wanted = (" x ".join(map(str, shape)) or "a scalar" for shape in (tensor.shape, self.shape))
            raise ConversionError(f'tensor "{tensor.name}" is {found}, but config.json asks for {wanted}')


def read_chunks(weight: Weight, tensor: Tensor) -> Iterator[NDArray[Any]]:
    """The numbers of `tensor` as they are to be written, in chunks of whole rows.

    Raises:
        ConversionError: if a number does not fit F16.
    """
    kind, data = weight.kind(tensor), tensor.open()
    rows = data.shape[0] if data.ndim else 1
    data = data.reshape(rows, -1)
    order = _interleaved(rows, weight.heads) if weight.heads else None
    step = max(1, CHUNK // max(1, 4 * prod(tensor.shape[1:])))
    for start in range(0, rows, step):
        chunk = data[start : start + step] if order is None else data[order[start : start + step]]
        yield _converted(chunk, tensor, kind, weight.shift)


def _interleaved(rows: int, heads: int) -> NDArray[Any]:
    """For each row to write, which to read: of each head, the first of either half, then the second, and so on.

    Hugging Face rotates the halves of a head against each other, llama.cpp's `llama` neighbouring rows.
    """
    import numpy as np

    order: NDArray[Any] = np.arange(rows).reshape(heads, 2, rows // heads // 2).swapaxes(1, 2).reshape(-1)
    return order


def _converted(data: NDArray[Any], tensor: Tensor, kind: str, shift: float) -> NDArray[Any]:
    import numpy as np

    if kind == "BF16":
        return data
    if tensor.dtype == "BF16":
        data = (data.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == "F32":
            single: NDArray[Any] = np.add(data, np.float32(shift), dtype=np.float32)
            return single
        half: NDArray[Any] = data.astype(np.float16)
    if data.dtype != np.float16 and np.isinf(half).any() and np.isfinite(data).all():
        raise ConversionError(f'tensor "{tensor.name}" has numbers beyond what F16 can hold; save the model as BF16')
    return half
