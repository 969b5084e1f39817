"""What an answer means: a page, nothing there, nothing new, or a failure with its reason."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urljoin

import msgspec

from exporter.fetch.decode import (
    MOST_VALUES,
    NotJsonError,
    TooManyValuesError,
    decode,
    excerpt,
)
from exporter.fetch.finding import FindError, find
from exporter.fetch.waits import retry_after, wait
from exporter.fetch.wire import Answer, host_of, origin_of
from exporter.kernel.secrets import clip
from exporter.kernel.select import Selector, compile_path
from exporter.model.definition import Format, Match, Throttling, Verdict
from exporter.model.outcome import Failure, Page, Reason, Unchanged


class Absent(msgspec.Struct, frozen=True, gc=False):
    """The vendor says that there is none: no payload, and no failure."""


Judged: TypeAlias = Page | Absent | Unchanged | Failure


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers to one request are judged by.

    ``most_values``: keys and values that one answer may hold.
    """

    verdict: Verdict = Verdict()
    format: Format = Format.JSON
    throttling: Throttling = Throttling()
    most_values: int = MOST_VALUES


class _NoDocument(msgspec.Struct, frozen=True, gc=False):
    """The body is none; ``why`` says what it is instead."""

    why: str
    reason: Reason = Reason.NOT_JSON


class _Case(msgspec.Struct, frozen=True, gc=False):
    """All that is known when an answer is judged. ``now`` is epoch seconds."""

    rules: Rules
    answer: Answer
    document: object
    now: float
    clean: Callable[[str], str]


_LONGEST_WORDS = 64 * 1024
"""Characters of a vendor's error text in which secrets are looked for. Of these `clip` shows the
first few hundred, so that no secret is cut where it would be shown."""
_ABSENT = Absent()
_UNCHANGED = Unchanged()
_USUAL_ERRORS = tuple(
    compile_path(path)
    for path in (
        "error.message",
        "error_description",
        "detail.message",
        "detail",
        "message",
        "title",
        "errors[0].message",
        "errors[0].reason",
        "errors[0].detail",
        "errors[0]",
        "error",
        "Message",
    )
)
"""Where vendors' errors have their text: OAuth, Django, problem+json (RFC 9457) and the like."""

_REASONS = {
    HTTPStatus.UNAUTHORIZED: Reason.AUTH,
    HTTPStatus.FORBIDDEN: Reason.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: Reason.CONNECT,  # the vendor was not even reached
    HTTPStatus.TOO_MANY_REQUESTS: Reason.RATE_LIMITED,
}


def judge(
    answer: Answer,
    rules: Rules,
    now: float,
    *,
    asked_new: bool = False,
    clean: Callable[[str], str] = str,
) -> Judged:
    """Judge one answer by the rules of its request; `now` is epoch seconds.

    `asked_new`: the request said which version it has (``If-None-Match``); only then is 304 an
    answer. 429 always throttles unless a rule says something else. `clean` takes the secrets out
    of the vendor's words, before these are cut: a half of a secret would not be found any more.
    """
    case = _Case(rules, answer, _document(answer, rules), now, clean)
    ruled = _by_rules(case)
    if ruled is not None:
        return ruled
    if answer.status == HTTPStatus.NOT_MODIFIED and asked_new:
        return _UNCHANGED
    if answer.status not in rules.verdict.accepted:
        reason = Reason.CONNECT if _is_by_proxy(case) else reason_of(answer.status)
        return _refusal(reason, case)
    if isinstance(case.document, _NoDocument):
        return _undecoded(case, case.document)
    if rules.verdict.guard is not None and not holds(rules.verdict.guard, case.document):
        return _guarded(case)
    return Page(document=case.document, headers=answer.headers)


def holds(path: Selector, document: object) -> bool:
    """Tell whether a condition holds: what is found is not null, false, empty or zero."""
    try:
        return bool(find(path, document))
    except FindError:
        return False


def reason_of(status: int) -> Reason:
    """Return the reason that a status stands for when no rule says more."""
    known = _REASONS.get(HTTPStatus(status)) if status in _REASONS else None
    if known is not None:
        return known
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reason.HTTP_5XX
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return Reason.HTTP_4XX
    return Reason.SCHEMA  # 202, 204: something was done, but that is not the answer


