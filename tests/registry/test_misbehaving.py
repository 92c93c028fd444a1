"""Pulls from a registry that does not do as it should: each ends verified, or in a clear error and nothing visible."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Callable

import pytest
from registry.misbehaving import Behaviour, Registry, Request, digest_of, manifest_of
from registry.pulling import WEIGHTS, assert_nothing_visible, assert_whole, fetch

from ollama_jupyter.errors import DigestMismatch, InsufficientStorage, RegistryError
from ollama_jupyter.registry import wire
from ollama_jupyter.store.models import Store


@pytest.fixture(autouse=True)
def _impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """Where it stalls on purpose, it is not waited for long."""
    if "stall" in request.node.name:
        monkeypatch.setattr(wire, "STALL_SECONDS", 0.5)


PAGE = b"<html><head><style>x{}</style></head><body><h1>Oh\tno</h1>&nbsp;" + b"bla " * 5000 + b"</body></html>"


def flip_a_bit(request: Request) -> None:
    data = bytearray(request.data)
    data[len(data) // 3] ^= 4
    request.blob(data=bytes(data))


def send_another_part(request: Request) -> None:
    """The part that its header says, which is not what was asked for, but for the last."""
    start, end = request.range or (0, len(request.data))
    if end == len(request.data):
        return request.blob()
    span = f"bytes {start + 9}-{end + 8}/{len(request.data)}"
    return request.answer(206, request.data[start + 9 : end + 9], Content_Range=span)


def lie_about_the_part(request: Request) -> None:
    """The header says what was asked for, the body is the blob's beginning."""
    start, end = request.range or (0, len(request.data))
    request.head(206, end - start, Content_Range=f"bytes {start}-{end - 1}/{len(request.data)}")
    request.wfile.write(request.data[: end - start])


def send_too_much(request: Request) -> None:
    """A part that goes on behind the end of the blob."""
    start, size = (request.range or (0, 0))[0], len(request.data)
    body = request.data[start:] + bytes(1000)
    request.answer(206, body, Content_Range=f"bytes {start}-{start + len(body) - 1}/{size}")


def cut_at_once(request: Request) -> None:
    request.blob(cut=0)


def cut_somewhere() -> Behaviour:
    moments = random.Random(2)
    return lambda request: request.blob(cut=moments.randrange(1, 100_000))


def cut_the_whole_somewhere() -> Behaviour:
    moments = iter([100_000, 50_000, 400_000, 700_000])
    return lambda request: request.blob(ranges=False, cut=next(moments, None))


def show_a_page(request: Request) -> None:
    request.answer(500, PAGE, Content_Type="text/html")


def stall(request: Request, after: int = 10_000) -> None:
    """Some of it, then nothing, for longer than anybody waits."""
    start, end = request.range or (0, len(request.data))
    request.head(206, end - start, Content_Range=f"bytes {start}-{end - 1}/{len(request.data)}")
    request.wfile.write(request.data[start : min(start + after, end)])
    request.wfile.flush()
    request.connection.recv(1)  # until the other side has given up
    request.close_connection = True


def promise_another_size(request: Request) -> None:
    request.answer(200, request.data + b"!")


def compress(request: Request) -> None:
    request.answer(200, gzip.compress(request.data), Content_Encoding="gzip")


def ignore_ranges(request: Request) -> None:
    request.blob(ranges=False)


def once(misbehave: Behaviour) -> Behaviour:
    """The first request for the weights is treated badly, the others as they should be."""
    left = [True]
    lock = threading.Lock()

    def behave(request: Request) -> None:
        with lock:
            bad = len(request.data) == len(WEIGHTS) and bool(left) and left.pop()
        (misbehave if bad else Request.blob)(request)

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(lambda: ignore_ranges, id="ignores ranges"),
        pytest.param(lambda: once(ignore_ranges), id="ignores ranges once"),
        pytest.param(lambda: once(send_another_part), id="another part once"),
        pytest.param(lambda: once(lie_about_the_part), id="a lie once"),
        pytest.param(lambda: once(flip_a_bit), id="a flipped bit once"),
        pytest.param(lambda: once(show_a_page), id="a page once"),
        pytest.param(lambda: once(stall), id="a stall once"),
        pytest.param(lambda: once(cut_at_once), id="cut once"),
        pytest.param(cut_somewhere, id="cut again and again"),
        pytest.param(cut_the_whole_somewhere, id="ignores ranges, and cut"),
    ],
)
@pytest.mark.parametrize("redirected", [False, True], ids=["at home", "elsewhere"])
def test_ends_verified(store: Store, registry: Registry, behaviour: Callable[[], Behaviour], redirected: bool) -> None:
    if redirected:
        registry.redirecting()
        registry.cdn.on_blob = behaviour()
    else:
        registry.on_blob = behaviour()
    lines = fetch(store, registry)
    assert_whole(store, registry)
    done = [line.completed for line in lines if line.total == len(WEIGHTS)]
    assert done == sorted(done)
    assert done[-1] == len(WEIGHTS)


