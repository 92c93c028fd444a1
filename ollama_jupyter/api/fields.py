"""Reading JSON as Ollama does: the first value counts, keys match in any case, null is absent.

A value of the wrong type is a 400 that names the field and says what was expected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any, NoReturn

from ollama_jupyter.errors import BadRequest

_BLANK = " \t\r\n"
_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "an object"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)

MAX_ELEMENTS = 10_000
"""Elements of all arrays of one body that are read one by one: each costs microseconds, and megabytes hold millions."""
MAX_DEPTH = 64
"""Levels of an object that is passed on as it is. What writes or renders it works recursively."""
MAX_IGNORED = 20
"""Unknown names of a body that are told."""


def _no_constant(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def decode_object(body: bytes, *, empty: str = "missing request body") -> dict[str, Any]:
    """The JSON object that `body` begins with; bytes after it are ignored, `null` is `{}`.

    Raises:
        BadRequest: with the text `empty` for a blank body, else saying where the JSON breaks.
    """
    text = body.decode("utf-8", "replace").lstrip(_BLANK)
    if not text:
        raise BadRequest(empty)
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise BadRequest(_describe(error, text)) from None
    except RecursionError:
        raise BadRequest("the request body is nested too deeply") from None
    except ValueError:  # an integer of more digits than Python converts
        raise BadRequest("the request body holds a number that is too large") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"the request body must be a JSON object, got {kind_of(value)}")
    return value


def _describe(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text.rstrip(_BLANK)) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    return f"invalid character {text[error.pos]!r} at offset {error.pos} of the request body"


def kind_of(value: object) -> str:
    """What a decoded JSON value is, in words."""
    if value is None:
        return "null"
    return "a number" if type(value) is int else _NAMES.get(type(value), "a value")


def whole_text(text: str) -> str:
    """The text with lone surrogates (from `\\ud800` escapes) replaced, so that it can be UTF-8."""
    return _SURROGATE.sub("\ufffd", text) if _SURROGATE.search(text) else text


def whole_value(value: Any) -> Any:
    """A decoded value, every text in it as `whole_text` has it. For values of a bounded depth: it is recursive."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return {whole_text(key): whole_value(held) for key, held in value.items()}
    return [whole_value(held) for held in value] if isinstance(value, list) else value


