"""Every error that we raise on purpose, as one tree.

OllamaJupyterError (500)
├── BadRequest (400)
│   ├── InvalidName            a model name that does not follow the grammar
│   ├── InvalidDigest          not `sha256:<64 hex>`
│   ├── InvalidOption          an option of the wrong type or out of range
│   ├── ModelfileError         what a Modelfile says wrong, and in which line
│   ├── InvalidGGUF            a model file that our header reader refuses
│   ├── ConversionError        a folder of safetensors that cannot become a GGUF
│   ├── TemplateError          a chat template that does not parse, or ran over its limits
│   ├── PromptTooLong          the prompt does not fit and may not be cut
│   └── CallUnfinished         a tool call that had to be made, and did not fit into what was allowed
├── Forbidden (403)
├── NotFound (404)
│   └── ModelNotFound
├── BodyTooLarge (413)
├── Canceled (499)             the client went away, or the model was unloaded
│   └── Stopping (503)         the server is ending
├── ServerBusy (503)           the queue is full
├── RegistryError (500)        a registry that has not what was asked for, is out of reach, or breaks its protocol
│   ├── Trouble                of the passing kind: the same request may succeed a moment later
│   └── DigestMismatch         the bytes that came are not those that the manifest promised
├── InsufficientStorage (507)  the disk is full, or would be, with the numbers
└── EngineError (500)
    ├── ModelLoadError (400)   llama.cpp refused the model, or the probe of it failed
    └── InsufficientMemory     the model does not fit, with the numbers

Messages are written for a stranger at the other end of the wire: they name models, fields and digests,
never a path of the server's machine.
"""

from __future__ import annotations


class OllamaJupyterError(Exception):
    """Base of the tree. `status` is the HTTP status, `message` the text that goes on the wire."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(OllamaJupyterError):
    status = 400


class InvalidName(BadRequest):
    pass


class InvalidDigest(BadRequest):
    pass


class InvalidOption(BadRequest):
    pass


class ModelfileError(BadRequest):
    """`line` counts from 1; 0 stands for the text as a whole."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class InvalidGGUF(BadRequest):
    pass


class ConversionError(BadRequest):
    pass


class TemplateError(BadRequest):
    pass


class PromptTooLong(BadRequest):
    pass


class CallUnfinished(BadRequest):
    pass


class Forbidden(OllamaJupyterError):
    status = 403


class NotFound(OllamaJupyterError):
    status = 404


class ModelNotFound(NotFound):
    """`name` is the model's name in the spelling that the endpoint uses in its message."""

    def __init__(self, name: str, message: str | None = None) -> None:
        super().__init__(message or f"model '{name}' not found")
        self.name = name


class BodyTooLarge(OllamaJupyterError):
    status = 413


class Canceled(OllamaJupyterError):
    status = 499

    def __init__(self, message: str = "request canceled") -> None:
        super().__init__(message)


class Stopping(Canceled):
    """The server is ending. Not the client's doing, so a status that invites it to try again."""

    status = 503

    def __init__(self) -> None:
        super().__init__("server is shutting down")


class ServerBusy(OllamaJupyterError):
    status = 503

    def __init__(self) -> None:
        # The two spaces are Ollama's; clients match the text.
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


class NoEmbeddings(OllamaJupyterError):
    """The model makes text, not vectors. The status is Ollama's."""

    status = 501

    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" does not support embeddings; use an embedding model, such as all-minilm')


class RegistryError(OllamaJupyterError):
    pass


class Trouble(RegistryError):
    """`after`: seconds that the other side asks us to wait before the next try, or 0."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class DigestMismatch(RegistryError):
    pass


class InsufficientStorage(OllamaJupyterError):
    status = 507


class EngineError(OllamaJupyterError):
    pass


class ModelLoadError(EngineError):
    """The file is at fault, not the server: so 400, where Ollama answers 500."""

    status = 400


class InsufficientMemory(EngineError):
    pass
