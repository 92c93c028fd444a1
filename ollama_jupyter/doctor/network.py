"""Checks of the network: who listens where we would, and whether a proxy stands in the way of this machine itself."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping

from ollama_jupyter.config import DEFAULT_PORT, Host, Settings, parse_host
from ollama_jupyter.reports import Check

SECONDS = 2.0
_EVERYWHERE = ("", "*", "0.0.0.0", "::")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def checks(settings: Settings, env: Mapping[str, str]) -> Iterator[Check]:
    for host in dict.fromkeys([parse_host(settings.host), *map(parse_host, filter(None, [settings.listen]))]):
        yield _port(host)
    yield proxies(env)


# ---- the port -----------------------------------------------------------------------------------------------------


def _port(host: Host) -> Check:
    if not host.is_loopback and host.host not in _EVERYWHERE:
        return Check("port", "ok", "OLLAMA_HOST names another machine, which is not asked from here")
    return port(host.port, who_answers(host.port))


def port(number: int, who: str) -> Check:
    """What it means who answers at a port of this machine."""
    other = DEFAULT_PORT + 1 if number == DEFAULT_PORT else DEFAULT_PORT
    elsewhere = f"OLLAMA_HOST=127.0.0.1:{other} ollama-jupyter serve"
    if who == "":
        return Check("port", "ok", f"{number} is free")
    if who == "ollama-jupyter":
        return Check("port", "ok", f"{number} is answered by ollama-jupyter")
    if who.startswith("Ollama"):
        return Check("port", "warn", f"{who} itself answers at {number}, so that serve cannot", elsewhere)
    return Check("port", "fail", f"a program that is no Ollama server listens at {number}", elsewhere)


def who_answers(number: int) -> str:
    """Who listens at a port of this machine: "" for nobody, `ollama-jupyter`, `Ollama 0.33.0`, or `another`."""
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=SECONDS)
    try:
        connection.request("GET", "/api/version")
        response = connection.getresponse()
        return _who(response.getheader("Server") or "", response.read(4096))
    except ConnectionRefusedError:
        return ""
    except (OSError, http.client.HTTPException):
        return "another"
    finally:
        connection.close()


def _who(server: str, body: bytes) -> str:
    try:
        answer = json.loads(body)
        version = answer.get("version")
    except (ValueError, AttributeError):
        return "another"
    if server.startswith("TornadoServer") and (version or "this server asks for its key" in str(answer.get("error"))):
        return "ollama-jupyter"
    return f"Ollama {str(version)[:20]}" if version else "another"


# ---- proxies ------------------------------------------------------------------------------------------------------


def proxies(env: Mapping[str, str]) -> Check:
    """Whether programs that honour these variables would look for this machine behind the proxy. Only names are told:
    the values may hold passwords."""
    named = [name for name in (*_PROXIES, *map(str.lower, _PROXIES)) if env.get(name)]
    if not named:
        return Check("proxy", "ok", "none is set")
    direct = {host.strip().lstrip(".") for name in ("NO_PROXY", "no_proxy") for host in env.get(name, "").split(",")}
    missing = [host for host in ("127.0.0.1", "localhost") if not direct & {host, "*"}]
    detail = f"{', '.join(named)} set"
    if missing:
        what = (
            f"{detail}, and {' and '.join(missing)} not excepted: some programs will not reach servers of this machine"
        )
        return Check("proxy", "warn", what, "export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost")
    return Check("proxy", "ok", f"{detail}, this machine excepted")
