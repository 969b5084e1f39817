"""The accounts of a fan-out."""

from typing import Any

import pytest

from exporter.fetch.client import Account, AccountsError, find_accounts
from exporter.model.definition.provider import Accounts
from exporter.model.definition.rows import Rows, Step
from exporter.model.outcome import Page
from tests.support.fetching import a_collector, paths


def path(text: str) -> Any:
    return paths(text)[0]


def rules(*steps: Step, where: str = "", identity: str = "uuid", label: str = "name") -> Accounts:
    return Accounts(
        collector=a_collector("/organizations/"),
        rows=Rows(steps=steps, where=path(where) if where else None),
        id=path(identity),
        label=path(label) if label else None,
    )


RESULTS = Step(path=path("results"))


def found(accounts: Accounts, *documents: object) -> list[tuple[str, str]]:
    pages = tuple(Page(document=document, headers={}) for document in documents)
    return [(account.id, account.label) for account in find_accounts(accounts, pages)]


def test_rows_of_all_pages_are_accounts() -> None:
    first = {"results": [{"uuid": "a", "name": "Acme"}, {"uuid": 7, "name": "Seven"}]}
    second = {"results": [{"uuid": "b", "name": "Beta"}]}
    assert found(rules(RESULTS), first, second) == [("a", "Acme"), ("7", "Seven"), ("b", "Beta")]


def test_an_account_that_comes_twice_is_one() -> None:
    row = {"uuid": "a", "name": "Acme"}
    assert found(rules(RESULTS), {"results": [row]}, {"results": [row]}) == [("a", "Acme")]


def test_the_id_stands_for_a_label_that_is_missing_or_shared() -> None:
    document = {
        "results": [
            {"uuid": "a", "name": "Acme"},
            {"uuid": "b", "name": "Acme"},
            {"uuid": "c"},
            {"uuid": "d", "name": None},
        ]
    }
    assert found(rules(RESULTS), document) == [(name, name) for name in "abcd"]
    assert found(rules(RESULTS, label=""), document)[0] == ("a", "a")


def test_a_label_that_is_another_accounts_id_is_not_taken() -> None:
    document = {"results": [{"uuid": "1", "name": "2"}, {"uuid": "2"}, {"uuid": "3", "name": "3"}]}
    assert found(rules(RESULTS), document) == [("1", "1"), ("2", "2"), ("3", "3")]


def test_a_label_is_one_line_and_not_long() -> None:
    document = {"results": [{"uuid": "a", "name": "A\n\x00 B"}, {"uuid": "b", "name": "x" * 5000}]}
    (_, short), (_, long) = found(rules(RESULTS), document)
    assert short.isprintable()
    assert len(long) == 128


def test_no_rows_are_no_accounts() -> None:
    assert found(rules(RESULTS), {"results": []}) == []


def test_rows_may_be_chosen() -> None:
    document = {"results": [{"uuid": "a", "on": True}, {"uuid": "b", "on": False}]}
    assert found(rules(RESULTS, where="on"), document) == [("a", "a")]


def test_a_map_gives_keys_and_values() -> None:
    document = {"results": {"x": {"n": 1}, "y": {"n": 2}}}
    each = Step(path=path("items(results)"))
    assert found(rules(each, identity="key", label=""), document) == [("x", "x"), ("y", "y")]


@pytest.mark.parametrize("start", ["data", "root.data"])
def test_the_first_step_may_start_at_the_root_as_in_a_rule(start: str) -> None:
    accounts = rules(Step(path=path(start), name="d"), identity="d.id", label="")
    assert found(accounts, {"data": [{"id": "a"}, {"id": "b"}]}) == [("a", "a"), ("b", "b")]


def test_rows_may_lie_deeper_with_their_parents_in_sight() -> None:
    steps = (Step(path=path("orgs"), name="o"), Step(path=path("o.teams"), name="t"))
    document = {"orgs": [{"id": "1", "teams": [{"id": "x"}, {"id": "y"}]}]}
    accounts = rules(*steps, identity="t.id", label="join('/', [o.id, t.id])")
    assert found(accounts, document) == [("x", "1/x"), ("y", "1/y")]


def test_an_optional_list_may_be_absent() -> None:
    assert found(rules(Step(path=path("results"), optional=True)), {}) == []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, 'path "results": there is no list here'),
        ({"results": 3}, 'path "results": found the number 3 in the place of a list'),
        ({"results": {"x": {}}}, r"Write items\(results\) for its entries"),
        ({"results": [{"name": "x"}]}, 'no id at "uuid"'),
        ({"results": [{"uuid": True}]}, 'no id at "uuid"'),
        ({"results": [{"uuid": ""}]}, 'no id at "uuid"'),
    ],
)
def test_an_answer_of_another_shape_is_refused(document: object, words: str) -> None:
    with pytest.raises(AccountsError, match=words):
        found(rules(RESULTS), document)


def test_a_path_that_cannot_be_searched_is_told() -> None:
    with pytest.raises(AccountsError, match="max"):
        found(rules(RESULTS, identity="max(@)"), {"results": [{}]})


def test_an_account_is_a_value() -> None:
    assert Account("a", "A") == Account("a", "A")
