"""What can be said against a request to create before any file is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ollama_jupyter.engine.quantize import ALIASES, FILE_TYPES
from ollama_jupyter.errors import BadRequest, TemplateError
from ollama_jupyter.messages import CreateRequest, check_options
from ollama_jupyter.names import Digest, ModelName

MAX_FILES = 1024
MAX_NAME, MAX_PATH = 255, 1024
"""Bytes of a part of an uploaded file's path, and of the whole, that any file system takes."""

_TEXTS = {"model_family": "model_family", "base_name": "base_name", "quantization_level": "file_type",
          "parameter_size": "model_type"}  # fmt: skip
_NUMBERS = ("context_length", "embedding_length")


def check(request: CreateRequest) -> ModelName:
    """The name of the model to be.

    Raises:
        BadRequest: and its children, in the order in which Ollama looks.
    """
    for files in (request.files, request.draft_files, request.adapters):
        _check_files(files or {})
    if request.draft_quantize and not request.draft_files:
        raise BadRequest("--draft-quantize requires a DRAFT model")
    name = ModelName.parse(request.model)
    if request.remote_host:
        raise BadRequest("bad remote: models of other servers cannot be used here, only local ones")
    if not request.from_ and request.files is None:
        raise BadRequest("neither 'from' or 'files' was specified")
    for text in (request.quantize, request.draft_quantize):
        file_type(text)
    if request.template:
        _check_template(request.template)
    check_options(request.parameters)
    overrides(request.info)
    return name


def _check_files(files: Mapping[str, str]) -> None:
    if len(files) > MAX_FILES:
        raise BadRequest(f"{len(files)} files, at most {MAX_FILES} are taken")
    for path, digest in files.items():
        parts = path.split("/")
        if any(part in ("", ".", "..") or len(part.encode()) > MAX_NAME for part in parts) or {*path} & {*"\\\0"}:
            raise BadRequest("file path must be relative")
        if len(path.encode()) > MAX_PATH:
            raise BadRequest(f"file path must be at most {MAX_PATH} bytes long")
        Digest.parse(digest)


def _check_template(text: str) -> None:
    from ollama_jupyter.prompt.gotemplate import parse

    try:
        parse(text)
    except TemplateError as error:
        raise TemplateError(f"template error: {error.message}") from None


def file_type(text: str) -> str:
    """The quantisation of this name, as llama.cpp spells it; "" for none.

    Raises:
        BadRequest: naming those that there are.
    """
    word = text.upper()
    word = ALIASES.get(word, word)
    if word and word not in FILE_TYPES:
        names = ", ".join(FILE_TYPES)
        raise BadRequest(f"unsupported quantization type {text.upper()} - supported types are {names}")
    return word


def overrides(info: Mapping[str, object]) -> dict[str, Any]:
    """The entries of a config that `info` asks for.

    Raises:
        BadRequest: naming the field of a wrong type.
    """
    found: dict[str, Any] = {}
    for name, key in _TEXTS.items():
        if not isinstance(value := info.get(name, ""), str):
            raise BadRequest(f'info field "{name}" must be a string')
        found[key] = value
    for name in _NUMBERS:
        found[name] = _whole_number(name, info.get(name, 0))
    capabilities = info.get("capabilities", [])
    if not isinstance(capabilities, list) or not all(isinstance(item, str) for item in capabilities):
        raise BadRequest('info field "capabilities" must be an array of strings')
    found["capabilities"] = capabilities
    return {key: value for key, value in found.items() if value}


def _whole_number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest(f'info field "{name}" must be a number')
    if not 0 <= value < 2**63 or value != int(value):
        raise BadRequest(f'info field "{name}" must be a non-negative integer')
    return int(value)
