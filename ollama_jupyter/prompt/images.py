"""Where images stand in a prompt: `[img-N]` tags, which an engine with a projector splits at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ollama_jupyter.messages import Message

MARK = "[img]"


def tag(number: int) -> str:
    """The tag of an image; images are counted from 0 over the messages that a prompt keeps."""
    return f"[img-{number}]"


def place_images(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[bytes, ...]]:
    """The messages with a tag in the text for each image, and the images in the order of their tags.

    Tags replace literal `[img]` marks in order; those without a mark stand in front of the content.
    """
    placed: list[Message] = []
    images: list[bytes] = []
    for message in messages:
        placed.append(_placed(message, len(images)) if message.images else message)
        images += message.images
    return tuple(placed), tuple(images)


def _placed(message: Message, first: int) -> Message:
    tags = [tag(first + i) for i in range(len(message.images))]
    parts = message.content.split(MARK, len(tags))
    marked = len(parts) - 1
    content = parts[0] + "".join(mark + part for mark, part in zip(tags, parts[1:], strict=False))
    return replace(message, content="".join(tags[marked:]) + content)
