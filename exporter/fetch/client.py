"""The accounts of a fan-out, read from the pages of their discovery.

One fetch, step by step: sign, send, judge, turn the page, for each account.

The steps themselves are pure and stand in their own modules; here they are put in order.

One attempt to fetch what a collector asks for.

The client keeps what outlives a fetch: connections, tokens and ETags. It retries nothing and never
sleeps; what a fetch does, step by step, is in ``attempt``.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from exporter.fetch.authorize import AuthError, Credentials, Tokens, read_secrets
from exporter.fetch.classify import (
    BYTES_OF_VALUE,
    Absent,
    Classified,
    FindError,
    Rules,
    classify_response,
    count_values,
    find,
    most_values,
)
from exporter.fetch.errors import Timeouts
from exporter.fetch.exchange import (
    Exchanges,
    Order,
    Prepared,
    Refused,
    Signer,
    Watch,
    World,
    rules_of,
)
from exporter.fetch.http import HttpRequest, HttpResponse, LinkError
from exporter.fetch.offload import LARGE, SLOW, Offload
from exporter.fetch.paginate import Pager, PageRequest, PagingError
from exporter.fetch.request import (
    Draft,
    RequestError,
    Signature,
    draft_request,
    follow,
    to_http_request,
)
from exporter.fetch.resolve import LookUp
from exporter.fetch.transport import Send, Transport
from exporter.kernel.jmes import SelectError
from exporter.kernel.problems import type_and_place
from exporter.kernel.secrets import Redactor, Secret, clip
from exporter.model.definition.provider import Accounts, Collector
from exporter.model.definition.rows import RowsError, row_scope
from exporter.model.outcome import Failure, Fetched, Page, Payload, Reason, Unchanged
from exporter.model.target import SecretSource, Target

_LONGEST = 128  # characters of a label


class Account(msgspec.Struct, frozen=True):
    """One account: ``id`` goes into the requests, ``label`` is told to people."""

    id: str
    label: str


class AccountsError(ValueError):
    """The discovery's answer does not hold what the definition says."""


def find_accounts(rules: Accounts, pages: tuple[Page, ...]) -> tuple[Account, ...]:
    """Return the accounts on `pages`, each once; none is an answer, too.

    An account without a label, or with one that is another's label or id as well, is told by its
    id. Raises AccountsError where rows or ids are missing.
    """
    found: dict[str, str] = {}
    try:
        for row, _ in row_scope(rules.rows, [page.document for page in pages]).rows:
            identity = _text(find(rules.id, row))
            if not identity:
                raise AccountsError(f'an account has no id at "{rules.id.text}"')
            label = _text(find(rules.label, row)) if rules.label else ""
            found[identity] = clip(label, _LONGEST)
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


_ANSWERS = 4
"""All pages of a poll may hold as much as so many of the largest answers."""
_LONGEST_TAG = 1024  # characters: one is kept for each collector of a target


class Tag(msgspec.Struct, frozen=True, gc=False):
    """The version of an answer that was accepted, and for what it counts."""

    url: str
    signature: Signature
    etag: str