def proxy_advice(status: int) -> str:
    """Return what helps against the status by which a proxy itself refuses; "" or ``; words``."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return (
            "; write the proxy's user name and password into its address (proxy_url or HTTP_PROXY),"
            " or correct those that stand there"
        )
    if status == HTTPStatus.FORBIDDEN:
        return "; the proxy's rules must allow the vendor's host and port"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "; the proxy does not reach the vendor"
    return ""


def _document(answer: Answer, rules: Rules) -> object:
    form = rules.format if answer.status in rules.verdict.accepted else Format.JSON
    if form is Format.HEADERS:
        return answer.headers
    try:
        kind = answer.headers.get("content-type", "")
        return decode(answer.body, form, kind, most=rules.most_values)
    except NotJsonError as error:
        return _NoDocument(str(error))
    except TooManyValuesError as error:
        return _NoDocument(str(error), Reason.TOO_LARGE)


def _by_rules(case: _Case) -> Failure | Absent | None:
    """Apply the definition's own rules, in the order of the fields."""
    verdict = case.rules.verdict
    if not (verdict.quota_exhausted or verdict.throttled or verdict.forbidden or verdict.absent):
        return None
    for reason, matches in (
        (Reason.QUOTA_EXHAUSTED, verdict.quota_exhausted),
        (Reason.RATE_LIMITED, verdict.throttled),
        (Reason.FORBIDDEN, verdict.forbidden),
    ):
        if any(_matches(match, case) for match in matches):
            return _refusal(reason, case)
    return _ABSENT if any(_matches(match, case) for match in verdict.absent) else None


def _matches(match: Match, case: _Case) -> bool:
    if case.answer.status not in match.statuses:
        return False
    if match.headers is not None and not holds(match.headers, case.answer.headers):
        return False
    if match.body is None:
        return True
    return not isinstance(case.document, _NoDocument) and holds(match.body, case.document)


def _refusal(reason: Reason, case: _Case) -> Failure:
    lines = case.answer.lines
    throttled = reason in (Reason.RATE_LIMITED, Reason.QUOTA_EXHAUSTED)
    throttling = case.rules.throttling
    waited = wait(lines, case.now, throttling) if throttled else retry_after(lines, case.now)
    return Failure(
        reason=reason,
        detail=f"{_who(case.answer)}{_words(case)}{_advice(reason, case.answer)}",
        wait=waited,
        status=case.answer.status,
    )


def _guarded(case: _Case) -> Failure:
    return Failure(
        reason=Reason.SCHEMA,
        detail=f"{_who(case.answer)}, but the answer says that it failed{_words(case)}",
        status=case.answer.status,
    )


def _undecoded(case: _Case, found: _NoDocument) -> Failure:
    answer = case.answer
    why = found.why
    if found.reason is Reason.TOO_LARGE:
        detail = f"{host_of(answer.url)}: {why}"
        return Failure(reason=Reason.TOO_LARGE, detail=detail, status=answer.status)
    kind = answer.headers.get("content-type", "")
    shown = excerpt(answer.body, clean=case.clean, kind=kind)
    told = f" ({clip(case.clean(kind), 64)})" if kind else ""
    begins = f', it begins with "{shown}"' if shown else ""
    return Failure(
        reason=Reason.NOT_JSON,
        detail=f"{_who(answer)}, but not with JSON{told}: {why}{begins}",
        status=answer.status,
    )


def _is_by_proxy(case: _Case) -> bool:
    """Tell whether the proxy itself refused: that is no word on the credential.

    Squid says so, and RFC 9209 has a header for it. Of the other proxies, those that forward an
    answer mark it with ``Via``, and those that refuse send a page for people.
    """
    answer = case.answer
    if not answer.proxy or answer.status != HTTPStatus.FORBIDDEN:
        return False
    if "x-squid-error" in answer.headers or "error=" in answer.headers.get("proxy-status", ""):
        return True
    return "via" not in answer.headers and isinstance(case.document, _NoDocument)


def _who(answer: Answer) -> str:
    try:
        phrase = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = ""
    through = f" (through the proxy {answer.proxy})" if answer.proxy else ""
    return f"{host_of(answer.url)} answered {answer.status}{phrase}{through}"


def _advice(reason: Reason, answer: Answer) -> str:
    if reason is Reason.AUTH:
        return "; check the credential"
    if reason is Reason.FORBIDDEN:
        return "; the credential lacks a permission"
    if reason is Reason.CONNECT:
        return proxy_advice(answer.status)
    redirects = HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST
    if redirects and answer.headers.get("location"):
        return f"; the redirect to {_destination(answer)} is not followed"
    return ""


def _destination(answer: Answer) -> str:
    try:
        url = urljoin(answer.url, answer.headers["location"])
        return f"{origin_of(url)[0]}://{host_of(url)}"
    except ValueError:
        return "what is no web address"


def _words(case: _Case) -> str:
    """Return the vendor's own error text as ``: text``, or what the body begins with, or ""."""
    kind = case.answer.headers.get("content-type", "")
    text = _told(case) or excerpt(case.answer.body, clean=case.clean, kind=kind)
    return f": {text}" if text else ""


def _told(case: _Case) -> str:
    if isinstance(case.document, _NoDocument):
        return ""
    for path in (*case.rules.verdict.error, *_USUAL_ERRORS):
        try:
            found = find(path, case.document)
        except FindError:
            continue
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return clip(case.clean(str(found)[:_LONGEST_WORDS]))
    return ""