def test_streams_that_all_get_the_whole_blob_do_not_all_read_it(store: Store, registry: Registry) -> None:
    """From the fifth request on, ranges are ignored."""
    requests = iter(range(1000))
    registry.on_blob = lambda request: request.blob(ranges=next(requests) < 4)
    fetch(store, registry)
    assert_whole(store, registry)
    assert registry.sent < 3 * len(WEIGHTS)  # some of it was on its way to those that had hung up


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (send_another_part, "^max retries exceeded: .* sends another part than was asked for$"),
        (send_too_much, "^max retries exceeded: .* sends another part than was asked for$"),
        (
            flip_a_bit,
            f"^digest mismatch, file must be downloaded again: want {digest_of(WEIGHTS)}, got sha256:",
        ),
        (show_a_page, r"^max retries exceeded: 127.0.0.1:\d+ answers 500: Oh no bla .*…$"),
        pytest.param(
            lambda request: stall(request, after=0),
            "^max retries exceeded: .*: nothing came for too long$",
            id="stalls",
        ),
        (cut_at_once, "^max retries exceeded: .*: the connection was cut$"),
        (promise_another_size, "^max retries exceeded: .* sends 1048577 bytes for a blob of 1048576$"),
        (compress, "^a blob of .* is compressed, which was not asked for$"),
        (lambda request: request.answer(404), f"^{digest_of(WEIGHTS)}: file does not exist$"),
        (lambda request: request.answer(403), "^unexpected status code 403$"),
        (lambda request: request.answer(302), "^http: no Location header in response$"),
        (lambda request: request.redirect(307, "ftp://elsewhere/x"), "redirects to something that is no URL$"),
        (lambda request: request.redirect(307, "http://user:secret@elsewhere/x"), "redirects to something that is no"),
        (lambda request: request.redirect(307, request.path), "redirects more than 10 times$"),
    ],
)
def test_ends_in_a_clear_error(store: Store, registry: Registry, behaviour: Behaviour, error: str) -> None:
    registry.on_blob = behaviour
    with pytest.raises(RegistryError, match=error) as raised:
        fetch(store, registry)
    assert len(raised.value.message) < 700
    assert_nothing_visible(store, registry)


def test_after_a_mismatch_nothing_is_kept(store: Store, registry: Registry) -> None:
    registry.on_blob = flip_a_bit
    with pytest.raises(DigestMismatch):
        fetch(store, registry)
    assert not [*(store.models / "partial").glob("sha256-*")]
    registry.on_blob = Request.blob
    fetch(store, registry)
    assert_whole(store, registry)


def test_an_expired_address_is_asked_for_anew(store: Store, registry: Registry) -> None:
    """Each signed address is good for five requests."""
    keys: list[int] = []

    def sign(request: Request) -> None:
        keys.append(0)
        request.redirect(307, f"http://{registry.cdn.address}/signed/{request.digest}?key={len(keys) - 1}")

    def honour(request: Request) -> None:
        key = int(request.path.rpartition("=")[2])
        keys[key] += 1
        request.blob() if keys[key] <= 5 else request.answer(403, b"<Error>Request has expired</Error>")

    registry.on_blob, registry.cdn.on_blob = sign, honour
    fetch(store, registry)
    assert_whole(store, registry)
    assert len(keys) > 3


# ---- manifests


def chunks_without_end(request: Request) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for _ in range(10_000):
        request.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        request.server.count(0, 0x10000)


BOMB = gzip.compress(bytes(20 << 20))


