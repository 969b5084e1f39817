"""A poll of a vendor, from top to bottom: prepare, sign, send, classify, next page, payload.

`Client` keeps what outlives a poll: connections, log-in tokens, rendered requests and ETags.
`Attempt` is one poll of a collector; its methods stand in the order in which they run:

    run → _read_pages → _read_page → _sign (→ _log_in) → _send → _classify

The steps are pure and stand in modules of their own (`request`, `authorize`, `classify`,
`ratelimit`, `paginate`); `transport` alone touches the network. A step that ends the poll raises:
`_FailedError` with the failure, or an error of its own, of which `_failure` makes one.

Nothing here retries or sleeps: that is the scheduler's.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Self

import msgspec

from exporter.fetch.authorize import (
    TOO_FRESH,
    AuthError,
    Credentials,
    Token,
    Tokens,
    apply_auth,
    read_secrets,
    read_token,
)
from exporter.fetch.classify import Absent, Classified, Rules, classify_response, rules_of
from exporter.fetch.decode import (
    BYTES_OF_VALUE,
    FindError,
    count_values,
    excerpt,
    find,
    most_values,
)
from exporter.fetch.errors import Timeouts
from exporter.fetch.http import HttpRequest, HttpResponse, LinkError, host_of, safe_url
from exporter.fetch.offload import LARGE, SLOW, Offload
from exporter.fetch.paginate import Pager, PagingError
from exporter.fetch.ratelimit import read_rate_limit
from exporter.fetch.request import (
    Draft,
    PageRequest,
    RequestError,
    Signature,
    draft_request,
    to_http_request,
    uses_account,
)
from exporter.fetch.resolve import LookUp
from exporter.fetch.transport import Send, Transport
from exporter.kernel.calendar import Cycle, Span, span
from exporter.kernel.jmes import SelectError
from exporter.kernel.problems import type_and_place
from exporter.kernel.secrets import MASK, Secret, clip, is_secret_name, redact_url
from exporter.kernel.templates import DATE_WORDS, Clock, Template
from exporter.model.definition.auth import TokenAuth
from exporter.model.definition.provider import Accounts, Collector
from exporter.model.definition.responses import ResponseRules
from exporter.model.definition.rows import RowsError, row_scope
from exporter.model.outcome import Exchange, Failure, Fetched, Page, Payload, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.model.target import SecretSource, Target

_SOON = 120.0  # seconds: intervals up to this are worth a warm connection
_MOST_WARM = 32  # budgets: an idle TLS connection holds 325 kB
_MOST_PREPARED = 2048  # collectors of targets: about 3 kB each
_LONGEST_DETAIL = 512  # characters


class Client:
    """Fetches. An async context manager: its end closes the connections.

    `read_secret` is asked at every fetch, so that a renewed key is used at once; whatever it raises
    must have a text without the secret. `wall` gives epoch seconds. `connect_timeout` and
    `read_timeout` are seconds; the deadline of a whole poll is the caller's. `look_up_timeout` is
    that of a name; `look_up` replaces the system's resolver, `send` the whole network, for
    recorded answers. ``offload`` runs work on large answers.
    """

    def __init__(
        self,
        *,
        read_secret: Callable[[SecretSource], Secret],
        wall: Callable[[], float],
        look_up_timeout: float = 10.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        look_up: LookUp | None = None,
        send: Send | None = None,
    ) -> None:
        self.offload = Offload()
        self.wall = wall
        self.tokens = Tokens(wall)
        timeouts = Timeouts(look_up=look_up_timeout, connect=connect_timeout, read=read_timeout)
        self._transport = Transport(timeouts, self.offload, look_up=look_up)
        self.send: Send = send or self._transport.send
        self._read_secret = read_secret
        self._prepared: dict[tuple[str, str], Prepared] = {}
        self._etags: dict[tuple[str, str], ETag] = {}
        self._warm: dict[str, float] = {}  # budget -> when it was last used

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.offload.close()
        await self._transport.close()

    async def fetch(
        self,
        target: Target,
        collector: Collector,
        *,
        at: float | None = None,
        on_exchange: Callable[[Exchange], None] | None = None,
        excerpts: bool = False,
    ) -> Fetched:
        """Make one attempt and say what came of it; nothing is raised but cancellation.

        `at` is the instant (epoch seconds, default now) that dates in the request are worked out
        for. `on_exchange` gets every exchange as soon as it is over, with `excerpts` together with
        the beginning of the body.
        The ETag of a good answer is kept: `forget` it when the answer was not learned from.
        """
        key = (target.name, collector.name)
        etag = self._etags.pop(key, None)  # a fetch that is cancelled leaves none
        try:
            prepared = self._prepare(target, collector, self.wall() if at is None else at)
            secrets = read_secrets(target, self._read_secret)
            credentials = prepared.credentials
            if credentials is None or credentials.secrets != secrets:
                credentials = Credentials(target, prepared.values, secrets)
                prepared.credentials = credentials
        except Exception as error:  # noqa: BLE001 - a fetch never raises; its failure says why
            return Fetched(result=_failure(error))
        attempt = Attempt(
            self,
            prepared,
            credentials,
            etag=etag,
            warm=self._is_warm(target),
            on_exchange=on_exchange,
            excerpts=excerpts,
        )
        try:
            result: tuple[Payload, ...] | Unchanged | Failure = await attempt.run()
        except Exception as error:  # noqa: BLE001 - as above
            result = _failure(error)
            detail = clip(credentials.redactor.text(result.detail), _LONGEST_DETAIL)
            result = msgspec.structs.replace(result, detail=detail)
        else:
            if attempt.etag is not None:
                self._etags[key] = attempt.etag
        return Fetched(result=result, rate=attempt.rate, exchanges=tuple(attempt.exchanges))

    def forget(self, target: Target, collector: str) -> None:
        """Ask for the whole answer next time: the values of the last one were dropped.

        What was rendered for the polls of this collector, its secrets among it, is freed.
        """
        self._etags.pop((target.name, collector), None)
        self._prepared.pop((target.name, collector), None)

    async def keep(self, targets: Iterable[Target]) -> None:
        """Close the connections that none of `targets` will use."""
        await self._transport.keep({target.http.tls for target in targets})

    def _prepare(self, target: Target, collector: Collector, now: float) -> "Prepared":
        key = (target.name, collector.name)
        prepared = self._prepared.get(key)
        if prepared is None or not prepared.serves(target, collector, now):
            self._prepared.pop(key, None)
            if len(self._prepared) >= _MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            prepared = self._prepared[key] = Prepared(target, collector, now)
        return prepared

    def _is_warm(self, target: Target) -> bool:
        """Tell whether the connection is kept between two polls: for a few busy budgets."""
        if min(target.collectors.values(), default=_SOON + 1) > _SOON:
            return False
        now = self.wall()
        if target.budget not in self._warm and len(self._warm) >= _MOST_WARM:
            self._warm = {b: at for b, at in self._warm.items() if 0 <= now - at <= 2 * _SOON}
            if len(self._warm) >= _MOST_WARM:
                return False
        self._warm[target.budget] = now
        return True


_NOW = re.compile(r"\{now\b")
_DATED = re.compile(rf"\{{(?:{'|'.join(map(re.escape, DATE_WORDS))})\b")


class Prepared:
    """What stays the same from poll to poll of one collector: values, request, rules, signature.

    Rendered anew for each poll they would cost as much as the exchange itself. They hold until the
    target or the day changes (`serves`). ``draft`` is None where each account of a fan-out has one
    of its own. ``first`` is the first page's request with the signature that it was made with,
    ``credentials`` those of the last poll.
    """

    def __init__(self, target: Target, collector: Collector, now: float) -> None:
        self.target = target
        self.collector = collector
        self.clock = target.clock(now)
        self.values = target.values(self.clock)
        self.rules = rules_of(target.definition, collector)
        fans_out = bool(target.accounts) or target.definition.accounts is not None
        self.draft: Draft | None = None
        if not (fans_out and uses_account(collector.request)):
            self.draft = draft_request(collector.request, target, self.values, self.clock)
        self.first: tuple[Signature, HttpRequest] | None = None
        self.credentials: Credentials | None = None
        # All words for dates but ``now`` change only when a day of the definition's zone begins.
        texts = [template.text for template in _templates(target, collector)]
        self._holds: Span | None = None  # None: for ever
        if any(map(_NOW.search, texts)):
            self._holds = Span(now, now + 1e-6)
        elif any(map(_DATED.search, texts)):
            self._holds = span(Cycle.DAY, now, zone=self.clock.zone)

    def serves(self, target: Target, collector: Collector, now: float) -> bool:
        """Tell whether all of this holds for a poll at `now`."""
        if self.target is not target or self.collector is not collector:
            return False
        return self._holds is None or self._holds.start <= now < self._holds.end


def _templates(target: Target, collector: Collector) -> Iterator[Template]:
    yield from collector.request.templates
    yield from target.auth.templates
    for param in target.definition.params.values():
        if param.default is not None:
            yield param.default


class ETag(msgspec.Struct, frozen=True, gc=False):
    """The version of an answer that was accepted, and the request that it counts for."""

    url: str
    signature: Signature
    value: str


class _FailedError(Exception):
    """The poll is over: nothing was learned, for this reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


