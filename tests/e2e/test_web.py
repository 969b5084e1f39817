"""What the web side says, read by Prometheus' own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import trustme

from exporter.kernel.exposition_text import Dialect
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked
from exporter.web.access import AccessControl

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
ACCEPTED = {
    "tls": TLS,
    "clients": TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n",
    "optional": TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n",
    "versions": TLS + "  min_version: TLS12\n  max_version: TLS13\n",
    "suites": TLS + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n",
    "curves": TLS + "  curve_preferences: [CurveP256]\n  prefer_server_cipher_suites: false\n",
    "users": f"basic_auth_users:\n  alice: {HASH}\n",
    "headers": "http_server_config:\n  headers:\n    X-Frame-Options: deny\n",
    "nothing": "",
}


@pytest.fixture(scope="session")
def promtool() -> str:
    return shutil.which("promtool") or pytest.fail("promtool is missing: bash .ci/install-e2e")


def check(promtool: str, what: str, *files: str, text: bytes = b"") -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - the program is promtool, the arguments are ours
        [promtool, "check", what, *files], input=text, capture_output=True, check=False, timeout=60
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("name", ACCEPTED)
def test_promtool_accepts_the_web_config_that_we_accept(
    name: str, promtool: str, tmp_path: Path
) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(ACCEPTED[name])
    issued = trustme.CA().issue_cert("exporter.test")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    AccessControl(str(path), clock=lambda: 0.0, complain=pytest.fail)
    code, words = check(promtool, "web-config", str(path))
    assert code == 0, words


def test_promtool_finds_nothing_in_the_self_metrics(promtool: str) -> None:
    now = LiveValues(backoffs=dict, lateness=lambda: 0.0, series=lambda: 0)
    metrics = SelfMetrics(Build(version="1"), now, clock=lambda: 0.0)
    metrics.track([Tracked(provider="a", account="b", intervals={"usage": 60.0})])
    assert check(promtool, "metrics", text=metrics.render(Dialect.TEXT)) == (0, "")
