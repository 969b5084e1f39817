"""Planted secrets, and the search for them in everything that the exporter gives away."""

import asyncio
import base64
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.app.explain import explain
from exporter.app.once import once
from exporter.cli.main import main
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import exporting
from tests.support.engine_harness import plan_of
from tests.support.secret_leaks import LOGIN_TOKEN, REPLIES, EchoingVendor, leaks
from tests.support.vendor import Vendor

TOKEN = 'literal-key/3f"a+b=&c'  # noqa: S105 - planted, as are all below
FROM_FILE = "key-of-a-file/9d-2b"
FROM_ENV = "key-of-the-environment%41"
PASSWORD = "pass:word \\ of two"  # noqa: S105
USER = "somebody@example.com"
PROXY = "proxy-password-1f"
HEADER = "header-secret-77aa"
SECRETS = (TOKEN, FROM_FILE, FROM_ENV, PASSWORD, PROXY, HEADER, LOGIN_TOKEN)

DEFINITION = """\
title: Leaky
documentation: https://leaky.example
base_url: https://leaky.example
interval: 1s
throttling: {max_wait: 1s}
credentials:
  key: {description: In a header.}
  argument: {description: In the query.}
  username: {description: Of a log-in.}
  password: {description: Of a log-in.}
  token: {description: As bearer.}
auth:
  - {kind: bearer}
  - {kind: header, headers: {X-Api-Key: "{credentials.key}"}}
  - {kind: query, query: {q: "{credentials.argument}"}}
  - kind: AUTH_KIND
collectors:
  usage:
    request: {path: /usage}
    paging: {kind: next_url, next: next}
resources:
  - {name: "{line.name}", each: {path: rows, as: line}, used: line.used, limit: line.limit}
plan: plan
"""
LOGIN = """login
    request:
      method: POST
      path: /login
      json: {user: "{credentials.username}", pass: "{credentials.password}"}
    token: access
    apply: {kind: bearer}
"""


def definitions(folder: Path) -> list[str]:
    (folder / "leaky.yaml").write_text(DEFINITION.replace("AUTH_KIND", LOGIN.strip()))
    (folder / "basic.yaml").write_text(DEFINITION.replace("AUTH_KIND", "basic"))
    return ["leaky.yaml", "basic.yaml"]


