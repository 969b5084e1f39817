"""Definitions: how each way of asking compiles."""

import pytest

from exporter.config.library import compile_text
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import (
    BasicAuth,
    DigestAuth,
    HeaderAuth,
    NoAuth,
    QueryAuth,
    TokenAuth,
)
from exporter.model.definition.paging import (
    Cursor,
    LinkHeader,
    NextUrl,
    NoPaging,
    Offset,
    PageNumber,
)
from exporter.model.definition.provider import Definition, Format
from exporter.model.definition.ratelimit import BudgetScope, ResetKind
from exporter.model.definition.request import ArrayStyle
from exporter.model.definition.responses import Match
from tests.unit.config.acme import compiled, path, rejected, texts


def test_the_smallest_definition_has_sensible_defaults() -> None:
    found = compiled()
    assert (found.name, found.title, found.origin) == ("acme", "Acme", "acme.yaml")
    assert (found.interval, found.min_interval, found.zone) == (300.0, 0.0, "UTC")
    assert found.auth == (NoAuth(),)
    assert found.base_url is None
    assert found.throttling.scope is BudgetScope.CREDENTIAL
    usage = found.collectors["usage"]
    assert (usage.request.method, usage.format, usage.enabled) == ("GET", Format.JSON, True)
    assert isinstance(usage.paging, NoPaging)
    assert usage.verdict.accepted == {200}


def test_an_interval_is_never_below_the_shortest() -> None:
    assert compiled(min_interval="1h").interval == 3600.0
    assert compiled(interval="2h", min_interval="1h").interval == 7200.0


def test_params_are_compiled() -> None:
    params = compiled(
        params="{org: {description: D, required: true}, many: {multiple: true, choices: [a, b]},"
        " day: {default: '{month.start:date}', pattern: '[0-9-]+'}}"
    ).params
    assert params["org"].required
    assert params["many"].choices == ("a", "b")
    assert params["day"].default == compile_template("{month.start:date}")
    assert params["day"].pattern is not None


def test_a_default_may_give_way_to_other_params() -> None:
    unless = "{default: today, unless: [many, org]}"
    assert compiled(params=f"{{org: {{}}, many: {{}}, day: {unless}}}").params["day"].unless == (
        "many",
        "org",
    )


def test_a_default_gives_way_to_params_that_there_are() -> None:
    problems = rejected(
        """
        title: Acme
        params: {org: {}, day: {default: today, unless: [orf, day]}, month: {unless: [org]}}
        collectors: {usage: {request: {path: "/{params.org}/{params.day}/{params.month}"}}}
        resources: [{name: a, used: n}]
        """
    )
    assert [problem.partition("params.")[2] for problem in problems] == [
        'day.unless[0]: There is no parameter "orf". Did you mean "org"?',
        'day.unless[1]: There is no parameter "day". Known: month, org.',
        'month.unless: There is no default here. Delete "unless".',
    ]


def test_a_request_is_compiled() -> None:
    found = compiled(
        """
        collectors:
          usage:
            request:
              method: POST
              path: "/{params.org}"
              query: {n: 5, on: true, list: [a, "{params.day}"], many: "{params.many}"}
              item_query: {expand: [x, y]}
              array_style: comma
              headers: {Accept: text/plain, X-Version: 2}
              json: {a: "{params.org}", b: [1, true, null, 1.5, "{now:date}"]}
        """
    )
    request = found.collectors["usage"].request
    assert request.method == "POST"
    assert request.path.variables == {"params.org"}
    assert {one.name: [value.text for value in one.values] for one in request.query} == {
        "n": ["5"],
        "on": ["true"],
        "list": ["a", "{params.day}"],
        "many": ["{params.many}"],
    }
    commas = {one.name for one in request.query if one.style is ArrayStyle.COMMA}
    assert commas == {"list", "many"}, "a single value is written plainly"
    assert [len(one.values) for one in request.item_query] == [2]
    assert texts(request.headers) == {"Accept": "text/plain", "X-Version": "2"}
    assert request.json == {
        "a": compile_template("{params.org}"),
        "b": (1, True, None, 1.5, compile_template("{now:date}")),
    }


def test_a_form_is_compiled() -> None:
    found = compiled(
        "collectors: {usage: {request: {method: POST, path: '/{params.org}', form: {a: [b, c]}}}}"
    )
    (argument,) = found.collectors["usage"].request.form
    assert (argument.name, len(argument.values)) == ("a", 2)


