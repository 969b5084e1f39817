"""What stays the same from poll to poll of one collector, so that a poll is little but its wire.

Parameters, request and rules are rendered once and hold until the target or the day changes:
anew for each poll they would cost as much as the exchange itself.

The exchanges of one attempt: each is sent, followed within its origin, and told of.

The signature of one attempt's requests: tokens fetched, kept and renewed.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus

import msgspec

from exporter.fetch.authorize import (
    TOO_FRESH,
    AuthError,
    Credentials,
    Token,
    Tokens,
    apply_auth,
    read_token,
)
from exporter.fetch.classify import Classified, Rules, classify_response, excerpt, most_values
from exporter.fetch.http import HttpRequest, HttpResponse, LinkError, host_of, safe_url
from exporter.fetch.offload import Offload
from exporter.fetch.ratelimit import read_rate_limit
from exporter.fetch.request import (
    Draft,
    Signature,
    draft_request,
    follow,
    to_http_request,
    uses_account,
)
from exporter.fetch.transport import Send
from exporter.kernel.calendar import Cycle, Span, span
from exporter.kernel.secrets import MASK, Secret, is_secret_name, redact_url
from exporter.kernel.templates import DATE_WORDS, Clock, Template
from exporter.model.definition.auth import TokenAuth
from exporter.model.definition.provider import Collector
from exporter.model.definition.responses import ResponseRules
from exporter.model.outcome import Exchange, Failure, Page, Reason
from exporter.model.reading import RateLimit
from exporter.model.target import SecretSource, Target

_NOW = re.compile(r"\{now\b")
_DATED = re.compile(rf"\{{(?:{'|'.join(map(re.escape, DATE_WORDS))})\b")


class Prepared:
    """The request of one collector of one target, rendered.

    ``draft`` is None where each account of a fan-out has one of its own. ``first`` is the first
    page's wire with the signature that it was made with, ``keyring`` the secrets of the last poll.
    """

    def __init__(self, target: Target, collector: Collector, now: float) -> None:
        self.target = target
        self.collector = collector
        self.moment = target.clock(now)
        self.values = target.values(self.moment)
        self.rules = rules_of(target, collector)
        fans_out = bool(target.accounts) or target.definition.accounts is not None
        self.draft: Draft | None = None
        if not (fans_out and uses_account(collector.request)):
            self.draft = draft_request(collector.request, target, self.values, self.moment)
        self.first: tuple[Signature, HttpRequest] | None = None
        self.keyring: Credentials | None = None
        self._span = _lifetime(target, collector, self.moment)

    def serves(self, target: Target, collector: Collector, now: float) -> bool:
        """Tell whether all of this holds for a poll at `now`."""
        if self.target is not target or self.collector is not collector:
            return False
        return self._span is None or self._span.start <= now < self._span.end


def rules_of(target: Target, collector: Collector) -> Rules:
    """Return what a collector's answers are judged by."""
    return Rules(
        verdict=collector.verdict,
        format=collector.format,
        throttling=target.definition.throttling,
        most_values=most_values(collector.max_bytes),
    )


def _lifetime(target: Target, collector: Collector, moment: Clock) -> Span | None:
    """Return how long the rendered texts stay true: for ever (None), this day, this instant.

    All words for dates but ``now`` change only when a day of the definition's zone begins.
    """
    texts = [template.text for template in _templates(target, collector)]
    if any(map(_NOW.search, texts)):
        return Span(moment.now, moment.now + 1e-6)
    if any(map(_DATED.search, texts)):
        return span(Cycle.DAY, moment.now, zone=moment.zone)
    return None


def _templates(target: Target, collector: Collector) -> Iterator[Template]:
    yield from collector.request.templates
    yield from target.auth.templates
    for param in target.definition.params.values():
        if param.default is not None:
            yield param.default


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


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt needs of the outside. ``wall`` is epoch seconds, ``clock`` loop time.

    ``offload`` runs what takes long.
    """

    read_secret: Callable[[SecretSource], Secret]
    wall: Callable[[], float]
    clock: Callable[[], float]
    send: Send
    tokens: Tokens
    offload: Offload


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request, and what a redirect of it is made from. At most ``most`` bytes are read."""

    wire: HttpRequest
    draft: Draft
    signature: Signature
    most: int
    is_log_in: bool = False


