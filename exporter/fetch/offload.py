"""Large answers are worked on beside the event loop, one at a time.

A thread does not make Python faster: whoever decodes five megabytes holds the interpreter for fifty
milliseconds, wherever that is. With one thread a scrape waits for one answer, and not for as many
as have arrived; and as few as possible are in memory as objects, which take ten times their bytes:
what is begun is finished before the next answer is looked at.

How many polls hold a large answer at once is limited as well, or as many as may run at once would
wait in memory for their turn.

I/O: one thread, made when it is needed.

What the system answers only by blocking a thread, for as long as it likes: names and files.

``getaddrinfo`` waits for name servers, a ``stat`` for a network disk. Both may take minutes and
cannot be ended. So each call has a daemon thread of its own, which holds up neither other calls nor
the end of the process (the threads of an executor are joined at exit), and waits are bounded.

The names are looked up by the C library and not by a resolver of our own (c-ares, aiodns): the
exporter finds what ``curl`` and ``getent`` find on the same machine, whatever nsswitch.conf says.

I/O: threads, the system's resolver.
"""

import asyncio
import functools
import socket
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from enum import IntEnum
from importlib import import_module
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.kernel.calendar import format_duration
from exporter.kernel.override import override
from exporter.kernel.secrets import clip

LARGE = 256 * 1024
"""Bytes of an answer that take some milliseconds to decode."""
SLOW = 16 * 1024
"""Bytes of an answer that take some milliseconds to map: each value costs microseconds."""
_M_MMAP_THRESHOLD = -3  # malloc.h
_HOLDERS = 4
"""Polls that may hold an answer of more than `LARGE` bytes at once."""
_Result = TypeVar("_Result")


@functools.cache
def _return_freed_memory() -> None:
    """Have the C library give large blocks back to the system as soon as they are freed.

    glibc raises the size from which it does so with each of them (mallopt(3)), and keeps holes
    where large answers were: after some of them the process would stay twice as large. Other
    libraries have no such setting and no such need.
    """
    try:
        library = import_module("ctypes").CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE)
    except (ImportError, OSError, AttributeError):
        return


