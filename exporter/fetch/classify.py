"""What an answer means: a page, nothing there, nothing new, or a failure with its reason.

`classify_response` applies the rules in order; below it stand the texts of the failures.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urljoin

import msgspec

from exporter.fetch.decode import (
    MOST_VALUES,
    FindError,
    NotJsonError,
    TooManyValuesError,
    decode,
    excerpt,
    find,
    most_values,
)
from exporter.fetch.http import HttpResponse, host_of, origin_of
from exporter.fetch.ratelimit import read_body_wait, read_rate_limit, vendor_clock
from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.secrets import clip
from exporter.model.definition.provider import Collector, Definition, Format
from exporter.model.definition.ratelimit import RateLimitRules
from exporter.model.definition.responses import Match, ResponseRules
from exporter.model.outcome import Failure, Page, Reason, Unchanged


class Absent(msgspec.Struct, frozen=True, gc=False):
    """The vendor says that there is none: no payload, and no failure."""


Classified: TypeAlias = Page | Absent | Unchanged | Failure


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers to one request are classified by.

    ``most_values``: keys and values that one answer may hold.
    """

    verdict: ResponseRules = ResponseRules()
    format: Format = Format.JSON
    throttling: RateLimitRules = RateLimitRules()
    most_values: int = MOST_VALUES


def rules_of(definition: Definition, collector: Collector) -> Rules:
    """Return what a collector's answers are classified by."""
    return Rules(
        verdict=collector.verdict,
        format=collector.format,
        throttling=definition.throttling,
        most_values=most_values(collector.max_bytes),
    )


class _Undecoded(msgspec.Struct, frozen=True, gc=False):
    """Stands for the document of a body that is none; ``why`` says what it is instead."""

    why: str
    reason: Reason


_ABSENT = Absent()
_UNCHANGED = Unchanged()
_LONGEST_WORDS = 64 * 1024
"""Characters of a vendor's error text in which secrets are looked for. Of these `clip` shows the
first few hundred, so that no secret is cut where it would be shown."""
_LONGEST_TEXT = 2048  # bytes of a refusal in plain text that are searched for a wait
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


def classify_response(
    response: HttpResponse,
    rules: Rules,
    now: float,
    *,
    asked_new: bool = False,
    clean: Callable[[str], str] = str,
) -> Classified:
    """Return what one answer means by the rules of its request; `now` is epoch seconds.

    The definition's own rules come first, in the order of their fields: 429 throttles unless one
    of them says something else. `asked_new`: the request said which version it has
    (``If-None-Match``); only then is 304 an answer. `clean` takes the secrets out of the vendor's
    words, before these are cut: a half of a secret would not be found any more.
    """
    verdict, status = rules.verdict, response.status
    document = _document(response, rules)

    def failure(reason: Reason) -> Failure:
        limits = read_rate_limit(response.lines, now, rules.throttling)
        is_throttled = reason in (Reason.RATE_LIMITED, Reason.QUOTA_EXHAUSTED)
        words = _vendor_words(response, document, verdict, clean)
        return Failure(
            reason=reason,
            detail=f"{_who(response)}{words}{_advice(reason, response)}",
            wait=_throttled_wait(response, document, limits.wait, now)
            if is_throttled
            else limits.retry_after,
            status=status,
        )

    for reason, matches in (
        (Reason.QUOTA_EXHAUSTED, verdict.quota_exhausted),
        (Reason.RATE_LIMITED, verdict.throttled),
        (Reason.FORBIDDEN, verdict.forbidden),
        (None, verdict.absent),
    ):
        for match in matches:
            if _matches(match, response, document):
                return _ABSENT if reason is None else failure(reason)
    if status == HTTPStatus.NOT_MODIFIED and asked_new:
        return _UNCHANGED
    if status not in verdict.accepted:
        if _is_by_proxy(response, document):
            return failure(Reason.CONNECT)
        return failure(reason_of(status))
    if isinstance(document, _Undecoded):
        return _undecoded(response, document, clean)
    if verdict.guard is not None and not _holds(verdict.guard, document):
        words = _vendor_words(response, document, verdict, clean)
        detail = f"{_who(response)}, but the answer says that it failed{words}"
        return Failure(reason=Reason.SCHEMA, detail=detail, status=status)
    return Page(document=document, headers=response.headers)


