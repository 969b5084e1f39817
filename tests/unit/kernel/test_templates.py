import re
from zoneinfo import ZoneInfo

import pytest

from exporter.kernel.templates import Clock, Template, compile_template

NOON = 1794744000  # 2026-11-15T12:00:00Z, a Sunday
CLOCK = Clock(NOON)
BERLIN = ZoneInfo("Europe/Berlin")


def render(text: str, clock: Clock = CLOCK, **params: str) -> str | None:
    values = {f"params.{name}": value for name, value in params.items()}
    return compile_template(text).render(values, clock)


def test_variables_are_filled_in() -> None:
    template = compile_template("/v1/{params.org}/{account.id}/usage")
    assert template.variables == {"params.org", "account.id"}
    values = {"params.org": "9q94nm", "account.id": "7", "params.other": "x"}
    assert template.render(values, CLOCK) == "/v1/9q94nm/7/usage"


def test_the_token_of_a_log_in_is_a_variable() -> None:
    assert compile_template("Token {token}").render({"token": "abc"}, CLOCK) == "Token abc"


def test_a_text_with_a_missing_variable_is_left_out() -> None:
    assert render("{params.org}/{params.region}", org="9q94nm") is None


def test_an_empty_value_is_there() -> None:
    assert render("a{params.org}b", org="") == "ab"


def test_a_text_without_holes_is_itself() -> None:
    assert render("") == ""
    assert render("/api/billing/usage") == "/api/billing/usage"


def test_doubled_braces_are_braces() -> None:
    assert render('{{"query": "{params.q}"}}', q="x") == '{"query": "x"}'
    assert render("{{{params.q}}}", q="x") == "{x}"


def test_values_are_not_templates() -> None:
    assert render("{params.a}", a="{params.a}{now}") == "{params.a}{now}"


@pytest.mark.parametrize(
    ("hole", "text"),
    [
        ("{now}", "2026-11-15T12:00:00Z"),
        ("{now:date}", "2026-11-15"),
        ("{now:datetime}", "2026-11-15T12:00:00"),
        ("{now:rfc3339}", "2026-11-15T12:00:00Z"),
        ("{now:epoch}", "1794744000"),
        ("{now:epoch_ms}", "1794744000000"),
        ("{now:year}", "2026"),
        ("{now:month}", "11"),
        ("{now:day}", "15"),
        ("{now:year_month}", "2026-11"),
        ("{now:date_hour}", "2026-11-15T12"),
        ("{previous_month.start:month}", "10"),
        ("{month.start:day}", "1"),
    ],
)
def test_a_date_is_written_in_the_format_asked_for(hole: str, text: str) -> None:
    assert render(hole) == text


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("today", "2026-11-15T00:00:00Z"),
        ("yesterday", "2026-11-14T00:00:00Z"),
        ("day.start", "2026-11-15T00:00:00Z"),
        ("day.end", "2026-11-16T00:00:00Z"),
        ("day.last", "2026-11-15T23:59:59Z"),
        ("week.start", "2026-11-09T00:00:00Z"),
        ("week.end", "2026-11-16T00:00:00Z"),
        ("week.last", "2026-11-15T23:59:59Z"),
        ("month.start", "2026-11-01T00:00:00Z"),
        ("month.end", "2026-12-01T00:00:00Z"),
        ("month.last", "2026-11-30T23:59:59Z"),
        ("cycle.start", "2026-10-20T00:00:00Z"),
        ("cycle.end", "2026-11-20T00:00:00Z"),
        ("cycle.last", "2026-11-19T23:59:59Z"),
        ("year.start", "2026-01-01T00:00:00Z"),
        ("year.end", "2027-01-01T00:00:00Z"),
        ("year.last", "2026-12-31T23:59:59Z"),
        ("previous_month.start", "2026-10-01T00:00:00Z"),
        ("previous_month.end", "2026-11-01T00:00:00Z"),
        ("previous_month.last", "2026-10-31T23:59:59Z"),
        ("previous_cycle.start", "2026-09-20T00:00:00Z"),
        ("previous_cycle.end", "2026-10-20T00:00:00Z"),
        ("previous_cycle.last", "2026-10-19T23:59:59Z"),
    ],
)
def test_only_the_cycle_knows_the_anchor_day(word: str, text: str) -> None:
    assert render(f"{{{word}}}", Clock(NOON, anchor_day=20)) == text


