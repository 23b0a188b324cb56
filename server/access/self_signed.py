"""`--make-cert`: a certificate that this machine signs itself, for trying out TLS; browsers warn of it."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.errors import ConfigError

DAYS = 397  # the most that browsers take
ALWAYS = ("localhost", "127.0.0.1", "::1")


def make_certificate(folder: Path, names: Sequence[str] = ()) -> tuple[Path, Path]:
    """Writes cert.pem and key.pem (readable by their owner alone). Raises ConfigError.

    Args:
        names: further host names and addresses it is for, beside this machine's own.
    """
    certificate_path, key_path = folder / "cert.pem", folder / "key.pem"
    every = list(dict.fromkeys((*ALWAYS, socket.gethostname(), *names)))
    try:
        subjects = [_subject(name) for name in every]
    except ValueError:
        raise ConfigError(f"--name: {', '.join(names)}: write host names or addresses") from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Viva, signed by itself")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(key_path, secret, 0o600)
        _write_new(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except FileExistsError as error:
        raise ConfigError(
            f"{error.filename} is there already; remove it first, or name another folder"
        ) from None
    except OSError as error:
        raise ConfigError(f"{folder}: {(error.strerror or str(error)).lower()}") from None
    return certificate_path, key_path


def _subject(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)  # ValueError for what is not ASCII


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Never over an old one, and never readable by others even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
