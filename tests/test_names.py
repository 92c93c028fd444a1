"""Model names, digests and durations: the grammar of the contract's sections 3.1 and 2.3."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.durations import FOREVER, format_duration, parse_duration, parse_keep_alive
from ollama_jupyter.errors import InvalidDigest, InvalidName
from ollama_jupyter.names import Digest, ModelName, spelled_out

HOST, PART = "3" * 255, "8" * 80
HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("model", ("registry.ollama.ai", "library", "model", "latest")),
        ("model:tag", ("registry.ollama.ai", "library", "model", "tag")),
        ("namespace/model", ("registry.ollama.ai", "namespace", "model", "latest")),
        ("host/namespace/model", ("host", "namespace", "model", "latest")),
        ("host:port/namespace/model", ("host:port", "namespace", "model", "latest")),
        ("scheme://host:port/namespace/model:tag", ("host:port", "namespace", "model", "tag")),
        ("h:5000/ns/a", ("h:5000", "ns", "a", "latest")),
        ("localhost/a", ("registry.ollama.ai", "localhost", "a", "latest")),
        ("hf.co/u/re.po:Q4_K_M", ("hf.co", "u", "re.po", "Q4_K_M")),
        ("_a", ("registry.ollama.ai", "library", "_a", "latest")),
        ("a.b-c_d:1.0", ("registry.ollama.ai", "library", "a.b-c_d", "1.0")),
        ("_why/_the/_lucky:_stiff", ("_why", "_the", "_lucky", "_stiff")),
        (f"{HOST}/{PART}/{PART}:{PART}", (HOST, PART, PART, PART)),
        (" m ", ("registry.ollama.ai", "library", "m", "latest")),
    ],
)
def test_valid_names(text: str, parts: tuple[str, ...]) -> None:
    assert ModelName.parse(text).parts == parts


@pytest.mark.parametrize(
    "text",
    [
        "", "-a", "é", "u.x/a", "example.com/a", "a/b/c/d", f"a@sha256:{HEX}", "model:", ":tag", "^", "mm:", "/nn/mm",
        "//", "//mm", "hh//", "@", "m@d", "-hh/nn/mm:tt", "hh/-nn/mm:tt", "hh/nn/-mm:tt", "hh/nn/mm:-tt",
        "host/name:space/model:tag", f"{HOST}3/a/b", f"{PART}8", f"a:{PART}8", f"{PART}8/a", "..", ".", "../x",
        "a/../b", "a/..:..", "a b", "a\nb", "a\0", "x:y\\z",
    ],
)  # fmt: skip
def test_invalid_names(text: str) -> None:
    with pytest.raises(InvalidName):
        ModelName.parse(text)


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("registry.ollama.ai/library/model:latest", "model:latest"),
        ("registry.ollama.ai/library/model:tag", "model:tag"),
        ("registry.ollama.ai/namespace/model:tag", "namespace/model:tag"),
        ("host/namespace/model:tag", "host/namespace/model:tag"),
        ("host/library/model:tag", "host/library/model:tag"),
    ],
)
def test_display(text: str, display: str) -> None:
    assert ModelName.parse(text).display == str(ModelName.parse(text)) == display


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("-a", "registry.ollama.ai/library/-a:latest"),
        ("../../etc/passwd", "../../etc/passwd:latest"),
        ("n/-m:t", "registry.ollama.ai/n/-m:t"),
    ],
)
def test_what_is_no_name_spelled_out(text: str, full: str) -> None:
    assert spelled_out(text) == full


@given(st.text(alphabet=string.ascii_letters + string.digits + "._-:/@\\ ~", max_size=40))
def test_what_parses_stays_inside_the_store(text: str) -> None:
    try:
        name = ModelName.parse(text)
    except InvalidName:
        return
    models = Path("/models")
    path = name.manifest_path(models)
    assert ".." not in path.parts
    assert path.relative_to(models / "manifests").parts == name.parts
    assert ModelName.from_manifest_path(models, path) == name
    assert ModelName.parse(name.qualified) == name
    assert ModelName.parse(name.display) == name


@pytest.mark.parametrize(
    "parts", [("a", "b", "c"), ("a", "b", "c", "d", "e"), ("a", "b.c", "d", "e"), ("a", "b", ".x", "d")]
)
def test_strangers_among_the_manifests_have_no_name(parts: tuple[str, ...]) -> None:
    assert ModelName.from_manifest_path(Path("/m"), Path("/m/manifests").joinpath(*parts)) is None


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256-{HEX}", f"sha256:{HEX.upper()}"])
def test_digest_spellings(text: str) -> None:
    digest = Digest.parse(text)
    assert str(digest) == f"sha256:{HEX}"
    assert digest.blob_path(Path("/m")) == Path(f"/m/blobs/sha256-{HEX}")
    assert Digest.from_blob_path(digest.blob_path(Path("/m"))) == digest
    assert digest.short == "0123456789ab"


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:../../x", f"sha256:{HEX[1:]}", f"sha256:{HEX}0", f"sha256:..{HEX[2:]}",
     f"sha256:{HEX}\n", f"sha256:{HEX[1:]}\0", f"sha512:{HEX}", f" sha256:{HEX}", f"sha256:{HEX[:-1]}g", HEX],
)  # fmt: skip
def test_invalid_digests(text: str) -> None:
    with pytest.raises(InvalidDigest, match="invalid digest format"):
        Digest.parse(text)


def test_strangers_among_the_blobs_have_no_digest() -> None:
    assert Digest.from_blob_path(Path(f"/m/blobs/sha256-{HEX}-partial")) is None


def test_digest_of_bytes() -> None:
    assert Digest.of(b"abc").hex.startswith("ba7816bf8f01cfea")


# ---- durations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("300ms", 0.3),
        ("1.5s", 1.5),
        ("0", 0),
        ("-1m", FOREVER),
        ("2µs", 2e-6),
        ("10ns", 1e-8),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [("5", 'missing unit in duration "5"'), ("abc", 'invalid duration "abc"'), ("", 'invalid duration ""'),
     ("5m x", "invalid duration"), ("m", "invalid duration"), ("-+5m", "invalid duration"),
     ("\u0665m", "invalid duration"), ("1" * 64, "missing unit")],
)  # fmt: skip
def test_invalid_durations(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"time: .*{message.split(' in')[0]}") as caught:
        parse_duration(text)
    assert message in str(caught.value)


def test_a_long_text_is_refused_at_once_and_not_repeated() -> None:
    with pytest.raises(ValueError, match=f'^time: invalid duration "{"1" * 32}\\.\\.\\."$'):
        parse_duration("1" * 4_000_000)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (0, 0.0), (30, 30.0), (0.5, 0.5), (-1, FOREVER), ("5m", 300.0), ("-1m", FOREVER), ("0", 0.0),
     (1e10, FOREVER), (1e12, FOREVER), ("99999999999h", FOREVER), ("9" * 60 + "h", FOREVER), (9e9, 9e9)],
)  # fmt: skip
def test_keep_alive(value: object, seconds: float | None) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize(
    ("value", "message"), [(True, "'bool'"), ([1], r"'\[\]interface {}'"), ({}, "map"), ("5", "missing unit"),
     (10**400, "number out of range: keep_alive"), (float("inf"), "number out of range: keep_alive")],
)  # fmt: skip
def test_invalid_keep_alive(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_keep_alive(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (FOREVER, "forever"), (90, "1m30s"), (300, "5m0s"), (3600, "1h0m0s"), (0.635103525, "635.103525ms"),
     (2e-6, "2µs"), (1.5, "1.5s")],
)  # fmt: skip
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9).map(lambda microseconds: microseconds / 1e6))
def test_durations_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)
