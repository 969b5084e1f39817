"""A folder with an answer for each collector, read as the client would read it.

``usage.json`` (or ``.jsonl``) is the answer to the collector ``usage``; ``usage.1.json`` and so on
are its pages; ``usage.headers.json`` (``usage.1.headers.json``) is a map of headers. With accounts,
``accounts.json`` lists them, and a folder of an account's id may hold answers of its own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from exporter.fetch.accounts import Account, AccountsError, find_accounts
from exporter.fetch.paging import Done, Next, Seen, first, next_step
from exporter.fetch.prepared import clock_of, rules_of
from exporter.fetch.request import Draft, RequestError, Signature, draft, follow, uses_account, wire
from exporter.fetch.values import Values, known_values
from exporter.fetch.verdict import judge
from exporter.fetch.wire import Answer, joined
from exporter.kernel.secrets import clip
from exporter.model.definition import Collector, Format
from exporter.model.outcome import Failure, Page, Payload
from exporter.model.target import Target

_OK = 200


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds for a collector, and what is wrong with it."""

    payloads: tuple[Payload, ...] = ()
    complaints: tuple[str, ...] = ()


class _UnusableError(ValueError):
    """A file is not there, or cannot be used. The text says which and why."""


class _Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the answers to one request; ``complaints`` gather what is wrong with the pages."""

    target: Target
    collector: Collector
    folder: Path
    draft: Draft
    at: float
    complaints: list[str]

    def pages(self) -> tuple[Page, ...]:
        """Turn the pages as the client does. Raises _UnusableError where nothing can be mapped."""
        files = list(_files(self.collector, self.folder))
        if not files:
            name = self.folder / f"{self.collector.name}.json"
            raise _UnusableError(f"no answer: {name} is not there")
        step: Next | Done = first(self.collector.paging)
        url = self._url(step)
        pages: list[Page] = []
        for number, file in enumerate(files, 1):
            if isinstance(step, Done):
                self._complain(f"{file.name} is not asked for: the paging ends before it")
            answer = self._answer(file, number, url)
            page = self._judged(answer, file)
            if page is None:
                return tuple(pages)
            pages.append(page)
            step = self._turned(step, answer, page, file)
            url = self._url(step)
        if isinstance(step, Next):
            wanted = f"{self.collector.name}.{len(pages) + 1}.json"
            self._complain(f"the paging asks for page {step.pages}: {wanted} is not there")
        return tuple(pages)

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{self.collector.name}: {what}")

    def _judged(self, answer: Answer, file: Path) -> Page | None:
        judged = judge(answer, rules_of(self.target, self.collector), self.at)
        if isinstance(judged, Failure):
            raise _UnusableError(f"{file.name}: {judged.detail}")
        return judged if isinstance(judged, Page) else None

    def _turned(self, step: Next | Done, answer: Answer, page: Page, file: Path) -> Next | Done:
        if isinstance(step, Done):
            return step
        seen = Seen(url=answer.url, document=page.document, lines=answer.lines)
        turned = next_step(self.collector.paging, step, seen)
        if isinstance(turned, Failure):
            raise _UnusableError(f"{file.name}: {turned.detail}")
        return turned

    def _url(self, step: Next | Done) -> str:
        if isinstance(step, Done):
            return ""
        if step.url is not None:
            return follow(self.draft, step.url, Signature()).url
        return wire(self.draft, Signature(), page=step.query, body=step.body).url

    def _answer(self, file: Path, number: int, url: str) -> Answer:
        lines = tuple(_headers(self.collector.name, self.folder, number))
        accepted = self.collector.verdict.accepted
        try:
            body = b"" if self.collector.format is Format.HEADERS else file.read_bytes()
        except OSError as error:
            raise _UnusableError(f"{file.name}: {error.strerror or error}") from error
        return Answer(
            status=_OK if _OK in accepted else min(accepted),
            lines=lines,
            headers=joined(lines),
            body=body,
            url=url,
        )


def answers(target: Target, name: str, folder: Path, at: float) -> Told:
    """Return the answers to a collector; `at` is the instant that its request is rendered for."""
    collector = target.definition.collectors[name]
    values = known_values(target, clock_of(target, at))
    complaints: list[str] = []
    payloads = []
    try:
        for account in _accounts(target, collector, folder, values, at):
            known = values if account is None else values.with_account(account.id)
            reader = _Reader(
                target=target,
                collector=collector,
                folder=_place(collector, folder, account),
                draft=draft(collector.request, target, known, clock_of(target, at)),
                at=at,
                complaints=complaints,
            )
            label = "" if account is None else account.label
            payloads.append(Payload(pages=reader.pages(), account=label))
    except (_UnusableError, AccountsError, RequestError) as error:
        return Told(complaints=(*complaints, f"{name}: {error}"))
    return Told(payloads=tuple(payloads), complaints=tuple(complaints))


def _place(collector: Collector, folder: Path, account: Account | None) -> Path:
    """Return the folder of an account's own answers where it has one."""
    if account is None or not any(_files(collector, folder / account.id)):
        return folder
    return folder / account.id


def _accounts(
    target: Target, collector: Collector, folder: Path, values: Values, at: float
) -> Sequence[Account | None]:
    rules = target.definition.accounts
    if not uses_account(collector.request):
        return [None]
    if target.accounts or rules is None:
        return [Account(name, name) for name in target.accounts]
    reader = _Reader(
        target=target,
        collector=rules.collector,
        folder=folder,
        draft=draft(rules.collector.request, target, values, clock_of(target, at)),
        at=at,
        complaints=[],
    )
    pages = reader.pages()
    if reader.complaints:
        raise _UnusableError(reader.complaints[0])
    return list(find_accounts(rules, pages))


def _headers(name: str, folder: Path, number: int) -> Iterator[tuple[str, str]]:
    for file in (folder / f"{name}.headers.json", folder / f"{name}.{number}.headers.json"):
        if not file.exists():
            continue
        try:
            text = file.read_text("utf-8")
            known = msgspec.json.decode(text, type=dict[str, str | list[str]])
        except UnicodeDecodeError as error:
            raise _UnusableError(f"{file.name}: not UTF-8 (byte {error.start})") from error
        except (OSError, msgspec.DecodeError) as error:
            why = clip(str(error))
            raise _UnusableError(f"{file.name} is no map of headers: {why}") from error
        for key, value in known.items():
            several = [value] if isinstance(value, str) else value
            yield from ((key.lower(), one) for one in several)


def _files(collector: Collector, folder: Path) -> Iterator[Path]:
    """Yield the files of a collector's pages, in their order."""
    name = collector.name
    if collector.format is Format.HEADERS:
        headers = folder / f"{name}.headers.json"
        yield from [headers] if headers.exists() else []
        return
    single = [path for end in ("json", "jsonl") if (path := folder / f"{name}.{end}").exists()]
    numbered = {
        int(number): path
        for path in folder.glob("*.json*")
        if path.name.startswith(f"{name}.")
        and path.suffix in (".json", ".jsonl")
        and (number := path.stem.removeprefix(f"{name}.")).isdecimal()
    }
    yield from single or [numbered[number] for number in sorted(numbered)]
