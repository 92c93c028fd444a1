"""`/v1/audio/transcriptions`: a form with a recording, to a request for a model that can listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ollama_jupyter.api import media
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import ChatRequest, Message

_TASK = "Write down word for word what is said in the recording, and nothing else."


@dataclass(frozen=True, slots=True)
class Transcription:
    """The request, and whether its answer is the bare text."""

    request: ChatRequest
    plain: bool


def transcription_request(form: Mapping[str, str], recording: bytes | None) -> Transcription:
    """The fields of the form and its file.

    Raises:
        BadRequest: for what is missing, or no recording.
    """
    if not form.get("model", "").strip():
        raise BadRequest("model is required")
    if recording is None:
        raise BadRequest("file is required: the form has no file of that name")
    if not recording:
        raise BadRequest("audio file is empty")
    media.check_sound(recording, "file")
    language, hint = form.get("language", ""), form.get("prompt", "")
    told = [_TASK, f"It is spoken in: {language}." if language else "", hint]
    request = ChatRequest(
        form["model"],
        stream=False,
        messages=(Message("user", "\n".join(filter(None, told)), images=(recording,)),),
        options={"temperature": 0},
        think=False,
    )
    return Transcription(request, plain=form.get("response_format") == "text")
