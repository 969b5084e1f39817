"""One attempt to fetch what a collector asks for.

The client keeps what outlives a fetch: connections, tokens and ETags. It retries nothing and never
sleeps; what a fetch does, step by step, is in ``attempt``.
"""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import msgspec

from exporter.fetch.accounts import AccountsError
from exporter.fetch.attempt import Attempt, Tag
from exporter.fetch.auth import AuthError
from exporter.fetch.beside import Beside
from exporter.fetch.exchanges import Refused, Send, Watch, World
from exporter.fetch.keyring import Keyring, read_secrets
from exporter.fetch.links import LinkError
from exporter.fetch.prepared import Prepared
from exporter.fetch.request import RequestError
from exporter.fetch.tokens import Tokens
from exporter.fetch.transport import Ask, Transport
from exporter.fetch.trouble import Timeouts
from exporter.kernel.secrets import Redactor, Secret, clip
from exporter.model.definition import Collector
from exporter.model.outcome import Failure, Fetched, Payload, Reason, Unchanged
from exporter.model.target import SecretSource, Target

_SOON = 120.0  # seconds: intervals up to this are worth a warm connection
_MOST_WARM = 32  # budgets: an idle TLS connection holds 325 kB
_MOST_PREPARED = 2048  # collectors of targets: about 3 kB each
_LONGEST_DETAIL = 512


class Client:
    """Fetches. An async context manager: its end closes the connections.

    `read_secret` is asked at every fetch, so that a renewed key is used at once; whatever it raises
    must have a text without the secret. `wall` gives epoch seconds. `connect_timeout` and
    `read_timeout` are seconds; the deadline of a whole poll is the caller's. `look_up_timeout` is
    that of a name; `ask` takes the place of the system's resolver, `send` of the whole network, for
    recorded answers. ``beside`` is where large answers are worked on.
    """

    def __init__(
        self,
        *,
        read_secret: Callable[[SecretSource], Secret],
        wall: Callable[[], float],
        look_up_timeout: float = 10.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        ask: Ask | None = None,
        send: Send | None = None,
    ) -> None:
        self.beside = Beside()
        timeouts = Timeouts(look_up=look_up_timeout, connect=connect_timeout, read=read_timeout)
        self._transport = Transport(timeouts, self.beside, ask=ask)
        self._world = World(
            read_secret=read_secret,
            wall=wall,
            clock=lambda: asyncio.get_running_loop().time(),
            send=send or self._transport.send,
            tokens=Tokens(wall),
            beside=self.beside,
        )
        self._prepared: dict[tuple[str, str], Prepared] = {}
        self._tags: dict[tuple[str, str], Tag] = {}
        self._warm: dict[str, float] = {}  # budget -> when it was last used

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.beside.close()
        await self._transport.close()

    async def fetch(
        self,
        target: Target,
        collector: Collector,
        *,
        at: float | None = None,
        watch: Watch | None = None,
    ) -> Fetched:
        """Make one attempt and say what came of it; nothing is raised but cancellation.

        `at` is the instant (epoch seconds, default now) that dates in the request are worked out
        for. `watch` is told of every exchange as soon as it is over.
        The ETag of a good answer is kept: `forget` it when the answer was not learned from.
        """
        key = (target.name, collector.name)
        tag = self._tags.pop(key, None)  # a fetch that is cancelled leaves none
        try:
            now = self._world.wall() if at is None else at
            prepared = self._prepare(target, collector, now)
            keyring = self._unlock(prepared)
        except Exception as error:  # noqa: BLE001 - a fetch never raises; its failure says why
            return Fetched(result=_failure(error))
        warm = self._is_warm(target)
        attempt = Attempt(prepared, keyring, self._world, tag=tag, warm=warm, watch=watch)
        try:
            result: tuple[Payload, ...] | Unchanged | Failure = await attempt.run()
        except Exception as error:  # noqa: BLE001 - as above
            result = _told(_failure(error), keyring.redactor)
        if attempt.tag is not None and not isinstance(result, Failure):
            self._tags[key] = attempt.tag
        exchanges = attempt.exchanges
        return Fetched(result=result, rate=exchanges.rate, exchanges=tuple(exchanges.told))

    def forget(self, target: Target, collector: str) -> None:
        """Ask for the whole answer next time: the values that the last one held are gone.

        What was rendered for the polls of this collector, its secrets among it, is freed.
        """
        self._tags.pop((target.name, collector), None)
        self._prepared.pop((target.name, collector), None)

    async def keep(self, targets: Iterable[Target]) -> None:
        """Close the connections that none of `targets` will use."""
        await self._transport.keep({target.http.tls for target in targets})

    def _prepare(self, target: Target, collector: Collector, now: float) -> Prepared:
        key = (target.name, collector.name)
        prepared = self._prepared.get(key)
        if prepared is None or not prepared.serves(target, collector, now):
            self._prepared.pop(key, None)
            if len(self._prepared) >= _MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            prepared = self._prepared[key] = Prepared(target, collector, now)
        return prepared

    def _unlock(self, prepared: Prepared) -> Keyring:
        """Read the secrets; the keyring of the last poll holds as long as they are the same."""
        secrets = read_secrets(prepared.target, self._world.read_secret)
        keyring = prepared.keyring
        if keyring is None or keyring.secrets != secrets:
            keyring = prepared.keyring = Keyring(prepared.target, prepared.values, secrets)
        return keyring

    def _is_warm(self, target: Target) -> bool:
        """Tell whether the connection is kept between two polls: for a few busy budgets."""
        if min(target.collectors.values(), default=_SOON + 1) > _SOON:
            return False
        now = self._world.wall()
        if target.budget not in self._warm and len(self._warm) >= _MOST_WARM:
            self._warm = {b: at for b, at in self._warm.items() if 0 <= now - at <= 2 * _SOON}
            if len(self._warm) >= _MOST_WARM:
                return False
        self._warm[target.budget] = now
        return True


def _told(failure: Failure, redactor: Redactor) -> Failure:
    detail = clip(redactor.text(failure.detail), _LONGEST_DETAIL)
    return msgspec.structs.replace(failure, detail=detail)


def _failure(error: Exception) -> Failure:  # noqa: PLR0911 - a table
    match error:
        case Refused():
            return error.failure
        case AuthError():
            return Failure(reason=Reason.AUTH, detail=str(error))
        case AccountsError():
            return Failure(reason=Reason.SCHEMA, detail=f"the accounts: {error}")
        case LinkError():
            return Failure(reason=Reason.SCHEMA, detail=f"the accounts: {error}")
        case RequestError():
            return Failure(reason=Reason.INTERNAL, detail=str(error))
        case RecursionError():
            return Failure(reason=Reason.NOT_JSON, detail="the answer is nested too deeply")
        case _:
            return Failure(reason=Reason.INTERNAL, detail=f"our own bug: {_place(error)}")


def _place(error: Exception) -> str:
    """Return the kind of an exception and where it arose, never its text."""
    place = "nowhere"
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_name} ({trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__} in {place}"
