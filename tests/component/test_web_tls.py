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
from tests.support.house import House
from tests.support.serving import LOOPBACK, Answer, Broken, ask, parse, serving


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return text_response("hello")


ROUTES = {"/": Route(handler=hello)}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


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


async def test_tls_is_spoken_with_the_certificate_of_the_file(house: House) -> None:
    house.issue("exporter.test")
    async with listening(house.control(TLS)) as port:
        assert (await ask_tls(port, house.client())).text == "hello\n"


async def renewed(house: House) -> None:
    house.issue("exporter.test")
    async with listening(house.control(TLS)) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=house.client(), server_hostname="exporter.test"
        )
        house.issue("renewed.test")
        assert (await ask_tls(port, house.client(), "renewed.test")).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask_tls(port, house.client(), "exporter.test")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert parse(await reader.read()).status == 200  # the old connection goes on
        writer.close()


async def test_a_renewed_certificate_holds_from_the_next_connection_on(house: House) -> None:
    await renewed(house)
    assert house.complaints == []


def test_a_renewed_certificate_holds_with_uvloop_too(house: House) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(renewed(house))


async def test_half_a_renewal_leaves_the_old_pair_until_the_other_half_comes(house: House) -> None:
    house.issue("exporter.test")
    control = house.control(TLS)
    old = (house.folder / "key.pem").read_bytes()
    async with listening(control) as port:
        house.issue("renewed.test")
        new = (house.folder / "key.pem").read_bytes()
        (house.folder / "key.pem").write_bytes(old)
        assert (await ask_tls(port, house.client())).status == 200
        (house.folder / "key.pem").write_bytes(new + b"\n")
        assert (await ask_tls(port, house.client(), "renewed.test")).status == 200
    (complaint,) = house.complaints
    assert "cannot use" in complaint
    assert "belong together" in complaint


async def test_a_client_certificate_is_asked_for_and_checked(house: House) -> None:
    house.issue("exporter.test")
    stranger = trustme.CA()
    async with listening(house.control(STRICT)) as port:
        assert (await ask_tls(port, house.client("prometheus.test"))).status == 200
        with pytest.raises(REFUSED):
            await ask_tls(port, house.client())
        context = house.client()
        stranger.issue_cert("prometheus.test").configure_cert(context)
        with pytest.raises(REFUSED):
            await ask_tls(port, context)


async def test_a_stricter_policy_holds_without_a_restart(house: House) -> None:
    house.issue("exporter.test")
    async with listening(house.control(TLS)) as port:
        assert (await ask_tls(port, house.client())).status == 200
        house.write(STRICT)
        with pytest.raises(REFUSED):
            await ask_tls(port, house.client())
        assert (await ask_tls(port, house.client("prometheus.test"))).status == 200


@pytest.mark.parametrize(
    ("allowed", "status"),
    [("prometheus.test", 200), ("127.0.0.1", 403), ("::1", 200), ("other.test", 403)],
)
async def test_only_allowed_names_pass(house: House, allowed: str, status: int) -> None:
    house.issue("exporter.test")
    control = house.control(STRICT + f'  client_allowed_sans: ["{allowed}"]\n')
    async with listening(control) as port:
        answer = await ask_tls(port, house.client("prometheus.test", "::1"))
    assert answer.status == status


async def test_a_client_without_a_certificate_has_no_allowed_name(house: House) -> None:
    house.issue("exporter.test")
    text = STRICT.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    async with listening(house.control(text + "  client_allowed_sans: [a]\n")) as port:
        assert (await ask_tls(port, house.client())).status == 403


async def test_without_a_ca_file_the_systems_authorities_are_asked(house: House) -> None:
    house.issue("exporter.test")
    text = TLS + "  client_auth_type: VerifyClientCertIfGiven\n"
    async with listening(house.control(text)) as port:
        assert (await ask_tls(port, house.client())).status == 200


async def test_versions_suites_and_curves_are_kept_to(house: House) -> None:
    house.issue("exporter.test")
    text = (
        TLS + "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,"
        " TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
        "  curve_preferences: [CurveP384]\n  prefer_server_cipher_suites: false\n"
    )
    async with listening(house.control(text)) as port:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=house.client(), server_hostname="exporter.test"
        )
        spoken = writer.get_extra_info("ssl_object")
        assert (spoken.version(), spoken.cipher()[0][-23:]) == (
            "TLSv1.2",
            "ECDSA-AES256-GCM-SHA384",
        )
        writer.close()
        strict = house.client()
        strict.minimum_version = ssl.TLSVersion.TLSv1_3
        with pytest.raises(REFUSED):
            await ask_tls(port, strict)


async def test_tls_is_not_switched_off_while_running(house: House) -> None:
    house.issue("exporter.test")
    async with listening(house.control(TLS)) as port:
        house.write("")
        assert (await ask_tls(port, house.client())).status == 200
    assert "cannot be switched on or off" in house.complaints[0]


async def test_tls_is_not_switched_on_while_running(house: House) -> None:
    house.issue("exporter.test")
    control = house.control("")
    assert control.context is None
    async with serving(ROUTES, access=control) as port:
        house.write(TLS)
        assert (await ask(port, "/")).status == 200
    assert "cannot be switched on or off" in house.complaints[0]


async def test_a_plain_request_to_the_tls_port_does_no_harm(house: House) -> None:
    house.issue("exporter.test")
    async with listening(house.control(TLS)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200" not in await reader.read()
        writer.close()
        assert (await ask_tls(port, house.client())).status == 200


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("cert.pem", "cannot use {folder}/cert.pem with {folder}/key.pem: "),
        ("key.pem", "cannot use {folder}/cert.pem with {folder}/key.pem: "),
        ("ca.pem", "client_ca_file: cannot use {folder}/ca.pem: "),
    ],
)
def test_a_file_that_is_no_pem_or_missing_is_named(house: House, spoil: str, words: str) -> None:
    house.issue("exporter.test")
    wanted = words.format(folder=house.folder)
    (house.folder / spoil).write_text("no pem")
    with pytest.raises(OSError, match=wanted):
        house.control(STRICT)
    (house.folder / spoil).unlink()
    with pytest.raises(OSError, match=wanted + "no such file or directory"):
        house.control(STRICT)


def test_a_key_with_a_password_is_refused_and_asks_nobody(house: House) -> None:
    house.issue("exporter.test")
    key = serialization.load_pem_private_key((house.folder / "key.pem").read_bytes(), None)
    (house.folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(OSError, match="the key has a password"):
        house.control(TLS)
