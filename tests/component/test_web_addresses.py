import asyncio
import gzip
from collections.abc import Sequence

import pytest

from exporter.web import routes
from exporter.web.negotiate import Format
from exporter.web.routes import CHANGE_METHODS, Body, Route, metrics_handler
from tests.support.serving import Answer, ask, serving

TEXT = b"# TYPE usage_up gauge\nusage_up 1\n"


async def scrape(kind: Format, compress: bool) -> Body:  # noqa: FBT001 - the signature of a scrape
    body = TEXT + (b"# EOF\n" if kind is Format.OPENMETRICS_100 else b"")
    return gzip.compress(body) if compress else (body[:5], b"", body[5:])


async def asked(
    handler: Route, path: str = "/x", *, method: str = "GET", headers: dict[str, str] | None = None
) -> Answer:
    async with serving({path.partition("?")[0]: handler}) as port:
        return await ask(port, path, method=method, headers=headers)


METRICS = Route(handler=routes.metrics_handler(scrape))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        (
            "text/plain;version=1.0.0",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
        (
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("application/openmetrics-text;version=abc", "text/plain; version=0.0.4; charset=utf-8"),
        (";;q=,", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_the_exposition_has_the_content_type_that_was_asked_for(
    accept: str | None, kind: str
) -> None:
    answer = await asked(METRICS, headers={"Accept": accept} if accept else None)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.body.startswith(TEXT)
    assert answer.body.endswith(b"# EOF\n") is kind.startswith("application/openmetrics")


async def test_the_exposition_has_a_length_and_no_chunks() -> None:
    answer = await asked(METRICS)
    assert int(answer.headers["content-length"]) == len(TEXT) == len(answer.body)
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


async def test_gzip_is_sent_to_who_asks_for_it() -> None:
    answer = await asked(METRICS, headers={"Accept-Encoding": "gzip, deflate"})
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert gzip.decompress(answer.body) == TEXT
    refused = await asked(METRICS, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    assert refused.body == TEXT


async def test_head_says_the_length_and_sends_nothing() -> None:
    answer = await asked(METRICS, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == len(TEXT)


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "PATCH"])
async def test_the_exposition_is_only_read(method: str) -> None:
    assert (await asked(METRICS, method=method)).status == 405


async def test_a_body_of_many_megabytes_arrives_whole() -> None:
    pieces = tuple(bytes([number]) * 3_000_001 for number in range(4))

    async def huge(kind: Format, compress: bool) -> Body:  # noqa: FBT001 - the signature of a scrape
        return pieces

    answer = await asked(Route(handler=routes.metrics_handler(huge)))
    assert answer.body == b"".join(pieces)


async def test_scrapes_at_once_do_not_mix() -> None:
    async def slow(kind: Format, compress: bool) -> Body:  # noqa: FBT001 - the signature of a scrape
        await asyncio.sleep(0.01)
        return kind.value.encode() * 10_000

    routes = {"/metrics": Route(handler=metrics_handler(slow))}
    async with serving(routes) as port, asyncio.TaskGroup() as group:
        asks = [
            group.create_task(ask(port, "/metrics", headers={"Accept": kind.value}))
            for kind in [*Format] * 5
        ]
    for one in asks:
        answer = one.result()
        assert answer.body == answer.headers["content-type"].encode() * 10_000


async def test_alive_is_said_in_words() -> None:
    answer = await asked(Route(handler=routes.healthy_handler))
    assert (answer.status, answer.text) == (200, "usage-exporter is Healthy.\n")


async def test_ready_says_why_not() -> None:
    waiting = await asked(
        Route(handler=routes.ready_handler(lambda: "3 targets wait for their first poll."))
    )
    assert waiting.status == 503
    assert waiting.text == "usage-exporter is not Ready: 3 targets wait for their first poll.\n"
    ready = await asked(Route(handler=routes.ready_handler(lambda: "")))
    assert (ready.status, ready.text) == (200, "usage-exporter is Ready.\n")


async def reloaded(*problems: str) -> Answer:
    async def reload() -> Sequence[str]:
        return problems

    return await asked(
        Route(handler=routes.reload_handler(reload), methods=CHANGE_METHODS), method="POST"
    )


async def test_a_reload_that_works_is_200() -> None:
    answer = await reloaded()
    assert (answer.status, answer.text) == (200, "Configuration reloaded.\n")


async def test_a_reload_that_fails_is_500_with_every_problem() -> None:
    answer = await reloaded("config.yaml:1:1: a", "config.yaml:2:2: b")
    assert answer.status == 500
    assert answer.text == (
        "Failed to reload the configuration: 2 problems. The old one stays in force.\n"
        "config.yaml:1:1: a\nconfig.yaml:2:2: b\n"
    )
    assert "1 problem." in (await reloaded("a")).text


async def test_a_reload_is_403_while_the_lifecycle_is_off() -> None:
    off = Route(handler=routes.reload_handler(None), methods=CHANGE_METHODS)
    for method in ("POST", "PUT"):
        answer = await asked(off, method=method)
        assert answer.status == 403
        assert answer.text.startswith("Lifecycle API is not enabled.")


async def test_a_reload_takes_no_get() -> None:
    answer = await asked(Route(handler=routes.reload_handler(None), methods=CHANGE_METHODS))
    assert (answer.status, answer.text) == (405, "Only POST or PUT requests allowed.\n")


async def probed(query: str) -> Answer:
    async def one(name: str, kind: Format) -> Body | None:
        return b"usage_up 1\n" if name == "video-prod" else None

    route = Route(handler=routes.probe_handler(one, lambda: ["video-prod", "network"]))
    return await asked(route, f"/probe{query}")


async def test_a_probe_gives_one_target_from_the_cache() -> None:
    answer = await probed("?target=video-prod")
    assert (answer.status, answer.body) == (200, b"usage_up 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?target=video-prdo", 'is no target of this exporter. Did you mean "video-prod"?'),
        ("?target=http://169.254.169.254/", "Known: network, video-prod."),
        ("", "Name one target: /probe?target=NAME."),
        ("?target=", "Name one target: /probe?target=NAME."),
        ("?target=network&target=video-prod", "Name one target: /probe?target=NAME."),
        ("?target=" + "x" * 5000, "is no target of this exporter."),
        ("?target=%0d%0aSet-Cookie:%20a", "is no target of this exporter."),
        ("?target=%ed%a0%80", "is no target of this exporter."),
    ],
)
async def test_a_probe_of_no_target_is_400_with_what_is_known(query: str, words: str) -> None:
    answer = await probed(query)
    assert answer.status == 400
    assert words in answer.text
    assert len(answer.text) < 500
    assert "set-cookie" not in answer.headers


async def test_the_configuration_is_shown_as_text() -> None:
    route = Route(handler=routes.config_handler(lambda: "token: <secret>\nname: é\ud800\n"))
    answer = await asked(route)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "token: <secret>\nname: é?\n"


async def test_a_scrape_that_breaks_is_500_and_the_next_one_works() -> None:
    results = iter([False, True])

    async def fragile(kind: Format, compress: bool) -> Body:  # noqa: FBT001 - the signature of a scrape
        if next(results):
            return TEXT
        raise RuntimeError("no")

    async with serving({"/metrics": Route(handler=routes.metrics_handler(fragile))}) as port:
        assert (await ask(port, "/metrics")).status == 500
        assert (await ask(port, "/metrics")).status == 200


async def test_a_large_body_is_not_sent_for_head() -> None:
    async def huge(kind: Format, compress: bool) -> Body:  # noqa: FBT001 - the signature of a scrape
        return (b"x" * 3_000_000, b"y")

    answer = await asked(Route(handler=routes.metrics_handler(huge)), method="HEAD")
    assert (answer.headers["content-length"], answer.body) == ("3000001", b"")
