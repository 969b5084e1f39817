"""Scripted faults: this page of that vendor, so many times."""

import math

import pytest

from exporter.demo.faults import FAULTS, ChaosFaults, PagingRuns, ScriptedFaults
from exporter.demo.server import (
    FAULT_MARK,
    Script,
    Send,
    VendorRequest,
    VendorResponse,
    has_token,
    json_response,
)
from exporter.demo.vendors import TOKENS, demo_config
from tests.support.vendor import NOW

PAGED = json_response({"next": "https://a.example/?page=2", "results": [1]})
LAST = json_response({"next": None, "results": [1]})


def asked(
    number: int = 1,
    token: str = "t",  # noqa: S107 - none
    path: str = "/usage",
    query: tuple[tuple[str, str], ...] = (),
) -> VendorRequest:
    more = (("page", str(number)),) if number > 1 else ()
    return VendorRequest(
        method="GET",
        path=path,
        query=(*more, *query),
        headers={"authorization": f"Token {token}"},
        origin="http://127.0.0.1:1/x",
    )


def test_pages_are_counted_from_the_request_that_begins() -> None:
    runs = PagingRuns()
    found = [runs.count("v", asked(page)) for page in (1, 2, 3, 1, 2, 1)]
    assert found == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)]


@pytest.mark.parametrize("first", [("page", "1"), ("offset", "0"), ("cursor", "")])
def test_a_first_page_may_be_asked_for_by_name(first: tuple[str, str]) -> None:
    runs = PagingRuns()
    assert runs.count("v", asked(query=(first,))) == (1, 1)
    assert runs.count("v", asked(query=(("cursor", "abc"),))) == (1, 2)
    assert runs.count("v", asked(query=(first,))) == (2, 1)


def test_runs_are_counted_by_credential_path_and_vendor() -> None:
    runs = PagingRuns()
    runs.count("v", asked())
    assert runs.count("v", asked(token="other")) == (1, 1)  # noqa: S106 - none
    assert runs.count("v", asked(path="/other")) == (1, 1)
    assert runs.count("w", asked()) == (1, 1)
    assert runs.count("v", asked(2)) == (1, 2)


def test_a_run_may_begin_in_the_middle() -> None:
    assert PagingRuns().count("v", asked(7)) == (1, 1)


def status(script: Script | None) -> bytes:
    """Return the status line, or nothing where the answer is left alone."""
    if script is None:
        return b""
    (sent, *_) = script
    assert isinstance(sent, Send)
    return sent.data.partition(b"\r\n")[0]


def test_a_scripted_fault_breaks_its_page_of_its_vendor_so_many_times() -> None:
    faults = ScriptedFaults(lambda: NOW)
    faults.inject("v", "500", page=2, times=2)
    lines = [
        status(faults(vendor, asked(page), PAGED))
        for vendor, page in (("v", 1), ("v", 2), ("w", 1), ("w", 2), ("v", 1), ("v", 2), ("v", 3))
    ]
    assert [number for number, line in enumerate(lines) if line] == [1, 5]
    assert lines[1] == b"HTTP/1.1 500 Status"
    assert status(faults("v", asked(1), PAGED)) + status(faults("v", asked(2), PAGED)) == b""
    assert faults.injected == 2


def test_a_scripted_fault_for_ever_ends_when_it_is_cleared() -> None:
    faults = ScriptedFaults(lambda: NOW)
    faults.inject("v", "401", times=math.inf)
    assert all(status(faults("v", asked(), PAGED)) for _ in range(5))
    faults.clear()
    assert faults("v", asked(), PAGED) is None


def test_a_scripted_fault_may_be_a_fault_of_ones_own() -> None:
    def hangs_up(asked: VendorRequest, answer: VendorResponse, now: float) -> Script:
        assert now == NOW
        return (Send(b"HTTP/1.1 418 Status\r\n\r\n"),)

    faults = ScriptedFaults(lambda: NOW)
    faults.inject("v", hangs_up)
    assert status(faults("v", asked(), PAGED)) == b"HTTP/1.1 418 Status"


def test_an_unknown_fault_cannot_be_scripted() -> None:
    with pytest.raises(KeyError):
        ScriptedFaults(lambda: NOW).inject("v", "earthquake")


# ------------------------------------------------------------------------------------ the chaos


def calm(vendor: str, asked: VendorRequest, answer: VendorResponse) -> Script | None:
    return (Send(b"calm"),)


def test_the_chaos_leaves_the_usual_accounts_alone() -> None:
    chaos = ChaosFaults(calm, lambda: NOW)
    assert chaos("tpstreams", asked(), PAGED) == (Send(b"calm"),)


def test_an_account_of_the_chaos_is_well_and_breaks_by_turns_on_either_page() -> None:
    chaos = ChaosFaults(calm, lambda: NOW)
    token = f"t{FAULT_MARK}500"
    broken = []
    for _ in range(8):
        first = chaos("v", asked(token=token), PAGED)
        second = None if first else chaos("v", asked(2, token), LAST)
        broken.append((bool(first), bool(second)))
    well, one, two = (False, False), (True, False), (False, True)
    assert broken == [well, one, well, two] * 2


def test_an_answer_of_one_page_breaks_at_it() -> None:
    chaos = ChaosFaults(calm, lambda: NOW)
    broken = [bool(chaos("v", asked(token=f"t{FAULT_MARK}500"), LAST)) for _ in range(8)]
    assert broken == [False, True] * 4


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_there_is_an_account_for_every_fault(name: str) -> None:
    text = demo_config("http://127.0.0.1:1", chaos=True)
    assert f'- name: "{name}"\n' in text
    assert f'{FAULT_MARK}{name}"}}' in text


def test_a_token_of_the_chaos_opens_the_vendor_it_is_made_of() -> None:
    for token in TOKENS.values():
        assert has_token(asked(token=token), "token", token)
        assert has_token(asked(token=f"{token}{FAULT_MARK}401"), "Token", token)
        assert not has_token(asked(token=f"{token}x"), "Token", token)
        assert not has_token(asked(token=f"x{FAULT_MARK}401"), "Token", token)
        assert not has_token(asked(token=token), "Bearer", token)
