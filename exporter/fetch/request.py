"""What the templates of a target may use, and how they are rendered with several values.

The bodies of requests: JSON and forms, rendered from templates.

A request template and a target become a request, without signature and page (a draft).

Signature and page are put on by `wire`, so that a draft serves all pages of a poll.
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


def render_json(template: Json, values: TemplateValues, clock: Clock) -> object:
    """Render the texts of a JSON body; one that lacks a value is UNSET and is left out."""
    match template:
        case Template():
            text = template.render(values.texts, clock)
            return msgspec.UNSET if text is None else text
        case Mapping():
            members = {name: render_json(part, values, clock) for name, part in template.items()}
            return {name: part for name, part in members.items() if part is not msgspec.UNSET}
        case tuple():
            parts = [render_json(part, values, clock) for part in template]
            return [part for part in parts if part is not msgspec.UNSET]
        case _:
            return template


def json_body(document: object, more: Mapping[str, object]) -> bytes:
    """Encode a rendered body; `more` are members to set, by paths such as ``variables.after``."""
    for path, value in more.items():
        document = _with_member(document, path.split("."), value)
    return msgspec.json.encode(document)


def form_body(form: Pairs, more: Mapping[str, object]) -> bytes:
    """Encode a form; `more` are arguments that replace those of the same name."""
    pairs = [pair for pair in form if pair[0] not in more]
    pairs += [(name, str(value)) for name, value in more.items()]
    return "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in pairs).encode()


def _with_member(document: object, path: list[str], value: object) -> object:
    """Return a copy of a JSON body with `value` at a path such as ``variables.after``."""
    if not path:
        return value
    members = document if isinstance(document, Mapping) else {}
    return {**members, path[0]: _with_member(members.get(path[0]), path[1:], value)}


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


def draft_request(request: Request, target: Target, values: TemplateValues, clock: Clock) -> Draft:
    """Render a request of a target, with the arguments of breakdowns if it wants those.

    Raises RequestError when the path lacks a value (a request without it is another request), and
    for a header that cannot be sent; LinkError where an account's id, which the vendor gave, would
    lead the request, and the credential with it, somewhere else.
    """
    arguments = _with_items(request, target) if target.items else request.query
    query = tuple(pair for argument in arguments for pair in _encoded(argument, values, clock))
    url = _url(request.path, target.base_url, values, clock)
    return Draft(
        method=request.method,
        url=url,
        query=query,
        headers=_headers(request, target, values, clock),
        json=render_json(request.json, values, clock),
        form=tuple(pair for argument in request.form for pair in _plain(argument, values, clock)),
        kept=_kept(url, request, target, values),
    )


def _kept(url: str, request: Request, target: Target, values: TemplateValues) -> tuple[str, ...]:
    names = request.path.variables
    if target.definition.base_url is not None:
        names |= target.definition.base_url.variables
    segments = {unquote(segment) for segment in urlsplit(url).path.split("/")}
    return tuple(sorted({values.texts[name] for name in names & values.texts.keys()} & segments))


def to_http_request(
    draft: Draft,
    signature: Signature,
    *,
    page: Pairs = (),
    body: Mapping[str, object] | None = None,
) -> HttpRequest:
    """Sign a draft and turn it to a page: `page` are query arguments, `body` fields of the body."""
    query = draft.query
    for name, value in page:
        query = _replaced(query, quote(name, safe=""), quote(value, safe=_QUERY_SAFE))
    headers, content = _content(draft, body or {})
    signed = _signed_query(query, signature)
    return HttpRequest(
        method=draft.method,
        url=_joined(draft.url, signed),
        headers=merged(headers, signature.headers),
        body=content,
        digest=signature.digest,
    )


def follow(draft: Draft, url: str, signature: Signature) -> HttpRequest:
    """Turn a draft to an address that the vendor gave; it is kept as it is.

    A key that goes into the query is added where the address does not carry it already.
    """
    headers, content = _content(draft, {})
    present = {pair.partition("=")[0] for pair in urlsplit(url).query.split("&")}
    missing = tuple(
        (quote(name, safe=""), quote(value, safe=""))
        for name, value in signature.query
        if quote(name, safe="") not in present
    )
    return HttpRequest(
        method=draft.method,
        url=_joined(url, missing),
        headers=merged(headers, signature.headers),
        body=content,
        digest=signature.digest,
    )


def uses_account(request: Request) -> bool:
    """Tell whether a request is made once for each account of a fan-out."""
    return any("account.id" in template.variables for template in request.templates)


def _url(path: Template, base_url: str, values: TemplateValues, clock: Clock) -> str:
    quoted = {
        name: _placed(name, values.texts[name], path)
        for name in path.variables & values.texts.keys()
    }
    text = path.render(quoted, clock)
    if text is None:
        missing = ", ".join(sorted(path.variables - values.texts.keys()))
        raise RequestError(f'the path "{path.text}" needs {missing}, which has no value')
    if not _is_address(text):
        text = f"{base_url.rstrip('/')}/{text.removeprefix('/')}"
    if _ACCOUNT in path.variables:
        _check_account(text, path, base_url, values)
    return text if _READY.fullmatch(text) else _ascii(text)


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


def _ascii(url: str) -> str:
    """Encode what may not stand in a URL: the host for DNS (RFC 3490), the rest as UTF-8."""
    try:
        scheme, host, path, query, fragment = urlsplit(url)
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise RequestError("the base URL cannot be read") from error
    return quote(urlunsplit((scheme, host, path, query, fragment)), safe=_URL_SAFE)


def _placed(name: str, value: str, path: Template) -> str:
    """Quote the value of a hole. One that the path begins with may be an address: it stays so."""
    if path.text.startswith(f"{{{name}}}") and _is_address(value):
        return value.rstrip("/")
    return _segment(value)


def _segment(value: str) -> str:
    # A value of dots would climb out of its place in the path.
    return value.replace(".", "%2E") if value in (".", "..") else quote(value, safe="")


def _with_items(request: Request, target: Target) -> tuple[Argument, ...]:
    """Add the arguments of breakdowns; one that the target itself set stays as it is."""
    kept = [
        argument
        for argument in request.query
        if all(argument.name != more.name for more in request.item_query)
        or any(_is_set(template, target) for template in argument.values)
    ]
    names = {argument.name for argument in kept}
    return (*kept, *(more for more in request.item_query if more.name not in names))


def _is_set(template: Template, target: Target) -> bool:
    names = (name.removeprefix("params.") for name in template.variables)
    return any(any(target.params.get(name, ())) for name in names)


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
    if argument.style is ArrayStyle.COMMA:
        texts = values.render_each(argument.values, clock)
        safe = _VALUE_SAFE if len(texts) > 1 else _QUERY_SAFE
        text = ",".join(quote(text, safe=safe) for text in texts)
        return [(quote(argument.name, safe=""), text)] if texts else []
    pairs = _plain(argument, values, clock)
    return [(quote(name, safe=""), quote(text, safe=_QUERY_SAFE)) for name, text in pairs]


def _headers(
    request: Request, target: Target, values: TemplateValues, clock: Clock
) -> Mapping[str, str]:
    """Lay the user's own headers over the definition's, and those over the usual ones."""
    rendered = {
        name: template.render(values.texts, clock) for name, template in request.headers.items()
    }
    given = {name: text for name, text in rendered.items() if text is not None}
    usual = {"User-Agent": target.user_agent, "Accept": JSON}
    headers = merged(merged(usual, given), target.http.headers)
    for name, text in headers.items():
        check_header(name, text)
    return headers


def check_header(name: str, text: str) -> None:
    """Raise RequestError for a header value that would break the request apart."""
    if _UNSENDABLE.search(text):
        raise RequestError(
            f'the value of the header "{name}" holds a line break or another control character'
        )


def merged(under: Mapping[str, str], over: Mapping[str, str]) -> Mapping[str, str]:
    """Lay headers over others; names are compared without regard to case."""
    if not over:
        return under
    names = {name.lower() for name in over}
    return {name: text for name, text in under.items() if name.lower() not in names} | dict(over)


def _content(draft: Draft, more: Mapping[str, object]) -> tuple[Mapping[str, str], bytes | None]:
    if draft.form:
        headers = merged({"Content-Type": FORM}, draft.headers)
        return headers, form_body(draft.form, more)
    if draft.json is None and not more:
        return draft.headers, None
    return merged({"Content-Type": JSON}, draft.headers), json_body(draft.json, more)


def _replaced(query: Pairs, name: str, value: str) -> Pairs:
    return (*(pair for pair in query if pair[0] != name), (name, value))


def _signed_query(query: Pairs, signature: Signature) -> Pairs:
    for name, value in signature.query:
        query = _replaced(query, quote(name, safe=""), quote(value, safe=""))
    return query


def _joined(url: str, query: Pairs) -> str:
    if not query:
        return url
    start = "&" if "?" in url else "?"
    return url + start + "&".join([f"{name}={value}" for name, value in query])
