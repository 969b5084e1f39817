"""Vendors by their real names: what goes to which host, with the credential of which."""

from typing import Any

import pytest
from yarl import URL

from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import BasicAuth, HeaderAuth, TokenAuth
from exporter.model.definition.paging import NextUrl
from exporter.model.definition.provider import Format
from exporter.model.definition.responses import ResponseRules
from exporter.model.outcome import Reason
from exporter.model.reading import RateLimit
from tests.support.aioresponses_shim import answers
from tests.support.fetching import (
    BEARER,
    CANARY,
    a_collector,
    a_request,
    a_target,
    argument,
    documents,
    failure,
    fetch,
    paths,
)

NEEDS = frozenset({"username", "password"})
DOCKER_HUB = TokenAuth(
    request=a_request(
        "https://auth.docker.io/token",
        query=(
            argument("service", "registry.docker.io"),
            argument("scope", "repository:ratelimitpreview/test:pull"),
        ),
    ),
    login=BasicAuth(
        username=compile_template("{credentials.username}"),
        password=compile_template("{credentials.password}"),
        needs=NEEDS,
    ),
    token=paths("token"),
    expires_in=paths("expires_in"),
    apply=HeaderAuth(
        headers={"Authorization": compile_template("Bearer {token}")}, needs=frozenset()
    ),
    needs=NEEDS,
)
PULLS = a_collector(
    request=a_request("/v2/ratelimitpreview/test/manifests/latest", method="HEAD"),
    verdict=ResponseRules(accepted=frozenset({200, 429})),
    format=Format.HEADERS,
)
LOG_IN_URL = (
    "https://auth.docker.io/token?service=registry.docker.io"
    "&scope=repository:ratelimitpreview/test:pull"
)
HEAD_URL = "https://registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest"


def headers_of(hosts: Any, host: str) -> dict[str, str]:
    call = next(calls[0] for (_, url), calls in hosts.requests.items() if url.host == host)
    return {name.lower(): text for name, text in call.kwargs["headers"].items()}


@pytest.mark.parametrize("status", [200, 429])
async def test_a_token_of_one_host_opens_another(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = "76" if status == 200 else "0"
    limits = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{left};w=21600"}
    target = a_target(
        "https://registry-1.docker.io",
        auth=DOCKER_HUB,
        secrets={"username": "ops", "password": CANARY},
    )
    with answers(monkeypatch) as hosts:
        hosts.get(LOG_IN_URL, payload={"token": "registry-token-1", "expires_in": 300})
        hosts.head(HEAD_URL, status=status, headers=limits)
        fetched = await fetch(target, PULLS)
        log_in = headers_of(hosts, "auth.docker.io")
        pull = headers_of(hosts, "registry-1.docker.io")
    document = documents(fetched)[0]
    assert isinstance(document, dict)
    assert document["ratelimit-remaining"] == f"{left};w=21600"
    assert fetched.rate == RateLimit(limit=100, remaining=float(left))
    assert log_in["authorization"].startswith("Basic ")
    assert pull["authorization"] == "Bearer registry-token-1"


async def test_the_text_of_a_throttled_token_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    target = a_target(
        "https://registry-1.docker.io",
        auth=DOCKER_HUB,
        secrets={"username": "ops", "password": CANARY},
    )
    with answers(monkeypatch) as hosts:
        hosts.get(LOG_IN_URL, status=429, body="toomanyrequests: slow down")
        found = failure(await fetch(target, PULLS))
    assert found.reason is Reason.RATE_LIMITED
    assert found.detail == (
        "log-in: auth.docker.io answered 429 Too Many Requests: toomanyrequests: slow down"
    )


async def test_links_keep_their_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    link = "https://api.example.com/v1/usage?cursor=a%2Cb%3D%3D&expand=x,y"
    collector = a_collector("/v1/usage", paging=NextUrl(next=paths("next"), max_pages=3))
    target = a_target(auth=BEARER, secrets={"token": CANARY})
    with answers(monkeypatch) as hosts:
        hosts.get("https://api.example.com/v1/usage", payload={"next": link})
        hosts.get(URL(link, encoded=True), payload={"next": None})
        fetched = await fetch(target, collector)
    assert len(documents(fetched)) == 2
    assert fetched.exchanges[1].url == link
