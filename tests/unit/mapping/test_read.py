from exporter.kernel.calendar import Cycle
from exporter.mapping.read import drift, read_payload
from exporter.model.definition.roles import AccountPlan
from exporter.model.outcome import Failure, Payload, Reason
from exporter.model.reading import Note, Reading
from tests.unit.mapping.factories import (
    NOW,
    collector,
    cost,
    failure,
    items,
    optional,
    paths,
    payload,
    period,
    reading,
    reduce,
    resource,
    rows,
    target,
    unit_at,
    value,
)


def test_only_the_rules_of_the_collector_are_applied() -> None:
    of = target(
        resource("a", used=value("n")),
        resource("b", collector="other", used=value("n")),
        definition={"collectors": {"usage": collector(), "other": collector("other")}},
    )
    assert [one.resource for one in reading(of, {"n": 1}).usages] == ["a"]
    found = reading(of, {"n": 1}, collector="other")
    assert ([one.resource for one in found.usages], found.collector) == (["b"], "other")


def test_the_accounts_of_a_fan_out_are_read_one_by_one() -> None:
    of = target(
        resource("a", used=value("n"), period=period(asked_start="{params.x}", cycle=Cycle.MONTH)),
        items("a", rows("parts"), "k", used=value("v")),
        cost(cost=value("c")),
    )
    documents = [{"n": number, "c": number, "parts": [{"k": "p", "v": 1}]} for number in (1, 2)]
    payloads = (payload(documents[0], account="eu"), payload(documents[1], account="us"))
    found = read_payload(of, "usage", payloads, NOW)
    assert isinstance(found, Reading)
    assert [(one.account, one.used) for one in found.usages] == [("eu", 1.0), ("us", 2.0)]
    assert [(one.account, one.cost) for one in found.money] == [("eu", 1.0), ("us", 2.0)]
    assert [one.account for one in found.items] == ["eu", "us"]


def test_no_pages_are_an_empty_reading() -> None:
    of = target(resource("a", used=value("n")))
    found = read_payload(of, "usage", (Payload(pages=()),), NOW)
    assert found == Reading(collector="usage", at=NOW)
    assert read_payload(of, "usage", (), NOW) == Reading(collector="usage", at=NOW)


def test_one_account_that_does_not_fit_fails_the_whole() -> None:
    of = target(resource("a", used=value("n")))
    payloads = (payload({"n": 1}, account="eu"), payload({"n": "x"}, account="us"))
    found = read_payload(of, "usage", payloads, NOW)
    assert isinstance(found, Failure)


def test_a_failure_names_rule_role_path_and_finding() -> None:
    found = failure(
        target(resource("bandwidth", used=value("usage.total"))), {"usage": {"total": "12,5"}}
    )
    assert found.reason is Reason.SCHEMA
    assert found.detail == (
        'resources[bandwidth].used: path "usage.total": the text "12,5" has separators of '
        "thousands or a decimal comma; nobody can tell which."
    )


def test_an_absent_list_is_a_failure_that_names_it() -> None:
    rule = resource("a", rows("results"), used=value("n"))
    assert failure(target(rule), {"detail": "x"}).detail == (
        'resources[a]: path "results": there is no list here. If it may be absent, the definition '
        "says `optional: true`."
    )


def test_a_search_that_breaks_is_a_failure_with_its_rule() -> None:
    rule = resource("{key}", rows("items(@)"), used=value("sum(value)"))
    detail = failure(target(rule), {"a": ["1"]}).detail
    assert detail.startswith('resources[{key}]: "sum(value)" cannot be searched for here')
    plan = {"plan": AccountPlan(collector="usage", paths=paths("sum(tier)"))}
    of = target(resource("a", used=value("n")), definition=plan)
    assert failure(of, {"n": 1, "tier": ["x"]}).detail.startswith('plan: "sum(tier)"')


def test_a_failure_is_one_short_line() -> None:
    rule = resource("a", used=value("n" * 300))
    detail = failure(target(rule), {"n" * 300: "line\n" * 1000}).detail
    assert "\n" not in detail
    assert len(detail) <= 400


