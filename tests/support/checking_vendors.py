"""Vendors in memory that check their client: each rule that a request breaks is recorded.

A value that they answer can be told from every other: n thousand on the first page of the n-th
answer and one on each further page, so that a sum shows which parts it has.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.outcome import Failure, Reason
from exporter.store.file_ledger import GATHER
from tests.support.schedule import DAY
from tests.support.simulation import reply

MIN_INTERVAL, MAX_WAIT = 60.0, 7200.0
RATE, BURST, PAGES = 0.2, 4, 3
REFUSED = 900.0  # seconds after a refused credential
TRIES = 12  # of a dead key in a day: its own few, and one for each change of the config
LATENCY = 0.4
SLACK = 1e-3  # seconds: floats

MODES = ["ok", "ok", "ok", "500", "html", "cut", "renamed", "gone", "hang", "loop", "403", "204"]


@dataclass
class Key:
    """One credential as its vendor sees it."""

    rated: bool
    refusal: tuple[int, dict[str, str], float] | None = None  # of the next request
    waits_until: float = -1.0
    told_at: float = -1.0  # when the refusal arrived
    dead: bool = False
    level: float = 0.0  # of a leaky bucket
    counted: float = 0.0
    tries: list[float] = field(default_factory=list)  # while dead


@dataclass
class Job:
    """One collector of a target: when it was polled, and what the next start must keep."""

    started: float
    floor: float  # seconds


class Vendors:
    """All vendors. `targets` are those that are configured, each with its key."""

    def __init__(self) -> None:
        self.targets: set[str] = set()
        self.broken: list[str] = []
        self.keys: dict[str, Key] = {}
        self.jobs: dict[tuple[str, str], Job] = {}
        self.modes: dict[tuple[str, int], str] = {}  # of a page of an account
        self.sizes: dict[str, int] = {}  # pages of an account
        self.seats: dict[str, int] = {}
        self.account_of: dict[int, str] = {}  # by number of the answer
        self.complete: set[int] = set()
        self.asked = asyncio.Event()
        self._numbers = itertools.count(1)

    def key(self, token: str) -> Key:
        return self.keys.setdefault(token, Key(rated=token.startswith("b")))

    async def __call__(self, wire: HttpRequest) -> HttpResponse | Failure:
        """Answer one request, and note every law that it breaks."""
        key = self.key(wire.headers["Authorization"].removeprefix("Bearer "))
        parts = urlsplit(wire.url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        now, page = asyncio.get_running_loop().time(), int(query.get("page", "1"))
        self._watch(key, wire, parts.path.strip("/"), int(query.get("page", "0")))
        self.asked.set()
        refusal, key.refusal = key.refusal, None
        await asyncio.sleep(LATENCY)
        if refusal is not None:
            return self._refuse(key, wire, *refusal)
        if key.dead:
            key.tries.append(now)
            return reply(wire, {"detail": "who are you?"}, status=401)
        if parts.path == "/seats":
            return self._seats(wire, query["site"])
        return await self._usage(wire, query["site"], page, int(query.get("n", "0")))

    def _refuse(
        self, key: Key, wire: HttpRequest, status: int, headers: dict[str, str], wait: float
    ) -> HttpResponse:
        key.told_at = asyncio.get_running_loop().time()
        key.waits_until = max(key.waits_until, key.told_at + min(wait, MAX_WAIT))
        return reply(wire, {"detail": "slow down"}, status=status, **headers)

    def _seats(self, wire: HttpRequest, account: str) -> HttpResponse:
        count = self.seats.setdefault(account, 1)
        tag = f'"{account}-{count}"'
        if wire.headers.get("If-None-Match") == tag:
            return reply(wire, b"", status=304, etag=tag)
        return reply(wire, {"used": count}, etag=tag)

    async def _usage(
        self, wire: HttpRequest, account: str, page: int, number: int
    ) -> HttpResponse | Failure:
        mode = self.modes.get((account, page), "ok")
        if mode == "hang":
            await asyncio.sleep(1e6)
        if (broken := _broken(wire, mode)) is not None:
            return broken
        if not number:
            number = next(self._numbers)
            self.account_of[number] = account
        document: dict[str, Any] = {"rows": [{"used": 1000 * number if page == 1 else 1}]}
        if page < self.sizes.get(account, 1) or mode == "loop":
            following = page if mode == "loop" else page + 1
            link = f"site={account}&page={following}&n={number}"
            document["next"] = f"https://mill.example/usage?{link}"
        else:
            self.complete.add(1000 * number + page - 1)
        return reply(wire, document)

    # ------------------------------------------------------------------------------------ the laws

    def _watch(self, key: Key, wire: HttpRequest, collector: str, page: int) -> None:
        now = asyncio.get_running_loop().time()
        name = wire.headers["X-Target"]
        where = f"{now:.3f} {name}/{collector} page {page}"
        if now < key.waits_until - SLACK:
            self.broken.append(f"{where}: {key.waits_until - now:.3f} s inside a wait")
        if key.rated:
            key.level = max(0.0, key.level - RATE * (now - key.counted)) + 1.0
            key.counted = now
            if key.level > BURST + PAGES + SLACK:
                self.broken.append(f"{where}: above the rate: {key.level:.1f} at once")
        tried = sum(at > now - DAY for at in key.tries)
        if key.dead and tried > TRIES:
            self.broken.append(f"{where}: a dead key was tried {tried} times in a day")
        if name not in self.targets:
            self.broken.append(f"{where}: it left the config")
        if not page:  # it was not given a link
            self._begin(name, collector, where)

    def _begin(self, name: str, collector: str, where: str) -> None:
        now = asyncio.get_running_loop().time()
        before = self.jobs.get((name, collector))
        # What is counted are starts, of which the ledger hears before the vendor does.
        if before is not None and now - before.started < before.floor - GATHER - SLACK:
            gap = now - before.started
            self.broken.append(f"{where}: it came after {gap:.1f} s, not {before.floor:.1f}")
        self.jobs[name, collector] = Job(now, MIN_INTERVAL)

    def lower_floors(self, name: str) -> None:
        """Expect a target that was changed, or has a new secret, at its shortest interval."""
        for (target, _), job in self.jobs.items():
            if target == name:
                job.floor = min(job.floor, MIN_INTERVAL)

    def forgive(self, since: float) -> None:
        """Forget what the client may not know any more, because it was told after `since`."""
        for key in self.keys.values():
            if key.told_at > since:
                key.waits_until = -1.0
        for job in self.jobs.values():
            if job.floor == REFUSED and job.started > since - LATENCY:
                job.floor = MIN_INTERVAL


def _broken(wire: HttpRequest, mode: str) -> HttpResponse | Failure | None:
    match mode:
        case "500" | "403" | "204":
            return reply(wire, {"detail": "not now"}, status=int(mode))
        case "html":
            return reply(wire, b"<html>Sign in</html>")
        case "cut":
            return reply(wire, b'{"rows": [{"used": 5')
        case "renamed":
            return reply(wire, {"lines": [{"quantity": 5}]})
        case "gone":
            return Failure(reason=Reason.CONNECT, detail="the connection was refused")
        case _:
            return None
