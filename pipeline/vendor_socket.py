"""A WebSocket to a vendor: opened without holding up the calls, closed at once, its failures in plain words.

The vendors' SDKs open one themselves, but read the certificates of all authorities anew for each, on the
event loop (30 ms in which no call is served), wait up to 10 s for a server to agree that it is over, and keep
a Retry-After to themselves. So theirs are opened here, and they are given them.

One that waits for its next piece of work may be closed in the very moment when that comes. Nothing was said
of it then, so it is asked for once more, over a new one, and nobody notices (`is_lost`; see also
`pipeline.kept_http`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.errors import ProviderError, Stage

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

CLOSING_S = 0.5  # for the vendor to agree that it is over
PING_S = 10.0  # between two pings, and for their answers: what died while it waited is found out
NORMAL = 1000  # close code: it was over
SAID_CHARACTERS = 200  # of what a vendor says about an error
GOING = (1001, 1012, 1013)  # close codes: the vendor restarts; RFC 6455, section 7.4.1, and IANA's list
REFUSALS = ("auth", "forbidden", "rate_limited", "unsupported_language", "timeout")
STATUSES = {401: "auth", 402: "forbidden", 403: "forbidden", 404: "forbidden", 429: "rate_limited"}


def is_lost(error: ProviderError) -> bool:
    """Whether a connection that had been good, and has said nothing of a piece of work, is the one to blame:
    not a refusal, and not a vendor that did not answer in time."""
    return error.code not in REFUSALS


def websocket_address(base_url: str) -> str:
    """The same where it was given as the address of a web page, without a slash at its end."""
    address = f"ws{base_url.removeprefix('http')}" if base_url.startswith("http") else base_url
    return address.rstrip("/")


class Vendor:
    """One stage's access to a vendor's WebSockets.

    Args:
        where: the vendor's name, or the address of another server, for a person.
        key_name: of the environment variable that the key comes from.
        timeout_s: for a connection to come about.
        closings: what a vendor's own close codes mean, as `ProviderError.code`.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        where: str,
        key: str,
        key_name: str,
        timeout_s: float,
        closings: Mapping[int, str],
    ) -> None:
        self.where = where
        self.timeout_s = timeout_s
        self._stage: Stage = stage
        self._name = name
        self._key = key
        self._key_name = key_name
        self._closings = closings
        self._certificates: ssl.SSLContext | None = None

    async def open(self, url: str, headers: Mapping[str, str]) -> ClientConnection:
        """Raises ProviderError."""
        from websockets.asyncio.client import connect

        if url.startswith("wss:") and self._certificates is None:
            self._certificates = await asyncio.to_thread(ssl.create_default_context)
        try:
            return await connect(
                url,
                additional_headers=headers,
                ssl=self._certificates if url.startswith("wss:") else None,
                open_timeout=self.timeout_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSING_S,
                compression=None,  # sound does not shrink
            )
        except Exception as error:
            raise self.translated(error) from None  # what was raised may hold the request, and so the key

    def translated(self, error: Exception) -> ProviderError:
        """Whatever the socket or the reading of its messages raised, without the key in it."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
        from websockets.frames import Close

        match error:
            case ProviderError():
                return error
            case InvalidStatus() if error.response.status_code >= 400:
                headers = error.response.headers
                said = headers.get("dg-error", "") or (error.response.body or b"").decode(errors="replace")
                return self.refused(error.response.status_code, said, headers.get("Retry-After"))
            case TimeoutError():
                return self.silent()
            case ConnectionClosed(rcvd=None):
                return self.error("unreachable", f"the connection to {self.where} broke")
            case ConnectionClosed(rcvd=Close() as close):
                return self.closed(close.code, close.reason)
            case InvalidURI():
                return self.error("unreachable", f"{self.where} is no address: base_url begins with wss://")
            case InvalidHandshake():
                return self.bad_response("something that is no WebSocket")
            case ssl.SSLError():
                what = getattr(error, "verify_message", "") or error.reason
                return self.error("unreachable", f"no secure connection to {self.where}: {what}")
            case OSError():
                return self.error("unreachable", f"no connection to {self.where}")
        return self.bad_response("something that cannot be read")

    def refused(self, status: int, said: str, retry_after: str | None = None) -> ProviderError:
        """By an HTTP status."""
        code = STATUSES.get(status, "bad_response")
        message = {
            "auth": f"{self.where} refused the key ({self._key_name})",
            "rate_limited": f"{self.where} has had enough requests for now",
        }.get(code, f"{self.where} answered {status}{self._quoted(said)}")
        return self.error(code, message, retry_after)

    def closed(self, close_code: int | None, said: str) -> ProviderError:
        """By a close code of the vendor's own."""
        code = self._closings.get(close_code or 0, "unreachable" if close_code in GOING else "bad_response")
        if code in ("auth", "rate_limited"):
            return self.refused({"auth": 401, "rate_limited": 429}[code], said)
        return self.error(code, f"{self.where} hung up with {close_code}{self._quoted(said)}")

    def silent(self) -> ProviderError:
        return self.error("timeout", f"{self.where} said nothing for {self.timeout_s:g} s")

    def bad_response(self, what: str) -> ProviderError:
        return self.error("bad_response", f"{self.where} answered with {what}")

    def error(self, code: str, message: str, retry_after: str | None = None) -> ProviderError:
        wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
        return ProviderError(self._stage, self._name, message, code, wait_s)

    def _quoted(self, said: str) -> str:
        """Of an error before any words were heard, so it holds nobody's."""
        text = " ".join(said.split())[:SAID_CHARACTERS]
        if self._key:
            text = text.replace(self._key, "***")
        return f": {text}" if text and "<" not in text else ""
