"""What tests of create share: uploads, requests, and a look at what lies in the store afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from ollama_jupyter.engine.probe import Prober
from ollama_jupyter.library import Library
from ollama_jupyter.messages import CreateRequest, Progress
from ollama_jupyter.names import Digest, ModelName


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - {"partial/lock"}


async def upload(library: Library, data: bytes) -> str:
    digest = str(Digest.of(data))
    async with library.blob_writer(digest) as blob:
        for start in range(0, len(data), 50_000):
            await blob.write(data[start : start + 50_000])
        await blob.commit()
    return digest


async def uploads(library: Library, contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: await upload(library, data) for name, data in contents.items()}


async def statuses(progress: AsyncIterator[Progress]) -> list[str]:
    return [line.status async for line in progress]


async def make(library: Library, name: str, data: bytes | None = None, **fields: Any) -> list[str]:
    """Create a model from uploaded bytes, or by the fields alone."""
    if data is not None:
        fields["files"] = {"tiny.gguf": await upload(library, data)}
    return await statuses(library.create(CreateRequest(model=name, **fields)))


def manifest_of(models: Path, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(ModelName.parse(name).manifest_path(models).read_bytes())
    return data


def blob_of(models: Path, entry: dict[str, Any]) -> bytes:
    return Digest.parse(entry["digest"]).blob_path(models).read_bytes()


def config_of(models: Path, name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(blob_of(models, manifest_of(models, name)["config"]))
    return config


def roles(models: Path, name: str) -> list[str]:
    return [layer["mediaType"].rpartition(".")[2] for layer in manifest_of(models, name)["layers"]]


def layer(models: Path, name: str, role: str) -> dict[str, Any]:
    """The one layer of this role."""
    (found,) = (entry for entry in manifest_of(models, name)["layers"] if entry["mediaType"].rpartition(".")[2] == role)
    return found


def contents(models: Path, name: str) -> list[tuple[str, bytes]]:
    """Role and bytes of each layer but the weights, in order."""
    layers = manifest_of(models, name)["layers"]
    found = [(entry["mediaType"].rpartition(".")[2], entry) for entry in layers]
    return [(role, blob_of(models, entry)) for role, entry in found if role != "model"]


def real_probe(path: Path, shards: tuple[Path, ...] = (), adapters: tuple[Path, ...] = ()) -> None:
    """The trial load in a child process, for a test without a manager. Call it off the loop."""
    prober = Prober(path.parents[1] / "probes", 60)
    check = prober.check(path.name[7:], path, tuple(map(str, adapters)), tuple(map(str, shards)))
    asyncio.run(check)
