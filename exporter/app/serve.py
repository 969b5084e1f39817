"""Start a daemon with its web side in an event loop, and stop both."""

import asyncio
import math
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from exporter.app.daemon import Daemon, Load
from exporter.app.engine import World
from exporter.app.keys import Keys
from exporter.app.options import Options
from exporter.app.site import site
from exporter.app.telling import Telling
from exporter.app.view import Viewer
from exporter.config.files import SecretReader
from exporter.kernel.secrets import Redactor
from exporter.model.plan import Plan
from exporter.observe.logs import Log
from exporter.web.addresses import Address, parse_address
from exporter.web.dispatch import Dispatch
from exporter.web.server import Server
from exporter.web.site import routes

if TYPE_CHECKING:
    from exporter.web.gate import Gate

Announce = Callable[[Sequence[Address]], None]


async def serve(
    plan: Plan, options: Options, *, load: Load, stream: TextIO | None, announce: Announce
) -> None:
    """Poll and serve until SIGTERM or SIGINT.

    Raises CannotListen, BadWebConfig or OSError (of its files) before the first poll.
    """
    clock = asyncio.get_running_loop().time
    redactor = Redactor()
    telling = Telling(options, stream=stream, wall=time.time, clock=clock, redactor=redactor)
    try:
        await _serve(
            plan, options, load=load, telling=telling, redactor=redactor, announce=announce
        )
    finally:
        telling.close()


async def _serve(
    plan: Plan,
    options: Options,
    *,
    load: Load,
    telling: Telling,
    redactor: Redactor,
    announce: Announce,
) -> None:
    clock = asyncio.get_running_loop().time
    keys = Keys(SecretReader(os.environ), redactor)
    world = World(
        wall=time.time,
        clock=clock,
        dice=random.SystemRandom().random,
        read_secret=keys.read,
        emit=lambda event: None,
    )
    daemon = Daemon(plan, options, load=load, world=world, telling=telling)

    broke = _Failures(telling.log, clock)

    def complain(problem: str) -> None:
        telling.log.error("the web configuration cannot be used, the old one stays", err=problem)

    gate = _gate(options.web_config_file, clock, complain)
    viewer = Viewer(
        daemon.engine, telling.history, wall=time.time, problems=lambda: daemon.problems
    )
    table = routes(
        site(daemon, options, telling, viewer),
        telemetry_path=options.telemetry_path,
        prefix=options.route_prefix,
        external_url=options.external_url,
    )
    server = Server(
        Dispatch(table, failed=broke, guard=gate),
        most_connections=options.most_connections,
        notice=lambda what, fields: telling.log.warning(what, **fields),
    )
    daemon.catch_signals()
    addresses = [parse_address(text) for text in options.listen]
    bound = await server.start(addresses, tls=gate.context if gate else None)
    try:
        announce(bound)
        telling.log.info("listening", addresses=[str(address) for address in bound])
        await daemon.run()
    finally:
        await server.stop()
        if gate is not None:
            gate.close()


class _Failures:
    """Logs that an address failed: once a minute for each kind of failure, with their number.

    Clients bring them about as they like: one that reads nothing, four hundred times a second.
    """

    _EVERY = 60.0
    _MOST_KINDS = 100

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    def __call__(self, path: str, error: BaseException) -> None:
        kind, now = (path, f"{type(error).__name__}: {error}"), self._clock()
        if now - self._told.get(kind, -math.inf) < self._EVERY:
            self._untold[kind] += 1
            return
        if len(self._told) >= self._MOST_KINDS:
            self._told.clear()
        self._told[kind] = now
        more = self._untold.pop(kind, 0)
        fields: dict[str, object] = {"more_before": more} if more else {}
        self._log.error("an address failed", path=path, err=error, **fields)


def _gate(path: str, clock: Callable[[], float], complain: Callable[[str], None]) -> "Gate | None":
    if not path:
        return None
    from exporter.web.gate import Gate  # noqa: PLC0415 - most daemons have no web configuration

    return Gate(path, clock=clock, complain=complain)
