"""A canary in every place that a secret can be, and out of none of them."""

from collections.abc import Callable
from typing import Any

import pytest

from exporter.demo.server import (
    Close,
    Reset,
    Script,
    Send,
    VendorRequest,
    VendorResponse,
    json_response,
)
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import Auth, BasicAuth, HeaderAuth, QueryAuth, TokenAuth
from exporter.model.definition.paging import NextUrl
from exporter.model.definition.provider import Format
from exporter.model.definition.responses import ResponseRules
from exporter.model.outcome import Exchange, Failure
from exporter.model.target import Http
from tests.support.fetching import (
    BEARER,
    CANARY,
    a_client,
    a_collector,
    a_request,
    a_target,
    an_answer,
    fetch,
    paths,
)
from tests.support.vendor import Vendor

ODD = 'can@ry/qwx "zvj" + ü&='
NEEDS = frozenset({"token"})
TOKEN = compile_template("{credentials.token}")
LOG_IN = TokenAuth(
    request=a_request("/login", method="POST", json={"password": TOKEN}),
    token=paths("token"),
    apply=HeaderAuth(headers={"X-Token": compile_template("{token}")}, needs=frozenset()),
    needs=NEEDS,
)
AUTHS: dict[str, Auth] = {
    "bearer": BEARER,
    "query": QueryAuth(query={"q": TOKEN}, needs=NEEDS),
    "basic": BasicAuth(username=TOKEN, password=TOKEN, needs=NEEDS),
    "login": LOG_IN,
}


def echo_of(asked: VendorRequest) -> str:
    """Return all that came with a request, as a careless vendor would log it."""
    return f"{asked.headers} {asked.query} {asked.body!r}"


def _headers(asked: VendorRequest) -> tuple[tuple[str, str], ...]:
    seen = " ".join(asked.headers.values()).replace("\n", " ")
    return (("X-Echo", seen), ("Set-Cookie", f"s={seen}"), ("ETag", f'"{seen}"'))


ECHOES: dict[str, Callable[[VendorRequest], VendorResponse | Script]] = {
    "good body": lambda asked: json_response({"echo": echo_of(asked), echo_of(asked): 1}),
    "good headers": lambda asked: VendorResponse(headers=_headers(asked), body=b"{}"),
    "error body": lambda asked: json_response({"message": echo_of(asked)}, status=400),
    "error text": lambda asked: VendorResponse(status=401, body=echo_of(asked).encode()),
    "error headers": lambda asked: VendorResponse(status=500, headers=_headers(asked)),
    "web page": lambda asked: VendorResponse(body=f"<title>{echo_of(asked)}</title>".encode()),
    "failed guard": lambda asked: json_response({"failed": True, "error": echo_of(asked)}),
    "next page": lambda asked: json_response(
        {"next": f"https://evil.example/?k={asked.argument('q')}{asked.headers['x-own']}"}
    ),
    "redirect": lambda asked: VendorResponse(
        status=302,
        headers=(("Location", f"https://evil.example/?q={'-'.join(asked.headers.values())}"),),
    ),
    "cut answer": lambda asked: (
        Send(f"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{echo_of(asked)}".encode()),
        Close(),
    ),
    "broken HTTP": lambda asked: (Send(f"{echo_of(asked)}\r\n\r\n".encode()), Close()),
    "reset": lambda asked: (Reset(),),
}


def places(fetched: Any, seen: list[Exchange], client: Any) -> str:
    failed = fetched.result.detail if isinstance(fetched.result, Failure) else ""
    return f"{fetched!r} {fetched} {failed} {seen!r} {client!r}"


@pytest.mark.parametrize("secret", [CANARY, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_secret_never_comes_out(secret: str, auth: str, echo: str) -> None:
    def reply(asked: VendorRequest) -> VendorResponse | Script:
        if asked.path == "/login":
            return json_response({"token": "tok3n-canary-of-the-log-in"}, headers={"X-T": "tok3n"})
        return ECHOES[echo](asked)

    seen: list[Exchange] = []
    verdict = ResponseRules(guard=paths("!failed")[0])
    collector = a_collector(paging=NextUrl(next=paths("next"), max_pages=3), verdict=verdict)
    http = Http(headers={"X-Own": "own-canary-77", "X-Own-Key": "own-canary-77"})
    async with Vendor(reply) as vendor, a_client() as client:
        target = a_target(vendor.base_url, auth=AUTHS[auth], secrets={"token": secret}, http=http)
        fetched = await fetch(
            target, collector, client=client, on_exchange=seen.append, excerpts=True
        )
        told = places(fetched, seen, client)
    assert vendor.asked
    for part in (CANARY, "canary-4", "qwx", "zvj", "Y2Fu", "tok3n", "own-canary"):
        assert part not in told, told


async def test_a_token_endpoint_that_fails_keeps_the_secret() -> None:
    seen: list[Exchange] = []
    async with Vendor(lambda asked: VendorResponse(status=400, body=asked.body)) as vendor:
        target = a_target(vendor.base_url, auth=LOG_IN, secrets={"token": CANARY})
        fetched = await fetch(target, on_exchange=seen.append, excerpts=True)
    assert isinstance(fetched.result, Failure)
    assert CANARY not in repr((fetched, seen))


async def test_headers_that_are_the_answer_are_cleaned_too() -> None:
    def reply(asked: VendorRequest) -> VendorResponse:
        return VendorResponse(headers=(("X-Echo", asked.headers["authorization"]),))

    async with Vendor(reply) as vendor:
        target = a_target(vendor.base_url, auth=BEARER, secrets={"token": CANARY})
        fetched = await fetch(target, a_collector(format=Format.HEADERS))
    assert CANARY not in repr(fetched)
    assert "Bearer <secret>" in repr(fetched)


async def test_a_header_that_cannot_be_sent_keeps_the_secret() -> None:
    target = a_target(auth=BEARER, secrets={"token": f"{CANARY}\nsecond line"})
    fetched = await fetch(target)
    assert isinstance(fetched.result, Failure)
    assert "look for a stray line" in fetched.result.detail
    assert CANARY not in repr(fetched)


async def test_an_echo_in_the_deep_does_not_get_through() -> None:
    depth = 900  # deeper than some Pythons can look, and not than others
    body = b'{"a":' * depth + f'"{CANARY}"'.encode() + b"}" * depth
    async with Vendor(VendorResponse(body=body)) as vendor:
        target = a_target(vendor.base_url, auth=BEARER, secrets={"token": CANARY})
        fetched = await fetch(target)
    match fetched.result:
        case Failure() as failure:
            assert failure.detail == "the answer is nested too deeply"
        case (payload,):
            document = payload.pages[0].document
            while isinstance(document, dict):
                document = document["a"]
            assert document == "<secret>"
        case _:
            pytest.fail("there is one answer")


async def test_neither_requests_nor_answers_show_what_they_hold() -> None:
    seen = an_answer({"key": CANARY}, url=f"https://api.example.com/u?key={CANARY}")
    assert repr(seen) == f"HttpResponse(200 from api.example.com, {len(seen.body)} bytes)"
