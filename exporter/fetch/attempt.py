"""One fetch, step by step: sign, send, judge, turn the page, for each account.

The steps themselves are pure and stand in their own modules; here they are put in order.
"""

from functools import partial

import msgspec

from exporter.fetch.accounts import Account, find_accounts
from exporter.fetch.beside import LARGE, SLOW
from exporter.fetch.decode import BYTES_OF_VALUE, count_values, most_values
from exporter.fetch.exchanges import Exchanges, Order, Refused, Watch, World
from exporter.fetch.keyring import Keyring
from exporter.fetch.paging import Done, Next, Seen, first, next_step
from exporter.fetch.prepared import Prepared, rules_of
from exporter.fetch.request import Draft, Signature, draft, follow, wire
from exporter.fetch.signing import Signer
from exporter.fetch.verdict import Absent, Judged, Rules, judge
from exporter.fetch.wire import Answer, Wire
from exporter.model.definition import Collector, LinkHeader, Offset, PageNumber
from exporter.model.outcome import Failure, Page, Payload, Reason, Unchanged

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
        keyring: Keyring,
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
        self._beside = world.beside
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
            values = prepared.values.with_account(account.id)
            drafted = draft(collector.request, self._target, values, prepared.moment)
            pages = await self._pages(collector, drafted)
            payloads.append(Payload(pages=pages or (), account=account.label))
        return tuple(payloads)

    async def _accounts(self) -> tuple[Account, ...]:
        rules = self._target.definition.accounts
        if self._target.accounts or rules is None:
            return tuple(Account(name, name) for name in self._target.accounts)
        prepared = self._prepared
        request = rules.collector.request
        drafted = draft(request, self._target, prepared.values, prepared.moment)
        pages = await self._pages(rules.collector, drafted) or ()
        work = partial(find_accounts, rules, pages)
        return await self._beside.call(work, size=self._bytes, large=SLOW)

    async def _pages(
        self, collector: Collector, drafted: Draft, *, conditional: bool = False
    ) -> tuple[Page, ...] | None:
        """Return all pages of a request; None when they are what they were."""
        at = first(collector.paging)
        tag, self.tag = (self.tag if conditional else None), None
        pages: list[Page] = []
        while True:
            answer, judged, kept = await self._page(collector, drafted, at, None if pages else tag)
            match judged:
                case Page():
                    pages.append(kept or judged)
                case Absent():
                    return _ended(collector, pages)
                case Unchanged():
                    self.tag = tag
                    return None
                case Failure():
                    raise Refused(_on_page(judged, at))
            seen = Seen(
                url=answer.url, document=judged.document, lines=answer.lines, kept=drafted.kept
            )
            turn = partial(next_step, collector.paging, at, seen)
            match step := await self._beside.call(turn, size=self._bytes, finishing=True):
                case Next():
                    at = step
                case Done():
                    if conditional:
                        self.tag = self._new_tag(collector, answer, len(pages))
                    return tuple(pages)
                case Failure():
                    raise Refused(step)

    async def _page(
        self, collector: Collector, drafted: Draft, at: Next, tag: Tag | None
    ) -> tuple[Answer, Judged, Page | None]:
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
            judged, kept, weight = await self._beside.call(work, size=len(answer.body))
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
            await self._beside.admit()

    def _rules(self, collector: Collector) -> Rules:
        prepared = self._prepared
        if collector is prepared.collector:
            return prepared.rules
        return rules_of(self._target, collector)

    def _turned(self, drafted: Draft, at: Next, signature: Signature) -> Wire:
        """Return the wire of a page; the first one's is the same at every poll."""
        if at.url is not None:
            return follow(drafted, at.url, signature)
        prepared = self._prepared
        is_first = at.pages == 1 and drafted is prepared.draft
        if is_first and prepared.first is not None and prepared.first[0] is signature:
            return prepared.first[1]
        turned = wire(drafted, signature, page=at.query, body=at.body)
        if is_first:
            prepared.first = (signature, turned)
        return turned

    def _judged(
        self, answer: Answer, rules: Rules, now: float, *, asked_new: bool
    ) -> tuple[Judged, Page | None, int]:
        """Judge an answer. Of a page, return also what may be kept of it and its values.

        A vendor may send secrets back, and what is in a page may become a label; but a link to the
        next page that holds a key is followed as it is. The values are what the page adds to those
        that a poll may hold.
        """
        redactor = self._keyring.redactor
        judged = judge(answer, rules, now, asked_new=asked_new, clean=redactor.text)
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

    def _new_tag(self, collector: Collector, answer: Answer, pages: int) -> Tag | None:
        """Return the ETag of an answer that is the whole of what was asked.

        With several pages the first may stand while another changes, and a Link header is no part
        of what an ETag covers.
        """
        etag = answer.headers.get("etag", "")
        if len(etag) > _LONGEST_TAG:
            return None
        whole = pages == 1 and not isinstance(collector.paging, LinkHeader)
        signature = self._keyring.signature
        return Tag(answer.url, signature, etag) if etag and whole and signature else None


def _asking_for_news(request: Wire, tag: Tag) -> Wire:
    headers = {**request.headers, "If-None-Match": tag.etag}
    return msgspec.structs.replace(request, headers=headers)


def _without_body(answer: Answer) -> Answer:
    """Let go of a large body, which would stay in memory beside what was made from it."""
    return msgspec.structs.replace(answer, body=b"") if len(answer.body) > LARGE else answer


def _ended(collector: Collector, pages: list[Page]) -> tuple[Page, ...]:
    """Take "there is none" for the end where pages are counted: some say so past the last one."""
    if pages and not isinstance(collector.paging, PageNumber | Offset):
        detail = f"page {len(pages) + 1}, which the vendor named, is not there"
        raise Refused(Failure(reason=Reason.PAGING, detail=detail))
    return tuple(pages)


def _on_page(failure: Failure, at: Next) -> Failure:
    if at.pages == 1:
        return failure
    return msgspec.structs.replace(failure, detail=f"page {at.pages}: {failure.detail}")