def test_an_answer_in_which_nothing_matches_is_a_failure() -> None:
    of = target(resource("a", used=value("usage.n")), cost(cost=value("bill.total")))
    expected = "none of 2 rule(s) found a value in the answer: it is "
    assert failure(of, {"message": "hello"}).detail == f"{expected}a map of message."
    many = dict.fromkeys("abcdefghij")
    assert failure(of, many).detail == f"{expected}a map of a, b, c, d, e, f, g, h, …."
    assert failure(of, {}).detail == f"{expected}a map of 0 key(s)."
    assert failure(of, None).detail == f"{expected}null."


def test_an_empty_list_is_an_answer_and_so_is_an_absent_optional_one() -> None:
    listed = resource("a", rows("results"), used=value("n"))
    assert reading(target(listed), {"results": []}).usages == ()
    may_lack = resource("a", rows(optional("results")), used=value("n"))
    assert reading(target(may_lack), {"usage": {}}).usages == ()


def test_an_absent_optional_list_does_not_answer_for_the_other_rules() -> None:
    of = target(
        resource("a", used=value("usage.n")),
        resource("b", rows(optional("usage.parts")), used=value("n")),
    )
    expected = "none of 1 rule(s) found a value in the answer: it is a map of "
    assert failure(of, {"error": "maintenance"}).detail == f"{expected}error."
    assert failure(of, {"usage": None}).detail == f"{expected}usage."
    assert reading(of, {"usage": {"n": 1}}).usages
    assert reading(of, {"usage": {"parts": []}}).usages == ()


def test_an_absent_map_is_no_empty_one() -> None:
    of = target(
        resource("{m.key}", rows(("items(data.metrics)[?value]", "m")), used=value("m.value.used"))
    )
    assert reading(of, {"data": {"metrics": {}}}).usages == ()
    for document in ({"data": None}, {"data": {"metrics": None}}, {}):
        assert "there is no list here" in failure(of, document).detail


def test_rows_without_values_are_an_answer() -> None:
    rule = resource("{k}", rows("results"), used=value("n"))
    assert reading(target(rule), {"results": [{"k": "a", "n": None}]}).usages == ()


def test_headers_may_be_absent() -> None:
    of = target(
        resource("pulls", limit=value('"ratelimit-limit"')),
        definition={"collectors": {"usage": collector(form="headers")}},
    )
    assert reading(of, {"content-type": "text/plain"}).usages == ()


def test_a_collector_without_rules_gives_an_empty_reading() -> None:
    of = target(items("a", rows("tests"), "name", used=value("n")), items=False)
    assert reading(of, {"anything": 1}) == Reading(collector="usage", at=NOW)
    assert reading(of, {"anything": 1}, collector="accounts").usages == ()


def test_the_plan_is_read_and_cleaned() -> None:
    plan = {"plan": AccountPlan(collector="usage", paths=paths("plan", "tier"))}
    of = target(resource("a", used=value("n")), definition=plan)
    found = reading(of, {"n": 1, "tier": "creator\n"})
    assert found.plans == (("", "creator "),)
    assert "tier" in found.matched
    assert failure(of, {"n": 1, "tier": {}}).detail.startswith('plan: path "plan": found a map')


def test_matched_paths_stand_behind_their_rows() -> None:
    of = target(
        resource("a", rows(("items(m)", "x")), used=value("x.value.used", "x.value.n")),
        resource("b", used=value("total"), limit=value("limit")),
        resource("c", rows(optional("gone")), used=value("n")),
    )
    found = reading(of, {"m": {"k": {"n": 1}}, "total": 4})
    assert found.matched == {"items(m) /", "items(m) / x.value.n", "total"}


def test_drift_names_what_was_there_and_is_gone() -> None:
    of = target(
        resource(
            "a", rows("results"), used=value("used"), limit=value("cap"), reduce=reduce("sum")
        ),
        resource("b", used=value("total")),
    )
    before = reading(of, {"results": [{"used": 1, "cap": 2}], "total": 5})
    renamed = reading(of, {"results": [{"used": 1, "limit": 2}], "sum": 5})
    assert drift(before, renamed) == (
        Note(reason="path_gone", detail="results / cap"),
        Note(reason="path_gone", detail="total"),
        Note(reason="series_gone", detail="a: limit"),
        Note(reason="series_gone", detail="b"),
    )
    assert drift(before, before) == ()


