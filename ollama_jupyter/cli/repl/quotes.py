'''Multi-line text between `"""` and `"""`, in a message or behind `/set system`.'''

from __future__ import annotations

import re

MARK = '"""'
_OPENING = re.compile(r'\s*/set\s+system\s+(?=""")|(?=""")')


def is_open(text: str) -> bool:
    """Whether the text began a quotation that has not ended, so that Enter belongs to it."""
    opening = _OPENING.match(text)
    if opening is None:
        return False
    quoted = text[opening.end() + len(MARK) :]
    return not quoted.endswith(MARK)


def unquoted(text: str) -> str:
    """What stands between the marks; the text itself where it has none."""
    if not text.startswith(MARK):
        return text
    return text.removeprefix(MARK).removesuffix(MARK)
