"""Basic auth against bcrypt hashes, as exporter-toolkit does it.

A bcrypt of cost 10 takes 60 ms: it runs in a thread of its own, one at a time, so that neither
the event loop nor both processors wait for a guesser. What was checked is remembered, so that the
same password is not checked again: a scraper that was let in once never waits, and a client with
a wrong password costs one check, however often it comes.

Who has to wait, waits in a line with those of the same address and user name; users who do not
exist share one line per address. The lines take turns, those that brought a good password before
come first. So a guesser holds up a scraper of another address or name by one check at most, and
one of the same by one check for each of its connections. A user who does not exist costs as much
as a wrong password.
"""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

import msgspec

_REMEMBERED: Final = 100
_REMEMBERED_WRONG: Final = 1000
_WAITING: Final = 512  # as many as there are connections, in all lines together
_LONGEST_HEADER: Final = 1024  # a user name may be long, a password not
_LONGEST_PASSWORD: Final = 72  # bytes: more, bcrypt cannot tell apart


class Busy(Exception):  # noqa: N818 - the name of the fact
    """Too many passwords wait to be checked."""


_Line: TypeAlias = tuple[str, str]
"""The address, and the user name where there is such a user."""


class _Check(msgspec.Struct, eq=False):
    """A password that waits to be compared, for all requests that bring it."""

    entry: bytes
    line: _Line
    password: bytes
    hashed: str
    known: bool
    result: asyncio.Future[bool]


class Passwords:
    """Checks ``Authorization`` headers. Its caches hold keyed hashes, no password."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._proven: OrderedDict[_Line, None] = OrderedDict()
        self._lines: OrderedDict[_Line, deque[_Check]] = OrderedDict()
        self._checks: dict[bytes, _Check] = {}
        self._comparing: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def check(self, header: str, users: Mapping[str, str], address: str = "") -> bool:
        """Say whether `header` names a user of `users` (name to bcrypt hash) with the password.

        `address` is where the request comes from. Raises Busy when too many checks are waiting.
        """
        user, password = _credentials(header)
        if not users or len(password) > _LONGEST_PASSWORD or b"\0" in password:
            return False
        # The first user's hash stands in for that of a user who does not exist.
        hashed = users.get(user, next(iter(users.values())))
        entry = self._entry(user, hashed, password)
        for remembered in (self._good, self._wrong):
            if entry in remembered:
                remembered.move_to_end(entry)
                return remembered is self._good
        waiting = self._checks.get(entry)
        if waiting is None:
            line = (address, user if user in users else "")
            waiting = self._enqueue(line, entry, password, hashed, known=user in users)
        # Shielded: a scraper that gives up and comes again keeps its place in the line.
        return await asyncio.shield(waiting.result)

    def close(self) -> None:
        """Let the thread go; checks that wait for it are dropped."""
        if self._comparing is not None:
            self._comparing.cancel()
            self._comparing = None
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
        for check in self._checks.values():
            check.result.cancel()
        self._checks.clear()
        self._lines.clear()

    def _enqueue(
        self, line: _Line, entry: bytes, password: bytes, hashed: str, *, known: bool
    ) -> _Check:
        if len(self._checks) >= _WAITING:
            self._drop_of_the_longest(line)
        check = _Check(
            entry=entry,
            line=line,
            password=password,
            hashed=hashed,
            known=known,
            result=asyncio.get_running_loop().create_future(),
        )
        self._checks[entry] = check
        self._lines.setdefault(line, deque()).append(check)
        if self._comparing is None:
            self._comparing = asyncio.get_running_loop().create_task(self._compare())
        return check

    def _drop_of_the_longest(self, newcomer: _Line) -> None:
        """Make room at the cost of whoever has most checks waiting. Raises Busy."""
        longest = max(self._lines, key=lambda line: len(self._lines[line]))
        if longest == newcomer or longest in self._proven:
            raise Busy
        dropped = self._lines[longest].pop()
        del self._checks[dropped.entry]
        dropped.result.set_exception(Busy())
        dropped.result.exception()  # seen, also where the client is gone

    async def _compare(self) -> None:
        loop = asyncio.get_running_loop()
        while self._lines:
            check = self._next()
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
            try:
                same = await loop.run_in_executor(
                    self._thread, _bcrypt, check.password, check.hashed
                )
            except Exception as error:  # noqa: BLE001 - a hash that bcrypt cannot read after all
                same = False
                if not check.result.done():
                    check.result.set_exception(error)
                    check.result.exception()  # seen, also where the client is gone
            self._learn(check, good=same and check.known)
        self._comparing = None

    def _next(self) -> _Check:
        """Take the next check: of the proven lines first, of each line one in turn."""
        line = next((one for one in self._lines if one in self._proven), None)
        if line is None:
            line = next(iter(self._lines))
        queue = self._lines[line]
        check = queue.popleft()
        if queue:
            self._lines.move_to_end(line)
        else:
            del self._lines[line]
        return check

    def _learn(self, check: _Check, *, good: bool) -> None:
        self._checks.pop(check.entry, None)
        _remember(
            self._good if good else self._wrong,
            check.entry,
            _REMEMBERED if good else _REMEMBERED_WRONG,
        )
        if good:
            self._proven[check.line] = None
            self._proven.move_to_end(check.line)
            if len(self._proven) > _REMEMBERED:
                self._proven.popitem(last=False)
        else:
            self._proven.pop(check.line, None)  # somebody guesses there: it waits like the others
        if not check.result.done():
            check.result.set_result(good)

    def _entry(self, user: str, hashed: str, password: bytes) -> bytes:
        # The hash is part of it, so that a changed password ends what was remembered.
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(text, key=self._key).digest()


def _remember(entries: OrderedDict[bytes, None], entry: bytes, most: int) -> None:
    entries[entry] = None
    if len(entries) > most:
        entries.popitem(last=False)


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - 5 ms that nobody without basic auth needs to pay

    return bcrypt.checkpw(password, hashed.encode())


def _credentials(header: str) -> tuple[str, bytes]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST_HEADER:
        return "", b""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return "", b""
    user, _, password = decoded.partition(b":")
    return user.decode("utf-8", "surrogateescape"), password
