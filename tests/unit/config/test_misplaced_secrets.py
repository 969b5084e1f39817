"""A token in the wrong place of a file is not shown by the message that refuses it."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.library import compile_text
from exporter.config.plan import load_text
from exporter.model.target import Rejected
from exporter.web.address import BadWebConfig
from exporter.web.webconfig import read_web_config

TOKENS = {  # made up, or from the documentation of the vendors
    "prefix": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "hexadecimal": "d41d8cd98f00b204e9800998ecf8427e",
    "base64": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "capitals": "AKIAIOSFODNN7EXAMPLE",
    "hyphens": "sk-ant-api03-aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY",
    "uuid": "550e8400-e29b-41d4-a716-446655440000",
}
WEAK = "hunter2!pass"
CONFIG: dict[str, Any] = {
    "global": {
        "poll_interval": "5m", "poll_timeout": "30s", "stale_after": "2h", "max_series": 100,
        "reserve": "20%", "adaptive": False, "max_concurrent_polls": 4,
        "max_concurrent_polls_per_host": 2, "user_agent": "x",
    },
    "state": {"file": "state.db", "redis_url": "redis://x"},
    "providers": {"files": ["x.yaml"]},
    "targets": [
        {
            "name": "a", "provider": "tpstreams", "base_url": "https://h.example",
            "credentials": {"token": "x", "username_file": "y", "password_env": "Z"},
            "params": {"organization_id": "o", "currency": "USD"}, "accounts": ["1"],
            "limits": {"bandwidth": "5 TB", "spend": "200 USD"}, "labels": {"team": "v"},
            "items": False, "collectors": {"usage": True}, "poll_interval": "5m",
            "poll_timeout": "5s", "stale_after": "2h", "max_series": 10, "reserve": "20%",
            "adaptive": True,
            "http": {
                "proxy_url": "http://p:1", "proxy_from_environment": False,
                "tls_config": {
                    "ca_file": "ca.pem", "cert_file": "c.pem", "key_file": "k.pem",
                    "server_name": "s", "insecure_skip_verify": False,
                },
                "http_headers": {"X-A": "b", "X-B": {"values": ["c"]}},
            },
        }
    ],
}  # fmt: skip
WEB: dict[str, Any] = {
    "tls_server_config": {
        "cert_file": "a.pem", "key_file": "k.pem", "client_ca_file": "x",
        "client_auth_type": "NoClientCert", "client_allowed_sans": ["a"], "min_version": "TLS12",
        "max_version": "TLS13", "cipher_suites": ["TLS_AES_128_GCM_SHA256"],
        "prefer_server_cipher_suites": True, "curve_preferences": ["CurveP256"],
    },
    "http_server_config": {"http2": True, "headers": {"X-Frame-Options": "deny"}},
    "basic_auth_users": {"u": f"$2b$10${'a' * 53}"},
    "rate_limit": {"interval": "1s", "burst": 3},
}  # fmt: skip
FORMS = {
    "itself": "{}",
    "two": "{} {}",
    "user": "https://{}@h.example/",
    "password": "https://me:{}@h.example/",
    "no scheme": "user:{}@h.example",
    "argument": "https://h.example/?x={}",
    "path": "https://h.example/{}",
    "host": "http://{}",
    "a line too many": "{}\n",
}
Way = tuple[str | int, ...]


def places(tree: Any, way: Way = ()) -> Iterator[Way]:
    yield way
    entries = list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in tree.items() if isinstance(tree, dict) else entries:
        yield from places(value, (*way, key))


def planted(tree: Any, way: Way, value: Any) -> Any:
    if not way:
        return value
    tree = copy.deepcopy(tree)
    around = tree
    for part in way[:-1]:
        around = around[part]
    around[way[-1]] = value
    return tree


def renamed(tree: Any, way: Way, key: str) -> Any:
    tree = copy.deepcopy(tree)
    around = tree
    for part in way[:-1]:
        around = around[part]
    around[way[-1]] = {key: around[way[-1]]}
    if isinstance(around, dict):
        around[key] = around.pop(way[-1])[key]
    return tree


def tokens_for(way: Way) -> Iterator[str]:
    """Yield the base64, which looks like a path, and one of the others: all in turn."""
    yield TOKENS["base64"]
    yield list(TOKENS.values())[sum(map(len, map(str, way))) % len(TOKENS)]


def spoiled(tree: Any, way: Way, token: str) -> Iterator[Any]:
    """Yield a document with the token in one place, in each form."""
    for form in FORMS.values():
        yield planted(tree, way, form.format(token, token))
    yield planted(tree, way, [token])
    yield planted(tree, way, {token: None})
    yield planted(tree, way, {"x": token})
    if way:
        yield renamed(tree, way, token)


def shows(text: str, token: str) -> bool:
    return any(part in text for part in (token, token[:12], token[-12:], token.lower()))


@pytest.mark.parametrize("way", list(places(CONFIG)), ids=lambda way: ".".join(map(str, way)))
def test_no_message_about_a_configuration_shows_a_token(way: Way, tmp_path: Path) -> None:
    for token in tokens_for(way):
        for document in spoiled(CONFIG, way, token):
            text = json.dumps(document)
            assert token in text
            found = load_text(text, name="x.yaml", directory=str(tmp_path), environ={})
            problems = found.problems if isinstance(found, Rejected) else found.warnings
            told = "\n".join(map(str, problems))
            assert not shows(told, token), told


@pytest.mark.parametrize(
    "way",
    [
        ("targets", 0, "credentials", "token"),
        ("targets", 0, "credentials", "username_file"),
        ("targets", 0, "credentials", "password_env"),
        ("targets", 0, "http", "proxy_url"),
        ("targets", 0, "http", "http_headers", "X-A"),
        ("targets", 0, "http", "http_headers", "X-B", "values", 0),
        ("state", "redis_url"),
    ],
    ids=lambda way: ".".join(map(str, way)),
)
def test_where_a_secret_may_stand_even_a_word_is_not_shown(way: Way, tmp_path: Path) -> None:
    for document in (*spoiled(CONFIG, way, WEAK), planted(CONFIG, way, f"\t{WEAK}\0")):
        found = load_text(json.dumps(document), name="x.yaml", directory=str(tmp_path), environ={})
        assert isinstance(found, Rejected)
        told = "\n".join(map(str, found.problems))
        assert "hunter2" not in told.replace(f'["{WEAK}"]', ""), told  # as the name of a key


def test_the_password_of_an_address_is_not_shown(tmp_path: Path) -> None:
    for url in (f"https://me:{WEAK}@h.example", f"https://{WEAK}@h", f"me:{WEAK}@h.example", WEAK):
        document = planted(CONFIG, ("targets", 0, "base_url"), url)
        found = load_text(json.dumps(document), name="x.yaml", directory=str(tmp_path), environ={})
        assert isinstance(found, Rejected)
        told = "\n".join(map(str, found.problems))
        assert "targets[0].base_url" in told
        assert "hunter2" not in told


DEFINITION = """
title: Acme
documentation: https://acme.example
base_url: "https://{params.region}.acme.example"
params: {region: {description: Where., default: eu, choices: [eu, us], pattern: "[a-z]+"}}
credentials: {token: {description: A key.}}
auth: [{kind: header, headers: {X-Key: "{credentials.token}"}}]
throttling: {max_wait: 1h, scope: host}
collectors:
  usage: {request: {path: /usage, query: {a: "{today:date}"}}, paging: {kind: next_url, next: next}}
