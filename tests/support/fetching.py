"""Targets, collectors and clients for the tests of fetching."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from exporter.fetch.client import Client
from exporter.fetch.http import HttpResponse, joined
from exporter.fetch.resolve import LookUp
from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.secrets import Secret
from exporter.kernel.templates import Clock, compile_template
from exporter.model.definition.auth import Auth, HeaderAuth, NoAuth
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Accounts, Collector, Definition
from exporter.model.definition.ratelimit import RateLimitRules
from exporter.model.definition.request import Argument, ArrayStyle, Json, Request
from exporter.model.outcome import Exchange, Failure, Fetched, Payload
from exporter.model.target import Http, LiteralSecret, SecretSource, Target
from tests.support.vendor import NOW

CANARY = "canary-4f1d9b72c0de"
CLOCK = Clock(NOW)
BEARER = HeaderAuth(
    headers={"Authorization": compile_template("Bearer {credentials.token}")},
    needs=frozenset({"token"}),
)


def paths(*texts: str) -> tuple[Selector, ...]:
    return tuple(compile_path(text) for text in texts)


def argument(name: str, *texts: str, style: ArrayStyle = ArrayStyle.REPEAT) -> Argument:
    return Argument(name=name, values=tuple(map(compile_template, texts)), style=style)


def a_request(path: str = "/usage", *, json: Json = None, **more: Any) -> Request:
    headers = {name: compile_template(text) for name, text in more.pop("headers", {}).items()}
    return Request(path=compile_template(path), json=json, headers=headers, **more)


def a_collector(path: str = "/usage", *, request: Request | None = None, **more: Any) -> Collector:
    return Collector(name="usage", request=request or a_request(path), **more)


def a_definition(
    *,
    auth: Auth = NoAuth(),  # noqa: B008 - frozen
    params: Mapping[str, Param] | None = None,
    accounts: Accounts | None = None,
    throttling: RateLimitRules = RateLimitRules(),  # noqa: B008 - frozen
    **more: Any,
) -> Definition:
    return Definition(
        name="acme",
        title="Acme",
        documentation="",
        origin="",
        base_url=None,
        auth=(auth,),
        collectors={"usage": a_collector()},
        params=params or {},
        accounts=accounts,
        throttling=throttling,
        **more,
    )


def a_target(
    base_url: str = "https://api.example.com",
    *,
    auth: Auth = NoAuth(),  # noqa: B008 - frozen
    definition: Definition | None = None,
    secrets: Mapping[str, str] | None = None,
    params: Mapping[str, tuple[str, ...]] | None = None,
    http: Http = Http(),  # noqa: B008 - frozen
    budget: str = "budget",
    name: str = "prod",
    interval: float = 300.0,
    **more: Any,
) -> Target:
    sources = {k: LiteralSecret(value=Secret(text)) for k, text in (secrets or {}).items()}
    return Target(
        name=name,
        definition=definition or a_definition(auth=auth),
        base_url=base_url,
        auth=auth,
        params=params or {},
        credentials=sources,
        collectors={"usage": interval},
        poll_timeout=30.0,
        stale_after={},
        http=http,
        user_agent="usage-exporter/test",
        budget=budget,
        **more,
    )


def reveal(source: SecretSource) -> Secret:
    assert isinstance(source, LiteralSecret)
    return source.value


def a_client(
    *,
    read_secret: Callable[[SecretSource], Secret] = reveal,
    wall: Callable[[], float] = lambda: NOW,
    connect_timeout: float = 2.0,
    read_timeout: float = 2.0,
    look_up_timeout: float = 2.0,
    look_up: LookUp | None = None,
) -> Client:
    return Client(
        read_secret=read_secret,
        wall=wall,
        look_up_timeout=look_up_timeout,
        look_up=look_up,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
    )


async def fetch(
    target: Target,
    collector: Collector | None = None,
    *,
    client: Client | None = None,
    on_exchange: Callable[[Exchange], None] | None = None,
    excerpts: bool = False,
) -> Fetched:
    """Fetch once, with a client of its own where none is given."""
    async with contextlib.AsyncExitStack() as stack:
        used = a_client() if client is None else client
        if client is None:
            await stack.enter_async_context(used)
        return await used.fetch(
            target, collector or a_collector(), on_exchange=on_exchange, excerpts=excerpts
        )


def payloads(fetched: Fetched) -> tuple[Payload, ...]:
    assert isinstance(fetched.result, tuple), fetched.result
    return fetched.result


def documents(fetched: Fetched) -> list[object]:
    return [page.document for payload in payloads(fetched) for page in payload.pages]


def failure(fetched: Fetched) -> Failure:
    assert isinstance(fetched.result, Failure), fetched.result
    return fetched.result


def an_answer(
    body: object = b"{}",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    url: str = "https://api.example.com/usage",
) -> HttpResponse:
    lines = tuple((name.lower(), text) for name, text in (headers or {}).items())
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status=status, lines=lines, headers=joined(lines), body=data, url=url)