def config(folder: Path, base_url: str, proxy: str = "", *, state: bool = False) -> Path:
    (folder / "key").write_text(FROM_FILE + "\n")
    pair = {"username": USER, "password": PASSWORD}
    credentials: dict[str, dict[str, Any]] = {
        "literal": {"token": TOKEN},
        "file": {"key_file": "key"},
        "environment": {"argument_env": "LEAKY_KEY"},
        "login": pair,
        "basic": pair,
    }
    http = {"http_headers": {"X-Jwt": HEADER, "X-Pwd": HEADER}}
    targets = [
        {
            "name": name,
            "provider": "basic" if name == "basic" else "leaky",
            "base_url": base_url,
            "credentials": given,
            "http": http,
        }
        for name, given in credentials.items()
    ]
    if proxy:
        targets[0] |= {"http": {"proxy_url": proxy}}
    document = {
        "global": {"poll_timeout": "1s"},
        "state": {"file": "state.db"} if state else {},
        "providers": {"files": definitions(folder)},
        "targets": targets,
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKY_KEY", FROM_ENV)


def clean(what: str, text: str) -> None:
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    lines = [line[:500] for line in text.splitlines() if leaks(line, [*SECRETS, pair])]
    assert not lines, f"{what} gives away:\n" + "\n".join(lines)


def written(folder: Path) -> str:
    files = [path.read_bytes() for path in folder.glob("state.db*")]
    return b"\n".join(files).decode("latin-1")


@pytest.mark.parametrize("form", ["logfmt", "json", "console"])
def test_the_daemon_gives_no_secret_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    echoing = EchoingVendor()
    seen: dict[str, str] = {}

    @adjustable_clock
    async def watch() -> None:
        async with Vendor(echoing) as vendor:
            path = config(tmp_path, vendor.base_url)
            options: dict[str, Any] = {"log_format": form, "lifecycle": True}
            async with exporting(path, monkeypatch, log_level="debug", **options) as exporter:
                while len(vendor.asked) < 5 * 2 * len(REPLIES):
                    advance(60)
                    await asyncio.sleep(0.005)
                    text = (await exporter.get("/metrics")).text
                    if "usage_quantity{" in text:  # later answers are refusals: values go again
                        seen["values"] = text
                names = ("literal", "file", "environment", "login", "basic")
                probes = [f"/probe?target={name}" for name in names]
                for address in ("/", "/metrics", "/config", "/api/v1/targets", *probes):
                    seen[address] = (await exporter.get(address)).text
                path.write_text(path.read_text().replace('"token": ', '"tokn": '))
                seen["reload"] = (await exporter.post("/-/reload")).text
                seen["problems"] = (await exporter.get("/")).text
                seen["log"] = exporter.log

    watch()
    assert set(SECRETS) - {PROXY, HEADER} <= echoing.told  # the vendor did have them all
    assert "poll finished" in seen["log"]
    assert "usage_quantity{" in seen["values"]
    assert 'Did you mean "token"?' in seen["reload"]
    for what, text in seen.items():
        clean(what, text)


def test_the_state_keeps_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    echoing = EchoingVendor()

    @adjustable_clock
    async def watch() -> None:
        async with Vendor(echoing) as vendor:
            path = config(tmp_path, vendor.base_url, state=True)
            async with exporting(path, monkeypatch):
                while len(vendor.asked) < 3 * len(REPLIES):
                    advance(60)
                    await asyncio.sleep(0.1)  # a poll begins when the disk knows of it

    watch()
    assert set(SECRETS) - {PROXY, HEADER} <= echoing.told
    assert "usage" in written(tmp_path)
    clean("the state file", written(tmp_path))


@adjustable_clock
async def test_once_gives_no_secret_away(tmp_path: Path) -> None:
    echoing, log, expositions = EchoingVendor(), io.StringIO(), b""
    async with Vendor(echoing) as vendor:
        plan = await asyncio.to_thread(plan_of, config(tmp_path, vendor.base_url))
        for _ in range(len(REPLIES)):
            done = await once(plan, only="", log_level="debug", log_format="logfmt", stream=log)
            expositions += done.exposition()
    assert set(SECRETS) - {PROXY, HEADER} <= echoing.told
    assert b"usage_quantity" in expositions
    clean("the log", log.getvalue())
    clean("the exposition", expositions.decode())


@adjustable_clock
async def test_explain_gives_no_secret_away(tmp_path: Path) -> None:
    echoing, lines = EchoingVendor(), list[str]()
    async with Vendor(echoing) as vendor:
        plan = await asyncio.to_thread(plan_of, config(tmp_path, vendor.base_url))
        for _ in range(len(REPLIES)):
            for target in plan.targets.values():
                lines += (await explain(target)).lines
    assert set(SECRETS) - {PROXY, HEADER} <= echoing.told
    clean("the story", "\n".join(lines))


def broken_proxy(document: dict[str, Any]) -> None:
    document["targets"][0]["http"] = {"proxy_url": f"ftp://me:{PROXY}@proxy.example:1"}


def userinfo(document: dict[str, Any]) -> None:
    document["targets"][0]["base_url"] = f"https://me:{PROXY}@leaky.example"


def not_a_text(document: dict[str, Any]) -> None:
    document["targets"][0]["credentials"] = {"token": [TOKEN]}


def not_a_map(document: dict[str, Any]) -> None:
    document["targets"][0]["credentials"] = TOKEN


def misplaced(document: dict[str, Any]) -> None:
    document["targets"][0]["token"] = TOKEN


def misspelt(document: dict[str, Any]) -> None:
    document["targets"][0]["credentials"] = {"tokken": TOKEN}


def as_a_key(document: dict[str, Any]) -> None:
    document["targets"][0]["credentials"] = {"token": {"key": TOKEN}}


def two_lines(document: dict[str, Any]) -> None:
    document["targets"][0]["credentials"] = {"token": f"{TOKEN}\n{TOKEN}"}


def odd_header(document: dict[str, Any]) -> None:
    document["targets"][0]["http"] = {"http_headers": {"X-Key": f"{HEADER}\n"}}


def redis(document: dict[str, Any]) -> None:
    document["state"] = {"redis_url": f"http://me:{PROXY}@redis.example"}


@pytest.mark.parametrize(
    "spoil",
    [
        broken_proxy,
        userinfo,
        not_a_text,
        not_a_map,
        misplaced,
        misspelt,
        as_a_key,
        two_lines,
        odd_header,
        redis,
    ],
)
def test_check_gives_no_secret_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[dict[str, Any]], None]
) -> None:
    path = config(tmp_path, "https://leaky.example")
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    assert main(["check", f"--config.file={path}"]) == 1
    told = capsys.readouterr()
    assert told.err.strip()
    clean("check", told.out + told.err)


def test_check_of_broken_yaml_shows_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"targets:\n- credentials: {{token: {FROM_FILE}\n  key: [")
    assert main(["check", f"--config.file={path}"]) == 1
    told = capsys.readouterr()
    clean("check", told.out + told.err)


@adjustable_clock
async def test_a_proxys_password_stays_here(tmp_path: Path) -> None:
    log, echoing = io.StringIO(), EchoingVendor()
    async with Vendor(echoing) as vendor:
        host = vendor.host
        plan = await asyncio.to_thread(
            plan_of, config(tmp_path, "http://leaky.invalid", f"http://me:{PROXY}@{host}")
        )
        done = await once(plan, only="literal", log_level="debug", log_format="json", stream=log)
        story = await explain(plan.targets["literal"])
    assert done.failed
    clean("the log", log.getvalue())
    clean("the exchanges", str([poll.exchanges for one in done.results for poll in one.polls]))
    clean("the story", "\n".join(story.lines))
    clean("the config", plan.text)


def test_nothing_is_left_in_the_test_itself() -> None:
    assert all(len(secret) > 12 for secret in SECRETS)
    assert leaks(f"x{TOKEN}x", [TOKEN])
    assert leaks(PROXY[:13], [PROXY])
    assert not leaks(os.fspath(sys.executable), SECRETS)
