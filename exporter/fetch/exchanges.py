"""The exchanges of one attempt: each is sent, followed within its origin, and told of."""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol

import msgspec

from exporter.fetch.beside import Beside
from exporter.fetch.decode import excerpt
from exporter.fetch.keyring import Keyring
from exporter.fetch.links import LinkError, safe_url
from exporter.fetch.request import Draft, Signature, follow
from exporter.fetch.tokens import Tokens
from exporter.fetch.waits import rate, retry_after
from exporter.fetch.wire import Answer, Wire, host_of
from exporter.kernel.secrets import MASK, Secret, is_secret_name, redact_url
from exporter.model.outcome import Exchange, Failure, Reason
from exporter.model.reading import RateLimit
from exporter.model.target import Http, SecretSource, Target

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HARMLESS = frozenset({"content-length", "content-type", "date", "retry-after", "server", "via"})
_NOT_SHOWN = "(the answer of a log-in is not shown)"


class Watch(msgspec.Struct, frozen=True):
    """Who is told of each exchange as soon as it is over, and whether with the body's beginning."""

    tell: Callable[[Exchange], None]
    excerpts: bool = False


class Refused(Exception):  # noqa: N818 - it ends an attempt with a value, it is no error of ours
    """The attempt is over: nothing was learned, for this reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Send(Protocol):
    """Sends one request and reads its answer; raises nothing but cancellation."""

    async def __call__(
        self, wire: Wire, http: Http, *, most: int, warm: bool = False
    ) -> Answer | Failure: ...


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt needs of the outside. ``wall`` is epoch seconds, ``clock`` loop time.

    ``beside`` calls what takes long.
    """

    read_secret: Callable[[SecretSource], Secret]
    wall: Callable[[], float]
    clock: Callable[[], float]
    send: Send
    tokens: Tokens
    beside: Beside


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request, and what a redirect of it is made from. At most ``most`` bytes are read."""

    wire: Wire
    draft: Draft
    signature: Signature
    most: int
    is_log_in: bool = False


class Exchanges:
    """Sends the requests of one attempt at a target, and keeps what is told of them.

    ``told`` are the exchanges so far.
    """

    def __init__(
        self, target: Target, keyring: Keyring, world: World, *, warm: bool, watch: Watch | None
    ) -> None:
        self.told: list[Exchange] = []
        self._rate: RateLimit | None = None
        self._again = -math.inf
        self._target = target
        self._world = world
        self._keyring = keyring
        self._warm = warm
        self._watch = watch

    @property
    def rate(self) -> RateLimit | None:
        """What the last answer that told of the API's own limit said of it, log-ins aside.

        With it comes what is left of the longest ``Retry-After`` that stood on a good answer: the
        vendor itself handed out the next page, but the next poll has to wait.
        """
        wait = self._again - self._world.clock()
        if wait <= 0.0:
            return self._rate
        return msgspec.structs.replace(self._rate or RateLimit(), wait=wait)

    async def ask(self, order: Order) -> Answer:
        """Send a request and follow redirects that stay on its origin. Raises Refused."""
        request = order.wire
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._exchange(request, order)
            url = _redirect(request, answer, order.draft.kept)
            if url is None:
                return answer
            request = follow(order.draft, url, order.signature)
        host = host_of(order.wire.url)
        detail = f"{host}: more than {_MOST_REDIRECTS} redirects, one after the other"
        raise Refused(Failure(reason=Reason.HTTP_4XX, detail=detail))

    async def _exchange(self, request: Wire, order: Order) -> Answer:
        begin = self._world.clock()
        outcome = await self._world.send(
            request, self._target.http, most=order.most, warm=self._warm
        )
        seconds = self._world.clock() - begin
        answer = outcome if isinstance(outcome, Answer) else None
        told = self._told(request, answer, seconds, is_log_in=order.is_log_in)
        self.told.append(told)
        if self._watch is not None:
            self._watch.tell(self._shown(told, answer, order) if self._watch.excerpts else told)
        if isinstance(outcome, Failure):
            raise Refused(outcome)
        if not order.is_log_in:
            self._learn(outcome)
        return outcome

    def _told(
        self, request: Wire, answer: Answer | None, seconds: float, *, is_log_in: bool
    ) -> Exchange:
        """Tell of a request and its answer, without secrets; None: there was no answer."""
        redactor = self._keyring.redactor
        headers: Mapping[str, str] = {}
        if answer is not None:
            headers = redactor.headers(_shown_headers(answer, is_log_in=is_log_in))
        url, request_headers = self._keyring.shown_request(request, self._target.http.headers)
        return Exchange(
            method=request.method,
            url=url,
            request_headers=request_headers,
            status=None if answer is None else answer.status,
            headers=headers,
            size=0 if answer is None else len(answer.body),
            seconds=seconds,
        )

    def _learn(self, answer: Answer) -> None:
        """Take in what the headers say; the wait of a refusal comes with its failure."""
        now = self._world.wall()
        self._rate = rate(answer.lines, now, self._target.definition.throttling) or self._rate
        if answer.status < HTTPStatus.BAD_REQUEST:
            wait = retry_after(answer.lines, now)
            self._again = max(self._again, self._world.clock() + (wait or 0.0))

    def _shown(self, told: Exchange, answer: Answer | None, order: Order) -> Exchange:
        if answer is None or not answer.body:
            return told
        kind = answer.headers.get("content-type", "")
        clean = self._keyring.redactor.text
        shown = _NOT_SHOWN if order.is_log_in else excerpt(answer.body, clean=clean, kind=kind)
        return msgspec.structs.replace(told, excerpt=shown)


def _shown_headers(answer: Answer, *, is_log_in: bool) -> Mapping[str, str]:
    """Return the headers of an answer without those that are secret by their name.

    Of a log-in's answer nothing is shown but what is harmless.
    """
    hidden = {
        name: redact_url(value) if name == "location" else MASK
        for name, value in answer.headers.items()
        if name == "location"
        or is_secret_name(name)
        or (is_log_in and name not in _HARMLESS and "rate" not in name)
    }
    return {**answer.headers, **hidden} if hidden else answer.headers


def _redirect(request: Wire, answer: Answer, kept: tuple[str, ...]) -> str | None:
    """Return where a redirect leads, if it may be followed."""
    location = answer.headers.get("location")
    if not location or answer.status not in _REDIRECTS or request.method not in ("GET", "HEAD"):
        return None
    try:
        return safe_url(location, answer.url, kept)
    except LinkError:
        return None
