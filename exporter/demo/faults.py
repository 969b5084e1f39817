"""Everything that vendors get wrong, as scripts for the wire; for ``demo --chaos`` and the tests.

A `Fault` gets a request and the correct response, and returns what goes over the wire instead. None
waits longer than `FOREVER`, so that a client without a deadline is found and a test still ends. A
`FaultInjector` decides which requests are hit:

- `ScriptedFaults`: the next so many responses of a vendor for a page (tests);
- `ChaosFaults`: every second polling run of the accounts whose token names a fault (the demo);
- `occasional_throttling`: each n-th request (the demo).
"""

import functools
import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

import msgspec

from exporter.demo.server import (
    FAULT_MARK,
    Action,
    Close,
    FaultInjector,
    Pause,
    Reset,
    Script,
    Send,
    VendorRequest,
    VendorResponse,
    json_response,
    response_head,
    script_of,
)

FOREVER = 120.0
_GZIP_HEAD = b"\x1f\x8b\x08" + bytes(7)
_BLANKS_CRC = 0xB99F062B
"""CRC-32 of 200 MiB of blanks."""
Fault = Callable[[VendorRequest, VendorResponse, float], Script]
"""(request, correct response, now in epoch seconds) -> script."""


def _wire(*script: Action) -> Fault:
    """Return a fault that sends the same in place of any response."""
    return lambda request, response, now: script


def _response(
    status: int, body: bytes = b"", content_type: str = "text/html", **more: str
) -> Fault:
    headers = (("Content-Type", content_type), *more.items())
    return _wire(*script_of(VendorResponse(status=status, headers=headers, body=body)))


def _refusal(headers: Callable[[float], Mapping[str, str]], status: int = 429) -> Fault:
    """Return a fault that refuses with the headers of that time."""

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        document = {"message": "slow down"}
        return script_of(json_response(document, status=status, headers=headers(now)))

    return fault


def _retry_after(value: str, *, header: str = "Retry-After", status: int = 429) -> Fault:
    return _refusal(lambda now: {header: value}, status)


def _reset_in_30_s(header: str, write: Callable[[float], str], status: int = 429) -> Fault:
    more = {}
    if "limit" in header.lower():
        more = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}
    return _refusal(lambda now: {header: write(now + 30), **more}, status)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_headers(headers: Callable[[float], Mapping[str, str]]) -> Fault:
    """Return a fault that answers correctly, with more headers."""

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        more = tuple(headers(now).items())
        return script_of(msgspec.structs.replace(response, headers=(*response.headers, *more)))

    return fault


