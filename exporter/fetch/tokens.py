"""The tokens of log-ins: kept, shared, renewed ahead of their end, and never asked for in a rush.

Vendors count log-ins and live tokens (20 for each organization at one of them), so that a log-in
that fails, or whose token is refused at once, must not be repeated with every poll.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

import msgspec

from exporter.fetch.auth import Token
from exporter.model.outcome import Failure, Reason

LogIn = Callable[[], Awaitable[Token | Failure]]

TOO_FRESH: Final = Failure(
    reason=Reason.AUTH,
    detail="the log-in was less than a minute ago, so no other token is asked for",
)
"""A token was refused at once: another one would fare no better."""

_PAUSE = 60.0  # seconds between log-ins after trouble, at least
_LONGEST_PAUSE = 86_400.0
_KEPT_UNUSED = 86_400.0
_SWEPT_EVERY = 3_600.0


class _Entry:
    """What is known about one log-in. Times are epoch seconds."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.token: Token | None = None
        self.failure: Failure | None = None
        self.tried_at = 0.0
        self.used_at = 0.0


class Tokens:
    """All tokens of the process, by what identifies their log-in."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._entries: dict[Hashable, _Entry] = {}
        self._swept_at = 0.0

    async def get(
        self, key: Hashable, log_in: LogIn, *, refused: Token | None = None
    ) -> Token | Failure:
        """Return the token of `key`, from memory or by `log_in`; of many callers one logs in.

        `refused` is the token that the vendor just answered 401 to: another one is wanted.
        """
        entry = self._entry(key)
        token = self._usable(entry, refused)
        if token is not None:
            return token
        async with entry.lock:
            token = self._usable(entry, refused)  # whoever held the lock may have logged in
            return token or self._held(entry, refused) or await self._renew(entry, log_in)

    def _entry(self, key: Hashable) -> _Entry:
        now = self._wall()
        entry = self._entries.get(key)
        if entry is None:
            self._sweep(now)
            entry = self._entries[key] = _Entry()
        entry.used_at = now
        return entry

    def _sweep(self, now: float) -> None:
        """Delete what was not used for a day; once an hour, as there may be 50,000 log-ins."""
        if 0 <= now - self._swept_at < _SWEPT_EVERY:
            return
        self._swept_at = now
        old = [key for key, one in self._entries.items() if now - one.used_at > _KEPT_UNUSED]
        for unused in old:
            del self._entries[unused]

    def _usable(self, entry: _Entry, refused: Token | None) -> Token | None:
        token = entry.token
        if token is None or token is refused:
            return None
        alive = token.renew_at is None or self._wall() < token.renew_at
        return token if alive else None

    def _held(self, entry: _Entry, refused: Token | None) -> Failure | None:
        """Return a failure if it is too early to log in again."""
        since = self._wall() - entry.tried_at
        if since < 0:  # the clock was set back
            return None
        if entry.failure is not None:
            pause = min(max(_PAUSE, entry.failure.wait or 0.0), _LONGEST_PAUSE)
            left = pause - since
            return msgspec.structs.replace(entry.failure, wait=left) if left > 0 else None
        is_fresh = refused is not None and entry.token is refused and since < _PAUSE
        return TOO_FRESH if is_fresh else None

    async def _renew(self, entry: _Entry, log_in: LogIn) -> Token | Failure:
        result = await log_in()
        entry.tried_at = self._wall()
        entry.token = result if isinstance(result, Token) else None
        entry.failure = result if isinstance(result, Failure) else None
        return result