def _throttled_wait(
    response: HttpResponse, document: object, told: float | None, now: float
) -> float | None:
    """Return the longer of the headers' wait, `told`, and that of the body."""
    is_body = isinstance(document, dict | list | str) and document is not response.headers
    text = "" if is_body else response.body[:_LONGEST_TEXT].decode("utf-8", "replace")
    there = vendor_clock(response.lines, now)
    found = read_body_wait(document if is_body else None, text, there)
    return found if told is None else told if found is None else max(told, found)


def reason_of(status: int) -> Reason:
    """Return the reason that a status stands for when no rule says more."""
    if status in _REASONS:
        return _REASONS[HTTPStatus(status)]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reason.HTTP_5XX
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return Reason.HTTP_4XX
    return Reason.SCHEMA  # 202, 204: something was done, but that is not the answer


def _document(response: HttpResponse, rules: Rules) -> object:
    form = rules.format if response.status in rules.verdict.accepted else Format.JSON
    if not form.has_body:
        return response.headers
    try:
        kind = response.headers.get("content-type", "")
        return decode(response.body, form, kind, most=rules.most_values)
    except NotJsonError as error:
        return _Undecoded(str(error), Reason.NOT_JSON)
    except TooManyValuesError as error:
        return _Undecoded(str(error), Reason.TOO_LARGE)


def _holds(path: Selector, document: object) -> bool:
    """Tell whether a condition holds: what is found is not null, false, empty or zero."""
    try:
        return bool(find(path, document))
    except FindError:
        return False


def _matches(match: Match, response: HttpResponse, document: object) -> bool:
    if response.status not in match.statuses:
        return False
    if match.headers is not None and not _holds(match.headers, response.headers):
        return False
    if match.body is None:
        return True
    return not isinstance(document, _Undecoded) and _holds(match.body, document)


def _is_by_proxy(response: HttpResponse, document: object) -> bool:
    """Tell whether the proxy itself refused: that is no word on the credential.

    Squid says so, and RFC 9209 has a header for it. Of the other proxies, those that forward an
    answer mark it with ``Via``, and those that refuse send a page for people.
    """
    if not response.proxy or response.status != HTTPStatus.FORBIDDEN:
        return False
    headers = response.headers
    if "x-squid-error" in headers or "error=" in headers.get("proxy-status", ""):
        return True
    return "via" not in headers and isinstance(document, _Undecoded)


# ---------------------------------------------------------------------------- the texts of failures


def _undecoded(
    response: HttpResponse, document: _Undecoded, clean: Callable[[str], str]
) -> Failure:
    detail = f"{host_of(response.url)}: {document.why}"
    if document.reason is Reason.NOT_JSON:
        kind = response.headers.get("content-type", "")
        shown = excerpt(response.body, clean=clean, kind=kind)
        named = f" ({clip(clean(kind), 64)})" if kind else ""
        begins = f', it begins with "{shown}"' if shown else ""
        detail = f"{_who(response)}, but not with JSON{named}: {document.why}{begins}"
    return Failure(reason=document.reason, detail=detail, status=response.status)


def _who(response: HttpResponse) -> str:
    try:
        phrase = f" {HTTPStatus(response.status).phrase}"
    except ValueError:
        phrase = ""
    through = f" (through the proxy {response.proxy})" if response.proxy else ""
    return f"{host_of(response.url)} answered {response.status}{phrase}{through}"


def _vendor_words(
    response: HttpResponse,
    document: object,
    verdict: ResponseRules,
    clean: Callable[[str], str],
) -> str:
    """Return the vendor's own error text as ``: text``, or what the body begins with, or ""."""
    for path in () if isinstance(document, _Undecoded) else (*verdict.error, *_USUAL_ERRORS):
        try:
            found = find(path, document)
        except FindError:
            continue
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            text = clip(clean(str(found)[:_LONGEST_WORDS]))
            break
    else:
        text = ""
    kind = response.headers.get("content-type", "")
    text = text or excerpt(response.body, clean=clean, kind=kind)
    return f": {text}" if text else ""


def _advice(reason: Reason, response: HttpResponse) -> str:
    if reason is Reason.AUTH:
        return "; check the credential"
    if reason is Reason.FORBIDDEN:
        return "; the credential lacks a permission"
    if reason is Reason.CONNECT:
        return proxy_advice(response.status)
    location = response.headers.get("location")
    if location and HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
        try:
            url = urljoin(response.url, location)
            destination = f"{origin_of(url)[0]}://{host_of(url)}"
        except ValueError:
            destination = "what is no web address"
        return f"; the redirect to {destination} is not followed"
    return ""


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
