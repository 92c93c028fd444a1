"""What `create` makes of a Modelfile: which files it picks, and what it asks of the server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_ollama import FakeOllama

from ollama_jupyter.cli import main
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.folders import files_of, sniff
from ollama_jupyter.client.uploads import PIECE, names_of

BINARY = b"\x00\x01weights"
ZIP = b"PK\x03\x04zipped"
GGUF = b"GGUF\x03\x00\x00\x00"
POINTER = b"version https://git-lfs.github.com/spec/v1\n"


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture
def create(fake: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs the command in a folder of these files; the request that the server got."""
    monkeypatch.setenv("OLLAMA_HOST", fake.host)
    monkeypatch.chdir(tmp_path)

    def run(modelfile: str, files: dict[str, bytes], *flags: str) -> Any:
        fill(tmp_path, {"Modelfile": modelfile.encode(), **files})
        fake.requests.clear()
        assert main(["create", "new", *flags]) == 0
        return fake.bodies("/api/create")[-1]

    return run


def test_all_of_a_modelfile(create: Any, fake: FakeOllama) -> None:
    text = """
FROM ./base.gguf
FROM ./vision/mmproj.gguf
ADAPTER first.gguf
ADAPTER lora.gguf
DRAFT ./small.gguf
TEMPLATE {{ .Prompt }}
SYSTEM Be brief.
PARAMETER num_ctx 128
PARAMETER temperature 1
PARAMETER stop a
PARAMETER stop b
MESSAGE user Hi: there
MESSAGE assistant Yo
LICENSE one
LICENSE two
RENDERER r
PARSER p
REQUIRES v0.14.0
"""
    files = {"base.gguf": GGUF, "vision/mmproj.gguf": GGUF + b"v", "lora.gguf": GGUF + b"l", "small.gguf": GGUF + b"s"}
    body = create(text, files | {"first.gguf": GGUF + b"1"}, "-q", "q4_K_M", "--draft-quantize", "q8_0")
    assert body == {
        "model": "new",
        "files": {"base.gguf": sha(GGUF), "vision/mmproj.gguf": sha(GGUF + b"v")},
        "adapters": {"lora.gguf": sha(GGUF + b"l")},
        "draft_files": {"small.gguf": sha(GGUF + b"s")},
        "template": "{{ .Prompt }}",
        "system": "Be brief.",
        "parameters": {"num_ctx": 128, "temperature": 1.0, "stop": ["a", "b"]},
        "messages": [{"role": "user", "content": "Hi: there"}, {"role": "assistant", "content": "Yo"}],
        "license": ["one", "two"],
        "renderer": "r",
        "parser": "p",
        "requires": "0.14.0",
        "quantize": "q4_K_M",
        "draft_quantize": "q8_0",
        "stream": True,
    }
    sent = {path.rpartition("/")[2]: body["size"] for _, path, body in fake.requests if "/blobs/" in path}
    assert sent == {sha(data): len(data) for data in files.values()}


def test_a_model_by_name(create: Any, tmp_path: Path) -> None:
    assert create("FROM some/model:tag", {}) == {"model": "new", "from": "some/model:tag", "stream": True}
    (tmp_path / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path / "home"))
        body = create("FROM ~/m.gguf", {"home/m.gguf": GGUF})
    assert body["files"] == {"m.gguf": sha(GGUF)}


def test_another_file_and_its_folder(create: Any) -> None:
    body = create("FROM nothing", {"sub/Other": b"FROM m.gguf", "sub/m.gguf": GGUF}, "--file", "sub/Other")
    assert body["files"] == {"m.gguf": sha(GGUF)}


def test_large_files_are_sent_whole(create: Any, fake: FakeOllama) -> None:
    data = GGUF + bytes(3 * PIECE + 5)
    create("FROM m.gguf", {"m.gguf": data})
    [sent] = [body["size"] for _, path, body in fake.requests if "/blobs/" in path]
    assert sent == len(data)


@pytest.mark.parametrize(
    ("modelfile", "message"),
    [
        ("", "no FROM line"),
        ("FROM a\nBOGUS b\n", "(line 2): command must be one of"),
        ("FROM a\nPARAMETER bogus 1\n", "(line 2): unknown parameter 'bogus'"),
        ("FROM a\nPARAMETER top_k x\n", "(line 2): invalid int value [x]"),
        ("FROM a\nREQUIRES x\n", "requires must be a valid semver"),
        ("FROM a\nADAPTER missing\n", "stat {folder}/missing: no such file or directory"),
        ("FROM a\nDRAFT missing\n", "stat {folder}/missing: no such file or directory"),
        ("FROM m.gguf\nDRAFT ./m.gguf\n", "DRAFT must not reference the same local path as FROM: {folder}/m.gguf"),
        ("FROM ./empty\n", "no Modelfile or safetensors files found"),
        ("FROM ./nosuch.gguf\n", "FROM ./nosuch.gguf: no such file or folder"),
        ("FROM ~nobody-of-this-name/x\n", "failed to find user 'nobody-of-this-name'"),
    ],
    ids=lambda value: value.strip().splitlines()[-1] if value.strip() else "empty",
)
def test_what_is_refused(
    modelfile: str, message: str, fake: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("OLLAMA_HOST", fake.host)
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, {"Modelfile": modelfile.encode(), "m.gguf": GGUF, "empty/readme.txt": b""})
    assert main(["create", "new"]) == 1
    assert f"Error: {message.format(folder=tmp_path)}" in capsys.readouterr().err
    assert not fake.bodies("/api/create")


