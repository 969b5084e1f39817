import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from exporter.kernel.override import override
from exporter.model.health import Freshness, Health, Wait
from exporter.web.page import MOST_CARDS, status_page, target_card
from exporter.web.style import CSS, POLICY
from exporter.web.view import ApiView, CostView, FailureView, ResourceView, StatusView, TargetView
from tests.support.views import (
    NOON,
    a_collector,
    a_resource,
    a_status,
    a_target,
    gallery,
)

VOID = {"meta", "link", "!doctype"}


class Outline(HTMLParser):
    """What a browser makes of a page: its elements, balanced, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def having(self, name: str, key: str) -> list[str | None]:
        return [attrs[key] for tag, attrs in self.tags if tag == name and key in attrs]


def html(view: StatusView) -> str:
    return "".join(status_page(view, telemetry_path="/metrics"))


def shown(target: TargetView) -> Outline:
    return Outline(target_card(target, now=NOON, anchor="t0"))


def bars(outline: Outline) -> list[str | None]:
    return [attrs.get("class") for tag, attrs in outline.tags if tag == "rect"]


@pytest.mark.parametrize("view", [gallery(), a_status()], ids=["gallery", "nothing"])
def test_the_page_is_well_formed_and_brings_all_it_needs(view: StatusView) -> None:
    outline = Outline(html(view))
    assert outline.open == []
    assert "script" not in {tag for tag, _ in outline.tags}
    assert not outline.having("div", "style")
    for tag, attrs in outline.tags:
        for key in ("src", "href"):
            target = attrs.get(key) or "#"
            assert target.startswith(("./", "#", "data:image/svg+xml,")), (tag, target)
            assert not target.startswith("//")
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    (style,) = re.findall("<style>(.*?)</style>", html(a_status()), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert "unsafe" not in POLICY


def test_it_works_in_the_dark() -> None:
    assert "@media(prefers-color-scheme:dark)" in CSS


def test_the_header_leads_to_the_other_addresses() -> None:
    outline = Outline("".join(status_page(a_status(), telemetry_path="/own")))
    wanted = {"./own", "./config", "./api/v1/targets", "./-/healthy"}
    assert wanted <= set(outline.having("a", "href"))
    assert "version 1.2.3" in outline.text


@pytest.mark.parametrize(
    ("ratio", "colour"),
    [(0.0, "ok"), (0.7499, "ok"), (0.75, "warn"), (0.8999, "warn"), (0.9, "crit"), (3.0, "crit")],
)
def test_bars_are_green_yellow_from_75_and_red_from_90_percent(ratio: float, colour: str) -> None:
    resource = a_resource(ratio=ratio, projected=None, projected_ratio=None)
    outline = shown(a_target(resources=(resource,)))
    assert bars(outline) == [colour]
    assert outline.having("rect", "width") == [f"{min(ratio, 1) * 100:.2f}%"]


def test_a_projection_is_the_pale_rest_of_the_bar() -> None:
    below = a_resource(ratio=0.5, projected_ratio=0.8)
    above = a_resource(ratio=0.5, projected_ratio=1.2)
    assert bars(shown(a_target(resources=(below,)))) == ["more warn", "ok", "end"]
    assert bars(shown(a_target(resources=(above,)))) == ["more crit", "ok"]


def test_a_resource_tells_its_amounts_period_and_outlook() -> None:
    text = shown(a_target()).text
    assert "bandwidth 4.12 TB / 5 TB 82 %" in text
    assert "projected 5.75 TB (115 %)" in text
    assert "reaches the limit in 4 d 9 h" in text
    assert "1 Nov to 30 Nov" in text
    assert "limit from the config" in text
    assert "data of 2 h ago" in text
    assert "updated 3 min ago" in text
    assert "next poll in 11 min" in text


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"limit": None, "limit_kind": "unlimited", "ratio": None}, "4.12 TB / unlimited"),
        ({"limit": None, "limit_kind": "unknown", "ratio": None}, "limit unknown"),
        ({"used": None, "limit": 5e12}, "limit 5 TB"),
        ({"used": 0.0, "limit": 0.0, "ratio": None, "limit_kind": "provider"}, "0 B / 0 B"),
        ({"exhaustion": NOON - 5}, "reaches the limit about now"),
        ({"projection": "provider"}, "projected 5.75 TB (115 %) by the vendor"),
        ({"projected": None}, "projected 115 %"),
        ({"projected_ratio": None}, "projected 5.75 TB"),
        ({"account": "team-a"}, "team-a · bandwidth"),
        ({"kind": "quantity", "unit": "credits"}, "unit: credits"),
    ],
)
def test_what_is_unlimited_unknown_or_zero_are_three_things(
    given: dict[str, Any], wanted: str
) -> None:
    assert wanted in shown(a_target(resources=(a_resource(**given),))).text


def test_a_resource_without_a_ratio_has_no_bar() -> None:
    resource = ResourceView(resource="emails", kind="quantity", used=5)
    assert bars(shown(a_target(resources=(resource,)))) == []


def test_money_is_shown_with_its_parts() -> None:
    cost = CostView(
        currency="USD", account="team-a", cost=10, base=4, overage=6, projected=12, limit=20
    )
    text = shown(a_target(costs=(cost,))).text
    for part in (
        "10.00 USD so far",
        "4.00 USD base",
        "6.00 USD overage",
        "12.00 USD projected",
        "20.00 USD budget",
        "team-a account",
    ):
        assert part in text


def test_a_target_that_is_down_says_why_and_what_it_waits_for() -> None:
    target = a_target(
        wait=Wait.THROTTLED,
        wait_seconds=754.0,
        wait_cause="throttled",
        collectors=(
            a_collector(health=Health.THROTTLED, failures=3, reason="rate_limited", detail="429"),
            a_collector("quotas"),
        ),
        failures=(FailureView(at=NOON - 60, collector="usage", reason="http_5xx", detail="503"),),
    )
    text = shown(target).text
    assert "partly down: rate_limited" in text
    assert "usage: rate_limited (3 in a row): 429" in text
    assert "Throttled for 12 min" in text
    assert "2 collectors, 1 recent error" in text
    assert "1 min ago usage http_5xx 503" in text


@pytest.mark.parametrize(
    ("api", "words"),
    [
        (
            ApiView(reserve=0.2),
            "The vendor tells no limit of its API; 20 % of it is left to others",
        ),
        (
            ApiView(reserve=0.05, limit=60, remaining=7, reset=NOON + 300),
            "The vendor's API: 7 of 60 requests left, anew in 5 min; 5.0 % of it is left to others",
        ),
        (ApiView(reserve=0, remaining=7), "The vendor's API: 7 requests left; 0 % of it"),
    ],
)
def test_what_may_be_asked_of_the_vendor_is_told(api: ApiView, words: str) -> None:
    assert words in shown(a_target(api=api)).text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            a_target(
                resources=(),
                collectors=(
                    a_collector(
                        health=Health.NEVER_POLLED,
                        freshness=Freshness.NONE,
                        last_success=None,
                        next_poll=None,
                    ),
                ),
            ),
            "waits for its first poll No values yet.",
        ),
        (
            a_target(resources=(), collectors=(a_collector(freshness=Freshness.EXPIRED),)),
            "No values: the last ones are too old.",
        ),
        (a_target(resources=(a_resource(ratio=0.1),)), "up"),
        (
            a_target(collectors=(a_collector(health=Health.PAUSED, reason="auth", detail="401"),)),
            "down: auth",
        ),
        (
            a_target(wait=Wait.BACKING_OFF, wait_seconds=5.0, resources=(a_resource(ratio=0.1),)),
            "waits Backs off for 5 s",
        ),
        (
            a_target(resources=tuple(a_resource(str(n), ratio=0.95) for n in range(4))),
            "4 near the limit",
        ),
        (a_target(resources=(a_resource("a", ratio=1.0),)), "a at the limit"),
        (
            a_target(resources=(a_resource("a", ratio=1.01), a_resource("b", ratio=0.9))),
            "a over the limit",
        ),
    ],
    ids=["new", "stale", "up", "down", "waits", "many", "at", "over"],
)
def test_a_targets_state_is_said_in_words(target: TargetView, words: str) -> None:
    assert words in shown(target).text


def test_the_summary_counts_and_names_what_needs_a_look() -> None:
    outline = Outline(html(gallery()))
    assert "6 targets 3 up 2 down 2 at 90 % or more 1 from 75 % on 1 backing off" in outline.text
    assert "Look at: saas-prod (api_requests near the limit) network" in outline.text
    ids = {f"#{name}" for name in outline.having("article", "id")}
    assert {href for href in outline.having("a", "href") if href and href[0] == "#"} <= ids


def test_many_that_need_a_look_are_counted() -> None:
    down = (a_collector(health=Health.PAUSED, reason="auth"),)
    view = a_status(*(a_target(str(n), collectors=down) for n in range(20)))
    assert "and 8 more" in Outline(html(view)).text


def test_a_failed_reload_is_shown_with_every_problem() -> None:
    text = Outline(html(a_status(config_problems=("config.yaml:1:1: a", "b < c")))).text
    assert "The last reload failed; the configuration before it is in force." in text
    assert "config.yaml:1:1: a b < c" in text


def test_of_too_many_targets_the_worst_are_shown_first() -> None:
    fine = a_target("fine", resources=(a_resource(ratio=0.1),))
    targets = [msgspec.structs.replace(fine, account=f"fine-{n}") for n in range(MOST_CARDS + 50)]
    targets += [
        a_target("yellow", resources=(a_resource(ratio=0.8),)),
        a_target("red", resources=(a_resource(ratio=0.95),)),
        a_target("redder", resources=(a_resource(ratio=0.99),)),
        a_target("down", collectors=(a_collector(health=Health.PAUSED, reason="auth"),)),
    ]
    outline = Outline(html(a_status(*targets)))
    assert len(outline.having("article", "id")) == MOST_CARDS
    order = [
        outline.text.find(f" {name} ") for name in ("down", "redder", "red", "yellow", "fine-0")
    ]
    assert order == sorted(order)
    assert "The 200 targets that need a look first, of 254." in outline.text


def test_of_a_few_targets_the_order_is_the_configs() -> None:
    outline = Outline(html(a_status(a_target("b"), a_target("a"))))
    assert outline.text.find(" b ") < outline.text.find(" a ")


HOSTILE = '<script>alert("canary")</script>\'"&\ud800\0'


def test_nothing_from_outside_is_markup() -> None:
    target = a_target(
        HOSTILE,
        provider=HOSTILE,
        title=HOSTILE,
        plan=HOSTILE,
        labels={HOSTILE: HOSTILE},
        wait=Wait.BACKING_OFF,
        wait_seconds=1.0,
        wait_cause=HOSTILE,
        resources=(a_resource(HOSTILE, account=HOSTILE, unit=HOSTILE, kind="quantity"),),
        costs=(CostView(currency=HOSTILE, account=HOSTILE, cost=1),),
        collectors=(a_collector(HOSTILE, health=Health.FAILING, reason=HOSTILE, detail=HOSTILE),),
        failures=(FailureView(at=0, collector=HOSTILE, reason=HOSTILE, detail=HOSTILE),),
    )
    view = a_status(target, version=HOSTILE, config_problems=(HOSTILE,))
    text = "".join(status_page(view, telemetry_path=HOSTILE))
    assert "<script" not in text
    outline = Outline(text)
    assert outline.open == []
    assert text.count("alert(") > 15


def test_each_part_of_a_large_page_is_small() -> None:
    view = a_status(*(a_target(str(number)) for number in range(1000)))
    assert max(map(len, status_page(view, telemetry_path="/metrics"))) < 100_000
