"""How an embedding model's outputs, one for each token, become one: as the files of sentence-transformers say."""

from __future__ import annotations

from ollama_jupyter.convert.folder import Folder, parse_json, refused
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

MEAN, CLS, LAST = 1, 2, 3
"""llama.cpp's numbers."""

_FLAGS = {"pooling_mode_mean_tokens": MEAN, "pooling_mode_cls_token": CLS, "pooling_mode_lasttoken": LAST}
_WORDS = {"mean": MEAN, "cls": CLS, "lasttoken": LAST}
_COMPUTED = ("Transformer", "Pooling", "Normalize")


def pooling_of(folder: Folder) -> int | None:
    """The pooling; None where there is none among the modules.

    Raises:
        ConversionError: for a pooling, or a module, that llama.cpp does not compute.
    """
    path = _pooling_path(folder)
    if path is None:
        return None
    file = f"{path}/config.json"
    settings = folder.json(file)
    modes = [mode for key, mode in _FLAGS.items() if settings.get(key) is True]
    word = settings.get("pooling_mode")
    if not modes and isinstance(word, str) and word in _WORDS:
        modes = [_WORDS[word]]
    if len(modes) != 1:
        raise refused(file, "the pooling must be one of mean, cls and last token")
    return modes[0]


def pooling_metadata(folder: Folder) -> Metadata:
    """The key of a model that embeds; nothing for one that writes."""
    mode = pooling_of(folder)
    return {} if mode is None else {"pooling_type": mode}


def _pooling_path(folder: Folder) -> str | None:
    if not folder.has("modules.json"):
        return None
    modules = parse_json("modules.json", folder.read("modules.json"))
    found = None
    for module in modules if isinstance(modules, list) else ():
        kind, path = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(path, str):
            raise refused("modules.json", "must be a list of modules, each with its type and path")
        name = kind.rpartition(".")[2]
        if name not in _COMPUTED:
            raise ConversionError(f'modules.json: a module of type "{name[:40]}" cannot be converted')
        found = path if name == "Pooling" else found
    return found
