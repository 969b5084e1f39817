"""TLS: authorities, names, client certificates, and certificates that are renewed while we run."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from exporter.demo.wire import Answer, json_answer
from exporter.model.outcome import Reason
from exporter.model.target import Http, Target, Tls
from tests.support.fetching import a_client, a_target, documents, failure, fetch
from tests.support.vendor import Vendor

GOOD = json_answer({"used": 1})


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
        away = Answer(status=302, headers=(("Location", f"{plain.base_url}/usage"),))
        async with Vendor(away, tls=server(authority)) as vendor:
            found = failure(await fetch(target_of(vendor, ca_file=ca_file)))
    assert found.reason is Reason.HTTP_4XX
    assert plain.asked == []