resources: [{name: storage, used: {path: used, unit: GB}, limit: total}]
period: {kind: month}
"""


@pytest.mark.parametrize(
    "way", list(places(yaml.safe_load(DEFINITION))), ids=lambda way: ".".join(map(str, way))
)
def test_no_message_about_a_definition_shows_a_token(way: Way) -> None:
    tree = yaml.safe_load(DEFINITION)
    for token in tokens_for(way):
        for document in (*spoiled(tree, way, token), planted(tree, way, f"{{{token}}}")):
            found = compile_text(json.dumps(document), name="acme")
            told = "\n".join(map(str, found.problems)) if isinstance(found, Rejected) else ""
            assert not shows(told, token), told


@pytest.mark.parametrize("way", list(places(WEB)), ids=lambda way: ".".join(map(str, way)))
def test_no_message_about_a_web_configuration_shows_a_token(way: Way, tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    for token in tokens_for(way):
        for document in spoiled(WEB, way, token):
            path.write_text(json.dumps(document))
            told = ""
            try:
                read_web_config(str(path))
            except BadWebConfig as error:
                told = str(error)
            assert not shows(told, token), told


BROKEN = [
    "a: *{}", "a: !{} x", "{}", "a: '{}", 'a: "\\{}"', "basic_auth_users: {}: x", "x: [{}",
    "x: {{{}", "%{}\n---", "a: @{}", "- {}\na: b", "a: &{} 1\nb: &{} 2", "{}: 1\n{}: 2", "a: `{}",
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_no_message_about_broken_yaml_shows_a_token(
    broken: str, token: str, tmp_path: Path
) -> None:
    text = broken.format(token, token)
    found = load_text(text, name="x.yaml", directory=str(tmp_path), environ={})
    assert isinstance(found, Rejected)
    assert not shows("\n".join(map(str, found.problems)), token)
    path = tmp_path / "web.yaml"
    path.write_text(text)
    with pytest.raises(BadWebConfig) as caught:
        read_web_config(str(path))
    assert not shows(str(caught.value), token)
