import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
import uvloop
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from exporter.web.access import AccessControl
from exporter.web.response import text_response
from exporter.web.routes import Dispatcher, Route
from exporter.web.server import WebServer
from tests.support.serving import LOOPBACK, Answer, Broken, ask, parse, serving
from tests.support.web_config_folder import WebConfigFolder


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return text_response("hello")


ROUTES = {"/": Route(handler=hello)}


@pytest.fixture
def web_config(tmp_path: Path) -> WebConfigFolder:
    return WebConfigFolder(tmp_path)


REFUSED = (ssl.SSLError, ConnectionError)
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
STRICT = TLS + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"


@asynccontextmanager
async def listening(control: AccessControl) -> AsyncIterator[int]:
    broken = Broken()
    server = WebServer(Dispatcher(ROUTES, failed=broken.report, access=control), grace=0.2)
    (address,) = await server.start([LOOPBACK], tls=control.context)
    try:
        yield address.port
    finally:
        await server.stop()
        control.close()
    assert broken == []


async def ask_tls(port: int, context: ssl.SSLContext, name: str = "exporter.test") -> Answer:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = await reader.read()
        if not received:
            raise ConnectionResetError("closed without an answer")
        return parse(received)
    finally:
        writer.close()


async def test_tls_is_spoken_with_the_certificate_of_the_file(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    async with listening(web_config.control(TLS)) as port:
        assert (await ask_tls(port, web_config.client())).text == "hello\n"


async def renewed(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    async with listening(web_config.control(TLS)) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=web_config.client(), server_hostname="exporter.test"
        )
        web_config.issue("renewed.test")
        assert (await ask_tls(port, web_config.client(), "renewed.test")).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask_tls(port, web_config.client(), "exporter.test")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert parse(await reader.read()).status == 200  # the old connection goes on
        writer.close()


async def test_a_renewed_certificate_holds_from_the_next_connection_on(
    web_config: WebConfigFolder,
) -> None:
    await renewed(web_config)
    assert web_config.complaints == []


def test_a_renewed_certificate_holds_with_uvloop_too(web_config: WebConfigFolder) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(renewed(web_config))


async def test_half_a_renewal_leaves_the_old_pair_until_the_other_half_comes(
    web_config: WebConfigFolder,
) -> None:
    web_config.issue("exporter.test")
    control = web_config.control(TLS)
    old = (web_config.folder / "key.pem").read_bytes()
    async with listening(control) as port:
        web_config.issue("renewed.test")
        new = (web_config.folder / "key.pem").read_bytes()
        (web_config.folder / "key.pem").write_bytes(old)
        assert (await ask_tls(port, web_config.client())).status == 200
        (web_config.folder / "key.pem").write_bytes(new + b"\n")
        assert (await ask_tls(port, web_config.client(), "renewed.test")).status == 200
    (complaint,) = web_config.complaints
    assert "cannot use" in complaint
    assert "belong together" in complaint


async def test_a_client_certificate_is_asked_for_and_checked(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    stranger = trustme.CA()
    async with listening(web_config.control(STRICT)) as port:
        assert (await ask_tls(port, web_config.client("prometheus.test"))).status == 200
        with pytest.raises(REFUSED):
            await ask_tls(port, web_config.client())
        context = web_config.client()
        stranger.issue_cert("prometheus.test").configure_cert(context)
        with pytest.raises(REFUSED):
            await ask_tls(port, context)


async def test_a_stricter_policy_holds_without_a_restart(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    async with listening(web_config.control(TLS)) as port:
        assert (await ask_tls(port, web_config.client())).status == 200
        web_config.write(STRICT)
        with pytest.raises(REFUSED):
            await ask_tls(port, web_config.client())
        assert (await ask_tls(port, web_config.client("prometheus.test"))).status == 200


@pytest.mark.parametrize(
    ("allowed", "status"),
    [("prometheus.test", 200), ("127.0.0.1", 403), ("::1", 200), ("other.test", 403)],
)
async def test_only_allowed_names_pass(
    web_config: WebConfigFolder, allowed: str, status: int
) -> None:
    web_config.issue("exporter.test")
    control = web_config.control(STRICT + f'  client_allowed_sans: ["{allowed}"]\n')
    async with listening(control) as port:
        answer = await ask_tls(port, web_config.client("prometheus.test", "::1"))
    assert answer.status == status


async def test_a_client_without_a_certificate_has_no_allowed_name(
    web_config: WebConfigFolder,
) -> None:
    web_config.issue("exporter.test")
    text = STRICT.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    async with listening(web_config.control(text + "  client_allowed_sans: [a]\n")) as port:
        assert (await ask_tls(port, web_config.client())).status == 403


async def test_without_a_ca_file_the_systems_authorities_are_asked(
    web_config: WebConfigFolder,
) -> None:
    web_config.issue("exporter.test")
    text = TLS + "  client_auth_type: VerifyClientCertIfGiven\n"
    # In a thread: to load the system's authorities takes 50 ms, the limit of one callback.
    control = await asyncio.to_thread(web_config.control, text)
    async with listening(control) as port:
        assert (await ask_tls(port, web_config.client())).status == 200


async def test_versions_suites_and_curves_are_kept_to(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    text = (
        TLS + "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,"
        " TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
        "  curve_preferences: [CurveP384]\n  prefer_server_cipher_suites: false\n"
    )
    async with listening(web_config.control(text)) as port:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=web_config.client(), server_hostname="exporter.test"
        )
        spoken = writer.get_extra_info("ssl_object")
        assert (spoken.version(), spoken.cipher()[0][-23:]) == (
            "TLSv1.2",
            "ECDSA-AES256-GCM-SHA384",
        )
        writer.close()
        strict = web_config.client()
        strict.minimum_version = ssl.TLSVersion.TLSv1_3
        with pytest.raises(REFUSED):
            await ask_tls(port, strict)


async def test_tls_is_not_switched_off_while_running(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    async with listening(web_config.control(TLS)) as port:
        web_config.write("")
        assert (await ask_tls(port, web_config.client())).status == 200
    assert "cannot be switched on or off" in web_config.complaints[0]


async def test_tls_is_not_switched_on_while_running(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    control = web_config.control("")
    assert control.context is None
    async with serving(ROUTES, access=control) as port:
        web_config.write(TLS)
        assert (await ask(port, "/")).status == 200
    assert "cannot be switched on or off" in web_config.complaints[0]


async def test_a_plain_request_to_the_tls_port_does_no_harm(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    async with listening(web_config.control(TLS)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200" not in await reader.read()
        writer.close()
        assert (await ask_tls(port, web_config.client())).status == 200


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("cert.pem", "cannot use {folder}/cert.pem with {folder}/key.pem: "),
        ("key.pem", "cannot use {folder}/cert.pem with {folder}/key.pem: "),
        ("ca.pem", "client_ca_file: cannot use {folder}/ca.pem: "),
    ],
)
def test_a_file_that_is_no_pem_or_missing_is_named(
    web_config: WebConfigFolder, spoil: str, words: str
) -> None:
    web_config.issue("exporter.test")
    wanted = words.format(folder=web_config.folder)
    (web_config.folder / spoil).write_text("no pem")
    with pytest.raises(OSError, match=wanted):
        web_config.control(STRICT)
    (web_config.folder / spoil).unlink()
    with pytest.raises(OSError, match=wanted + "no such file or directory"):
        web_config.control(STRICT)


def test_a_key_with_a_password_is_refused_and_asks_nobody(web_config: WebConfigFolder) -> None:
    web_config.issue("exporter.test")
    key = serialization.load_pem_private_key((web_config.folder / "key.pem").read_bytes(), None)
    (web_config.folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(OSError, match="the key has a password"):
        web_config.control(TLS)
