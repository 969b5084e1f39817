from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.templates import DATE_WORDS, FORMATS, Clock, compile_template

zones = st.sampled_from(
    [UTC, *map(ZoneInfo, ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata"])]
)
clocks = st.builds(
    Clock, st.floats(min_value=1e8, max_value=4e9), zones, st.integers(min_value=1, max_value=31)
)


@given(st.text())
def test_a_text_with_its_braces_doubled_is_literal(text: str) -> None:
    template = compile_template(text.replace("{", "{{").replace("}", "}}"))
    assert template.variables == frozenset()
    assert template.render({}, Clock(0.0)) == text


@given(st.text(alphabet="{}nowparms.:+-dt1 ", max_size=20))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        compile_template(text)
    except ValueError as error:
        assert str(error).startswith(f'"{text}": ')  # noqa: PT017 - a template is fine, too


@given(st.sampled_from(DATE_WORDS), st.sampled_from(FORMATS), clocks)
def test_every_date_has_every_format(word: str, form: str, clock: Clock) -> None:
    text = compile_template(f"{{{word}:{form}}}").render({}, clock)
    assert text is not None
    assert set(text) <= set("0123456789-:TZ")


@given(clocks, st.integers(min_value=0, max_value=800))
def test_days_before_today_are_counted_on_the_calendar(clock: Clock, days: int) -> None:
    text = compile_template(f"{{today:date}} {{today-{days}d:date}}").render({}, clock)
    assert text is not None
    today, before = map(date.fromisoformat, text.split())
    assert today - before == timedelta(days=days)
    assert today == datetime.fromtimestamp(int(clock.now), clock.zone).date()
