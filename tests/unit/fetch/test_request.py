"""Requests: rendered from templates, and addresses that a parameter cannot lead astray."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from exporter.fetch.http import HttpRequest
from exporter.fetch.request import (
    Draft,
    PageRequest,
    RequestError,
    Signature,
    draft_request,
    merge_headers,
    to_http_request,
    uses_account,
)
from exporter.kernel.templates import TemplateValues, compile_template
from exporter.model.definition.params import Param
from exporter.model.definition.request import ArrayStyle, Json, Request
from exporter.model.target import Http, Target
from tests.support.fetching import CLOCK, a_definition, a_request, a_target, argument

UNSIGNED = Signature()


def params(**values: Any) -> Mapping[str, Param]:
    return {
        name: Param(
            name=name,
            description="",
            default=None if text is None else compile_template(text),
            multiple=name.endswith("s"),
        )
        for name, text in values.items()
    }


def drafted(request: Request, target: Target | None = None, *, account: str | None = None) -> Draft:
    target = target or a_target("https://api.example.com/v1/")
    values = target.values(CLOCK)
    values = values if account is None else values.with_texts({"account.id": account})
    return draft_request(request, target, values, CLOCK)


def sent(
    request: Request, target: Target | None = None, *, account: str | None = None
) -> HttpRequest:
    return to_http_request(drafted(request, target, account=account), UNSIGNED)


def test_a_path_is_joined_to_the_base() -> None:
    assert sent(a_request("/usage/")).url == "https://api.example.com/v1/usage/"
    assert sent(a_request("usage")).url == "https://api.example.com/v1/usage"


def test_an_absolute_path_stands_for_itself() -> None:
    assert sent(a_request("https://auth.example.com/token")).url == "https://auth.example.com/token"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443/u"),
        ("https://x.io/größe", "https://x.io/gr%C3%B6%C3%9Fe/u"),
        ("https://x.io/a b", "https://x.io/a%20b/u"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/u"),
    ],
)
def test_an_address_is_written_in_ascii(base_url: str, url: str) -> None:
    assert sent(a_request("/u"), a_target(base_url)).url == url


def test_a_base_that_is_no_address_is_refused() -> None:
    with pytest.raises(RequestError, match="base URL cannot be read"):
        sent(a_request("/u"), a_target("http://[ü"))


def test_values_in_the_path_are_quoted() -> None:
    target = a_target(
        "https://x.io",
        definition=a_definition(params=params(urn=None)),
        params={"urn": ("a/b:ü c",)},
    )
    assert (
        sent(a_request("/v2/{params.urn}/x"), target).url == "https://x.io/v2/a%2Fb%3A%C3%BC%20c/x"
    )


@pytest.mark.parametrize(("value", "quoted"), [("..", "%2E%2E"), (".", "%2E"), ("..a", "..a")])
def test_a_value_cannot_climb_out_of_its_place(value: str, quoted: str) -> None:
    request = a_request("/v1/{params.org}/usage")
    target = a_target(
        "https://x.io", definition=a_definition(params=params(org=None)), params={"org": (value,)}
    )
    assert sent(request, target).url == f"https://x.io/v1/{quoted}/usage"


def test_a_path_without_its_value_is_refused() -> None:
    with pytest.raises(RequestError, match=r"needs params\.organization_id, which has no value"):
        sent(a_request("/v1/{params.organization_id}/usage"))


def test_dates_stand_in_the_path_too() -> None:
    request = a_request("/insights/{month.start:date}/{today:date}")
    assert sent(request).url.endswith("/insights/2026-11-01/2026-11-15")


def test_an_argument_that_lacks_a_value_is_left_out() -> None:
    definition = a_definition(
        params=params(start="{month.start:date}", end=None, day="{today:date}")
    )
    target = a_target("https://x.io", definition=definition, params={"day": ("",)})
    request = a_request(
        "/u",
        query=(
            argument("start", "{params.start}"),
            argument("end", "{params.end}"),
            argument("day", "{params.day}"),
            argument("flag", ""),
        ),
    )
    assert sent(request, target).url == "https://x.io/u?start=2026-11-01&flag="


@pytest.mark.parametrize(
    ("style", "query"),
    [
        (ArrayStyle.REPEAT, "expand=test&expand=enterprise-agent"),
        (ArrayStyle.BRACKETS, "expand%5B%5D=test&expand%5B%5D=enterprise-agent"),
        (ArrayStyle.COMMA, "expand=test,enterprise-agent"),
    ],
)
def test_several_values_are_written_in_the_vendors_style(style: ArrayStyle, query: str) -> None:
    definition = a_definition(params=params(expands=None))
    target = a_target(
        "https://x.io",
        definition=definition,
        params={"expands": ("test", "enterprise-agent")},
    )
    literal = argument("expand", "test", "enterprise-agent", style=style)
    of_param = argument("expand", "{params.expands}", style=style)
    assert sent(a_request("/u", query=(literal,)), target).url == f"https://x.io/u?{query}"
    assert sent(a_request("/u", query=(of_param,)), target).url == f"https://x.io/u?{query}"


def test_brackets_are_not_doubled() -> None:
    request = a_request("/u", query=(argument("group_by[]", "model", style=ArrayStyle.BRACKETS),))
    assert sent(request).url.endswith("/u?group_by%5B%5D=model")


def test_no_values_leave_the_argument_out_in_every_style() -> None:
    for style in ArrayStyle:
        request = a_request("/u", query=(argument("expand", "{params.expands}", style=style),))
        assert sent(request).url.endswith("/u")


def test_a_comma_in_one_of_several_values_is_no_separator() -> None:
    request = a_request("/u", query=(argument("m", "a,b", "c", style=ArrayStyle.COMMA),))
    assert sent(request).url.endswith("?m=a%2Cb,c")


NASTY = "a=1&b=2#c+d e/f?g%h(i)[j],k:l;m\"n'ü"


def test_query_values_arrive_as_they_are() -> None:
    request = a_request("/u", query=(argument("filter[x](y)", "{{}}" + NASTY),))
    url = sent(request).url
    assert parse_qsl(urlsplit(url).query) == [("filter[x](y)", "{}" + NASTY)]
    assert url.isascii()
    assert " " not in url


def test_a_query_in_the_path_is_kept() -> None:
    request = a_request("/u?fixed=1", query=(argument("more", "2"),))
    assert sent(request).url.endswith("/u?fixed=1&more=2")


def items_url(**given: tuple[str, ...]) -> str:
    definition = a_definition(params=params(expand=None))
    target = a_target("https://x.io", definition=definition, params=given, items=True)
    request = a_request(
        "/u",
        query=(argument("expand", "{params.expand}"), argument("limit", "1")),
        item_query=(argument("expand", "test", style=ArrayStyle.COMMA), argument("all", "yes")),
    )
    return sent(request, target).url


def test_breakdowns_add_their_arguments() -> None:
    assert items_url() == "https://x.io/u?limit=1&expand=test&all=yes"


def test_an_argument_that_the_target_set_is_not_replaced_for_breakdowns() -> None:
    assert items_url(expand=("agent",)) == "https://x.io/u?expand=agent&limit=1&all=yes"
    assert items_url(expand=("",)) == "https://x.io/u?limit=1&expand=test&all=yes"


def test_without_breakdowns_their_arguments_are_not_sent() -> None:
    request = a_request("/u", item_query=(argument("expand", "test"),))
    assert sent(request, a_target("https://x.io")).url == "https://x.io/u"


def test_headers_are_laid_over_each_other_without_regard_to_case() -> None:
    target = a_target(http=Http(headers={"x-team": "video", "ACCEPT": "text/plain"}))
    request = a_request(
        "/u", headers={"accept": "application/hal+json", "X-Version": "{day.start:date}"}
    )
    assert dict(sent(request, target).headers) == {
        "User-Agent": "usage-exporter/test",
        "X-Version": "2026-11-15",
        "x-team": "video",
        "ACCEPT": "text/plain",
    }


def test_a_header_that_lacks_a_value_is_left_out() -> None:
    assert "X-Org" not in sent(a_request("/u", headers={"X-Org": "{params.org}"})).headers


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\udc80b"])
def test_a_header_cannot_break_the_request_apart(text: str) -> None:
    with pytest.raises(RequestError, match='the header "X-Team" holds a line break'):
        sent(a_request("/u"), a_target(http=Http(headers={"X-Team": text})))


def test_merging_nothing_changes_nothing() -> None:
    headers = {"A": "1"}
    assert merge_headers(headers, {}) is headers


def test_a_json_body_is_rendered_and_keeps_its_types() -> None:
    body: Json = {
        "start": compile_template("{month.start:date}"),
        "end": compile_template("{params.end}"),
        "nested": (compile_template("{params.end}"), True, 1, 1.5, None),
        "null": None,
        "deep": {"flag": False},
    }
    found = sent(a_request("/u", method="POST", json=body))
    assert found.headers["Content-Type"] == "application/json"
    assert msgspec.json.decode(found.body or b"") == {
        "start": "2026-11-01",
        "nested": [True, 1, 1.5, None],
        "null": None,
        "deep": {"flag": False},
    }


def test_a_form_body_is_encoded() -> None:
    form = (argument("grant_type", "client_credentials"), argument("scope", "a b", "c&d"))
    found = sent(a_request("/u", method="POST", form=form))
    assert found.body == b"grant_type=client_credentials&scope=a+b&scope=c%26d"
    assert found.headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("style", "body"),
    [(ArrayStyle.BRACKETS, b"a%5B%5D=1&a%5B%5D=2"), (ArrayStyle.COMMA, b"a=1%2C2")],
)
def test_a_form_has_the_vendors_style_too(style: ArrayStyle, body: bytes) -> None:
    form = (argument("a", "1", "2", style=style), argument("b", "{params.b}", style=style))
    assert sent(a_request("/u", method="POST", form=form)).body == body


def test_a_page_replaces_the_argument_of_the_same_name() -> None:
    plan = drafted(a_request("/u", query=(argument("page", "1"), argument("limit", "5"))))
    found = to_http_request(plan, UNSIGNED, PageRequest(query=(("page", "2"), ("page[x]", "a b"))))
    assert found.url.endswith("/u?limit=5&page=2&page%5Bx%5D=a%20b")


def test_a_page_goes_into_the_json_body() -> None:
    plan = drafted(a_request("/g", method="POST", json={"variables": {"first": 5}, "q": 1}))
    found = to_http_request(plan, UNSIGNED, PageRequest(body={"variables.after": "c1"}))
    assert msgspec.json.decode(found.body or b"") == {
        "variables": {"first": 5, "after": "c1"},
        "q": 1,
    }
    assert plan.json == {"variables": {"first": 5}, "q": 1}


def test_a_page_goes_into_the_form_body() -> None:
    plan = drafted(a_request("/g", method="POST", form=(argument("a", "1"), argument("page", "1"))))
    assert to_http_request(plan, UNSIGNED, PageRequest(body={"page": 2})).body == b"a=1&page=2"


def test_a_signature_is_put_on() -> None:
    plan = drafted(a_request("/u", query=(argument("api_key", "none"),)))
    signature = Signature(headers={"accept": "x/y", "X-Key": "k"}, query=(("api_key", "s&t/u"),))
    found = to_http_request(plan, signature)
    assert found.url.endswith("/u?api_key=s%26t%2Fu")
    assert found.headers == {"User-Agent": "usage-exporter/test", "accept": "x/y", "X-Key": "k"}


def test_a_vendors_address_is_sent_as_it_stands() -> None:
    found = to_http_request(
        drafted(a_request("/u")), UNSIGNED, PageRequest(url="https://x.io/u?c=a%2Cb%3D&d=e,f")
    )
    assert found.url == "https://x.io/u?c=a%2Cb%3D&d=e,f"


def test_a_key_in_the_query_is_added_to_a_vendors_address_once() -> None:
    plan = drafted(a_request("/u"))
    signature = Signature(query=(("api_key", "s3"),), headers={"X": "1"})
    assert (
        to_http_request(plan, signature, PageRequest(url="https://x.io/u?p=2")).url
        == "https://x.io/u?p=2&api_key=s3"
    )
    present = to_http_request(plan, signature, PageRequest(url="https://x.io/u?api_key=s3&p=2"))
    assert present.url == "https://x.io/u?api_key=s3&p=2"
    assert present.headers["X"] == "1"


def test_several_values_outside_of_arguments_are_joined_by_commas() -> None:
    target = a_target(
        "https://x.io", definition=a_definition(params=params(ids=None)), params={"ids": ("a", "b")}
    )
    assert target.values(CLOCK) == TemplateValues(
        texts={"params.ids": "a,b"}, several={"params.ids": ("a", "b")}
    )


def test_parameters_that_are_not_declared_are_not_known() -> None:
    assert a_target(params={"stray": ("1",)}).values(CLOCK).texts == {}


@pytest.mark.parametrize(
    "request_",
    [
        a_request("/{account.id}"),
        a_request("/u", query=(argument("org", "{account.id}"),)),
        a_request("/u", item_query=(argument("org", "{account.id}"),)),
        a_request("/u", form=(argument("org", "{account.id}"),)),
        a_request("/u", headers={"On-Behalf-Of": "{account.id}"}),
        a_request("/u", json={"a": ({"b": compile_template("{account.id}")},)}),
    ],
)
def test_a_request_for_each_account_is_recognised(request_: Request) -> None:
    assert uses_account(request_)


def test_a_request_for_all_accounts_is_recognised() -> None:
    assert not uses_account(a_request("/u", json={"a": (1, None, compile_template("x"))}))


def test_a_request_shows_only_where_it_goes() -> None:
    signature = Signature(query=(("api_key", "s3cret"),), headers={"X": "s3cret"})
    assert (
        repr(to_http_request(drafted(a_request("/s3cret")), signature))
        == "HttpRequest(GET api.example.com)"
    )


PARAMS = {name: Param(name=name, description="") for name in ("auth_url", "org")}


def url(path: str, **params: str) -> str:
    target = a_target(
        definition=a_definition(params=PARAMS),
        params={name: (text,) for name, text in params.items()},
    )
    return draft_request(a_request(path), target, target.values(CLOCK), CLOCK).url


@pytest.mark.parametrize(
    ("path", "params", "address"),
    [
        ("{params.auth_url}/token", {"auth_url": "https://auth.example.com"},
         "https://auth.example.com/token"),
        ("{params.auth_url}/token", {"auth_url": "https://auth.example.com/"},
         "https://auth.example.com/token"),
        # A value that is no address, and an address in any other place, are parts of the path.
        ("{params.org}/usage", {"org": "acme/x"}, "https://api.example.com/acme%2Fx/usage"),
        ("/of/{params.org}", {"org": "https://x.example"},
         "https://api.example.com/of/https%3A%2F%2Fx.example"),
    ],
)  # fmt: skip
def test_a_leading_address_stays_as_it_is(path: str, params: dict[str, str], address: str) -> None:
    assert url(path, **params) == address
