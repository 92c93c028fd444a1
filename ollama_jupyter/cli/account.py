"""`ollama-jupyter signin` and `signout`: they tell what those mean. No account service is ever contacted."""

from __future__ import annotations

import base64
import socket
import struct
from pathlib import Path
from urllib.parse import quote

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.client.errors import OllamaError

KEY = Path("~/.ollama/id_ed25519")
_MAGIC = b"openssh-key-v1\x00"

_SIGNIN = """\
ollama-jupyter has no accounts of its own, and nothing was sent anywhere.

An account at ollama.com is for pushing models there; pulling needs none. Signing in would register the public key of
this machine with the account:

    {key}

To do so, open this address in a browser:

    {url}"""
_NO_KEY = """\
ollama-jupyter has no accounts of its own, and nothing was sent anywhere.

An account at ollama.com is for pushing models there; pulling needs none. Signing in would register the public key of
this machine with the account, but it has no key yet. It is made when a registry first asks for one, or by:

    ssh-keygen -t ed25519 -N '' -f {path}"""
_SIGNOUT = """\
ollama-jupyter never signs in, so there is nothing to sign out of, and nothing was sent anywhere.

If an account at ollama.com knows the key of this machine, it can be removed there:

    https://ollama.com/settings/keys"""


def signin(_: Call) -> int:
    """What signing in would do, and where. Exit code 1 if there is no key to do it with."""
    try:
        path = KEY.expanduser()
    except RuntimeError:
        raise OllamaError("nobody knows your home directory, where the key would be: set HOME") from None
    try:
        key = public_key(path.read_text())
    except FileNotFoundError:
        print(_NO_KEY.format(path=path))
        return 1
    except ValueError:
        raise OllamaError(f"{path} is no unencrypted OpenSSH key") from None
    print(_SIGNIN.format(key=key, url=_address(key)))
    return 0


def signout(_: Call) -> int:
    print(_SIGNOUT)
    return 0


def public_key(text: str) -> str:
    """The public half of an OpenSSH private key, as one line. It stands in the file in the clear.

    Raises:
        ValueError: if it is another kind of file.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("-----")]
    data = base64.b64decode("".join(lines), validate=True)
    if not data.startswith(_MAGIC):
        raise ValueError("not an OpenSSH private key")
    try:
        *_, key = _strings(data[len(_MAGIC) :])
        (length,) = struct.unpack_from(">I", key)
    except struct.error:
        raise ValueError("the key is cut off") from None
    kind = key[4 : 4 + length].decode("ascii")
    return f"{kind} {base64.b64encode(key).decode()}"


def _strings(data: bytes) -> list[bytes]:
    """Cipher, key derivation, its options, and behind the number of keys the first public key."""
    found, at = [], 0
    for field in ("cipher", "kdf", "options", "key"):
        at += 4 if field == "key" else 0  # how many keys follow: one
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _address(key: str) -> str:
    encoded = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    return f"https://ollama.com/connect?name={quote(socket.gethostname())}&key={encoded}"
