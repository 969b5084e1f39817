import asyncio
import base64
import threading
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web

from exporter.web import access
from exporter.web.response import text_response
from exporter.web.routes import Route
from tests.support.serving import ask, serving
from tests.support.web_config_folder import WebConfigFolder


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return text_response("hello")


ROUTES = {"/": Route(handler=hello), "/-/healthy": Route(handler=hello)}


@pytest.fixture
def web_config(tmp_path: Path) -> WebConfigFolder:
    return WebConfigFolder(tmp_path)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_without_users_everybody_passes(web_config: WebConfigFolder) -> None:
    async with serving(ROUTES, access=web_config.control("")) as port:
        assert (await ask(port, "/")).status == 200


async def test_a_password_opens_every_address_and_none_is_open_without(
    web_config: WebConfigFolder,
) -> None:
    control = web_config.control(f"basic_auth_users: {{alice: {hashed('wonder')}}}")
    async with serving(ROUTES, access=control) as port:
        for path in (*ROUTES, "/nowhere"):
            refused = await ask(port, path)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Basic")
            assert (await ask(port, path, headers=basic("alice", "wonder"))).status in {200, 404}
        assert (await ask(port, "/", method="POST")).status == 401
    control.close()


@pytest.mark.parametrize(
    "headers",
    [
        basic("alice", "other"),
        basic("bob", "wonder"),
        basic("alice", ""),
        basic("alice", "w" * 73),
        basic("alice", "wonder\0"),
        basic("", ""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic é"},
        {"Authorization": "Bearer wonder"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
    ],
)
async def test_anything_else_is_401(web_config: WebConfigFolder, headers: dict[str, str]) -> None:
    control = web_config.control(f"basic_auth_users: {{alice: {hashed('wonder')}}}")
    async with serving(ROUTES, access=control) as port:
        assert (await ask(port, "/", headers=headers)).status == 401
    control.close()


async def test_a_password_is_checked_once_whether_good_or_bad(
    web_config: WebConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    compare = access._bcrypt

    def counting(password: bytes, against: str) -> bool:
        checked.append(password)
        return compare(password, against)

    monkeypatch.setattr(access, "_bcrypt", counting)
    control = web_config.control(f"basic_auth_users: {{alice: {hashed('wonder')}}}")
    async with serving(ROUTES, access=control) as port:
        for password in ("wonder", "wonder", "other", "other"):
            await ask(port, "/", headers=basic("alice", password))
        await ask(port, "/", headers=basic("nobody", "wonder"))
    assert checked == [b"wonder", b"other", b"wonder"]
    control.close()


async def test_only_so_many_good_passwords_are_remembered(
    web_config: WebConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_MOST_GOOD", 1)
    control = web_config.control(f"basic_auth_users: {{a: {hashed('b')}, c: {hashed('d')}}}")
    async with serving(ROUTES, access=control) as port:
        for user, password in (("a", "b"), ("c", "d"), ("a", "b")):
            assert (await ask(port, "/", headers=basic(user, password))).status == 200
    assert len(control._passwords._good) == 1
    control.close()


async def test_a_changed_password_ends_the_old_one_at_once(web_config: WebConfigFolder) -> None:
    control = web_config.control(f"basic_auth_users: {{alice: {hashed('wonder')}}}")
    async with serving(ROUTES, access=control) as port:
        assert (await ask(port, "/", headers=basic("alice", "wonder"))).status == 200
        web_config.write(f"basic_auth_users: {{alice: {hashed('another')}}}  # changed")
        assert (await ask(port, "/", headers=basic("alice", "wonder"))).status == 401
        assert (await ask(port, "/", headers=basic("alice", "another"))).status == 200
    control.close()


async def test_a_broken_file_leaves_the_old_users_and_is_told_once(
    web_config: WebConfigFolder,
) -> None:
    control = web_config.control(f"basic_auth_users: {{alice: {hashed('wonder')}}}")
    async with serving(ROUTES, access=control) as port:
        web_config.write("basic_auth_users: {alice: plain}")
        for _ in range(3):
            assert (await ask(port, "/", headers=basic("alice", "wonder"))).status == 200
            assert (await ask(port, "/")).status == 401
    (complaint,) = web_config.complaints
    assert "basic_auth_users.alice: not a bcrypt hash" in complaint
    control.close()


async def test_guesses_do_not_hold_up_who_is_known(
    web_config: WebConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    compare = access._bcrypt

    def slow(password: bytes, against: str) -> bool:
        if password != b"wonder":
            release.wait(10)
        return compare(password, against)

    monkeypatch.setattr(access, "_bcrypt", slow)
    control = web_config.control(f"basic_auth_users: {{alice: {hashed('wonder')}}}")
    async with serving(ROUTES, access=control) as port:
        assert (await ask(port, "/", headers=basic("alice", "wonder"))).status == 200
        async with asyncio.TaskGroup() as group:
            guesses = [
                group.create_task(ask(port, "/", headers=basic("alice", str(number))))
                for number in range(40)
            ]
            assert (await ask(port, "/", headers=basic("alice", "wonder"))).status == 200
            release.set()
    assert {guess.result().status for guess in guesses} == {401}
    control.close()


async def test_checks_of_other_users_take_turns(
    web_config: WebConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []
    release = threading.Event()

    def slow(password: bytes, against: str) -> bool:
        release.wait(10)
        checked.append(password)
        return password == b"d"

    monkeypatch.setattr(access, "_bcrypt", slow)
    control = web_config.control(f"basic_auth_users: {{a: {hashed('b')}, c: {hashed('d')}}}")
    async with serving(ROUTES, access=control) as port, asyncio.TaskGroup() as group:
        guesses = [
            group.create_task(ask(port, "/", headers=basic("a", str(number))))
            for number in range(40)
        ]
        while len(control._passwords._checks) < 40:  # noqa: ASYNC110 - until all of them wait
            await asyncio.sleep(0.001)
        scraper = group.create_task(ask(port, "/", headers=basic("c", "d")))
        while len(control._passwords._checks) < 41:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        release.set()
        assert (await scraper).status == 200
    assert {guess.result().status for guess in guesses} == {401}
    assert checked.index(b"d") <= 2
    control.close()


async def test_too_many_checks_are_refused_to_who_has_most_of_them(
    web_config: WebConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def slow(password: bytes, against: str) -> bool:
        release.wait(10)
        return password == b"d"

    monkeypatch.setattr(access, "_bcrypt", slow)
    monkeypatch.setattr(access, "_MOST_WAITING", 20)
    control = web_config.control(f"basic_auth_users: {{a: {hashed('b')}, c: {hashed('d')}}}")
    async with serving(ROUTES, access=control) as port, asyncio.TaskGroup() as group:
        guesses = [
            group.create_task(ask(port, "/", headers=basic("a", str(number))))
            for number in range(40)
        ]
        while sum(guess.done() for guess in guesses) < 20:  # noqa: ASYNC110 - until 20 are refused
            await asyncio.sleep(0.001)
        scraper = group.create_task(ask(port, "/", headers=basic("c", "d")))
        while sum(guess.done() for guess in guesses) < 21:  # noqa: ASYNC110 - one made room
            await asyncio.sleep(0.001)
        release.set()
        assert (await scraper).status == 200
    assert sorted(guess.result().status for guess in guesses) == [401] * 19 + [503] * 21
    control.close()


async def test_headers_of_the_file_are_on_every_answer(web_config: WebConfigFolder) -> None:
    control = web_config.control(
        "http_server_config:\n  headers:\n"
        "    Strict-Transport-Security: max-age=60\n    X-Frame-Options: sameorigin\n"
    )
    async with serving(ROUTES, access=control) as port:
        for path in ("/", "/nowhere"):
            answer = await ask(port, path)
            assert answer.headers["strict-transport-security"] == "max-age=60"
            assert answer.headers["x-frame-options"] == "sameorigin"


async def test_the_rate_limit_is_429_before_passwords(web_config: WebConfigFolder) -> None:
    control = web_config.control(
        f"rate_limit: {{interval: 1h, burst: 2}}\nbasic_auth_users: {{a: {hashed('b')}}}"
    )
    async with serving(ROUTES, access=control) as port:
        statuses = [(await ask(port, "/")).status for _ in range(3)]
    assert statuses == [401, 401, 429]
    control.close()
