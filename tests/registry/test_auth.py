"""Tokens, signatures and the key: who gets them, and who does not."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import multiprocessing
import stat
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from registry.misbehaving import Registry, Request
from registry.pulling import WEIGHTS, assert_nothing_visible, assert_whole, fetch

from ollama_jupyter.errors import OllamaJupyterError, RegistryError
from ollama_jupyter.names import Digest
from ollama_jupyter.registry.auth import Challenge, load_key, token_of
from ollama_jupyter.registry.url import Origin
from ollama_jupyter.store.models import Store

HOME = Origin("https", "reg.test", 443)


@pytest.fixture
def registry(registry: Registry) -> Registry:
    registry.guarded = True
    return registry


def token_requests(registry: Registry) -> list[tuple[str, dict[str, str]]]:
    return [(path, headers) for path, headers in registry.requests if path.startswith("/token")]


def is_signed(registry: Registry, path: str, authorization: str) -> bool:
    """Whether a server would take the signature of a token request."""
    public, _, signature = authorization.partition(":")
    key = load_ssh_public_key(f"ssh-ed25519 {public}".encode())
    assert isinstance(key, Ed25519PublicKey)
    body = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
    try:
        key.verify(base64.b64decode(signature), f"GET,http://{registry.address}{path},{body}".encode())
    except InvalidSignature:
        return False
    return True


def test_one_signed_request_gets_the_token_for_a_whole_pull(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    assert_whole(store, registry)
    [(path, headers)] = token_requests(registry)
    query = parse_qs(urlsplit(path).query)
    assert query["service"] == [registry.address]
    assert query["scope"] == ["repository:some/model:pull"]
    assert query["ts"][0].isdigit()
    assert len(base64.urlsafe_b64decode(query["nonce"][0] + "==")) == 16
    assert is_signed(registry, path, headers["Authorization"])
    assert not is_signed(registry, path + "0", headers["Authorization"])
    refused = [request for request in registry.requests if "Authorization" not in request.headers]
    assert len(refused) == 1


def test_the_log_has_no_credentials(store: Store, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        fetch(store, registry)
        registry.on_blob = lambda request: request.answer(400, request.headers["Authorization"].encode())
        store.blobs.delete(Digest.of(WEIGHTS))
        with pytest.raises(RegistryError) as caught:
            fetch(store, registry)
    secrets = {headers["Authorization"].split()[-1] for _, headers in registry.requests if "Authorization" in headers}
    assert len(secrets) > 1
    assert not [secret for secret in secrets if secret in caplog.text + str(caught.value)]


def test_a_token_that_ran_out_is_replaced(store: Store, registry: Registry) -> None:
    """Each is good for ten requests."""
    uses: dict[str, int] = {}

    def give(request: Request) -> None:
        token = f"t{len(uses)}"
        uses[f"Bearer {token}"] = 0
        request.answer(200, json.dumps({"access_token": token}).encode())

    def guard(request: Request) -> None:
        given = request.headers.get("Authorization", "")
        if uses.get(given, 10) == 10:
            request.answer(401, WWW_Authenticate=f'Bearer realm="{registry.realm}",scope="pull"')
        else:
            uses[given] += 1
            request.blob()

    registry.guarded = False
    registry.on_token, registry.on_blob = give, guard
    fetch(store, registry)
    assert_whole(store, registry)
    assert 2 <= len(uses) <= 4


def test_a_token_server_that_knows_no_signatures(store: Store, registry: Registry) -> None:
    registry.on_token = lambda request: (
        request.answer(401) if "Authorization" in request.headers else request.answer(200, b'{"token":"let-me-in"}')
    )
    fetch(store, registry)
    assert_whole(store, registry)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_token_server_in_passing_trouble(store: Store, registry: Registry, status: int) -> None:
    """In the middle of a pull, too, when the token has run out."""
    good, bad = registry.on_token, [status] * 2

    def on_token(request: Request) -> None:
        request.answer(bad.pop()) if bad else good(request)

    registry.on_token = on_token
    fetch(store, registry)
    assert_whole(store, registry)
    assert bad == []


@pytest.mark.parametrize(
    "realm",
    [
        "http://localhost:{port}/token",
        "http://127.0.0.1:{other}/token",
        "http://127.0.0.1/token",
        "https://127.0.0.1:{port}/token",
        "http://127.0.0.1:{port}@localhost:{other}/token",
        "http://user@127.0.0.1:{port}/token",
        "http://127.0.0.1:{port}.localhost/token",
        "http://127.0.0.1.localhost:{other}/token",
        "//127.0.0.1:{port}/token",
        "/token",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_realm_elsewhere_is_not_asked(store: Store, registry: Registry, realm: str) -> None:
    registry.realm = realm.format(port=registry.server_port, other=registry.cdn.server_port)
    with pytest.raises(RegistryError, match=r"realm|unauthorized: access denied"):
        fetch(store, registry)
    assert token_requests(registry) == []
    assert registry.cdn.requests == []
    assert len(registry.requests) == 1
    assert_nothing_visible(store, registry)


def test_the_words_for_a_foreign_realm_are_ollamas() -> None:
    with pytest.raises(RegistryError, match=r'^realm host "evil\.test" does not match original host "reg\.test"$'):
        Challenge("https://evil.test/token").url(HOME)
    with pytest.raises(RegistryError, match=r'^realm "http://reg\.test" does not match original host'):
        Challenge("http://reg.test/token").url(HOME)
    with pytest.raises(RegistryError, match=r'"reg\.test\.evil" does not match'):
        Challenge("https://reg.test.evil/token").url(HOME)


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ('Bearer realm="https://r/t",service="s",scope="a b"', Challenge("https://r/t", "s", "a b")),
        ('bearer Realm="https://r/t" , SCOPE=x', Challenge("https://r/t", "", "x")),
        (r'Bearer realm="https://r/t",error="a \"b\", c",service="s"', Challenge("https://r/t", "s")),
    ],
)
def test_challenges(header: str, challenge: Challenge) -> None:
    assert Challenge.parse(header) == challenge


@pytest.mark.parametrize("header", ["", "Basic realm=x", "Bearer", "Bearer scope=x", 'Bearer realm=""', "\0"])
def test_challenges_that_are_none(header: str) -> None:
    with pytest.raises(RegistryError, match=r"^unauthorized: access denied$"):
        Challenge.parse(header)


def test_each_scope_is_a_parameter_of_its_own() -> None:
    target = Challenge("https://reg.test/t?x=1", "s", "a:pull b:pull").url(HOME).target
    assert target.startswith("/t?x=1&service=s&scope=a%3Apull&scope=b%3Apull&ts=")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"token":7}',
        b'{"token":""}',
        b'{"token":"a\\nb"}',
        b'{"token":"a b"}',
        b"[" * 9999,
    ],
)
def test_replies_without_a_token(reply: bytes) -> None:
    with pytest.raises(RegistryError, match="has no token"):
        token_of(reply)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda request: request.answer(200, b" " * 70_000), "the token of .* is larger than 65536 bytes$"),
        (lambda request: request.answer(200, b"", Content_Encoding="gzip"), "is compressed"),
        (lambda request: request.answer(403), r"^pull model manifest: unauthorized: access denied$"),
        (lambda request: request.answer(500), "the token server of .* answers 500$"),
        (lambda request: request.redirect(307, "http://localhost/token"), "the token server of .* answers 307$"),
        (lambda request: request.answer(200, b'{"token":"wrong"}'), "unauthorized: access denied$"),
    ],
)
def test_no_token_no_pull(store: Store, registry: Registry, answer: object, error: str) -> None:
    registry.on_token = answer  # type: ignore[assignment]
    with pytest.raises(RegistryError, match=error):
        fetch(store, registry)
    assert_nothing_visible(store, registry)


# ---- the key


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "id_ed25519"
    first, second = load_key(path), load_key(path)
    assert first.private_bytes_raw() == second.private_bytes_raw()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = path.with_name("id_ed25519.pub")
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert load_ssh_public_key(public.read_bytes()) == first.public_key()
    assert path.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert sorted(file.name for file in path.parent.iterdir()) == ["id_ed25519", "id_ed25519.pub"]


def test_processes_that_need_the_key_at_once_agree_on_it(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = set(pool.map(_key_bytes, [path] * 8))
        pool.close()
        pool.join()
    assert keys == {load_key(path).private_bytes_raw()}
    assert load_ssh_public_key(path.with_name("id_ed25519.pub").read_bytes()) == load_key(path).public_key()


def _key_bytes(path: Path) -> bytes:
    return load_key(path).private_bytes_raw()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_a_key_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "id_ed25519"
    path.write_bytes(content)
    with pytest.raises(OllamaJupyterError, match="cannot be used") as raised:
        load_key(path)
    assert str(tmp_path) not in raised.value.message
    assert path.read_bytes() == content


def test_a_key_of_another_kind(tmp_path: Path) -> None:
    key = generate_private_key(65537, 2048)
    path = tmp_path / "id_ed25519"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    assert load_ssh_private_key(path.read_bytes(), None)
    with pytest.raises(OllamaJupyterError, match=r"is not an ed25519 key$"):
        load_key(path)