class Offload:
    """Calls what takes long: in a thread of its own if it is about many bytes."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._line: deque[asyncio.Future[None]] = deque()
        self._busy = False
        self._places = asyncio.Semaphore(_HOLDERS)
        self._holders: set[asyncio.Task[object]] = set()

    async def admit(self) -> None:
        """Return when the poll of this task may hold a large answer; until the task ends.

        A poll takes one place, however many large answers it has: no poll waits for a place while
        it keeps others from going on. To be called in a task.
        """
        task = asyncio.current_task()
        if task is None or task in self._holders:
            return
        _return_freed_memory()
        await self._places.acquire()
        self._holders.add(task)
        task.add_done_callback(self._dismiss)

    def leave(self) -> None:
        """Give the place of this task to the next: its answers are no longer held."""
        task = asyncio.current_task()
        if task is not None and task in self._holders:
            task.remove_done_callback(self._dismiss)
            self._dismiss(task)

    def _dismiss(self, task: asyncio.Task[object]) -> None:
        self._holders.discard(task)
        self._places.release()

    async def call(
        self,
        work: Callable[[], _Result],
        *,
        size: int,
        large: int = LARGE,
        finishing: bool = False,
    ) -> _Result:
        """Return what `work` does, which is about `size` bytes, when its turn has come.

        More than `large` bytes are worked on in the thread.
        `finishing`: it lets go of what an earlier call made, and comes before what only begins.
        """
        if size <= large:
            return work()
        await self._turn(ahead=finishing)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker(), work)
        finally:
            # Not at once: the poll that waited for this may have to finish something, and is first.
            asyncio.get_running_loop().call_soon(self._pass_on)

    def close(self) -> None:
        """Let the thread go. What it works on is nobody's any more."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
        return self._thread

    async def _turn(self, *, ahead: bool) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._line.appendleft if ahead else self._line.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it came just when nobody wanted it any more
            raise

    def _pass_on(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


CONNECTING: ContextVar[asyncio.Timeout] = ContextVar("CONNECTING")
"""The time-out of the connection that the running task makes. It stands still during a look-up."""
_REMEMBERED: Final = 4096  # keys of which the last outcome is known; names that are kept
_KEPT: Final = 300.0  # seconds that the addresses of a name are used
_LONGEST_NAME: Final = 253  # letters, RFC 1035
_LONGEST_LABEL: Final = 63
_LONGEST_SHOWN: Final = 80
Address: TypeAlias = tuple[socket.AddressFamily, str]


class _Rank(IntEnum):
    """Who comes first when threads are scarce: by how the last call of the same key ended."""

    GOOD = 0
    NEW = 1
    BAD = 2  # it failed, or took longer than anybody waited


_THREADS: Final = {_Rank.GOOD: 256, _Rank.NEW: 192, _Rank.BAD: 64}
"""A call of that rank begins while fewer than so many run. The rest is reserved for better ranks:
names that are never answered for cannot starve those that are. (As many new names as polls run at
once, 64, may hang for three times as long as anybody waits before the next new one has to wait.)"""


class _Flight(msgspec.Struct, eq=False):
    """A call that is under way or stands in line, and who waits for it."""

    work: Callable[[], Any]
    landing: asyncio.Future[Any]
    waiters: int = 0
    begun: bool = False


class Calls:
    """Blocking calls in daemon threads: one at a time for each key, shared by all who ask."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}
        self._line: dict[Hashable, _Flight] = {}
        self._running = 0
        self._ranks: dict[Hashable, _Rank] = {}

    async def call(self, key: Hashable, work: Callable[[], _Result], *, patience: float) -> _Result:
        """Return what `work` returns, or raise what it raises.

        A call of the same key that is under way is joined. Raises TimeoutError after `patience`
        seconds; the call goes on.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(work, asyncio.get_running_loop().create_future())
            flight.landing.add_done_callback(_heard)
            self._flights[key] = self._line[key] = flight
            self._pump()
        flight.waiters += 1
        try:
            done, _ = await asyncio.wait([flight.landing], timeout=patience)
        finally:
            flight.waiters -= 1
            if not flight.begun and not flight.waiters:
                del self._line[key], self._flights[key]
        if not done:
            if flight.begun:
                self._remember(key, _Rank.BAD)
            raise TimeoutError
        result: _Result = flight.landing.result()
        return result

    def _pump(self) -> None:
        """Begin what may begin, the best rank first, then who has waited longest."""
        while self._line:
            key = min(self._line, key=self._rank)
            if self._running >= _THREADS[self._rank(key)]:
                return
            self._begin(key, self._line.pop(key))

    def _begin(self, key: Hashable, flight: _Flight) -> None:
        loop = flight.landing.get_loop()

        def run() -> None:
            result, error = None, None
            try:
                result = flight.work()
            except Exception as raised:  # noqa: BLE001 - whoever waits gets it
                error = raised
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(self._land, key, flight, result, error)

        flight.begun = True
        self._running += 1
        try:
            threading.Thread(target=run, name="blocking", daemon=True).start()
        except RuntimeError:  # the system grants no thread
            error = OSError("this process may not start another thread")
            loop.call_soon(self._land, key, flight, None, error)

    def _land(
        self, key: Hashable, flight: _Flight, result: object, error: Exception | None
    ) -> None:
        self._running -= 1
        del self._flights[key]
        self._remember(key, _Rank.GOOD if error is None else _Rank.BAD)
        if not flight.landing.done():
            if error is None:
                flight.landing.set_result(result)
            else:
                flight.landing.set_exception(error)
        self._pump()

    def _rank(self, key: Hashable) -> _Rank:
        return self._ranks.get(key, _Rank.NEW)

    def _remember(self, key: Hashable, rank: _Rank) -> None:
        self._ranks.pop(key, None)
        self._ranks[key] = rank
        if len(self._ranks) > _REMEMBERED:
            del self._ranks[next(iter(self._ranks))]


def _heard(landing: asyncio.Future[Any]) -> None:
    """Take note of an exception that nobody waits for any more, or asyncio logs it."""
    if not landing.cancelled():
        landing.exception()


class LookUpError(OSError):
    """A name has no address, or none came in time; the text says it in whole, with the name."""

    def __init__(self, host: str, text: str) -> None:
        super().__init__(0, text)
        self.host = host
        self.text = text


class Names(AbstractResolver):
    """Looks names up, beside the time-out for connecting, and keeps the addresses.

    One look-up at a time for each name, whoever asks. `patience` is in seconds; `ask` blocks and
    returns the addresses of a name, or raises OSError.
    """

    def __init__(
        self, calls: Calls, *, patience: float, ask: "Callable[[str], list[Address]] | None" = None
    ) -> None:
        self._calls = calls
        self._patience = patience
        self._ask = ask or _ask_system
        self._known: dict[str, tuple[float, deque[Address]]] = {}

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, another one first each time. Raises LookUpError."""
        name = host.lower()
        until, addresses = self._known.get(name, (0.0, deque()))
        if not addresses or until <= asyncio.get_running_loop().time():
            addresses = await self._look_up(name)
        found = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address in addresses
            if family in (socket.AF_UNSPEC, kind)
        ]
        addresses.rotate(-1)
        return found

    @override
    async def close(self) -> None:
        """Do nothing: a thread that hangs ends with the process."""

    def forget(self, host: str) -> None:
        """Look a name up again when it is needed next: its addresses may be the trouble."""
        self._known.pop(host.lower(), None)

    async def _look_up(self, name: str) -> deque[Address]:
        loop = asyncio.get_running_loop()
        shown = clip(name, _LONGEST_SHOWN)
        if len(name.rstrip(".")) > _LONGEST_NAME or any(
            len(label) > _LONGEST_LABEL for label in name.split(".")
        ):
            raise LookUpError(name, f"the name {shown} is longer than a name may be")
        connecting = CONNECTING.get(None)
        deadline = connecting.when() if connecting else None
        began = loop.time()
        if connecting and deadline is not None:
            connecting.reschedule(None)
        try:
            found = await self._calls.call(
                ("name", name), lambda: self._ask(name), patience=self._patience
            )
        except TimeoutError:
            patience = format_duration(self._patience)
            text = f"the name {shown} could not be looked up within {patience}"
            raise LookUpError(name, text) from None
        except socket.gaierror as error:
            why = _WHY.get(error.errno or 0, "the system's resolver failed")
            raise LookUpError(name, f"the name {shown} cannot be resolved: {why}") from error
        except OSError as error:
            why = error.strerror or str(error)
            raise LookUpError(name, f"the name {shown} cannot be resolved: {why}") from error
        finally:
            if connecting and deadline is not None:
                connecting.reschedule(deadline + loop.time() - began)
        if not found:
            raise LookUpError(name, f"the name {shown} cannot be resolved: it has no address")
        self._known.pop(name, None)
        self._known[name] = loop.time() + _KEPT, deque(found)
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return self._known[name][1]


_WHY: Final = {
    socket.EAI_NONAME: "there is no such name",
    socket.EAI_NODATA: "it has no address",
    socket.EAI_ADDRFAMILY: "it has no address of a kind that this machine can reach",
    socket.EAI_AGAIN: "no name server answered",
    socket.EAI_FAIL: "the name server refused",
}
_NONE_OF_THE_KIND: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})


def _get_addresses(name: bytes, flags: int) -> list[Any]:
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)


def _ask_system(name: str) -> list[Address]:
    """Ask the C library. Raises OSError."""
    try:
        letters = name.encode("ascii")  # given a text, Python refuses some names that exist
    except UnicodeEncodeError:
        raise OSError(0, "it is not written in ASCII") from None
    local = name.rstrip(".").endswith("localhost")
    try:
        # Without the flag, a machine without IPv6 waits for name servers that drop such questions;
        # with it, the loopback addresses do not count as IPv6.
        found = _get_addresses(letters, 0 if local else socket.AI_ADDRCONFIG)
    except socket.gaierror as error:
        if local or error.errno not in _NONE_OF_THE_KIND:
            raise
        found = _get_addresses(letters, 0)
    addresses: dict[Address, None] = {}
    for family, _, _, _, sockaddr in found:
        host = str(sockaddr[0])
        if any(sockaddr[3:]):  # a link-local address of IPv6 is nothing without its interface
            host, _ = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        addresses[family, host] = None
    return list(addresses)