PAGINGS = [
    ("{kind: next_url, next: next}", NextUrl(next=(path("next"),), max_pages=100)),
    (
        """{kind: cursor, cursor: [a, b], param: after, more: m, rows: data, body: true,
            max_pages: 7}""",
        Cursor(
            cursor=(path("a"), path("b")),
            param="after",
            more=path("m"),
            rows=path("data"),
            body=True,
            max_pages=7,
        ),
    ),
    (
        """{kind: page_number, param: page, start: 0, size_param: per_page, size: 50, rows: data,
            next_page: n, total_pages: p, total_rows: r, more: m}""",
        PageNumber(
            param="page",
            start=0,
            size_param="per_page",
            size=50,
            rows=path("data"),
            next_page=path("n"),
            total_pages=path("p"),
            total_rows=path("r"),
            more=path("m"),
            max_pages=100,
        ),
    ),
    (
        "{kind: page_number, param: page, total_pages: pages}",
        PageNumber(param="page", total_pages=path("pages"), max_pages=100),
    ),
    (
        "{kind: offset, param: offset, limit_param: limit, limit: 10, rows: '@', total_rows: t}",
        Offset(
            param="offset",
            limit_param="limit",
            limit=10,
            rows=path("@"),
            total_rows=path("t"),
            max_pages=100,
        ),
    ),
    (
        "{kind: link_header, unless: {results: 'false'}}",
        LinkHeader(rel="next", unless={"results": "false"}, max_pages=100),
    ),
]


@pytest.mark.parametrize(
    ("text", "paging"), PAGINGS, ids=[str(index) for index in range(len(PAGINGS))]
)
def test_a_paging_is_compiled(text: str, paging: object) -> None:
    found = compiled(
        "collectors: {usage: {request: {method: POST, path: '/{params.org}', json: {}},"
        f" paging: {text}}}}}"
    )
    assert found.collectors["usage"].paging == paging


@pytest.mark.parametrize(
    "paging",
    [
        "{kind: cursor, cursor: c, param: p, body: true}",
        "{kind: page_number, param: p, rows: r, size: 2, body: true}",
        "{kind: offset, param: p, rows: r, limit: 2, body: true}",
    ],
)
def test_pages_in_the_body_need_one(paging: str) -> None:
    def text(body: str) -> str:
        request = f"{{method: POST, path: /usage{body}}}"
        collectors = f"{{usage: {{request: {request}, paging: {paging}}}}}"
        return f"{{title: A, collectors: {collectors}, resources: [{{name: a, used: n}}]}}"

    (problem,) = rejected(text(""))
    assert "paging.body: The request has no body. Write its json or form." in problem
    assert isinstance(compile_text(text(", form: {a: b}"), name="acme"), Definition)


def test_an_answer_may_have_8_mib_unless_the_definition_says_so() -> None:
    def most(text: str) -> int:
        one = f"{{request: {{path: '/{{params.org}}'}}{text}}}"
        return compiled(f"collectors: {{usage: {one}}}").collectors["usage"].max_bytes

    assert most("") == 8 * 2**20
    assert most(", max_size: 64 MiB") == 64 * 2**20
    assert most(", max_size: 0.5 kB") == 500


@pytest.mark.parametrize("text", ["64", "5 requests", "0 MB", "much", "5 mb"])
def test_the_size_of_an_answer_is_a_size(text: str) -> None:
    one = f"{{request: {{path: /usage}}, max_size: '{text}'}}"
    (problem,) = rejected(
        f"{{title: A, collectors: {{usage: {one}}}, resources: [{{name: a, used: n}}]}}"
    )
    assert "collectors.usage.max_size: " in problem


def test_a_success_rule_is_compiled() -> None:
    found = compiled(
        """
        collectors:
          usage:
            request: {path: "/{params.org}"}
            success:
              accepted: [200, 206]
              guard: ok
              error: [error.message, detail]
              absent: [404]
              throttled: [{statuses: [403], headers: '"x-ratelimit-remaining" == `"0"`'}]
              quota_exhausted: [456, {statuses: [401], body: "detail.status == 'quota_exceeded'"}]
              forbidden: [407]
        """
    )
    verdict = found.collectors["usage"].verdict
    assert verdict.accepted == {200, 206}
    assert verdict.guard == path("ok")
    assert verdict.error == (path("error.message"), path("detail"))
    assert verdict.absent == (Match(statuses=frozenset({404})),)
    assert verdict.forbidden == (Match(statuses=frozenset({407})),)
    (throttled,) = verdict.throttled
    assert throttled.statuses == {403}
    assert throttled.headers is not None
    assert [match.body is None for match in verdict.quota_exhausted] == [True, False]


def test_a_collectors_own_pace_is_compiled() -> None:
    usage = compiled(
        """
        collectors:
          usage:
            title: Usage
            request: {path: "/{params.org}", method: HEAD}
            format: headers
            enabled: false
            interval: 1h
            min_interval: 30m
            conditional: true
        """
    ).collectors["usage"]
    assert (usage.interval, usage.min_interval) == (3600.0, 1800.0)
    assert (usage.format, usage.enabled, usage.conditional) == (Format.HEADERS, False, True)


def the_auth(text: str) -> object:
    (auth,) = compiled(auth=text).auth
    return auth