def test_a_draft_is_needed(create: Any, capsys: pytest.CaptureFixture[str]) -> None:
    create("FROM a", {})
    assert main(["create", "new", "--draft-quantize", "q8_0"]) == 1
    assert capsys.readouterr().err.endswith("Error: --draft-quantize requires a DRAFT model\n")


# ---- folders ------------------------------------------------------------------------------------------------------

JSON = b"{}"


@pytest.mark.parametrize(
    ("files", "picked"),
    [
        (
            {"model-2.safetensors": POINTER, "model-1.safetensors": BINARY, "x/model.safetensors": BINARY,
             "a.gguf": GGUF, "config.json": JSON, "1_Pooling/config.json": JSON, "deep/er/c.json": JSON,
             "chat_template.jinja": b"x", "tokenizer.model": BINARY, "README.md": b"x", "other.safetensors": BINARY},
            ["model-1.safetensors", "model-2.safetensors", "x/model.safetensors", "config.json",
             "1_Pooling/config.json", "chat_template.jinja", "tokenizer.model"],
        ),
        ({"consolidated.safetensors": BINARY, "params.json": JSON}, ["consolidated.safetensors", "params.json"]),
        ({"adapter_model.safetensors": BINARY, "adapter_config.json": JSON},
         ["adapter_model.safetensors", "adapter_config.json"]),
        ({"pytorch_model.bin": ZIP, "a.gguf": GGUF}, ["pytorch_model.bin"]),
        ({"pytorch_model.bin": POINTER, "a.gguf": GGUF}, ["a.gguf"]),
        ({"consolidated.0.pth": ZIP}, ["consolidated.0.pth"]),
        ({"a.gguf": GGUF, "b.gguf": GGUF, "config.json": JSON}, ["a.gguf", "b.gguf"]),
        ({"ggml-model.bin": GGUF, "config.json": JSON}, ["ggml-model.bin"]),
        ({"model.safetensors": BINARY, "sub/tokenizer.model": POINTER}, ["model.safetensors", "sub/tokenizer.model"]),
    ],
)  # fmt: skip
def test_the_files_of_a_folder(files: dict[str, bytes], picked: list[str], tmp_path: Path) -> None:
    fill(tmp_path, files)
    assert [str(file.relative_to(tmp_path)) for file in files_of(tmp_path)] == picked


def test_a_folder_of_pointers_has_no_weights(tmp_path: Path) -> None:
    fill(tmp_path, {"a.gguf": POINTER, "b.bin": POINTER})
    with pytest.raises(OllamaError, match="no Modelfile or safetensors files found"):
        files_of(tmp_path)


def test_json_that_is_none(tmp_path: Path) -> None:
    fill(tmp_path, {"model.safetensors": BINARY, "config.json": b"\x00\x01"})
    with pytest.raises(OllamaError, match=r"invalid content type: expected \S+/octet-stream for .*config\.json"):
        files_of(tmp_path)


def test_links_stay_inside(tmp_path: Path) -> None:
    fill(tmp_path, {"m/real/weights": BINARY, "outside": BINARY, "m/config.json": JSON})
    link = tmp_path / "m" / "model.safetensors"
    link.symlink_to("real/weights")
    assert files_of(tmp_path / "m")[0] == (tmp_path / "m/real/weights").resolve()
    link.unlink()
    link.symlink_to("../outside")
    with pytest.raises(OllamaError) as failed:
        files_of(tmp_path / "m")
    assert failed.value.message == "insecure path: ../outside"


def test_links_of_a_cache_come_with_advice(tmp_path: Path) -> None:
    fill(tmp_path, {".cache/blobs/abc": BINARY, ".cache/snapshot/config.json": JSON})
    (tmp_path / ".cache/snapshot/model.safetensors").symlink_to("../blobs/abc")
    with pytest.raises(OllamaError, match="--local-dir"):
        files_of(tmp_path / ".cache/snapshot")


def test_all_shards_of_one(tmp_path: Path) -> None:
    names = [f"m-0000{at}-of-00003.gguf" for at in (1, 2, 3)]
    fill(tmp_path, dict.fromkeys(names, GGUF))
    assert [file.name for file in files_of(tmp_path / names[0])] == names
    (tmp_path / names[2]).unlink()
    assert [file.name for file in files_of(tmp_path / names[0])] == names[:1]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "text/plain"),
        (b'{"a": "\xc3\xa9\\u0000"}', "text/plain"),
        (GGUF, "application/octet-stream"),
        (ZIP, "application/zip"),
        (b"  <!DOCTYPE html>", "text/html"),
        (b"\x1f\x8b\x08\x00", "application/x-gzip"),
        (b"a" * 512 + b"\x00", "text/plain"),
    ],
)
def test_types_by_content(data: bytes, kind: str, tmp_path: Path) -> None:
    fill(tmp_path, {"f": data})
    assert sniff(tmp_path / "f") == kind


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["/a/b/m.gguf"], ["m.gguf"]),
        (["/a/b/m.gguf", "/a/b/n.json"], ["m.gguf", "n.json"]),
        (["/a/b/m.gguf", "/a/c/d/n.json"], ["b/m.gguf", "c/d/n.json"]),
        (["/a/m.gguf", "/a/c/m.gguf"], ["m.gguf", "c/m.gguf"]),
    ],
)
def test_names_are_relative_to_the_common_folder(files: list[str], names: list[str]) -> None:
    assert list(names_of({Path(file): "d" for file in files})) == names