def bomb(request: Request) -> None:
    request.answer(200, BOMB, Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (lambda request: request.answer(404), "^pull model manifest: file does not exist$"),
        (lambda request: request.answer(500, b"out of order\n"), "^pull model manifest: 500: out of order$"),
        (show_a_page, "^pull model manifest: 500: Oh no bla .*…$"),
        (bomb, "^pull model manifest: the manifest of .* is compressed, which was not asked for$"),
        (chunks_without_end, "^pull model manifest: the manifest of .* is larger than 4194304 bytes$"),
        (lambda request: request.answer(200, b" " * (5 << 20)), "is larger than 4194304 bytes$"),
        (lambda request: request.answer(200), "^pull model manifest: not JSON$"),
        (lambda request: request.answer(200, b"[" * 100_000), "^pull model manifest: not JSON$"),
        (lambda request: request.redirect(301, request.path), "redirects more than 10 times$"),
    ],
)
def test_no_manifest(store: Store, registry: Registry, behaviour: Behaviour, error: str) -> None:
    registry.on_manifest = behaviour
    with pytest.raises(RegistryError, match=error) as raised:
        fetch(store, registry)
    assert len(raised.value.message) < 700
    assert registry.sent < 16 << 20
    assert_nothing_visible(store, registry)


def layer(**changes: object) -> dict[str, object]:
    good = {"mediaType": "application/vnd.ollama.image.model", "digest": digest_of(WEIGHTS), "size": len(WEIGHTS)}
    return good | changes


@pytest.mark.parametrize(
    "digest",
    [
        "", "sha256", "sha256:", "sha256:abc", "sha256:" + "a" * 63, "sha256:" + "a" * 65, "sha256:" + "g" * 64,
        "sha256:../../../sentinel", "../../sentinel", "sha256-" + "../" * 20 + "a" * 4, "sha256:" + "a" * 64 + "\n",
        "sha256:" + "a" * 63 + "\0", "sha256:" + "a" * 60 + "/../", "sha512:" + "a" * 128, None, 7, ["sha256"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["layer", "config"])
def test_a_bad_digest_is_refused(store: Store, registry: Registry, digest: object, place: str) -> None:
    manifest = manifest_of(WEIGHTS)
    bad = layer(digest=digest)
    changed = {"layers": [bad]} if place == "layer" else {"config": bad}
    registry.manifest = json.dumps(manifest | changed).encode()
    with pytest.raises(RegistryError, match=r"^pull model manifest: a layer has no valid digest$"):
        fetch(store, registry)
    assert [request.path for request in registry.requests] == ["/v2/some/model/manifests/latest"]
    assert_nothing_visible(store, registry)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"layers": None}, "it has no layers"),
        ({"layers": {}}, "no list of layers"),
        ({"layers": []}, "it has no layers"),
        ({"layers": ["x"]}, "a layer is not an object"),
        ({"layers": [layer(size=-1)]}, "a layer has a size that no file can have"),
        ({"layers": [layer(size=1e400)]}, "a layer has no media type or no size"),
        ({"layers": [layer(size="1")]}, "a layer has no media type or no size"),
        ({"layers": [layer(size=True)]}, "a layer has no media type or no size"),
        ({"layers": [layer(), layer(size=5)]}, "two layers of one digest have different sizes"),
        ({"layers": [layer()] * 20_000}, "it has more than 10000 layers"),
        ({"layers": [layer()] * 50_000}, "is larger than 4194304 bytes"),
        ({"config": None}, "a layer is not an object"),
        ({"layers": [layer(mediaType="application/vnd.ollama.image.tensor")]}, "requires MLX support"),
    ],
)
def test_a_spoiled_manifest_is_refused(
    store: Store, registry: Registry, changes: dict[str, object], error: str
) -> None:
    registry.manifest = json.dumps(manifest_of(WEIGHTS) | changes).encode()
    with pytest.raises(RegistryError, match=f"^pull model manifest: .*{error}"):
        fetch(store, registry)
    assert_nothing_visible(store, registry)


def test_a_size_that_the_blob_has_not(store: Store, registry: Registry) -> None:
    registry.manifest = json.dumps(manifest_of(WEIGHTS) | {"layers": [layer(size=len(WEIGHTS) - 1)]}).encode()
    with pytest.raises(RegistryError, match=r"max retries exceeded: .* has 1048576 bytes for a blob of 1048575"):
        fetch(store, registry)
    assert_nothing_visible(store, registry)


def test_a_model_that_does_not_fit_is_not_begun(store: Store, registry: Registry) -> None:
    registry.manifest = json.dumps(manifest_of(WEIGHTS) | {"layers": [layer(size=1 << 46)]}).encode()
    with pytest.raises(InsufficientStorage, match=r"^not enough disk space: \S+ TB more are needed, \S+ .B are free$"):
        fetch(store, registry)
    assert len(registry.requests) == 1
    assert_nothing_visible(store, registry)