def test_a_bearer_token_is_a_header() -> None:
    auth = the_auth("{kind: bearer}")
    assert isinstance(auth, HeaderAuth)
    assert texts(auth.headers) == {"Authorization": "Bearer {credentials.token}"}
    assert auth.needs == {"token"}


def test_the_scheme_of_a_token_is_free() -> None:
    auth = the_auth("{kind: bearer, scheme: Token, token: '{credentials.key}'}")
    assert isinstance(auth, HeaderAuth)
    assert texts(auth.headers) == {"Authorization": "Token {credentials.key}"}
    bare = the_auth("{kind: bearer, scheme: ''}")
    assert isinstance(bare, HeaderAuth)
    assert texts(bare.headers) == {"Authorization": "{credentials.token}"}


def test_headers_and_arguments_may_mix_secrets_and_words() -> None:
    header = the_auth("{kind: header, headers: {X-Key: '{credentials.key}', X-Version: '2'}}")
    assert isinstance(header, HeaderAuth)
    assert header.needs == {"key"}
    query = the_auth("{kind: query, query: {api_key: '{credentials.token}'}}")
    assert isinstance(query, QueryAuth)
    assert texts(query.query) == {"api_key": "{credentials.token}"}


def test_basic_and_digest_take_user_and_password() -> None:
    basic = the_auth("{kind: basic}")
    assert isinstance(basic, BasicAuth)
    assert basic.needs == {"username", "password"}
    fixed = the_auth("{kind: basic, username: api, password: '{credentials.key}'}")
    assert isinstance(fixed, BasicAuth)
    assert fixed.needs == {"key"}
    digest = the_auth("{kind: digest}")
    assert isinstance(digest, DigestAuth)
    assert digest.needs == {"username", "password"}


def test_a_log_in_needs_all_that_its_parts_need() -> None:
    auth = the_auth(
        "{kind: login, request: {method: POST, path: /login, json: {k: ['{credentials.key}']},"
        " headers: {X-Org: '{params.org}'}}, login: {kind: basic}, token: [token, access],"
        " expires_at: expiry, expires_in: ttl, lifetime: 1h,"
        " apply: {kind: header, headers: {X-Token: '{token}', X-Id: '{credentials.client_id}'}}}"
    )
    assert isinstance(auth, TokenAuth)
    assert auth.needs == {"key", "username", "password", "client_id"}
    assert auth.token == (path("token"), path("access"))
    assert (auth.expires_at, auth.expires_in) == ((path("expiry"),), (path("ttl"),))
    assert auth.lifetime == 3600.0
    assert isinstance(auth.login, BasicAuth)


def test_a_log_in_may_be_signed_by_a_header_and_applied_as_an_argument() -> None:
    auth = the_auth(
        "{kind: login, request: {path: /token}, login: {kind: bearer}, token: token,"
        " apply: {kind: query, query: {token: '{token}'}}}"
    )
    assert isinstance(auth, TokenAuth)
    assert isinstance(auth.login, HeaderAuth)
    assert auth.needs == {"token"}
    plain = the_auth("{kind: login, request: {path: /t}, login: {kind: none}, token: token}")
    assert isinstance(plain, TokenAuth)
    assert plain.needs == frozenset()
    assert isinstance(plain.apply, HeaderAuth)
    assert texts(plain.apply.headers) == {"Authorization": "Bearer {token}"}


def test_client_credentials_are_a_log_in_by_form() -> None:
    auth = the_auth(
        "{kind: oauth2_client_credentials, token_url: 'https://id.example.com/token',"
        " scopes: [read, 'a{b}'], client_auth: body, params: {audience: '{params.org}'}}"
    )
    assert isinstance(auth, TokenAuth)
    form = {one.name: one.values[0].text for one in auth.request.form}
    assert form == {
        "grant_type": "client_credentials",
        "scope": "read a{{b}}",
        "client_id": "{credentials.client_id}",
        "client_secret": "{credentials.client_secret}",
        "audience": "{params.org}",
    }
    assert auth.needs == {"client_id", "client_secret"}
    assert isinstance(auth.login, NoAuth)
    basic = the_auth("{kind: oauth2_client_credentials, token_url: /token}")
    assert isinstance(basic, TokenAuth)
    assert isinstance(basic.login, BasicAuth)
    assert basic.expires_in == (path("expires_in"),)


def test_throttling_is_compiled() -> None:
    throttling = compiled(
        throttling="{scope: host, rate: 240/1m, burst: 10, reserve: 25%, max_wait: 1h,"
        " headers: {limit: X-Limit, remaining: [X-Left], reset: [X-Reset, X-Other],"
        " reset_kind: delta}}"
    ).throttling
    assert throttling.scope is BudgetScope.HOST
    assert (throttling.rate, throttling.burst, throttling.reserve) == (4.0, 10, 0.25)
    assert throttling.max_wait == 3600.0
    assert throttling.limit_headers == ("x-limit",)
    assert throttling.reset_headers == ("x-reset", "x-other")
    assert throttling.reset_kind is ResetKind.DELTA