class Body(dict[str, Any]):
    """A decoded request body that knows which of its fields were read, by any `Fields` of it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.reader: Fields | None = None

    def ignored(self) -> tuple[str, ...]:
        """The names that are known to nobody, at most MAX_IGNORED of those that a header can carry."""
        names = self.reader.unread() if self.reader else []
        return tuple(name for name in names if _PLAIN_NAME.fullmatch(name))[:MAX_IGNORED]


class Fields:
    """One JSON object under reading. `path` is where it stands in the body, for messages: `messages[0].`."""

    def __init__(self, raw: Mapping[str, Any], path: str = "", parent: Fields | None = None) -> None:
        self._values = {key.lower(): value for key, value in raw.items() if value is not None}
        self._spelled = {key.lower(): key for key in raw}
        self._asked: set[str] = set()
        self._inner: dict[str, list[str]] = {}  # unknown names inside of objects that are passed on as they are
        self._children: dict[str, Fields] = {}
        self._path = path
        self._read: list[int] = parent._read if parent else [0]  # elements so far, one count for the whole body
        if isinstance(raw, Body):
            raw.reader = self._share(raw.reader)

    def _share(self, earlier: Fields | None) -> Fields:
        """What is read here counts for whoever read the same object before, and the other way round."""
        if earlier is None:
            return self
        self._asked, self._inner, self._children = earlier._asked, earlier._inner, earlier._children
        return earlier

    def __contains__(self, name: str) -> bool:
        self._asked.add(name)
        return name in self._values

    def get(self, name: str) -> Any:
        """The value as decoded, or None."""
        self._asked.add(name)
        return self._values.get(name)

    def child(self, name: str) -> Fields:
        """The object of that name, to be read field by field; what nobody reads in it counts as ignored too."""
        child = Fields(self.mapping(name), f"{self.label(name)}.", self)
        self._children[name] = child._share(self._children.get(name))
        return child

    def known(self, name: str, names: Container[str]) -> dict[str, Any]:
        """As `mapping`, for an object of which only the fields `names` have an effect."""
        values = self.mapping(name)
        unknown = [key for key, value in values.items() if value is not None and key not in names]
        self._inner[name] = [f"{self.label(name)}.{key}" for key in unknown]
        return values

    def ignore(self, *names: str) -> None:
        """Count what has these full names as ignored."""
        self._inner.setdefault("", []).extend(names)

    def unread(self) -> list[str]:
        """The full names of the fields that nobody has asked for, as they were sent."""
        own = [self.label(self._spelled[name]) for name in self._values if name not in self._asked]
        inner = (name for names in self._inner.values() for name in names)
        return [*own, *inner, *(name for child in self._children.values() for name in child.unread())]

    def label(self, name: str) -> str:
        """The field's full name."""
        return self._path + name

    def wrong(self, name: str, expected: str) -> BadRequest:
        """The error for a value that is not what was expected."""
        return BadRequest(f'field "{self.label(name)}" must be {expected}, got {kind_of(self.get(name))}')

    def _typed(self, name: str, kind: type) -> Any:
        value = self.get(name)
        if value is not None and type(value) is not kind:
            raise self.wrong(name, _NAMES[kind])
        return value

    def text(self, name: str) -> str:
        """A string, empty where absent."""
        return whole_text(self._typed(name, str) or "")

    def flag(self, name: str, default: bool) -> bool:
        value = self._typed(name, bool)
        return default if value is None else bool(value)

    def integer(self, name: str) -> int | None:
        value = self.get(name)
        if value is None or type(value) is int:
            return value
        if type(value) is float and value.is_integer():
            return int(value)
        raise self.wrong(name, _NAMES[int])

    def number(self, name: str) -> float | None:
        value = self.get(name)
        if value is None or type(value) in (int, float):
            return value  # type: ignore[no-any-return]
        raise self.wrong(name, _NAMES[float])

    def mapping(self, name: str) -> dict[str, Any]:
        """An object, empty where absent, of at most MAX_DEPTH levels."""
        value: dict[str, Any] = self._typed(name, dict) or {}
        if not is_shallow(value):
            raise BadRequest(f'field "{self.label(name)}" is nested too deeply; at most {MAX_DEPTH} levels are taken')
        return whole_value(value)  # type: ignore[no-any-return]

    def array(self, name: str) -> list[Any]:
        """An array, empty where absent."""
        return self._typed(name, list) or []

    def _elements(self, name: str) -> list[Any]:
        """An array that is read one by one."""
        values = self.array(name)
        self._read[0] += len(values)
        if self._read[0] > MAX_ELEMENTS:
            found = f'field "{self.label(name)}" brings the request to {self._read[0]} array elements'
            raise BadRequest(f"{found}; at most {MAX_ELEMENTS} are taken")
        return values

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings, empty where absent."""
        values = self._elements(name)
        if not all(isinstance(value, str) for value in values):
            raise BadRequest(f'field "{self.label(name)}" must be an array of strings')
        return tuple(whole_text(value) for value in values)

    def text_mapping(self, name: str) -> dict[str, str] | None:
        """An object whose values are strings, or None where absent."""
        if name not in self:
            return None
        values = self.mapping(name)
        for key, value in values.items():
            if not isinstance(value, str):
                raise BadRequest(f'field "{self.label(name)}.{key}" must be a string, got {kind_of(value)}')
        return {whole_text(key): whole_text(value) for key, value in values.items()}

    def objects(self, name: str) -> Iterator[Fields]:
        """The elements of an array of objects. A null element is an empty object."""
        for index, value in enumerate(self._elements(name)):
            label = f"{self.label(name)}[{index}]"
            if value is not None and not isinstance(value, dict):
                raise BadRequest(f'field "{label}" must be an object, got {kind_of(value)}')
            yield Fields(value or {}, f"{label}.", self)


def is_shallow(value: object) -> bool:
    """Whether a decoded value has at most MAX_DEPTH levels. It is walked level by level, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (held.values() if isinstance(held, dict) else held for held in level if isinstance(held, (dict, list)))
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
        if not level:
            return True
    return False


_IMAGE_KEYS = ("images", "image_url", "input_audio", "source")
_HOLDERS = ("messages", "content", "input", "output")


def image_size(body: Mapping[str, Any]) -> int:
    """Characters of a decoded body that are base64 of images or sound, wherever a dialect may carry them.

    The rest is text, which has a tighter limit. A long string anywhere else counts as text.
    """
    return sum(len(text) for text in _images(body, depth=8))


def _images(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, list) and depth:
        for item in value:
            yield from _images(item, depth - 1)
    elif isinstance(value, dict) and depth:
        for key, held in value.items():
            if key.lower() in _IMAGE_KEYS:
                yield from _strings(held)
            elif key.lower() in _HOLDERS:
                yield from _images(held, depth - 1)


def _strings(held: object) -> list[str]:
    """A string, or those directly inside a list or an object."""
    inner = held if isinstance(held, list) else list(held.values()) if isinstance(held, dict) else [held]
    return [item for item in inner if isinstance(item, str)]