def test_a_series_that_is_gone_is_noted() -> None:
    of = target(
        resource(
            "{m.key}", rows(("items(m)", "m")), used=value("m.value.n"), limit=value("m.value.l")
        ),
        cost(rows("bills"), code=None, currency=paths("c"), cost=value("n"), base=value("b")),
    )
    whole = {
        "m": {"calls": {"n": 1, "l": 5}, "mails": {"n": 2, "l": 5}, "seats": {"n": 3}},
        "bills": [{"c": "EUR", "n": 1, "b": 1}, {"c": "USD", "n": 1, "b": 1}],
    }
    before = reading(of, whole)
    assert drift(before, before) == ()
    more = {**whole, "m": {**whole["m"], "new": {"n": 4}}}  # type: ignore[dict-item]
    assert drift(before, reading(of, more)) == ()
    less = {
        "m": {"calls": {"n": 1}, "mails": {"n": 2, "l": 5}},
        "bills": [{"c": "EUR", "n": 1}, {"c": "CHF", "n": 1, "b": 1}],
    }
    assert drift(before, reading(of, less)) == tuple(
        Note(reason="series_gone", detail=detail)
        for detail in ("calls: limit", "seats", "EUR: base", "USD")
    )


def test_a_series_of_another_family_is_noted() -> None:
    of = target(
        resource("a", used=value("n"), unit=unit_at("u", {"GB": "GB", "calls": "requests"}))
    )
    before, after = (reading(of, {"n": 1, "u": word}) for word in ("GB", "calls"))
    assert drift(before, after) == (
        Note(
            reason="family_changed",
            detail="a: it was measured in bytes, now in requests",
        ),
    )


def test_of_an_empty_list_and_an_absent_answer_no_path_is_gone() -> None:
    of = target(
        resource("a", rows("results"), used=value("used"), reduce=reduce("sum")),
        resource("b", used=value("t")),
    )
    before = reading(of, {"results": [{"used": 1}], "t": 1})
    assert drift(before, reading(of, {"results": [], "t": 1})) == ()
    assert drift(before, Reading(collector="usage", at=NOW)) == (
        Note(reason="series_gone", detail="a"),
        Note(reason="series_gone", detail="b"),
    )


def test_a_reading_holds_no_more_than_the_target_may_have() -> None:
    of = target(
        resource("{key}", rows("items(@)"), used=value("value")),
        items("a", rows("items(@)"), "key", used=value("value")),
        max_series=10,
    )
    found = reading(of, {f"k{number:03}": number for number in range(40)})
    assert [one.resource for one in found.usages] == [f"k{number:03}" for number in range(10)]
    assert [one.value for one in found.items] == [float(number) for number in range(39, 29, -1)]
    assert found.notes == (Note(reason="series_limit", detail="usage", count=60),)


def test_notes_of_one_kind_are_counted_together() -> None:
    of = target(resource("a", used=value("n"), limit=value("l")))
    payloads = (payload({"n": 1, "l": -1}, account="eu"), payload({"n": 1, "l": -1}, account="us"))
    found = read_payload(of, "usage", payloads, NOW)
    assert isinstance(found, Reading)
    assert [(note.reason, note.count) for note in found.notes] == [("negative_limit", 2)]


def test_a_note_for_each_of_many_rows_becomes_twenty_lines_and_a_count() -> None:
    of = target(
        resource("{name}", rows("rows"), used=value("used"), limit=value("limit")), max_series=100
    )
    found = reading(
        of, {"rows": [{"name": f"n{n}", "used": 1, "limit": -n - 1} for n in range(80)]}
    )
    assert len(found.notes) == 21
    assert found.notes[-1] == Note(
        reason="negative_limit", detail="and others like these", count=60
    )


def test_rows_beyond_what_the_target_may_have_are_not_even_read() -> None:
    of = target(resource("{name}", rows("rows"), used=value("used")), max_series=5)
    found = reading(of, {"rows": [{"name": f"n{n}", "used": 1 if n < 5 else {}} for n in range(9)]})
    assert len(found.usages) == 5
    assert found.notes == (Note(reason="series_limit", detail="usage", count=4),)
