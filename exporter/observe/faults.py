"""Exceptions in one line: type, message and place, and never a local variable.

A traceback with locals prints credentials (structlog's ``dict_tracebacks`` does), and so does
the ``repr`` of aiohttp's errors (the Authorization header).
"""

import traceback
from typing import Final

from exporter.kernel.secrets import printable

_FRAMES: Final = 3
_PARTS: Final = 3  # of a file's path: exporter/web/server.py
_DEPTH: Final = 3


def describe(error: BaseException, *, depth: int = _DEPTH) -> str:
    """Return ``TypeError: message``, with what it came from and what a group holds."""
    text = f"{type(error).__name__}: {printable(error)}".removesuffix(": ")
    if depth and isinstance(error, BaseExceptionGroup):
        inner = "; ".join(describe(one, depth=depth - 1) for one in error.exceptions[:_FRAMES])
        text = f"{text}: {inner}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if depth and cause is not None:
        return f"{text} (from {describe(cause, depth=depth - 1)})"
    return text


def place(error: BaseException) -> str:
    """Return the last frames, the innermost first: ``exporter/web/a.py:12 f < …/b.py:3 g``."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " < ".join(
        f"{short_path(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )


def short_path(path: str) -> str:
    """Return the last three parts of a file's path."""
    return "/".join(path.split("/")[-_PARTS:])