@pytest.mark.parametrize(
    ("hole", "text"),
    [
        ("{now-30d:date}", "2026-10-16"),
        ("{month.end+1d:rfc3339}", "2026-12-02T00:00:00Z"),
        ("{month.start-1w:date}", "2026-10-25"),
        ("{now+1h30m}", "2026-11-15T13:30:00Z"),
        ("{now-1d12h}", "2026-11-14T00:00:00Z"),
        ("{now-0:date}", "2026-11-15"),
        ("{now-500ms:epoch_ms}", "1794743999500"),
    ],
)
def test_an_offset_moves_a_date(hole: str, text: str) -> None:
    assert render(hole) == text


def test_dates_are_those_of_the_clocks_zone() -> None:
    late = Clock(NOON + 11.5 * 3600, BERLIN)  # 00:30 on the 16th in Berlin
    assert render("{now:date} {today} {now:date_hour}", late) == (
        "2026-11-16 2026-11-15T23:00:00Z 2026-11-16T00"
    )


def test_days_are_civil_days_when_the_clocks_change() -> None:
    after_change = Clock(1793016000.0, BERLIN)  # 2026-10-26T13:00+01:00; the 25th had 25 hours
    assert render("{today-1d:datetime} {today-24h:datetime}", after_change) == (
        "2026-10-25T00:00:00 2026-10-25T01:00:00"
    )


def test_a_fraction_of_a_second_shows_only_in_milliseconds() -> None:
    assert render("{now} {now:epoch} {now:epoch_ms}", Clock(NOON + 0.75)) == (
        "2026-11-15T12:00:00Z 1794744000 1794744000750"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{mont.start:date}", '"mont.start" is unknown. Did you mean "month.start"?'),
        ("{param.org}", '"param.org" is unknown. Did you mean "params.org"?'),
        ("{zzz}", '"zzz" is unknown. Known: params.NAME, credentials.NAME, account.NAME, token, '),
        ("{params}", '"params" is unknown. Did you mean "params.NAME"?'),
        ("{params.}", '"params." is unknown. Did you mean "params.NAME"?'),
        ("{params.a.b}", '"params.a.b" is unknown. Did you mean "params.a"?'),
        ("{month}", '"month" is unknown.'),
        ("{now:dat}", 'There is no format "dat". Did you mean "date"?'),
        ("{now:%Y}", '"{now:%Y}" is not a variable. Write {name}, {name:format} or'),
        ("{now-5x}", '"5x" is not a duration. Write a number and a unit: 30s, 5m, 1h30m.'),
        ("{now-5 m}", '"{now-5 m}" is not a variable.'),
        ("{now-}", '"{now-}" is not a variable.'),
        ("{params.x:date}", '"params.x" is not a date and takes no offset or format: {params.x}.'),
        ("{params.x+1d}", '"params.x" is not a date and takes no offset or format: {params.x}.'),
        ("{}", '"{}" is not a variable.'),
        ("{ now }", '"{ now }" is not a variable.'),
        ("a{", 'The "{" in column 2 has no partner. Write "{{" for the character itself.'),
        ("{now", 'The "{" in column 1 has no partner.'),
        ("now}", 'The "}" in column 4 has no partner. Write "}}" for the character itself.'),
        ("{a{now}}", 'The "{" in column 1 has no partner.'),
    ],
)  # fmt: skip
def test_a_broken_template_names_what_is_wrong_and_what_is_known(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        compile_template(text)
    assert str(caught.value).startswith(f'"{text}": {message}')


def test_templates_of_one_text_are_equal_and_cannot_be_changed() -> None:
    template = compile_template("{params.a}")
    other = Template(text="{params.a}", variables=frozenset(), _parts=())
    assert template == other
    assert hash(template) == hash(other)
    assert repr(template) == "Template(text='{params.a}')"
    with pytest.raises(AttributeError):
        template.text = ""  # type: ignore[misc]


def test_the_hour_that_comes_twice_is_not_taken_for_the_other() -> None:
    late = 1285881000.0  # the second 23:10 of 30 September 2010 in Cairo
    clock = Clock(now=late, zone=ZoneInfo("Africa/Cairo"), anchor_day=1)

    assert compile_template("{now:epoch}").render({}, clock) == "1285881000"
