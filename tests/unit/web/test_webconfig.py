import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web import webconfig
from exporter.web.address import BadWebConfig
from exporter.web.webconfig import WebConfig

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
FULL = f"""\
tls_server_config:
  cert_file: server.crt
  key_file: /etc/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    X-XSS-Protection: 0
basic_auth_users:
  alice: {HASH}
  123: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"""


def read(tmp_path: Path, text: str) -> WebConfig:
    path = tmp_path / "web.yaml"
    path.write_text(text)
    return webconfig.read_web_config(str(path))


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(BadWebConfig) as raised:
        read(tmp_path, text)
    prefix = str(tmp_path / "web.yaml") + ":"
    return [str(problem).removeprefix(prefix) for problem in raised.value.problems]


def test_every_key_of_exporter_toolkit_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, FULL)
    tls = config.tls_server_config
    assert tls is not None
    assert tls.cert_file == str(tmp_path / "server.crt")
    assert tls.key_file == "/etc/server.key"
    assert tls.client_ca_file == str(tmp_path / "ca.crt")
    assert tls.client_allowed_sans == ("prometheus.example",)
    assert not tls.prefer_server_cipher_suites
    assert config.http_server_config.http2
    assert config.http_server_config.headers == {"X-Frame-Options": "deny", "X-XSS-Protection": "0"}
    assert config.basic_auth_users == {"alice": HASH, "123": HASH}
    assert config.rate_limit is not None
    assert (config.rate_limit.interval, config.rate_limit.burst) == ("1s", 20)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n", "{}"],
)
def test_an_empty_file_is_plain_http(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == WebConfig()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "tls_serverconfig: {}",
            '1:1: tls_serverconfig: unknown key. Did you mean "tls_server_config"?',
        ),
        (
            "tls_server_config:\n  cert_file: a\n  keyfile: b",
            '3:3: tls_server_config.keyfile: unknown key. Did you mean "key_file"?',
        ),
        (
            "http_server_config: {http3: true}",
            '1:22: http_server_config.http3: unknown key. Did you mean "http2"?',
        ),
        (
            "tls_server_config:\n  key_file: b",
            (
                "1:1: tls_server_config.cert_file: missing. TLS needs cert_file and key_file;"
                " cert_file is the path of a PEM file."
            ),
        ),
        (
            "basic_auth_users:\n  alice: secret",
            (
                "2:3: basic_auth_users.alice: not a bcrypt hash."
                ' Make one with: htpasswd -nBC 10 "" | tr -d ":\\n"'
            ),
        ),
        (
            "http_server_config:\n  headers:\n    Server: nginx",
            (
                "3:5: http_server_config.headers.Server: this header cannot be set."
                " Known: Content-Security-Policy, Strict-Transport-Security,"
                " X-Content-Type-Options, X-Frame-Options, X-XSS-Protection."
            ),
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: allow}}",
            (
                '1:32: http_server_config.headers.X-Frame-Options: "allow" is not allowed here.'
                " Write deny or sameorigin."
            ),
        ),
        (
            'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nb: c"}}',
            (
                "1:32: http_server_config.headers.Content-Security-Policy:"
                " a header is one line of printable characters."
            ),
        ),
        (
            "http_server_config:\n  http2: maybe",
            "2:3: http_server_config.http2: Expected `bool`, got `str`.",
        ),
        (
            "basic_auth_users: [a]",
            "1:1: basic_auth_users: Expected `object`, got `array`.",
        ),
        (
            "rate_limit: {interval: 5 minutes, burst: -1}",
            (
                '1:14: rate_limit.interval: "5 minutes" is not a duration.'
                " Write a number and a unit: 30s, 5m, 1h30m."
            ),
        ),
        ("- a", "1:1: Expected `object`, got `array`."),
        (
            "a: 'b",
            "1:6: This is not YAML: a quotation mark is not closed, from line 1 on. Close it.",
        ),
        (
            "basic_auth_users: {}\nbasic_auth_users: {}",
            (
                '2:1: The key "basic_auth_users" is written twice; the first stands in line 1.'
                " Delete one of them."
            ),
        ),
        (
            "a: &a [*a]",
            "1:4: This holds itself by an alias (*). Write it out.",
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_told_where_and_what_and_what_instead(
    tmp_path: Path, text: str, wanted: str
) -> None:
    assert problems(tmp_path, text)[0].lstrip(": ") == wanted


PAIR = "tls_server_config:\n  cert_file: a\n  key_file: b\n"


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("  min_version: TLS10", '"TLS10" is not known here. Did you mean "TLS1'),
        ("  min_version: TLS13\n  max_version: TLS12", "below min_version. Leave one of them out."),
        ("  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", '"TLS_RSA_WITH_RC4_128_SHA" is not known'),
        ("  curve_preferences: [X25519]", '"X25519" is not known here.'),
        ("  curve_preferences: [CurveP256, CurveP384]", "Python's TLS takes one curve."),
        (
            "  client_auth_type: RequestClientCert",
            (
                "RequestClientCert asks for a certificate without checking it, which Python's TLS"
                " cannot do. Write VerifyClientCertIfGiven or RequireAndVerifyClientCert."
            ),
        ),
        (
            "  client_auth_type: RequireAndVerifyClientCerts",
            'Did you mean "RequireAndVerifyClientCert"?',
        ),
        ("  client_ca_file: ca.pem", "needs a client_auth_type that checks."),
        ("  client_allowed_sans: [a]", "needs a client_auth_type that checks."),
    ],
)
def test_what_tls_cannot_do_is_refused(tmp_path: Path, more: str, wanted: str) -> None:
    (problem,) = problems(tmp_path, PAIR + more)
    assert wanted in problem
    assert problem.startswith(("4:3: ", "5:3: "))


def test_all_problems_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    text = "basic_auth_users: {a: x, b: y}\ntls_server_config: {min_version: x}\n"
    found = problems(tmp_path, text)
    assert [problem[:4] for problem in found] == ["1:20", "1:26", "2:1:", "2:1:", "2:21"]


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadWebConfig, match="not UTF-8"):
        webconfig.read_web_config(str(path))


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        webconfig.read_web_config(str(tmp_path / "none.yaml"))


def test_a_hash_is_not_repeated_in_a_problem(tmp_path: Path) -> None:
    assert "canary" not in problems(tmp_path, "basic_auth_users: {alice: canary-5f1e}")[0]


def understood(text: str) -> object:
    try:
        return webconfig.parse_web_config(text, "web.yaml")
    except BadWebConfig as bad:
        return bad.problems


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_text_is_anything_but_a_configuration_or_problems(text: str) -> None:
    assert understood(text)


@given(
    st.recursive(
        st.sampled_from(["", "a", "true", "1", "TLS12"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["tls_server_config", "cert_file", "headers", "http_server_config", "burst",
                     "rate_limit", "basic_auth_users", "client_allowed_sans", "x"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)  # fmt: skip
def test_no_structure_breaks_the_reading(value: object) -> None:
    assert understood(json.dumps(value))
