"""Basic auth against bcrypt hashes, as exporter-toolkit does it.

A bcrypt of cost 10 takes 60 ms: it runs in a thread of its own, one at a time, so that neither
the event loop nor both processors wait for a guesser; good results are remembered. A user who
does not exist costs as much as a wrong password.
"""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

_REMEMBERED: Final = 100
_WAITING: Final = 32
_LONGEST_PASSWORD: Final = 72  # bytes: more, bcrypt cannot tell apart


class Busy(Exception):  # noqa: N818 - the name of the fact
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks ``Authorization`` headers. Its cache holds keyed hashes, no password."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def check(self, header: str, users: Mapping[str, str]) -> bool:
        """Say whether `header` names a user of `users` (name to bcrypt hash) with the password.

        Raises Busy when 32 checks are waiting already.
        """
        user, password = _credentials(header)
        if not users or len(password) > _LONGEST_PASSWORD or b"\0" in password:
            return False
        # The first user's hash stands in for that of a user who does not exist.
        hashed = users.get(user, next(iter(users.values())))
        entry = self._entry(user, hashed, password)
        if entry in self._good:
            self._good.move_to_end(entry)
            return True
        if not await self._compare(password, hashed) or user not in users:
            return False
        self._good[entry] = None
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return True

    def close(self) -> None:
        """Let the thread go; checks that wait in it are dropped."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    async def _compare(self, password: bytes, hashed: str) -> bool:
        if self._waiting >= _WAITING:
            raise Busy
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._thread, _bcrypt, password, hashed)
        finally:
            self._waiting -= 1

    def _entry(self, user: str, hashed: str, password: bytes) -> bytes:
        # The hash is part of it, so that a changed password ends what was remembered.
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(text, key=self._key).digest()


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - 5 ms that nobody without basic auth needs to pay

    return bcrypt.checkpw(password, hashed.encode())


def _credentials(header: str) -> tuple[str, bytes]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return "", b""
    user, _, password = decoded.partition(b":")
    return user.decode("utf-8", "surrogateescape"), password
