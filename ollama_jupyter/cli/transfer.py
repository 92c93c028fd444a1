"""`ollama-jupyter pull` and `push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.progress import Bars
from ollama_jupyter.cli.server import connected
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.steps import whole
from ollama_jupyter.names import ModelName

if TYPE_CHECKING:
    import ollama

_OLLAMA = (".ollama.ai", ".ollama.com")


def pull(call: Call) -> int:
    with connected() as client:
        pull_model(client, call.args[0], insecure=call.flags["insecure"])
    return 0


def pull_model(client: ollama.Client, name: str, *, insecure: bool) -> None:
    """Pull with bars. Raises what the client raises."""
    with Bars() as bars:
        for step in whole(client.pull(name, insecure=insecure, stream=True)):
            bars.show(step)


def push(call: Call) -> int:
    [name] = call.args
    parsed = ModelName.parse(name)
    try:
        with connected() as client, Bars() as bars:
            for step in whole(client.push(name, insecure=call.flags["insecure"], stream=True)):
                bars.show(step)
    except OllamaError as error:
        if any(word in error.message.lower() for word in ("access denied", "unauthorized")):
            hint = "create the model under a namespace you own"
            raise OllamaError(f"you are not authorized to push to this namespace, {hint}") from None
        raise
    print(f"\nYou can find your model at:\n\n\t{_address(parsed)}")
    return 0


def _address(name: ModelName) -> str:
    if name.host.endswith(_OLLAMA):
        return f"https://ollama.com/{name.display.removesuffix(':latest')}"
    return name.qualified
