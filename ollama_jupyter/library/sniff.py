"""What an uploaded file is that is no GGUF, so that a refusal can say what to do."""

from __future__ import annotations

from ollama_jupyter.errors import BadRequest, InvalidGGUF

HEAD = 8
"""Bytes of a file's beginning that tell."""

# The formats before GGUF, by a number that their files begin with, written on machines of either byte order.
_LEGACY = {b"ggml": "GGML", b"ggmf": "GGMF", b"ggjt": "GGJT", b"ggla": "GGLA"}
_PICKLED = (".bin", ".pth", ".pt", ".ckpt", ".pkl")


def is_pickled(path: str, head: bytes) -> bool:
    """Whether it is a PyTorch file: a pickle, bare or in a zip archive."""
    return path.endswith(_PICKLED) and (head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] <= b"\x05"))


def refusal(path: str, head: bytes) -> BadRequest:
    """The error for a file that is neither GGUF nor safetensors."""
    legacy = _LEGACY.get(head[:4]) or _LEGACY.get(head[3::-1])
    if legacy:
        return InvalidGGUF(
            f"{path} is in the old {legacy} format, which llama.cpp no longer reads: "
            f"convert it to GGUF with {_converter(legacy)} of llama.cpp, or get the model as GGUF"
        )
    if is_pickled(path, head):
        return BadRequest(
            f"{path} is a PyTorch pickle, which may run code when it is read and so is not: save the model as "
            "safetensors (`model.save_pretrained(folder)` of transformers does) and create it from that folder"
        )
    if path.endswith(".gguf"):
        return InvalidGGUF("supplied file was not in GGUF format")
    return BadRequest("unknown type")


def _converter(legacy: str) -> str:
    return "convert_lora_to_gguf.py" if legacy == "GGLA" else "convert_llama_ggml_to_gguf.py"