class Attempt:
    """One attempt at one collector of one target.

    ``exchanges`` tell what happened so far, also when it failed; ``tag`` is the version that was
    learned, None when there is none to be kept.
    """

    def __init__(
        self,
        prepared: Prepared,
        keyring: Credentials,
        world: World,
        *,
        tag: Tag | None,
        warm: bool,
        watch: Watch | None,
    ) -> None:
        self.tag = tag
        self.exchanges = Exchanges(prepared.target, keyring, world, warm=warm, watch=watch)
        self._prepared = prepared
        self._keyring = keyring
        self._target = prepared.target
        self._wall = world.wall
        self._offload = world.offload
        self._values = self._bytes = 0  # of all pages so far
        self._signer = Signer(self._target, keyring, prepared.moment, world, self.exchanges)

    async def run(self) -> tuple[Payload, ...] | Unchanged:
        """Fetch all pages of all accounts. Raises Refused, or a step's own ValueError."""
        prepared = self._prepared
        collector = prepared.collector
        if prepared.draft is not None:
            pages = await self._pages(collector, prepared.draft, conditional=collector.conditional)
            return Unchanged() if pages is None else (Payload(pages=pages),)
        payloads: list[Payload] = []
        for account in await self._accounts():
            values = prepared.values.with_texts({"account.id": account.id})
            drafted = draft_request(collector.request, self._target, values, prepared.moment)
            pages = await self._pages(collector, drafted)
            payloads.append(Payload(pages=pages or (), account=account.label))
        return tuple(payloads)

    async def _accounts(self) -> tuple[Account, ...]:
        rules = self._target.definition.accounts
        if self._target.accounts or rules is None:
            return tuple(Account(name, name) for name in self._target.accounts)
        prepared = self._prepared
        request = rules.collector.request
        drafted = draft_request(request, self._target, prepared.values, prepared.moment)
        pages = await self._pages(rules.collector, drafted) or ()
        work = partial(find_accounts, rules, pages)
        return await self._offload.call(work, size=self._bytes, large=SLOW)

    async def _pages(
        self, collector: Collector, drafted: Draft, *, conditional: bool = False
    ) -> tuple[Page, ...] | None:
        """Return all pages of a request; None when they are what they were."""
        pager = Pager(collector.paging, drafted.kept)
        tag, self.tag = (self.tag if conditional else None), None
        pages: list[Page] = []
        while (at := pager.wanted) is not None:
            answer, judged, kept = await self._page(collector, drafted, at, None if pages else tag)
            match judged:
                case Page():
                    pages.append(kept or judged)
                    turn = partial(pager.advance, answer, judged.document)
                    await self._offload.call(turn, size=self._bytes, finishing=True)
                    if conditional:
                        self.tag = self._new_tag(collector, answer, len(pages))
                case Absent():
                    pager.end()
                    return tuple(pages)
                case Unchanged():
                    self.tag = tag
                    return None
                case Failure():
                    raise Refused(_on_page(judged, at))
        return tuple(pages)

    async def _page(
        self, collector: Collector, drafted: Draft, at: PageRequest, tag: Tag | None
    ) -> tuple[HttpResponse, Classified, Page | None]:
        """Ask for one page, with a new token if the one that is kept is refused."""
        rules = self._rules(collector)
        while True:
            signature = await self._signer.sign()
            request = self._turned(drafted, at, signature)
            known = tag is not None and (tag.url, tag.signature) == (request.url, signature)
            if tag is not None and known:
                request = _asking_for_news(request, tag)
            answer = await self.exchanges.ask(
                Order(wire=request, draft=drafted, signature=signature, most=collector.max_bytes)
            )
            work = partial(self._judged, answer, rules, self._wall(), asked_new=known)
            judged, kept, weight = await self._offload.call(work, size=len(answer.body))
            if not self._signer.renews(judged):
                await self._add(collector, len(answer.body), weight)
                return _without_body(answer), judged, kept

    async def _add(self, collector: Collector, size: int, weight: int) -> None:
        """Add a page to what this poll holds in memory. Raises Refused where it is too much.

        All pages are kept until the last one is there: each by itself may be small.
        """
        self._values += weight
        self._bytes += size
        most = _ANSWERS * most_values(collector.max_bytes)
        if self._values > most:
            detail = (
                f"the pages have more than {most} keys and values together, {_ANSWERS} times what"
                " one answer may have; narrow the request by params, or raise max_size"
            )
            raise Refused(Failure(reason=Reason.TOO_LARGE, detail=detail))
        if self._bytes > LARGE:
            await self._offload.admit()

    def _rules(self, collector: Collector) -> Rules:
        prepared = self._prepared
        if collector is prepared.collector:
            return prepared.rules
        return rules_of(self._target, collector)

    def _turned(self, drafted: Draft, at: PageRequest, signature: Signature) -> HttpRequest:
        """Return the wire of a page; the first one's is the same at every poll."""
        if at.url is not None:
            return follow(drafted, at.url, signature)
        prepared = self._prepared
        is_first = at.number == 1 and drafted is prepared.draft
        if is_first and prepared.first is not None and prepared.first[0] is signature:
            return prepared.first[1]
        turned = to_http_request(drafted, signature, page=at.query, body=at.body)
        if is_first:
            prepared.first = (signature, turned)
        return turned

    def _judged(
        self, answer: HttpResponse, rules: Rules, now: float, *, asked_new: bool
    ) -> tuple[Classified, Page | None, int]:
        """Judge an answer. Of a page, return also what may be kept of it and its values.

        A vendor may send secrets back, and what is in a page may become a label; but a link to the
        next page that holds a key is followed as it is. The values are what the page adds to those
        that a poll may hold.
        """
        redactor = self._keyring.redactor
        judged = classify_response(answer, rules, now, asked_new=asked_new, clean=redactor.text)
        if not isinstance(judged, Page):
            return judged, None, 0
        size, weight = len(answer.body), 0
        if self._bytes or size > SLOW:  # one small answer is not worth the microseconds
            weight = max(count_values(answer.body, size), size // BYTES_OF_VALUE)
        headers = redactor.headers(judged.headers)
        if judged.document is judged.headers:
            return judged, Page(document=headers, headers=headers), weight
        document = redactor.document(judged.document)
        if document is judged.document and headers is judged.headers:
            return judged, judged, weight
        return judged, Page(document=document, headers=headers), weight

    def _new_tag(self, collector: Collector, answer: HttpResponse, pages: int) -> Tag | None:
        """Return the ETag of an answer that is the whole of what was asked.

        With several pages the first may stand while another changes, and a Link header is no part
        of what an ETag covers.
        """
        etag = answer.headers.get("etag", "")
        if len(etag) > _LONGEST_TAG:
            return None
        whole = pages == 1 and not collector.paging.next_in_headers
        signature = self._keyring.signature
        return Tag(answer.url, signature, etag) if etag and whole and signature else None


def _asking_for_news(request: HttpRequest, tag: Tag) -> HttpRequest:
    headers = {**request.headers, "If-None-Match": tag.etag}
    return msgspec.structs.replace(request, headers=headers)


def _without_body(answer: HttpResponse) -> HttpResponse:
    """Let go of a large body, which would stay in memory beside what was made from it."""
    return msgspec.structs.replace(answer, body=b"") if len(answer.body) > LARGE else answer


def _on_page(failure: Failure, at: PageRequest) -> Failure:
    if at.number == 1:
        return failure
    return msgspec.structs.replace(failure, detail=f"page {at.number}: {failure.detail}")


_SOON = 120.0  # seconds: intervals up to this are worth a warm connection
_MOST_WARM = 32  # budgets: an idle TLS connection holds 325 kB
_MOST_PREPARED = 2048  # collectors of targets: about 3 kB each
_LONGEST_DETAIL = 512


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
        timeouts = Timeouts(look_up=look_up_timeout, connect=connect_timeout, read=read_timeout)
        self._transport = Transport(timeouts, self.offload, look_up=look_up)
        self._world = World(
            read_secret=read_secret,
            wall=wall,
            clock=lambda: asyncio.get_running_loop().time(),
            send=send or self._transport.send,
            tokens=Tokens(wall),
            offload=self.offload,
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
        self.offload.close()
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

    def _unlock(self, prepared: Prepared) -> Credentials:
        """Read the secrets; the keyring of the last poll holds as long as they are the same."""
        secrets = read_secrets(prepared.target, self._world.read_secret)
        keyring = prepared.keyring
        if keyring is None or keyring.secrets != secrets:
            keyring = prepared.keyring = Credentials(prepared.target, prepared.values, secrets)
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


def _failure(error: Exception) -> Failure:
    match error:
        case Refused():
            return error.failure
        case AuthError():
            return Failure(reason=Reason.AUTH, detail=str(error))
        case PagingError():
            return Failure(reason=Reason.PAGING, detail=str(error))
        case AccountsError():
            return Failure(reason=Reason.SCHEMA, detail=f"the accounts: {error}")
        case LinkError():
            return Failure(reason=Reason.SCHEMA, detail=f"the accounts: {error}")
        case RequestError():
            return Failure(reason=Reason.INTERNAL, detail=str(error))
        case RecursionError():
            return Failure(reason=Reason.NOT_JSON, detail="the answer is nested too deeply")
        case _:
            return Failure(reason=Reason.INTERNAL, detail=f"our own bug: {type_and_place(error)}")