class Exchanges:
    """Sends the requests of one attempt at a target, and keeps what is told of them.

    ``told`` are the exchanges so far.
    """

    def __init__(
        self, target: Target, keyring: Credentials, world: World, *, warm: bool, watch: Watch | None
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

    async def ask(self, order: Order) -> HttpResponse:
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

    async def _exchange(self, request: HttpRequest, order: Order) -> HttpResponse:
        begin = self._world.clock()
        outcome = await self._world.send(
            request, self._target.http, most=order.most, warm=self._warm
        )
        seconds = self._world.clock() - begin
        answer = outcome if isinstance(outcome, HttpResponse) else None
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
        self, request: HttpRequest, answer: HttpResponse | None, seconds: float, *, is_log_in: bool
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

    def _learn(self, answer: HttpResponse) -> None:
        """Take in what the headers say; the wait of a refusal comes with its failure."""
        limits = read_rate_limit(
            answer.lines, self._world.wall(), self._target.definition.throttling
        )
        self._rate = limits.rate or self._rate
        if answer.status < HTTPStatus.BAD_REQUEST and limits.retry_after is not None:
            self._again = max(self._again, self._world.clock() + limits.retry_after)

    def _shown(self, told: Exchange, answer: HttpResponse | None, order: Order) -> Exchange:
        if answer is None or not answer.body:
            return told
        kind = answer.headers.get("content-type", "")
        clean = self._keyring.redactor.text
        shown = _NOT_SHOWN if order.is_log_in else excerpt(answer.body, clean=clean, kind=kind)
        return msgspec.structs.replace(told, excerpt=shown)


def _shown_headers(answer: HttpResponse, *, is_log_in: bool) -> Mapping[str, str]:
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


def _redirect(request: HttpRequest, answer: HttpResponse, kept: tuple[str, ...]) -> str | None:
    """Return where a redirect leads, if it may be followed."""
    location = answer.headers.get("location")
    if not location or answer.status not in _REDIRECTS or request.method not in ("GET", "HEAD"):
        return None
    try:
        return safe_url(location, answer.url, kept)
    except LinkError:
        return None


_LOG_IN_BYTES = 1024 * 1024
_LOG_IN_ACCEPTED = ResponseRules(accepted=frozenset({200, 201}))
_BAD_LOG_IN = frozenset({400, 401, 403, 422})
"""What vendors answer to a wrong password or client secret (OAuth 2: 400 and 401)."""
_NO_TIME = Clock(0.0)


class Signer:
    """Signs the requests of one attempt at a target, with a log-in where one is needed."""

    def __init__(
        self,
        target: Target,
        keyring: Credentials,
        moment: Clock,
        world: World,
        exchanges: Exchanges,
    ) -> None:
        self._target = target
        self._keyring = keyring
        self._moment = moment
        self._world = world
        self._exchanges = exchanges
        self._refused: Token | None = None
        self._refusal: Failure | None = None

    async def sign(self) -> Signature:
        """Return the signature of a request. Raises Refused and AuthError."""
        keyring = self._keyring
        auth = self._target.auth
        if auth.token_auth is not None:
            token = await self._a_token(auth.token_auth)
            if token is not keyring.token:
                keyring.take(token)
        if keyring.signature is None:
            token_text = None if keyring.token is None else keyring.token.value
            signature = apply_auth(auth, keyring.values.texts, self._moment, token_text)
            keyring.learn(signature)
            keyring.signature = signature
        return keyring.signature

    def renews(self, judged: Classified) -> bool:
        """Tell whether a token that may be old was refused; `sign` then gets another, once."""
        if self._keyring.token is None or self._refusal is not None:
            return False
        if not isinstance(judged, Failure) or judged.reason is not Reason.AUTH:
            return False
        self._refused, self._refusal = self._keyring.token, judged
        return True

    async def _a_token(self, auth: TokenAuth) -> Token:
        found = await self._world.tokens.get(
            self._log_in_key(auth), lambda: self._log_in(auth), refused=self._refused
        )
        if found is TOO_FRESH and self._refusal is not None:
            detail = f"{self._refusal.detail}; {TOO_FRESH.detail}"
            raise Refused(msgspec.structs.replace(self._refusal, detail=detail))
        if isinstance(found, Failure):
            raise Refused(found)
        return found

    def _log_in_key(self, auth: TokenAuth) -> tuple[object, ...]:
        """Return what makes two log-ins the same: all that is sent, at a fixed time."""
        key = self._keyring.log_in_key
        if key is None:
            request = self._log_in_order(auth, _NO_TIME).wire
            headers = tuple(sorted(request.headers.items()))
            key = self._target.budget, request.method, request.url, headers, request.body
            self._keyring.log_in_key = key
        return key

    def _log_in_order(self, auth: TokenAuth, moment: Clock) -> Order:
        values = self._keyring.values
        signature = apply_auth(auth.login, values.texts, moment)
        self._keyring.learn(signature)
        drafted = draft_request(auth.request, self._target, values, moment)
        return Order(
            wire=to_http_request(drafted, signature),
            draft=drafted,
            signature=signature,
            most=_LOG_IN_BYTES,
            is_log_in=True,
        )

    async def _log_in(self, auth: TokenAuth) -> Token | Failure:
        rules = Rules(verdict=_LOG_IN_ACCEPTED, throttling=self._target.definition.throttling)
        try:
            answer = await self._exchanges.ask(self._log_in_order(auth, self._moment))
            clean = self._keyring.redactor.text
            judged = classify_response(answer, rules, self._world.wall(), clean=clean)
            if isinstance(judged, Failure):
                return _log_in_failure(judged)
            document = judged.document if isinstance(judged, Page) else None
            return read_token(auth, document, self._world.wall())
        except Refused as refused:
            return _log_in_failure(refused.failure)
        except AuthError as error:
            return _log_in_failure(Failure(reason=Reason.SCHEMA, detail=str(error)))


def _log_in_failure(failure: Failure) -> Failure:
    reason = Reason.AUTH if failure.status in _BAD_LOG_IN else failure.reason
    return msgspec.structs.replace(failure, reason=reason, detail=f"log-in: {failure.detail}")
