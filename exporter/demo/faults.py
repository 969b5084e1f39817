"""Everything that vendors get wrong, as scripts for the wire; for the chaos demo and the tests.

A fault is told the request and the honest response, and says what goes over the wire instead. None
of them waits longer than ``FOREVER``, so that a broken client is found and a test still ends.

Faults on cue: which page of which vendor breaks, in which way, and how often.

The chaos of ``demo --chaos``: an account for every fault, each of which breaks in its own way.

An account answers well and breaks by turns, on its first page and on its second by turns, so that
the status page shows side by side what the exporter makes of each fault. The accounts have keys of
their own, as one that is throttled must not hold the others up.
"""

import functools
import gzip
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
"""(request, honest response, now in epoch seconds) -> script."""


def _refusal(status: int = 429, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        return script_of(json_response({"message": "slow down"}, status=status, headers=named))

    return fault


def _refusal_until(header: str, form: Callable[[float], str], status: int = 429) -> Fault:
    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        headers = {header: form(now + 30)}
        if "limit" in header.lower():
            headers |= {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}
        return script_of(json_response({"message": "slow down"}, status=status, headers=headers))

    return fault


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _twice(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    headers = (("Retry-After", "20"), ("Retry-After", "40"))
    return script_of(VendorResponse(status=429, headers=headers, body=b"{}"))


def _broken(status: int, body: bytes = b"", kind: str = "text/html") -> Fault:
    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        return script_of(
            VendorResponse(status=status, headers=(("Content-Type", kind),), body=body)
        )

    return fault


def _body(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        kept = tuple(pair for pair in response.headers if pair[0] not in dict(more))
        return script_of(
            VendorResponse(status=200, headers=(*kept, *more), body=change(response.body))
        )

    return fault


def _document(change: Callable[[Any, VendorRequest], Any]) -> Fault:
    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        document = change(json.loads(response.body), request)
        return script_of(
            VendorResponse(headers=response.headers, body=json.dumps(document).encode())
        )

    return fault


def _with_next(link: Callable[[VendorRequest], str]) -> Fault:
    """Put a next link where Django and HAL have theirs."""

    def change(document: Any, request: VendorRequest) -> Any:
        url = link(request)
        return document | {"next": url, "_links": {"next": {"href": url}}}

    return _document(change)


def _cut_short(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    """Promise the whole body, send half of it, end the connection in order."""
    return (Send(response_head(response) + response.body[: len(response.body) // 2]), Close())


def _reset_midway(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return (
        Send(response_head(response) + response.body[: len(response.body) // 2]),
        Pause(0.05),
        Reset(),
    )


def _never(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return (Pause(FOREVER), Close())


def _after_headers(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return (Send(response_head(response)), Pause(FOREVER), Close())


def _drip(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    """One byte a second, so that no read ever times out by itself."""
    drops: list[Action] = [Send(response_head(response))]
    for byte in response.body[: int(FOREVER)]:
        drops += [Send(bytes([byte])), Pause(1.0)]
    return (*drops, Close())


def _stale_connection(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    """Answer well and close without saying so: the next request meets a dead connection."""
    return (*script_of(response), Close())


def _bomb(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return script_of(VendorResponse(headers=(("Content-Encoding", "gzip"),), body=_blanks()))


@functools.cache
def _blanks() -> bytes:
    """Return 200 MiB of blanks in 200 kB.

    Packing them all would hold the loop for half a second: one block is packed and repeated.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    trailer = _BLANKS_CRC.to_bytes(4, "little") + (200 << 20).to_bytes(4, "little")
    return _GZIP_HEAD + block * 200 + packer.flush() + trailer


def _large(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    """50 MB of valid JSON."""
    size = 50 * 1024 * 1024
    pieces: list[Action] = [Send(response_head(response, length=size)), Send(b'{"filler":"')]
    pieces += [Send(b"x" * (1 << 20))] * 49  # one piece: to make 49 of them takes a while
    sent = 49 * (1 << 20) + len(b'{"filler":"')
    pieces.append(Send(b"x" * (size - sent - 2) + b'"}'))
    return tuple(pieces)


def _renamed(document: Any, request: VendorRequest) -> Any:
    """Rename every key, at every depth."""
    if isinstance(document, dict):
        return {f"{key}V2": _renamed(value, request) for key, value in document.items()}
    if isinstance(document, list):
        return [_renamed(value, request) for value in document]
    return document


def _texts(document: Any, request: VendorRequest) -> Any:
    """Turn every number into words."""
    if isinstance(document, dict):
        return {key: _texts(value, request) for key, value in document.items()}
    if isinstance(document, list):
        return [_texts(value, request) for value in document]
    return document if not isinstance(document, int | float) else "plenty"


def _with_headers(headers: Callable[[float], Mapping[str, str]]) -> Fault:
    """Answer well, and tell of a limit besides."""

    def fault(request: VendorRequest, response: VendorResponse, now: float) -> Script:
        more = tuple(headers(now).items())
        return script_of(msgspec.structs.replace(response, headers=(*response.headers, *more)))

    return fault


def _redirect_in_a_circle(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    itself = f"{request.origin}{request.path}?{urlencode(request.query)}"
    return script_of(VendorResponse(status=302, headers=(("Location", itself),)))


def _length_too_small(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return (Send(response_head(response, length=len(response.body) // 2) + response.body), Close())


def _header_drips(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    drops: list[Action] = []
    for byte in response_head(response)[: int(FOREVER)]:
        drops += [Send(bytes([byte])), Pause(1.0)]
    return (*drops, Close())


def _early_hints(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    """Send what RFC 8297 allows before the answer: it is none."""
    return (Send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"), *script_of(response))


def _old_http(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    old = response_head(response).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    return (Send(old + response.body), Close())


def _redirect(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    elsewhere = (("Location", "http://127.0.0.1:9/steal"),)
    return script_of(VendorResponse(status=302, headers=elsewhere))


def _not_http(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return (Send(b"SSH-2.0-OpenSSH_9.2\r\n"), Close())


def _endless_header(request: VendorRequest, response: VendorResponse, now: float) -> Script:
    return (Send(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 200_000), Close())


_HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
FAULTS: Mapping[str, Fault] = {
    # throttling, in every dialect
    "429_seconds": _refusal(Retry_After="30"),
    "429_float": _refusal(Retry_After="1.5"),
    "429_ms": _refusal(Retry_After_Ms="30000"),
    "429_http_date": _refusal_until("Retry-After", lambda at: formatdate(at, usegmt=True)),
    "429_odd_date": _refusal_until("Retry-After", lambda at: _iso(at).replace("T", " ")),
    "429_zero": _refusal(Retry_After="0"),
    "429_negative": _refusal(Retry_After="-5"),
    "429_junk": _refusal(Retry_After="soon"),
    "429_huge": _refusal(Retry_After="9" * 400),
    "429_twice": _twice,
    "429_bare": _refusal(),
    "429_reset_epoch": _refusal_until("X-RateLimit-Reset", lambda at: str(int(at))),
    "429_reset_ms": _refusal_until("X-RateLimit-Reset", lambda at: str(int(at * 1000))),
    "429_reset_delta": _refusal_until("X-RateLimit-Reset", lambda at: "30"),
    "429_reset_iso": _refusal_until("X-RateLimit-Next", _iso),
    "429_ietf": _refusal(RateLimit='"burst";r=0;t=30'),
    "429_html": _broken(429, b"<html>slow down</html>"),
    "503_retry_after": _refusal(503, Retry_After="30"),
    "403_used_up": _refusal_until("X-RateLimit-Reset", lambda at: str(int(at)), status=403),
    "200_retry_after": _with_headers(lambda now: {"Retry-After": "30"}),
    "200_used_up": _with_headers(
        lambda now: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(now) + 30)}
    ),
    # errors
    "401": _broken(401, b'{"error":"invalid_token"}', "application/json"),
    "403": _broken(403, b'{"detail":"no permission"}', "application/json"),
    "404": _broken(404),
    "500": _broken(500, b"<h1>Server Error (500)</h1>"),
    "502_empty": _broken(502),
    "204": _broken(204),
    "304_unasked": _broken(304),
    "redirect_elsewhere": _redirect,
    "redirect_in_a_circle": _redirect_in_a_circle,
    # bodies
    "html_at_200": _broken(200, _HTML),
    "empty_body": _broken(200, b"", "application/json"),
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
    "words_for_numbers": _document(_texts),
    # paging
    "next_is_itself": _with_next(lambda request: f"{request.origin}{request.path}?page=1"),
    "next_elsewhere": _with_next(lambda request: "https://attacker.example/next"),
    "next_is_a_file": _with_next(lambda request: "file:///etc/hostname"),
    # the wire
    "cut_short": _cut_short,
    "reset_midway": _reset_midway,
    "reset_at_once": lambda request, response, now: (Reset(),),
    "close_at_once": lambda request, response, now: (Close(),),
    "close_after_headers": lambda request, response, now: (Send(response_head(response)), Close()),
    "never_answers": _never,
    "stops_after_headers": _after_headers,
    "drips": _drip,
    "stale_connection": _stale_connection,
    "reset_when_idle": lambda request, response, now: (*script_of(response), Pause(0.02), Reset()),
    "header_drips": _header_drips,
    "length_too_small": _length_too_small,
    "early_hints": _early_hints,
    "old_http": _old_http,
    "not_http": _not_http,
    "endless_header": _endless_header,
}
"""Every fault by its name. Certificates, names that do not resolve and clocks that jump have no
bytes on this wire: the tests make those with a certificate, a name and a clock of their own."""
_LEADS_ON = frozenset({"after", "cursor", "next", "offset", "page", "page_token", "starting_after"})
_BEGINS = frozenset({"", "0", "1"})  # page 1 and offset 0 are request for by name, too


class PagingRuns:
    """Counts how often somebody began to turn a vendor's pages, and on which page he is."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str, str], tuple[int, int]] = {}

    def step(self, vendor: str, request: VendorRequest) -> tuple[int, int]:
        """Return the number of the walk and of the page that this request is for, from 1 on."""
        key = (vendor, request.path, request.headers.get("authorization", ""))
        walk, page = self._at.get(key, (0, 0))
        leads_on = any(name in _LEADS_ON and value not in _BEGINS for name, value in request.query)
        self._at[key] = (walk, page + 1) if leads_on and walk else (walk + 1, 1)
        return self._at[key]


class _Cue(msgspec.Struct):
    fault: Fault
    vendor: str
    page: int
    times: float


class ScriptedFaults:
    """Breaks the answers it is told to break; `FakeVendors` calls it as its `inject`.

    `wall` gives epoch seconds.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._walks = PagingRuns()
        self._cues: list[_Cue] = []
        self.injected = 0
        """How many answers were broken."""

    def inject(self, vendor: str, fault: str | Fault, *, page: int = 1, times: float = 1) -> None:
        """Break the next `times` answers of a vendor for that page; `math.inf` for ever.

        `fault` is a name out of `FAULTS`, or a fault of one's own.
        """
        chosen = FAULTS[fault] if isinstance(fault, str) else fault
        self._cues.append(_Cue(chosen, vendor, page, times))

    def clear(self) -> None:
        """Let the vendors be honest again."""
        self._cues.clear()

    def __call__(
        self, vendor: str, request: VendorRequest, response: VendorResponse
    ) -> Script | None:
        """Return what goes over the wire instead of an response, None for the answer itself."""
        _, page = self._walks.step(vendor, request)
        for cue in self._cues:
            if (cue.vendor, cue.page) == (vendor, page) and cue.times > 0:
                cue.times -= 1
                self.injected += 1
                return cue.fault(request, response, self._wall())
        return None


VENDOR_NAMES = ("tpstreams", "billing_usage", "thousandeyes")
_TARGET = """\
  - name: "{name}"
    provider: {vendor}
    base_url: {origin}/{vendor}{path}
    credentials: {{token: "{token}{mark}{name}"}}
    labels: {{team: chaos}}
{more}"""


def chaos_targets(origin: str, tokens: Mapping[str, str]) -> str:
    """Return the accounts as the configuration writes them, for vendors at `origin`."""
    return "".join(_target(name, origin, tokens) for name in sorted(FAULTS))


def _target(name: str, origin: str, tokens: Mapping[str, str]) -> str:
    # Faults that break links are for the vendor that has links.
    turns = len(VENDOR_NAMES) if not name.startswith("next_") else 1
    vendor = VENDOR_NAMES[sorted(FAULTS).index(name) % turns]
    path = "/v7" if vendor == "thousandeyes" else ""
    more = "    params: {organization_id: 9q94nm}\n" if vendor == "tpstreams" else ""
    return _TARGET.format(
        name=name,
        vendor=vendor,
        origin=origin,
        path=path,
        token=tokens[vendor],
        mark=FAULT_MARK,
        more=more,
    )


class ChaosFaults:
    """Breaks every second answer of the accounts that are there to break; others go to `calm`."""

    def __init__(self, calm: FaultInjector, wall: Callable[[], float]) -> None:
        self._calm = calm
        self._wall = wall
        self._walks = PagingRuns()

    def __call__(
        self, vendor: str, request: VendorRequest, response: VendorResponse
    ) -> Script | None:
        """Return what goes over the wire instead of an response, None for the answer itself."""
        name = request.headers.get("authorization", "").partition(FAULT_MARK)[2]
        if not name:
            return self._calm(vendor, request, response)
        walk, page = self._walks.step(vendor, request)
        breaks = walk % 2 == 0 and page == _page(walk, response, page)
        return FAULTS[name](request, response, self._wall()) if breaks else None


def _page(walk: int, response: VendorResponse, page: int) -> int:
    """Return the page at which a walk breaks: by turns the first, and the second if there is."""
    is_only = page == 1 and b'"next":"' not in response.body
    return 1 if walk % 4 or is_only else 2
