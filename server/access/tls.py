"""The certificate of [tls], read again when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from pipeline.errors import ConfigError
from server.access.door import TlsSettings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0


class Certificate:
    """A TLS context whose certificate can be replaced while it serves. Raises ConfigError when made."""

    def __init__(self, settings: TlsSettings) -> None:
        self._paths = (Path(settings.certificate), Path(settings.key))
        if not (settings.certificate and settings.key):
            raise ConfigError("tls.certificate and tls.key go together: two paths of PEM files")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._load(self.context)
        self._seen = self._changed_at()

    def reload(self) -> None:
        """New connections get what the files hold now; while they are broken, what they held before."""
        try:
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a half-loaded context would serve nobody
            self._load(self.context)
            log.info("the certificate was read again")
        except ConfigError as error:
            log.error("%s; the certificate from before stays", error)

    async def watch(self) -> None:
        """Reloads whenever a file changed; whoever renews certificates need not know of us."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Reloads if a file changed since the last time."""
        seen = self._changed_at()
        if seen != self._seen:
            self._seen = seen
            self.reload()

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._paths
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise ConfigError(
                f"tls.certificate, tls.key: {certificate} and {key} are no pair of PEM files: {reason}"
            ) from None
        except (OSError, ValueError) as error:
            missing = next((path for path in self._paths if not path.is_file()), key)
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"tls: {missing} cannot be read: {why.lower()}") from None

    def _changed_at(self) -> list[float]:
        return [path.stat().st_mtime if path.is_file() else 0.0 for path in self._paths]


def _no_password() -> str:
    """A key with a password would make the server ask on the terminal, where nobody may be."""
    raise ValueError("it has a password; keep one without, readable by the server alone")
