"""TLS: authorities, names, client certificates, and certificates that are renewed while we run."""

import asyncio
import datetime as dt
import ipaddress
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exporter.demo.server import VendorResponse, json_response
from exporter.fetch.client import Client
from exporter.model.outcome import Reason
from exporter.model.target import Http, Target, Tls
from tests.support.fetching import a_client, a_target, documents, failure, fetch
from tests.support.vendor import Vendor

GOOD = json_response({"used": 1})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def key_file(authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "client.pem"
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(
        str(path)
    )
    yield str(path)
    path.unlink(missing_ok=True)


def server(authority: trustme.CA, *names: str, client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if client:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def target_of(vendor: Vendor, **tls: str | bool) -> Target:
    setting = Tls(
        ca_file=str(tls.get("ca_file", "")),
        cert_file=str(tls.get("cert_file", "")),
        key_file=str(tls.get("key_file", "")),
        server_name=str(tls.get("server_name", "")),
        insecure_skip_verify=bool(tls.get("insecure_skip_verify")),
    )
    return a_target(vendor.base_url, http=Http(tls=setting), name=str(tls.get("name", "prod")))


async def test_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    async with Vendor(GOOD, tls=server(authority)) as vendor:
        found = failure(await fetch(target_of(vendor)))
    assert found.reason is Reason.TLS
    assert found.detail.startswith(f"{vendor.host}: the certificate is not trusted: ")
    assert vendor.asked == []


async def test_an_authority_of_ones_own_is_trusted(authority: trustme.CA, ca_file: str) -> None:
    async with Vendor(GOOD, tls=server(authority)) as vendor:
        assert documents(await fetch(target_of(vendor, ca_file=ca_file))) == [{"used": 1}]


async def test_polls_at_once_share_one_context(authority: trustme.CA, ca_file: str) -> None:
    async with Vendor(GOOD, tls=server(authority)) as vendor, a_client() as client:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                target = target_of(vendor, ca_file=ca_file, name=f"t{number}")
                group.create_task(fetch(target, client=client))
        assert len(vendor.asked) == 5
        assert len(client._transport._pools) == 1


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make contexts as Python does from 3.13 on."""
    usual = ssl.create_default_context

    def make(*, cafile: str | None = None) -> ssl.SSLContext:
        context = usual(cafile=cafile)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", make)


async def test_a_certificate_that_only_python_from_3_13_on_refuses_is_taken(
    strict: None, tmp_path: Path
) -> None:
    """Many a company's authority leaves out the authority key identifier."""
    ca_file, server_context = without_key_identifier(tmp_path)
    async with Vendor(GOOD, tls=server_context) as vendor:
        assert documents(await fetch(target_of(vendor, ca_file=ca_file))) == [{"used": 1}]


def without_key_identifier(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return an authority's file, and a server with a certificate of it."""
    begin = dt.datetime.fromtimestamp(time.time(), dt.UTC) - dt.timedelta(days=1)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, name = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
        for text in ("Corp Root", "127.0.0.1")
    )

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> Any:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(days=3))
        )

    root = certificate(ca_name, ca_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = certificate(name, key.public_key()).add_extension(here, critical=False)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (folder / "leaf.pem").write_bytes(
        leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return str(folder / "root.pem"), context


async def test_an_intermediate_authority_alone_may_be_trusted(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """As with Prometheus: each certificate of `ca_file` may end a chain."""
    child = authority.create_child_ca()
    child.cert_pem.write_to_path(str(tmp_path / "child.pem"))
    async with Vendor(GOOD, tls=server(child)) as vendor:
        target = target_of(vendor, ca_file=str(tmp_path / "child.pem"))
        assert documents(await fetch(target)) == [{"used": 1}]


async def test_a_certificate_for_another_name_is_refused(
    authority: trustme.CA, ca_file: str
) -> None:
    async with Vendor(GOOD, tls=server(authority, "other.example")) as vendor:
        found = failure(await fetch(target_of(vendor, ca_file=ca_file)))
        named = target_of(vendor, ca_file=ca_file, server_name="other.example")
        assert documents(await fetch(named)) == [{"used": 1}]
    assert found.reason is Reason.TLS
    assert "is not valid for '127.0.0.1'" in found.detail


async def test_verification_can_be_switched_off(authority: trustme.CA) -> None:
    async with Vendor(GOOD, tls=server(authority, "other.example")) as vendor:
        assert documents(await fetch(target_of(vendor, insecure_skip_verify=True)))


async def test_a_client_certificate_is_shown(
    authority: trustme.CA, ca_file: str, key_file: str
) -> None:
    async with Vendor(GOOD, tls=server(authority, client=True)) as vendor:
        without = failure(await fetch(target_of(vendor, ca_file=ca_file)))
        target = target_of(vendor, ca_file=ca_file, cert_file=key_file)
        assert documents(await fetch(target)) == [{"used": 1}]
    assert without.reason in (Reason.TLS, Reason.CONNECT)  # by version, the server just hangs up


async def test_a_renewed_authority_is_read_again(
    authority: trustme.CA, stranger: trustme.CA, ca_file: str
) -> None:
    stranger.cert_pem.write_to_path(ca_file)
    async with Vendor(GOOD, tls=server(authority)) as vendor, a_client() as client:
        target = target_of(vendor, ca_file=ca_file)
        assert failure(await fetch(target, client=client)).reason is Reason.TLS
        authority.cert_pem.write_to_path(ca_file)
        for _ in range(2):
            assert documents(await fetch(target, client=client))
        assert len(client._transport._pools) == 1


async def test_a_renewed_certificate_is_shown_within_seconds(
    authority: trustme.CA, ca_file: str, key_file: str
) -> None:
    """Nothing fails at first: the old certificate is still good."""
    seen: list[object] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("ssl_object").getpeercert()
        seen.append(shown["serialNumber"])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async def polled(client: Client, port: int) -> object:
        tls = Tls(ca_file=ca_file, cert_file=key_file)
        target = a_target(f"https://127.0.0.1:{port}", http=Http(tls=tls))
        assert documents(await fetch(target, client=client))
        return seen[-1]

    context = server(authority, client=True)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as vendor:
        port = vendor.sockets[0].getsockname()[1]
        async with a_client() as client:
            old = await polled(client, port)
            renewed = authority.issue_cert("client@example.com").private_key_and_cert_chain_pem
            renewed.write_to_path(key_file)
            for _ in range(75):
                if await polled(client, port) != old:
                    break
                await asyncio.sleep(0.2)
            assert seen[-1] != old


async def test_a_disk_that_hangs_stops_neither_the_loop_nor_other_targets(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    usual = Path.stat

    def stat(path: Path, **more: bool) -> os.stat_result:
        if str(path) == ca_file:
            gate.wait(30)
        return usual(path, **more)

    async def others(plain: Vendor, vendor: Vendor, client: Client) -> None:
        await asyncio.sleep(0.1)
        began = time.monotonic()
        assert documents(await fetch(a_target(plain.base_url), client=client))
        assert failure(await fetch(target_of(vendor), client=client)).reason is Reason.TLS
        assert time.monotonic() - began < 5
        gate.set()

    async with (
        Vendor(GOOD, tls=server(authority)) as vendor,
        Vendor(GOOD) as plain,
        a_client() as client,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", stat)
            async with asyncio.TaskGroup() as group:
                target = target_of(vendor, ca_file=ca_file)
                hung = group.create_task(fetch(target, client=client))
                group.create_task(others(plain, vendor, client))
        assert documents(hung.result())


@pytest.mark.parametrize("word", ["ca_file", "cert_file"])
async def test_a_file_that_cannot_be_used_is_named(word: str, tmp_path: Path) -> None:
    missing, junk = str(tmp_path / "missing.pem"), tmp_path / "junk.pem"
    junk.write_text("junk")
    async with Vendor(GOOD) as vendor:
        absent = failure(await fetch(target_of(vendor, **{word: missing})))
        broken = failure(await fetch(target_of(vendor, **{word: str(junk)})))
    assert absent.reason is broken.reason is Reason.TLS
    assert absent.detail.endswith(f"tls_config: {word} {missing}: no such file")
    assert broken.detail.endswith(f"{word} {junk}: it holds no usable certificate or key")


async def test_a_port_without_tls_is_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        found = failure(await fetch(a_target(f"https://127.0.0.1:{port}")))
    assert found.reason is Reason.TLS
    assert found.detail.endswith("wrong version number; is this a port without TLS?")


async def test_a_link_from_https_to_http_is_not_followed(
    authority: trustme.CA, ca_file: str
) -> None:
    async with Vendor() as plain:
        away = VendorResponse(status=302, headers=(("Location", f"{plain.base_url}/usage"),))
        async with Vendor(away, tls=server(authority)) as vendor:
            found = failure(await fetch(target_of(vendor, ca_file=ca_file)))
    assert found.reason is Reason.HTTP_4XX
    assert plain.asked == []
