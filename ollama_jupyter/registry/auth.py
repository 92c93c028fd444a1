"""Tokens: what a registry's challenge asks for, and the signed request that answers it, as Ollama makes it.

A token is asked for only from the registry's own origin, whatever the challenge says: a realm elsewhere would collect
signatures that are good at home.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ollama_jupyter.errors import OllamaJupyterError, RegistryError, Trouble
from ollama_jupyter.registry.url import URL, Origin
from ollama_jupyter.registry.wire import Wire, user_agent

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_TOKEN_REPLY = 64 << 10
DENIED = "unauthorized: access denied"
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_TOKEN = re.compile(r"[!-~]+\Z")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a `WWW-Authenticate: Bearer` header asks for."""

    realm: str
    service: str = ""
    scope: str = ""

    @classmethod
    def parse(cls, header: str) -> Challenge:
        """Read the header.

        Raises:
            RegistryError: if it asks for something else than a Bearer token.
        """
        kind, _, rest = header.strip().partition(" ")
        found = {
            m[1].lower(): re.sub(r"\\(.)", r"\1", m[2]) if m[3] is None else m[3] for m in _PARAMETER.finditer(rest)
        }
        if kind.lower() != "bearer" or not found.get("realm"):
            raise RegistryError(DENIED)
        return cls(found["realm"], found.get("service", ""), found.get("scope", ""))

    def url(self, home: Origin) -> URL:
        """Where the token is to be had: with a time and a nonce, as Ollama asks.

        Raises:
            RegistryError: if that is not at the registry's own origin.
        """
        try:
            realm = URL.parse(self.realm)
        except ValueError:
            raise RegistryError(f"the realm of {home.netloc} is not a URL that can be trusted") from None
        if realm.origin.netloc != home.netloc:
            raise RegistryError(f'realm host "{realm.origin.netloc}" does not match original host "{home.netloc}"')
        if realm.origin != home:
            raise RegistryError(f'realm "{realm.origin}" does not match original host "{home}"')
        query = [("service", self.service)] if self.service else []
        query += [("scope", scope) for scope in self.scope.split()]
        query += [("ts", str(int(time.time()))), ("nonce", _base64url(secrets.token_bytes(16)))]
        separator = "&" if "?" in realm.target else "?"
        return URL(home, f"{realm.target}{separator}{urlencode(query)}")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Tokens:
    """The tokens of one transfer, by scope. Threads may share it."""

    def __init__(self, home: Origin, key: Path, wire: Wire) -> None:
        self._home = home
        self._key = key
        self._wire = wire
        self._lock = threading.Lock()
        self._tokens: dict[str, str] = {}
        self._latest: str | None = None

    @property
    def latest(self) -> str | None:
        """The token that was last good for something, if there was one."""
        return self._latest

    def renew(self, header: str | None, refused: str | None) -> str:
        """A token for the challenge, other than the one that was refused.

        Raises:
            RegistryError: if the challenge asks for what we cannot or will not give, or no token is given; Trouble: if
                one may be given later.
        """
        challenge = Challenge.parse(header or "")
        url = challenge.url(self._home)
        with self._lock:
            token = self._tokens.get(challenge.scope)
            if token is None or token == refused:
                token = self._tokens[challenge.scope] = self._fetch(url)
            self._latest = token
            return token

    def _fetch(self, url: URL) -> str:
        # A token server that is not Ollama's may take our signature for a malformed password.
        for proof in ({"Authorization": sign(load_key(self._key), "GET", url)}, {}):
            with self._wire.send("GET", url, {"User-Agent": user_agent(), **proof}) as response:
                if response.status == 200:
                    return token_of(response.read(MAX_TOKEN_REPLY, "the token"))
                status, after = response.status, response.retry_after
            if status not in (400, 401):
                break
        text = f"the token server of {self._home.netloc} answers {status}"
        if status >= 500 or status == 429:
            raise Trouble(text, after)
        raise RegistryError(DENIED if status in (401, 403) else text)


def token_of(reply: bytes) -> str:
    """The token in a token server's reply.

    Raises:
        RegistryError: if there is none.
    """
    try:
        data = json.loads(reply)
    except (ValueError, RecursionError):
        data = None
    found = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
    if not isinstance(found, str) or not _TOKEN.match(found):
        raise RegistryError("the token server's reply has no token")
    return found


# ---- the key


def sign(key: Ed25519PrivateKey, method: str, url: URL) -> str:
    """The Authorization header of Ollama's signed requests: the public key and the signature, each as base64."""
    # The base64 of the hex digits of the digest of an empty body.
    body = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
    signature = key.sign(f"{method},{url},{body}".encode())
    return f"{public_text(key).split()[1]}:{base64.b64encode(signature).decode()}"


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half, as it stands in a `.pub` file: `ssh-ed25519 AAAA…`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def load_key(path: Path) -> Ed25519PrivateKey:
    """The key of this user, made if there is none.

    Raises:
        OllamaJupyterError: if it cannot be read or made.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        path = path.expanduser()
        if not path.exists():
            make_key(path)
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except Exception as error:  # the library's errors have no common base
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise OllamaJupyterError(f"the key that registries know this machine by cannot be used: {reason}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise OllamaJupyterError("the key that registries know this machine by is not an ed25519 key")
    return key


def make_key(path: Path) -> None:
    """Make a key pair, `path` and `path`.pub. If two processes do so at once, both go on with the first one's."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if _appear(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600):
        public = path.with_name(path.name + ".pub")
        public.unlink(missing_ok=True)
        _appear(public, f"{public_text(key)}\n".encode(), 0o644)


def _appear(path: Path, data: bytes, mode: int) -> bool:
    """Write a new file so that it is whole from its first moment; False if there is one already."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
            return True
        return False
    finally:
        temporary.unlink()
