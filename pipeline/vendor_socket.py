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
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline import vendor_words
from pipeline.errors import ProviderError, Stage

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

CLOSING_S = 0.5  # for the vendor to agree that it is over
PING_S = 10.0  # between two pings, and for their answers: what died while it waited is found out
NORMAL = 1000  # close code: it was over
GOING = (1001, 1012, 1013)  # close codes: the vendor restarts; RFC 6455, section 7.4.1, and IANA's list
MONEY = re.compile(r"\b(funds|credits?|quota|payment|billing)\b", re.IGNORECASE)  # in a vendor's words
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
        elsewhere: another server than the vendor's own, by `base_url`.
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
        *,
        elsewhere: bool = False,
    ) -> None:
        self.where = where
        self.timeout_s = timeout_s
        self._stage: Stage = stage
        self._name = name
        self._key = key
        self._key_name = key_name
        self._closings = closings
        self._concern = {
            "voice": f"{stage}.{name}.voices",
            "model": f"{stage}.{name}.model",
        }  # words of errors
        self._base_url = f"{stage}.{name}.base_url" if elsewhere else ""
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
            raise self.translated(
                error, url
            ) from None  # what was raised may hold the request, and so the key

    def unreachable(self, error: Exception, url: str) -> ProviderError:
        """As an HTTP library or the socket's raised it."""
        return self.error("unreachable", vendor_words.unreachable(self.where, url, self._base_url, error))

    def translated(self, error: Exception, url: str = "") -> ProviderError:
        """Whatever the socket or the reading of its messages raised, without the key in it."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
        from websockets.frames import Close

        match error:
            case ProviderError():
                return error
            case InvalidStatus() if error.response.status_code >= 400:
                headers = error.response.headers
                body = headers.get("dg-error", "") or (error.response.body or b"").decode(errors="replace")
                return self.refused(error.response.status_code, body, headers.get("Retry-After"))
            case TimeoutError():
                return self.silent()
            case ConnectionClosed(rcvd=None):
                return self.error("unreachable", f"the connection to {self.where} broke")
            case ConnectionClosed(rcvd=Close() as close):
                return self.closed(close.code, close.reason)
            case InvalidURI() | OSError():
                return self.unreachable(error, url)
            case InvalidHandshake():
                look = f"; is {self._base_url} right?" if self._base_url else ""
                return self.bad_response(f"something that is no WebSocket{look}")
        return self.bad_response("something that cannot be read")

    def refused(self, status: int, body: str, retry_after: str | None = None) -> ProviderError:
        """By an HTTP status."""
        code, told = STATUSES.get(status, "bad_response"), vendor_words.said(body, self._key)
        return self.error(code, self._words(code, f"answered {status}", told, status), retry_after)

    def closed(self, close_code: int | None, reason: str) -> ProviderError:
        """By a close code of the vendor's own."""
        code = self._closings.get(close_code or 0, "unreachable" if close_code in GOING else "bad_response")
        return self.told(code, f"hung up with {close_code}", reason)

    def told(self, code: str, what: str, reason: str) -> ProviderError:
        """By a message of the vendor's. `reason`: its words, if they hold nobody's."""
        return self.error(code, self._words(code, what, vendor_words.said(reason, self._key)))

    def _words(self, code: str, what: str, told: str, status: int = 0) -> str:
        quoted = f": {told}" if told else ""
        if status == 402 or MONEY.search(told):
            return f"{self.where} says that the account has no credit left{quoted}"
        if code == "auth":
            if not self._key:
                return f"{self.where} wants a key: set {self._key_name}"
            return f"{self.where} refused the key ({self._key_name})"
        if code == "rate_limited":
            return f"{self.where} has had enough requests for now{quoted}"
        concerned = next((setting for word, setting in self._concern.items() if word in told.lower()), "")
        if not concerned and status == 404 and self._base_url:
            return f"{self.where} {what}{quoted}; is {self._base_url} right?"
        return f"{self.where} {what}{quoted}{f' ({concerned})' if concerned else ''}"

    def silent(self) -> ProviderError:
        return self.error("timeout", f"{self.where} said nothing for {self.timeout_s:g} s")

    def bad_response(self, what: str) -> ProviderError:
        return self.error("bad_response", f"{self.where} answered with {what}")

    def error(self, code: str, message: str, retry_after: str | None = None) -> ProviderError:
        wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
        return ProviderError(self._stage, self._name, message, code, wait_s)
