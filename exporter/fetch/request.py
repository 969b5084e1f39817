"""From a request of a definition and a target to the request that goes over the wire.

`draft_request` renders what all pages of a poll share, `to_http_request` adds the signature and the
page. Values are quoted for their place, so that none of them can change the path or the query
around it; addresses that the vendor gave are kept as they are.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias, assert_never
from urllib.parse import quote, quote_plus, unquote, urlsplit, urlunsplit

import msgspec

from exporter.fetch.http import HttpRequest, LinkError, host_of, origin_of
from exporter.kernel.templates import Clock, Template, TemplateValues
from exporter.model.definition.request import Argument, ArrayStyle, Json, Request
from exporter.model.target import Target

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Arguments of a query or a form: name and text."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_QUERY_SAFE = "/:,()*@!~"  # legal in a query (RFC 3986 3.4), and read more easily than %2F
_VALUE_SAFE = "/:()*@!~"  # the same for one of several values between commas
_URL_SAFE = "%/?#[]@!$&'()*+,;=:~"
_READY = re.compile(r"[A-Za-z0-9._~%/?#@!$&'()*+,;=:-]*")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_ACCOUNT = "account.id"


class RequestError(ValueError):
    """A request cannot be made. The text says why, without a secret."""


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request without signature and page. ``url`` and ``query`` are encoded already.

    ``kept`` are the values that are whole segments of the path: what names the account.
    """

    method: str
    url: str
    query: Pairs
    headers: Mapping[str, str]
    json: object = None
    form: Pairs = ()
    kept: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What authentication adds to a request. It holds secrets."""

    headers: Mapping[str, str] = {}
    query: Pairs = ()
    digest: tuple[str, str] | None = None


class PageRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one page is asked for: by an address that the vendor gave, or by arguments.

    ``query`` are arguments of the query, ``body`` members of the JSON or form body. ``number``
    counts the pages from 1.
    """

    url: str | None = None
    query: Pairs = ()
    body: Mapping[str, object] = {}
    number: int = 1


FIRST_PAGE = PageRequest()


def draft_request(request: Request, target: Target, values: TemplateValues, clock: Clock) -> Draft:
    """Render a request of a target, with the arguments of breakdowns if it wants those.

    Raises RequestError when the path lacks a value (a request without it is another request), and
    for a header that cannot be sent; LinkError where an account's id, which the vendor gave, would
    lead the request, and the credential with it, somewhere else.
    """
    arguments = _with_items(request, target) if target.items else request.query
    url = _url(request.path, target.base_url, values, clock)
    rendered = {
        name: template.render(values.texts, clock) for name, template in request.headers.items()
    }
    given = {name: text for name, text in rendered.items() if text is not None}
    usual = {"User-Agent": target.user_agent, "Accept": JSON}
    headers = merge_headers(merge_headers(usual, given), target.http.headers)
    for name, text in headers.items():
        check_header(name, text)
    # What names the account: values that are whole segments of the path (`http.safe_url`).
    names = request.path.variables
    if target.definition.base_url is not None:
        names |= target.definition.base_url.variables
    segments = {unquote(segment) for segment in urlsplit(url).path.split("/")}
    kept = {values.texts[name] for name in names & values.texts.keys()} & segments
    return Draft(
        method=request.method,
        url=url,
        query=tuple(pair for argument in arguments for pair in _encoded(argument, values, clock)),
        headers=headers,
        json=_render_json(request.json, values, clock),
        form=tuple(pair for argument in request.form for pair in _plain(argument, values, clock)),
        kept=tuple(sorted(kept)),
    )


def to_http_request(
    draft: Draft, signature: Signature, page: PageRequest = FIRST_PAGE
) -> HttpRequest:
    """Sign a draft and turn it to a page.

    An address that the vendor gave is kept as it is; a key that goes into the query is added where
    the address does not carry it already.
    """
    headers, body = draft.headers, None
    if draft.form:
        headers = merge_headers({"Content-Type": FORM}, headers)
        form = [pair for pair in draft.form if pair[0] not in page.body]
        form += [(name, str(value)) for name, value in page.body.items()]
        body = "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in form).encode()
    elif draft.json is not None or page.body:
        headers = merge_headers({"Content-Type": JSON}, headers)
        document = draft.json
        for path, value in page.body.items():
            document = _with_member(document, path.split("."), value)
        body = msgspec.json.encode(document)
    signed = [(quote(name, safe=""), quote(value, safe="")) for name, value in signature.query]
    if page.url is not None:
        url = page.url
        present = {pair.partition("=")[0] for pair in urlsplit(url).query.split("&")}
        query = [pair for pair in signed if pair[0] not in present]
    else:
        url = draft.url
        added = [(quote(name, safe=""), quote(text, safe=_QUERY_SAFE)) for name, text in page.query]
        query = list(draft.query)
        for pair in (*added, *signed):
            query = [*(one for one in query if one[0] != pair[0]), pair]
    if query:
        url += "&" if "?" in url else "?"
        url += "&".join([f"{name}={value}" for name, value in query])
    return HttpRequest(
        method=draft.method,
        url=url,
        headers=merge_headers(headers, signature.headers),
        body=body,
        digest=signature.digest,
    )


def uses_account(request: Request) -> bool:
    """Tell whether a request is made once for each account of a fan-out."""
    return any(_ACCOUNT in template.variables for template in request.templates)


def check_header(name: str, text: str) -> None:
    """Raise RequestError for a header value that would break the request apart."""
    if _UNSENDABLE.search(text):
        raise RequestError(
            f'the value of the header "{name}" holds a line break or another control character'
        )