def _body(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    """Return a fault that sends the body changed; `headers` replace those of the response."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        kept = tuple(pair for pair in response.headers if pair[0] not in more)
        changed = VendorResponse(headers=(*kept, *more.items()), body=change(response.body))
        return script_of(changed)

    return fault


def _document(change: Callable[[Any, VendorRequest], Any]) -> Fault:
    """Return a fault that changes the JSON document."""

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        document = change(json.loads(response.body), request)
        changed = VendorResponse(headers=response.headers, body=json.dumps(document).encode())
        return script_of(changed)

    return fault


def _renamed(document: Any, request: VendorRequest) -> Any:
    """Rename every key, at every depth."""
    if isinstance(document, dict):
        return {f"{key}V2": _renamed(value, request) for key, value in document.items()}
    if isinstance(document, list):
        return [_renamed(value, request) for value in document]
    return document


def _words(document: Any, request: VendorRequest) -> Any:
    """Turn every number into a word."""
    if isinstance(document, dict):
        return {key: _words(value, request) for key, value in document.items()}
    if isinstance(document, list):
        return [_words(value, request) for value in document]
    return "plenty" if isinstance(document, int | float) else document


def _next_link(link: Callable[[VendorRequest], str]) -> Fault:
    """Return a fault that puts a link to the next page where Django and HAL have theirs."""

    def change(document: Any, request: VendorRequest) -> Any:
        url = link(request)
        return document | {"next": url, "_links": {"next": {"href": url}}}

    return _document(change)


def _drip(data: bytes) -> Script:
    """Send one byte a second, so that no read ever times out by itself; then close."""
    script: list[Action] = []
    for byte in data[: int(FOREVER)]:
        script += (Send(bytes([byte])), Pause(1.0))
    return (*script, Close())


def _half(response: VendorResponse) -> Send:
    """Promise the whole body in the head, and send half of it."""
    return Send(response_head(response) + response.body[: len(response.body) // 2])


@functools.cache
def gzip_bomb() -> bytes:
    """Return 200 MiB of blanks in 200 kB.

    To compress them all would hold the event loop for half a second: one block is compressed and
    repeated.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    trailer = _BLANKS_CRC.to_bytes(4, "little") + (200 << 20).to_bytes(4, "little")
    return _GZIP_HEAD + block * 200 + packer.flush() + trailer


def _bomb(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return script_of(VendorResponse(headers=(("Content-Encoding", "gzip"),), body=gzip_bomb()))


def _large(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    """Send 50 MB of valid JSON."""
    size = 50 * 1024 * 1024
    filler = Send(b"x" * (1 << 20))  # one object, sent 49 times
    sent = 49 * len(filler.data) + len(b'{"filler":"')
    return (
        Send(response_head(response, length=size)),
        Send(b'{"filler":"'),
        *(filler,) * 49,
        Send(b"x" * (size - sent - 2) + b'"}'),
    )


def _redirect_in_a_circle(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    itself = f"{request.origin}{request.path}?{urlencode(request.query)}"
    return script_of(VendorResponse(status=302, headers=(("Location", itself),)))


_HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
_JSON = "application/json"
FAULTS: Mapping[str, Fault] = {
    # throttling, in every dialect
    "429_seconds": _retry_after("30"),
    "429_float": _retry_after("1.5"),
    "429_ms": _retry_after("30000", header="Retry-After-Ms"),
    "429_http_date": _reset_in_30_s("Retry-After", lambda at: formatdate(at, usegmt=True)),
    "429_odd_date": _reset_in_30_s("Retry-After", lambda at: _iso(at).replace("T", " ")),
    "429_zero": _retry_after("0"),
    "429_negative": _retry_after("-5"),
    "429_junk": _retry_after("soon"),
    "429_huge": _retry_after("9" * 400),
    "429_twice": _wire(
        *script_of(
            VendorResponse(
                status=429, headers=(("Retry-After", "20"), ("Retry-After", "40")), body=b"{}"
            )
        )
    ),
    "429_bare": _refusal(lambda now: {}),
    "429_reset_epoch": _reset_in_30_s("X-RateLimit-Reset", lambda at: str(int(at))),
    "429_reset_ms": _reset_in_30_s("X-RateLimit-Reset", lambda at: str(int(at * 1000))),
    "429_reset_delta": _reset_in_30_s("X-RateLimit-Reset", lambda at: "30"),
    "429_reset_iso": _reset_in_30_s("X-RateLimit-Next", _iso),
    "429_ietf": _retry_after('"burst";r=0;t=30', header="RateLimit"),
    "429_html": _response(429, b"<html>slow down</html>"),
    "503_retry_after": _retry_after("30", status=503),
    "403_used_up": _reset_in_30_s("X-RateLimit-Reset", lambda at: str(int(at)), status=403),
    "200_retry_after": _with_headers(lambda now: {"Retry-After": "30"}),
    "200_used_up": _with_headers(
        lambda now: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(now) + 30)}
    ),
    # errors
    "401": _response(401, b'{"error":"invalid_token"}', _JSON),
    "403": _response(403, b'{"detail":"no permission"}', _JSON),
    "404": _response(404),
    "500": _response(500, b"<h1>Server Error (500)</h1>"),
    "502_empty": _response(502),
    "204": _response(204),
    "304_unasked": _response(304),
    "redirect_elsewhere": _wire(
        *script_of(VendorResponse(status=302, headers=(("Location", "http://127.0.0.1:9/steal"),)))
    ),
    "redirect_in_a_circle": _redirect_in_a_circle,
    # bodies
    "html_at_200": _response(200, _HTML),
    "empty_body": _response(200, b"", _JSON),
    "wrong_content_type": _body(lambda body: body, Content_Type="image/png"),
    "cut_json": _body(lambda body: body[: len(body) // 2]),
    "trailing_bytes": _body(lambda body: body + b"}"),
    "too_big_a_number": _body(lambda body: b'{"value": 1e999}'),
    "nan": _body(lambda body: b'{"value": NaN}'),
    "null": _body(lambda body: b"null"),
    "a_list": _body(lambda body: b"[]"),
    "a_number": _body(lambda body: b"42"),
    "deep": _body(lambda body: b"[" * 100_000 + b"]" * 100_000),
    "bad_utf8": _body(lambda body: body.replace(b"{", b'{"\xff\xfe":"\xff",', 1)),
    "bad_gzip": _body(lambda body: gzip.compress(body)[:-12], Content_Encoding="gzip"),
    "not_gzip": _body(lambda body: body, Content_Encoding="gzip"),
    "gzip_bomb": _bomb,
    "large": _large,
    "renamed_keys": _document(_renamed),
    "words_for_numbers": _document(_words),
    # paging
    "next_is_itself": _next_link(lambda request: f"{request.origin}{request.path}?page=1"),
    "next_elsewhere": _next_link(lambda request: "https://attacker.example/next"),
    "next_is_a_file": _next_link(lambda request: "file:///etc/hostname"),
    # the wire
    "cut_short": lambda request, response, now: (_half(response), Close()),
    "reset_midway": lambda request, response, now: (_half(response), Pause(0.05), Reset()),
    "reset_at_once": _wire(Reset()),
    "close_at_once": _wire(Close()),
    "close_after_headers": lambda request, response, now: (
        Send(response_head(response)),
        Close(),
    ),
    "never_answers": _wire(Pause(FOREVER), Close()),
    "stops_after_headers": lambda request, response, now: (
        Send(response_head(response)),
        Pause(FOREVER),
        Close(),
    ),
    "drips": lambda request, response, now: (
        Send(response_head(response)),
        *_drip(response.body),
    ),
    # a correct answer, closed without saying so: the next request meets a dead connection
    "stale_connection": lambda request, response, now: (*script_of(response), Close()),
    "reset_when_idle": lambda request, response, now: (
        *script_of(response),
        Pause(0.02),
        Reset(),
    ),
    "header_drips": lambda request, response, now: _drip(response_head(response)),
    "length_too_small": lambda request, response, now: (
        Send(response_head(response, length=len(response.body) // 2) + response.body),
        Close(),
    ),
    # RFC 8297 allows this before the answer: it is none
    "early_hints": lambda request, response, now: (
        Send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"),
        *script_of(response),
    ),
    "old_http": lambda request, response, now: (
        Send(response_head(response).replace(b"HTTP/1.1", b"HTTP/1.0", 1) + response.body),
        Close(),
    ),
    "not_http": _wire(Send(b"SSH-2.0-OpenSSH_9.2\r\n"), Close()),
    "endless_header": _wire(Send(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 200_000), Close()),
}
"""Every fault by its name. Certificates, names that do not resolve and clocks that jump have no
bytes on this wire: the tests make those with a certificate, a name and a clock of their own."""

_PAGE_ARGUMENTS = frozenset(
    {"after", "cursor", "next", "offset", "page", "page_token", "starting_after"}
)
_FIRST_PAGE = frozenset({"", "0", "1"})  # page 1 and offset 0 may be given by name


class PagingRuns:
    """Counts the runs through a vendor's pages, by path and credential, and the pages of each."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], tuple[int, int]] = {}

    def count(self, vendor: str, request: VendorRequest) -> tuple[int, int]:
        """Return the number of the run and of the page that this request is for, from 1 on."""
        key = (vendor, request.path, request.headers.get("authorization", ""))
        run, page = self._last.get(key, (0, 0))
        continues = run and any(
            name in _PAGE_ARGUMENTS and value not in _FIRST_PAGE for name, value in request.query
        )
        self._last[key] = (run, page + 1) if continues else (run + 1, 1)
        return self._last[key]


class _ScriptedFault(msgspec.Struct):
    fault: Fault
    vendor: str
    page: int
    times: float


class ScriptedFaults:
    """A `FaultInjector` that breaks what `inject` said. `wall` gives epoch seconds."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._runs = PagingRuns()
        self._scripted: list[_ScriptedFault] = []
        self.injected = 0
        """How many responses were broken."""

    def inject(self, vendor: str, fault: str | Fault, *, page: int = 1, times: float = 1) -> None:
        """Break the next `times` responses of a vendor for that page; `math.inf` for ever.

        `fault` is a name out of `FAULTS`, or a function.
        """
        chosen = FAULTS[fault] if isinstance(fault, str) else fault
        self._scripted.append(_ScriptedFault(chosen, vendor, page, times))

    def clear(self) -> None:
        """Break nothing more."""
        self._scripted.clear()

    def __call__(
        self, vendor: str, request: VendorRequest, response: VendorResponse
    ) -> Script | None:
        _, page = self._runs.count(vendor, request)
        for scripted in self._scripted:
            if (scripted.vendor, scripted.page) == (vendor, page) and scripted.times > 0:
                scripted.times -= 1
                self.injected += 1
                return scripted.fault(request, response, self._wall())
        return None


class ChaosFaults:
    """A `FaultInjector` that breaks every second run of the accounts whose token names a fault.

    The runs break on the first page and, where there is one, on the second by turns. The
    requests of other accounts go to `others`.
    """

    def __init__(self, others: FaultInjector, wall: Callable[[], float]) -> None:
        self._others = others
        self._wall = wall
        self._runs = PagingRuns()

    def __call__(
        self, vendor: str, request: VendorRequest, response: VendorResponse
    ) -> Script | None:
        name = request.headers.get("authorization", "").partition(FAULT_MARK)[2]
        if not name:
            return self._others(vendor, request, response)
        run, page = self._runs.count(vendor, request)
        is_only_page = page == 1 and b'"next":"' not in response.body
        breaks_at = 1 if run % 4 or is_only_page else 2
        if run % 2 or page != breaks_at:
            return None
        return FAULTS[name](request, response, self._wall())


def occasional_throttling(every: int = 14, wait: int = 8) -> FaultInjector:
    """Return an injector that refuses each `every`-th request of a vendor with 429."""
    counters: dict[str, itertools.count[int]] = {}

    def inject(vendor: str, request: VendorRequest, response: VendorResponse) -> Script | None:
        if next(counters.setdefault(vendor, itertools.count(1))) % every:
            return None
        refusal = {"detail": f"Request was throttled. Expected available in {wait} seconds."}
        return script_of(json_response(refusal, status=429, headers={"Retry-After": str(wait)}))

    return inject
