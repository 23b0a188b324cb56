"""TLS by two paths, and a certificate that is replaced while the server runs."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from server.access.door import TlsSettings
from server.access.self_signed import make_certificate
from server.access.tls import Certificate
from tests.real.served import Served, served


def tls(folder: Path) -> TlsSettings:
    return TlsSettings(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "cert.pem")


async def serial(server: Served, folder: Path) -> str:
    """Of the certificate that a client gets, which has to be that of `folder`."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting(folder))
    try:
        return str(writer.get_extra_info("ssl_object").getpeercert()["serialNumber"])
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_certificate_is_for_this_machine_and_the_names_given(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, ["viva.local", "192.0.2.7"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    names = ssl._ssl._test_decode_cert(str(certificate))["subjectAltName"]  # type: ignore[attr-defined]
    found = {name for _, name in names}
    assert {"localhost", "127.0.0.1", "viva.local", "192.0.2.7", socket.gethostname()} <= found
    with pytest.raises(ConfigError, match="there already"):
        make_certificate(tmp_path)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # that old is what it is about
async def test_a_client_that_trusts_it_gets_in_by_https_alone(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    async with served(door={"tls": tls(tmp_path)}) as server:
        assert server.url.startswith("https://")
        async with server.http.get(f"{server.url}/healthz", ssl=trusting(tmp_path)) as response:
            assert response.status == 200
        with pytest.raises(Exception, match=r"(?i)disconnected|reset"):
            await server.http.get(server.url.replace("https", "http") + "/healthz")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname = False
        old.verify_mode = ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(Exception, match=r"(?i)ssl|reset|version"):
            await server.http.get(f"{server.url}/healthz", ssl=old)


async def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    folder, renewed = tmp_path / "now", tmp_path / "renewed"
    make_certificate(folder)
    make_certificate(renewed)
    async with served(door={"tls": tls(folder)}) as server:
        assert server.certificate is not None
        first = await serial(server, folder)
        for name in ("key.pem", "cert.pem"):
            os.replace(renewed / name, folder / name)
        server.certificate.look()
        second = await serial(server, folder)
        assert first != second
        trusted = (folder / "cert.pem").read_bytes()
        (folder / "cert.pem").write_text("half a fi")
        server.certificate.reload()
        (folder / "cert.pem").write_bytes(trusted)
        assert await serial(server, folder) == second


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("cert.pem", "", "go together"),
        ("cert.pem", "nowhere.pem", "nowhere.pem cannot be read"),
        ("nowhere.pem", "key.pem", "nowhere.pem cannot be read"),
        ("key.pem", "cert.pem", "no pair"),
        ("cert.pem", "other.pem", "no pair"),
    ],
)
def test_what_is_wrong_with_the_paths_is_said_at_start(
    tmp_path: Path, certificate: str, key: str, said: str
) -> None:
    make_certificate(tmp_path)
    other, _ = make_certificate(tmp_path / "other")
    os.replace(other.with_name("key.pem"), tmp_path / "other.pem")
    with pytest.raises(ConfigError, match=said):
        Certificate(
            TlsSettings(certificate=str(tmp_path / certificate), key=str(tmp_path / key) if key else "")
        )
