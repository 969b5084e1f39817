"""What a fake vendor receives and answers, and what a fault makes of an answer on the wire."""

import json
from collections.abc import Mapping
from typing import TypeAlias

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request; header names in lower case, ``query`` as pairs in their order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""
    origin: str = ""  # "http://127.0.0.1:4711/tpstreams": what this vendor's own links start with

    def argument(self, name: str, default: str = "") -> str:
        """Return the last value of a query argument."""
        return next((value for key, value in reversed(self.query) if key == name), default)


MARK = ".breaks-by-"
"""Stands in a token between a vendor's own and the name of a fault: who has it meets that one."""


def is_signed(asked: Asked, scheme: str, token: str) -> bool:
    """Tell whether a request carries the vendor's token, or one that is made of it by `MARK`."""
    given, _, key = asked.headers.get("authorization", "").partition(" ")
    return given.lower() == scheme.lower() and key.partition(MARK)[0] == token


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One well-formed answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Send(msgspec.Struct, frozen=True):
    """Bytes as they are."""

    data: bytes


class Pause(msgspec.Struct, frozen=True):
    """Nothing, for some seconds."""

    seconds: float


class Close(msgspec.Struct, frozen=True):
    """The connection ends in order (FIN)."""


class Reset(msgspec.Struct, frozen=True):
    """The connection ends at once (RST)."""


Action: TypeAlias = Send | Pause | Close | Reset
Script: TypeAlias = tuple[Action, ...]

_PHRASES = {200: "OK", 304: "Not Modified", 401: "Unauthorized", 429: "Too Many Requests"}


def json_answer(
    document: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Answer:
    """Return an answer with a JSON body."""
    more = tuple((headers or {}).items())
    body = json.dumps(document, separators=(",", ":")).encode()
    return Answer(status=status, headers=(("Content-Type", content_type), *more), body=body)


def head(answer: Answer, *, length: int | None = None) -> bytes:
    """Return the status line and headers, with the length of the body or the one given."""
    size = len(answer.body) if length is None else length
    lines = [f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines.append(f"Content-Length: {size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def plainly(answer: Answer) -> Script:
    """Return the script of an answer as it should be."""
    return (Send(head(answer) + answer.body),)