_ANSWERS = 4
"""All pages of a poll may hold as much as so many of the largest answers."""
_LONGEST_ETAG = 1024  # characters: one is kept for each collector of a target
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HARMLESS = frozenset({"content-length", "content-type", "date", "retry-after", "server", "via"})
_LOG_IN_BYTES = 1024 * 1024
_LOG_IN_ACCEPTED = ResponseRules(accepted=frozenset({200, 201}))
_BAD_LOG_IN = frozenset({400, 401, 403, 422})
"""What vendors answer to a wrong password or client secret (OAuth 2: 400 and 401)."""


class Attempt:
    """One poll of one collector of a target: what its requests share.

    ``exchanges`` are those so far, also when the poll failed; ``etag`` is the version that was
    learned, None when there is none to be kept.
    """

    def __init__(
        self,
        client: Client,
        prepared: Prepared,
        credentials: Credentials,
        *,
        etag: ETag | None,
        warm: bool,
        on_exchange: Callable[[Exchange], None] | None,
        excerpts: bool,
    ) -> None:
        self.exchanges: list[Exchange] = []
        self.etag = etag
        self._client = client
        self._prepared = prepared
        self._target = prepared.target
        self._credentials = credentials
        self._warm = warm
        self._on_exchange = on_exchange
        self._excerpts = excerpts
        self._clock = asyncio.get_running_loop().time
        self._rate: RateLimit | None = None
        self._retry_at = -math.inf  # loop time
        self._values = self._bytes = 0  # of all pages so far
        self._refused_token: Token | None = None
        self._refusal: Failure | None = None  # of that token

    @property
    def rate(self) -> RateLimit | None:
        """The API's own limit by the last answer that names it, log-ins aside.

        ``wait`` is what is left of the longest ``Retry-After`` on a good answer: the vendor itself
        handed out the next page, but the next poll has to wait.
        """
        wait = self._retry_at - self._clock()
        if wait <= 0.0:
            return self._rate
        return msgspec.structs.replace(self._rate or RateLimit(), wait=wait)

    async def run(self) -> tuple[Payload, ...] | Unchanged:
        """Fetch all pages of all accounts. Raises _FailedError, or a step's own error."""
        prepared, target = self._prepared, self._target
        collector = prepared.collector
        if prepared.draft is not None:
            pages = await self._read_pages(
                collector, prepared.draft, conditional=collector.conditional
            )
            return Unchanged() if pages is None else (Payload(pages=pages),)
        accounts = tuple(Account(name, name) for name in target.accounts)
        discovery = target.definition.accounts
        if not accounts and discovery is not None:
            request = discovery.collector.request
            draft = draft_request(request, target, prepared.values, prepared.clock)
            found = await self._read_pages(discovery.collector, draft) or ()
            accounts = await self._client.offload.call(
                partial(find_accounts, discovery, found), size=self._bytes, large=SLOW
            )
        payloads: list[Payload] = []
        for account in accounts:
            values = prepared.values.with_texts({"account.id": account.id})
            draft = draft_request(collector.request, target, values, prepared.clock)
            pages = await self._read_pages(collector, draft) or ()
            payloads.append(Payload(pages=pages, account=account.label))
        return tuple(payloads)

    async def _read_pages(
        self, collector: Collector, draft: Draft, *, conditional: bool = False
    ) -> tuple[Page, ...] | None:
        """Return all pages of a request; None when the vendor says that nothing changed (304)."""
        etag, self.etag = (self.etag if conditional else None), None
        pager = Pager(collector.paging, draft.kept)
        pages: list[Page] = []
        while (wanted := pager.wanted) is not None:
            response, classified, page = await self._read_page(
                collector, draft, wanted, None if pages else etag
            )
            match classified:
                case Page():
                    pages.append(page or classified)
                    step = partial(pager.advance, response, classified.document)
                    await self._client.offload.call(step, size=self._bytes, finishing=True)
                    if pager.continues:
                        pages[-1] = msgspec.structs.replace(pages[-1], continues=pager.continues)
                    # With several pages the first may stand while another changes, and a Link
                    # header is no part of what an ETag covers.
                    is_whole = wanted.number == 1 and pager.wanted is None
                    if conditional and is_whole and not collector.paging.next_in_headers:
                        self.etag = self._etag_of(response)
                case Absent():
                    pager.end()
                case Unchanged():
                    self.etag = etag
                    return None
                case Failure():
                    if wanted.number > 1:
                        detail = f"page {wanted.number}: {classified.detail}"
                        classified = msgspec.structs.replace(classified, detail=detail)
                    raise _FailedError(classified)
        return tuple(pages)

    def _etag_of(self, response: HttpResponse) -> ETag | None:
        value = response.headers.get("etag", "")
        signature = self._credentials.signature
        if not value or len(value) > _LONGEST_ETAG or signature is None:
            return None
        return ETag(response.url, signature, value)

    async def _read_page(
        self, collector: Collector, draft: Draft, wanted: PageRequest, etag: ETag | None
    ) -> tuple[HttpResponse, Classified, Page | None]:
        """Ask for one page, with a new token if the one that is kept is refused.

        Returns the answer, what it means, and what is kept of a good one.
        """
        prepared, offload = self._prepared, self._client.offload
        is_own = collector is prepared.collector
        rules = prepared.rules if is_own else rules_of(self._target.definition, collector)
        is_first = wanted.number == 1 and draft is prepared.draft
        while True:
            signature = await self._sign()
            if is_first and prepared.first is not None and prepared.first[0] is signature:
                request = prepared.first[1]  # the same at every poll
            else:
                request = to_http_request(draft, signature, wanted)
                if is_first:
                    prepared.first = (signature, request)
            is_known = etag is not None and (etag.url, etag.signature) == (request.url, signature)
            if etag is not None and is_known:
                headers = {**request.headers, "If-None-Match": etag.value}
                request = msgspec.structs.replace(request, headers=headers)
            response = await self._send(request, draft, signature, most=collector.max_bytes)
            work = partial(self._classify, response, rules, self._client.wall(), asked_new=is_known)
            size = len(response.body)
            classified, page, values = await offload.call(work, size=size)
            if not self._is_token_refused(classified):
                break
        # All pages are kept until the last one is there: each by itself may be small.
        self._values += values
        self._bytes += size
        most = _ANSWERS * most_values(collector.max_bytes)
        if self._values > most:
            detail = (
                f"the pages have more than {most} keys and values together, {_ANSWERS} times what"
                " one answer may have; narrow the request by params, or raise max_size"
            )
            raise _FailedError(Failure(reason=Reason.TOO_LARGE, detail=detail))
        if self._bytes > LARGE:
            await offload.admit()
        if size > LARGE:  # it would stay in memory beside what was made from it
            response = msgspec.structs.replace(response, body=b"")
        return response, classified, page

    async def _sign(self) -> Signature:
        """Return the signature of a request, after a log-in where one is needed.

        Raises _FailedError and AuthError.
        """
        auth, credentials = self._target.auth, self._credentials
        if auth.token_auth is not None:
            token = await self._client.tokens.get(
                self._log_in_key(auth.token_auth),
                partial(self._log_in, auth.token_auth),
                refused=self._refused_token,
            )
            if token is TOO_FRESH and self._refusal is not None:
                detail = f"{self._refusal.detail}; {TOO_FRESH.detail}"
                raise _FailedError(msgspec.structs.replace(self._refusal, detail=detail))
            if isinstance(token, Failure):
                raise _FailedError(token)
            if token is not credentials.token:
                credentials.take(token)
        return credentials.signature or credentials.sign(auth, self._prepared.clock)

    def _is_token_refused(self, classified: Classified) -> bool:
        """Tell whether a token that may be old was refused; `_sign` then gets another, once."""
        if self._credentials.token is None or self._refusal is not None:
            return False
        if not isinstance(classified, Failure) or classified.reason is not Reason.AUTH:
            return False
        self._refused_token, self._refusal = self._credentials.token, classified
        return True

    def _log_in_key(self, auth: TokenAuth) -> tuple[object, ...]:
        """Return what makes two log-ins the same: all that is sent, at a fixed time."""
        key = self._credentials.log_in_key
        if key is None:
            request, _, _ = self._log_in_request(auth, Clock(0.0))
            headers = tuple(sorted(request.headers.items()))
            key = self._target.budget, request.method, request.url, headers, request.body
            self._credentials.log_in_key = key
        return key

    def _log_in_request(
        self, auth: TokenAuth, clock: Clock
    ) -> tuple[HttpRequest, Draft, Signature]:
        values = self._credentials.values
        signature = apply_auth(auth.login, values.texts, clock)
        self._credentials.learn(signature)
        draft = draft_request(auth.request, self._target, values, clock)
        return to_http_request(draft, signature), draft, signature

    async def _log_in(self, auth: TokenAuth) -> Token | Failure:
        rules = Rules(verdict=_LOG_IN_ACCEPTED, throttling=self._target.definition.throttling)
        try:
            request, draft, signature = self._log_in_request(auth, self._prepared.clock)
            response = await self._send(
                request, draft, signature, most=_LOG_IN_BYTES, is_log_in=True
            )
            now = self._client.wall()
            clean = self._credentials.redactor.text
            classified = classify_response(response, rules, now, clean=clean)
            if not isinstance(classified, Failure):
                document = classified.document if isinstance(classified, Page) else None
                return read_token(auth, document, now)
            failure = classified
        except _FailedError as error:
            failure = error.failure
        except AuthError as error:
            failure = Failure(reason=Reason.SCHEMA, detail=str(error))
        reason = Reason.AUTH if failure.status in _BAD_LOG_IN else failure.reason
        return msgspec.structs.replace(failure, reason=reason, detail=f"log-in: {failure.detail}")

    async def _send(
        self,
        request: HttpRequest,
        draft: Draft,
        signature: Signature,
        *,
        most: int,
        is_log_in: bool = False,
    ) -> HttpResponse:
        """Send a request, record the exchange, and follow redirects that stay on the origin.

        At most `most` bytes are read. Raises _FailedError.
        """
        first_url = request.url
        for _ in range(_MOST_REDIRECTS + 1):
            began = self._clock()
            outcome = await self._client.send(
                request, self._target.http, most=most, warm=self._warm
            )
            seconds = self._clock() - began
            if isinstance(outcome, Failure):
                self._record(request, None, seconds, is_log_in=is_log_in)
                raise _FailedError(outcome)
            self._record(request, outcome, seconds, is_log_in=is_log_in)
            if not is_log_in:  # the wait of a refusal comes with its failure
                rules = self._target.definition.throttling
                limits = read_rate_limit(outcome.lines, self._client.wall(), rules)
                self._rate = limits.rate or self._rate
                if outcome.status < HTTPStatus.BAD_REQUEST and limits.retry_after is not None:
                    self._retry_at = max(self._retry_at, self._clock() + limits.retry_after)
            location = outcome.headers.get("location")
            is_redirect = outcome.status in _REDIRECTS and request.method in ("GET", "HEAD")
            if not location or not is_redirect:
                return outcome
            try:
                url = safe_url(location, outcome.url, draft.kept)
            except LinkError:
                return outcome
            request = to_http_request(draft, signature, PageRequest(url=url))
        detail = f"{host_of(first_url)}: more than {_MOST_REDIRECTS} redirects, one after the other"
        raise _FailedError(Failure(reason=Reason.HTTP_4XX, detail=detail))

    def _record(
        self,
        request: HttpRequest,
        response: HttpResponse | None,
        seconds: float,
        *,
        is_log_in: bool,
    ) -> None:
        """Add a request and its answer to the exchanges, without secrets.

        Headers that are secret by their name are masked. Of a log-in's answer nothing is shown but
        what is harmless.
        """
        redactor = self._credentials.redactor
        headers: Mapping[str, str] = {}
        if response is not None:
            hidden = {
                name: redact_url(value) if name == "location" else MASK
                for name, value in response.headers.items()
                if name == "location"
                or is_secret_name(name)
                or (is_log_in and name not in _HARMLESS and "rate" not in name)
            }
            headers = {**response.headers, **hidden} if hidden else response.headers
            headers = redactor.headers(headers)
        url, request_headers = self._credentials.shown_request(request, self._target.http.headers)
        exchange = Exchange(
            method=request.method,
            url=url,
            request_headers=request_headers,
            status=None if response is None else response.status,
            headers=headers,
            size=0 if response is None else len(response.body),
            seconds=seconds,
        )
        self.exchanges.append(exchange)
        if self._on_exchange is None:
            return
        if self._excerpts and response is not None and response.body:
            kind = response.headers.get("content-type", "")
            shown = "(the answer of a log-in is not shown)"
            if not is_log_in:
                shown = excerpt(response.body, clean=redactor.text, kind=kind)
            exchange = msgspec.structs.replace(exchange, excerpt=shown)
        self._on_exchange(exchange)

    def _classify(
        self, response: HttpResponse, rules: Rules, now: float, *, asked_new: bool
    ) -> tuple[Classified, Page | None, int]:
        """Classify an answer. Of a page, return also what may be kept of it and its values.

        A vendor may send secrets back, and what is in a page may become a label; but a link to the
        next page that holds a key is followed as it is. The values are what the page adds to those
        that a poll may hold.
        """
        redactor = self._credentials.redactor
        classified = classify_response(
            response, rules, now, asked_new=asked_new, clean=redactor.text
        )
        if not isinstance(classified, Page):
            return classified, None, 0
        size, values = len(response.body), 0
        if self._bytes or size > SLOW:  # one small answer is not worth the microseconds
            values = max(count_values(response.body, size), size // BYTES_OF_VALUE)
        headers = redactor.headers(classified.headers)
        document: object = headers
        if classified.document is not classified.headers:
            document = redactor.document(classified.document)
        if document is classified.document and headers is classified.headers:
            return classified, classified, values
        return classified, Page(document=document, headers=headers), values


def _failure(error: Exception) -> Failure:
    match error:
        case _FailedError():
            return error.failure
        case AuthError():
            reason, detail = Reason.AUTH, str(error)
        case PagingError():
            reason, detail = error.reason, str(error)
        case AccountsError() | LinkError():
            reason, detail = Reason.SCHEMA, f"the accounts: {error}"
        case RequestError():
            reason, detail = Reason.INTERNAL, str(error)
        case RecursionError():
            reason, detail = Reason.NOT_JSON, "the answer is nested too deeply"
        case _:
            reason, detail = Reason.INTERNAL, f"our own bug: {type_and_place(error)}"
    return Failure(reason=reason, detail=detail)


# ------------------------------------------------------------------------ the accounts of a fan-out

_LONGEST_LABEL = 128  # characters


class Account(msgspec.Struct, frozen=True, gc=False):
    """One account: ``id`` goes into the requests, ``label`` is shown to people."""

    id: str
    label: str


class AccountsError(ValueError):
    """The discovery's answer does not hold what the definition says."""


def find_accounts(rules: Accounts, pages: tuple[Page, ...]) -> tuple[Account, ...]:
    """Return the accounts on `pages`, each once; none is an answer, too.

    An account without a label, or with one that is another's label or id as well, is labelled with
    its id. Raises AccountsError where rows or ids are missing.
    """
    found: dict[str, str] = {}
    try:
        for row, _ in row_scope(rules.rows, [page.document for page in pages]).rows:
            identity = _text(find(rules.id, row))
            if not identity:
                raise AccountsError(f'an account has no id at "{rules.id.text}"')
            label = _text(find(rules.label, row)) if rules.label else ""
            found[identity] = clip(label, _LONGEST_LABEL)
    except (FindError, RowsError) as error:
        raise AccountsError(str(error)) from error
    except SelectError as error:  # its text quotes the document, which may hold a secret
        raise AccountsError("the rows cannot be searched for in this answer") from error
    times = Counter(found.values())
    labels = {
        identity: label if label and times[label] == 1 and label not in found else identity
        for identity, label in found.items()
    }
    return tuple(Account(identity, label) for identity, label in labels.items())


def _text(value: object) -> str:
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip() if known else ""