def merge_headers(under: Mapping[str, str], over: Mapping[str, str]) -> Mapping[str, str]:
    """Lay headers over others; names are compared without regard to case."""
    if not over:
        return under
    names = {name.lower() for name in over}
    return {name: text for name, text in under.items() if name.lower() not in names} | dict(over)


# ------------------------------------------------------------------------------------------ the URL


def _url(path: Template, base_url: str, values: TemplateValues, clock: Clock) -> str:
    quoted: dict[str, str] = {}
    for name in path.variables & values.texts.keys():
        value = values.texts[name]
        if path.text.startswith(f"{{{name}}}") and _is_address(value):
            quoted[name] = value.rstrip("/")  # the path begins with a whole address
        elif value in (".", ".."):  # it would climb out of its place in the path
            quoted[name] = value.replace(".", "%2E")
        else:
            quoted[name] = quote(value, safe="")
    url = path.render(quoted, clock)
    if url is None:
        missing = ", ".join(sorted(path.variables - values.texts.keys()))
        raise RequestError(f'the path "{path.text}" needs {missing}, which has no value')
    if not _is_address(url):
        url = f"{base_url.rstrip('/')}/{url.removeprefix('/')}"
    if _ACCOUNT in path.variables:
        _check_account(url, path, base_url, values)
    if _READY.fullmatch(url):
        return url
    try:  # the host is encoded for DNS (RFC 3490), the rest as UTF-8
        scheme, host, rest, query, fragment = urlsplit(url)
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise RequestError("the base URL cannot be read") from error
    return quote(urlunsplit((scheme, host, rest, query, fragment)), safe=_URL_SAFE)


def _check_account(url: str, path: Template, base_url: str, values: TemplateValues) -> None:
    """Raise LinkError if an account's id changed more than its place in the path."""
    home = next(
        (
            text
            for name, text in values.texts.items()
            if name != _ACCOUNT and path.text.startswith(f"{{{name}}}") and _is_address(text)
        ),
        base_url,
    )
    account = values.texts[_ACCOUNT]
    try:
        parts = urlsplit(url)
        stays = origin_of(url) == origin_of(home) and "@" not in parts.netloc
    except ValueError:
        parts, stays = urlsplit(home), False
    if not stays:
        raise LinkError(
            "an account's id, which the vendor gave, leads to another host than"
            f" {host_of(home)}; no credential is sent there"
        )
    below = urlsplit(home).path.rstrip("/") + "/"
    added = _is_address(account) and any(mark in account for mark in "?#\\")
    dots = any(
        part in (".", "..")
        for segment in parts.path.split("/")
        for part in re.split(r"[/\\]", unquote(segment))
    )
    if added or dots or not parts.path.startswith(below):
        raise LinkError(
            "an account's id, which the vendor gave, leads out of the address of the API"
            f" ({host_of(home)}); it is not asked"
        )


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


# ----------------------------------------------------------------------------- arguments and bodies


def _with_items(request: Request, target: Target) -> tuple[Argument, ...]:
    """Add the arguments of breakdowns; one that the target itself set stays as it is."""

    def is_set(template: Template) -> bool:
        names = (name.removeprefix("params.") for name in template.variables)
        return any(any(target.params.get(name, ())) for name in names)

    kept = [
        argument
        for argument in request.query
        if all(argument.name != more.name for more in request.item_query)
        or any(map(is_set, argument.values))
    ]
    names = {argument.name for argument in kept}
    return (*kept, *(more for more in request.item_query if more.name not in names))


def _plain(argument: Argument, values: TemplateValues, clock: Clock) -> Iterable[tuple[str, str]]:
    texts = values.render_each(argument.values, clock)
    match argument.style:
        case ArrayStyle.REPEAT:
            return [(argument.name, text) for text in texts]
        case ArrayStyle.BRACKETS:
            name = f"{argument.name.removesuffix('[]')}[]"
            return [(name, text) for text in texts]
        case ArrayStyle.COMMA:
            return [(argument.name, ",".join(texts))] if texts else []
        case _:
            assert_never(argument.style)


def _encoded(argument: Argument, values: TemplateValues, clock: Clock) -> Iterable[tuple[str, str]]:
    if argument.style is ArrayStyle.COMMA:  # the commas between the values stay commas
        texts = values.render_each(argument.values, clock)
        safe = _VALUE_SAFE if len(texts) > 1 else _QUERY_SAFE
        text = ",".join(quote(text, safe=safe) for text in texts)
        return [(quote(argument.name, safe=""), text)] if texts else []
    pairs = _plain(argument, values, clock)
    return [(quote(name, safe=""), quote(text, safe=_QUERY_SAFE)) for name, text in pairs]


def _render_json(template: Json, values: TemplateValues, clock: Clock) -> object:
    """Render the texts of a JSON body; one that lacks a value is UNSET and is left out."""
    match template:
        case Template():
            text = template.render(values.texts, clock)
            return msgspec.UNSET if text is None else text
        case Mapping():
            members = {name: _render_json(part, values, clock) for name, part in template.items()}
            return {name: part for name, part in members.items() if part is not msgspec.UNSET}
        case tuple():
            parts = [_render_json(part, values, clock) for part in template]
            return [part for part in parts if part is not msgspec.UNSET]
        case _:
            return template


def _with_member(document: object, path: list[str], value: object) -> object:
    """Return a copy of a JSON body with `value` at a path such as ``variables.after``."""
    if not path:
        return value
    members = document if isinstance(document, Mapping) else {}
    return {**members, path[0]: _with_member(members.get(path[0]), path[1:], value)}
