"""The table of commands: what each is called, takes and is done by. It imports none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ollama_jupyter.cli.flags import Flag

PROGRAM = "ollama-jupyter"


@dataclass(frozen=True, slots=True)
class Call:
    """A command as it was called: the operands, and the value of every flag by its name (`_` for `-`)."""

    args: list[str]
    flags: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A row. `target` is `module:function` below `ollama_jupyter.cli`; the function takes a Call and returns the exit
    code. `least` and `most` bound the number of operands (None: any). `needs_server` has a server looked for first."""

    usage: str
    help: str
    target: str
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int | None = 0
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    needs_server: bool = True
    single_dash: bool = False
    env: tuple[str, ...] = ("OLLAMA_HOST",)

    @property
    def name(self) -> str:
        return self.usage.split()[0]


_INSECURE = Flag("insecure", "Take registries without TLS")
_JSON = Flag("json", "Print the report as JSON")

COMMANDS: tuple[Command, ...] = (
    Command(
        "serve", "Answer the Ollama API, without Jupyter", "serve:run", aliases=("start",), needs_server=False,
        env=(),
    ),
    Command(
        "create MODEL", "Create a model from a Modelfile", "create:create",
        (
            Flag("file", "Modelfile to read (default ./Modelfile, else the files of this folder)", "f", str),
            Flag("quantize", "Quantize the weights to this type (e.g. q4_K_M)", "q", str),
            Flag("draft-quantize", "Quantize the draft model to this type", kind=str),
        ),
        least=1, most=1,
    ),
    Command(
        "show MODEL", "Show what a model is", "show:show",
        (
            Flag("license", "Only the license"),
            Flag("modelfile", "Only the Modelfile"),
            Flag("parameters", "Only the parameters"),
            Flag("template", "Only the template"),
            Flag("system", "Only the system message"),
            Flag("verbose", "Also metadata and tensors", "v"),
        ),
        least=1, most=1,
    ),
    Command(
        "run MODEL [PROMPT]", "Run a model", "run:run",
        (
            Flag("keepalive", "How long the model stays loaded (e.g. 5m)", kind=str),
            Flag("verbose", "Show timings of each answer"),
            _INSECURE,
            Flag("nowordwrap", "Do not wrap lines at words"),
            Flag("format", "Format of the answer: json, or a JSON schema", kind=str),
            Flag("think", "Let the model think: true, false, high, medium, low or max", kind=str, bare="true"),
            Flag("hidethinking", "Do not show what the model thinks"),
            Flag("truncate", "Embedding models: cut a text that is too long (--truncate=false refuses it)", kind=str,
                 bare="true"),
            Flag("dimensions", "Embedding models: length of the embedding", kind=int),
        ),
        least=1, most=None, needs_server=False, env=("OLLAMA_HOST", "OLLAMA_EDITOR", "OLLAMA_NOHISTORY"),
    ),
    Command("stop MODEL", "Unload a running model", "models:stop", least=1, most=1),
    Command("pull MODEL", "Pull a model from a registry", "transfer:pull", (_INSECURE,), least=1, most=1),
    Command("push MODEL", "Push a model to a registry", "transfer:push", (_INSECURE,), least=1, most=1),
    Command("signin", "Say what signing in to ollama.com would do", "account:signin", needs_server=False, env=()),
    Command("login", "As signin", "account:signin", hidden=True, needs_server=False, env=()),
    Command("signout", "Say what signing out of ollama.com would do", "account:signout", needs_server=False, env=()),
    Command("logout", "As signout", "account:signout", hidden=True, needs_server=False, env=()),
    Command("list [PREFIX]", "List models", "models:list_models", most=None, aliases=("ls",)),
    Command("ps [PREFIX]", "List running models", "models:list_running", most=None),
    Command("cp SOURCE DESTINATION", "Copy a model", "models:copy", least=2, most=2),
    Command("rm MODEL [MODEL...]", "Remove models", "models:remove", least=1, most=None),
    Command(
        "verify [MODEL]", "Hash the stored files anew and report damage", "checks:verify",
        (Flag("repair", "Fetch or rebuild what is damaged, where that can be done"), _JSON),
        most=1, needs_server=False, env=("OLLAMA_HOST", "OLLAMA_MODELS"),
    ),
    Command(
        "scan MODEL", "Look through a model for hostile content", "checks:scan", (_JSON,), least=1, most=1,
        needs_server=False, env=("OLLAMA_HOST", "OLLAMA_MODELS"),
    ),
    Command(
        "doctor", "Check this machine and the model store", "checks:doctor", (_JSON,), needs_server=False,
        env=("OLLAMA_HOST", "OLLAMA_MODELS"),
    ),
    Command(
        "bench", "Measure how fast models answer", "bench:bench",
        (
            Flag("model", "Models, separated by commas", "m", str),
            Flag("epochs", "Timed requests for each model", kind=int, default=6),
            Flag("max-tokens", "Tokens to generate", kind=int, default=200),
            Flag("temperature", "Temperature", kind=float),
            Flag("seed", "Seed; 0 is random", kind=int),
            Flag("timeout", "Seconds that a request may take", kind=int, default=300),
            Flag("p", "Prompt", kind=str),
            Flag("image", "Image file to send with the prompt", kind=str),
            Flag("k", "Seconds that a model stays loaded between requests", kind=float),
            Flag("format", "benchstat or csv", kind=str, default="benchstat"),
            Flag("output", "File for the results, instead of stdout", kind=str),
            Flag("v", "Also tell the system"),
            Flag("debug", "Show the answers and what is done"),
            Flag("warmup", "Requests before those that count", kind=int, default=1),
            Flag("prompt-tokens", "Length of a generated prompt; 0 uses -p", kind=int),
            Flag("num-ctx", "Context window; 0 is the server's default", kind=int),
        ),
        single_dash=True,
    ),
    Command(
        "demo", "Run the quickstart notebook in a Jupyter server of its own", "demo:run",
        (
            Flag("output", "Where the executed notebook goes", kind=str,
                 default="ollama-jupyter-demo/01-quickstart.ipynb"),
            Flag("notebook", "Another notebook than the quickstart", kind=str),
            Flag("no-browser", "Do not open JupyterLab at the end"),
        ),
        needs_server=False, env=(),
    ),
    Command(
        "alias", "Put a command named ollama beside this one", "alias:alias",
        (Flag("remove", "Take it away again"),), needs_server=False, env=(),
    ),
    Command("version", "Print the versions of this program and the server", "version:version", needs_server=False),
)  # fmt: skip


def find(name: str) -> Command | None:
    return next((command for command in COMMANDS if name in (command.name, *command.aliases)), None)


def like(name: str) -> Sequence[str]:
    """The visible commands that may have been meant."""
    from difflib import get_close_matches

    names = [command.name for command in COMMANDS if not command.hidden]
    close = set(get_close_matches(name, names, n=3, cutoff=0.7))
    return [known for known in names if known in close or known.startswith(name.lower())]
