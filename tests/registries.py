"""A real registry for tests: Debian's docker-registry as a child process on a free loopback port."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import ipaddress
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from doors import free_port

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http:
  addr: {host}
"""


@contextlib.contextmanager
def docker_registry(folder: Path, extra: str = "") -> Iterator[str]:
    """The `host:port` of a registry that keeps its files in `folder`, until the block ends. It speaks http.

    Mark the test `needs("docker-registry")`. `extra` goes to the end of its configuration, which is YAML.
    """
    host = f"127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.with_suffix(".yml")
    config.write_text(_CONFIG.format(folder=folder, host=host) + extra)
    command = ["docker-registry", "serve", str(config)]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_up(host, child)
        yield host
    finally:
        child.terminate()
        child.wait(20)


@contextlib.contextmanager
def docker_registry_tls(folder: Path) -> Iterator[tuple[str, Path]]:
    """As `docker_registry`, speaking https; the second value is the file that SSL_CERT_FILE has to name for it."""
    certificate, key = folder.with_suffix(".crt"), folder.with_suffix(".key")
    _self_sign(certificate, key)
    extra = f"  tls: {{certificate: {certificate}, key: {key}}}\n"
    with docker_registry(folder, extra) as host:
        yield host, certificate


def _self_sign(certificate: Path, key: Path) -> None:
    """A certificate for 127.0.0.1, good for a day."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a registry of the tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(private, hashes.SHA256())
    )
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))


def _wait_until_up(host: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError), contextlib.closing(http.client.HTTPConnection(host)) as connection:
            connection.request("GET", "/v2/")
            connection.getresponse()  # whatever it says: 401, say, where it wants to know who we are
            return
        time.sleep(0.02)
    raise AssertionError("docker-registry did not come up")


def blobs_of(folder: Path) -> set[str]:
    """The digests of the blobs that the registry of this folder holds, manifests among them."""
    found = folder.glob("docker/registry/v2/blobs/sha256/*/*/data")
    return {f"sha256:{path.parent.name}" for path in found}
