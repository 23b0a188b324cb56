"""HTTP over connections that were kept, and of which one may be gone in the moment when it is used.

A vendor closes what was idle for long, and may do so while a request is on its way to it. Nothing of that
was answered, so it is made again over another connection, and nobody notices (RFC 9112, section 9.3.1). A
connection that was opened for the request has no such excuse, and an answer that has begun may have been
counted: these fail.
"""

from __future__ import annotations

from typing import Any

import openai

BROKEN = ("ReadError", "WriteError", "RemoteProtocolError")  # httpx's or, since the SDK's version 3, httpx2's
OPENED = "connect_tcp.started"  # of what the library tells of a request: a connection is opened for it
ANSWERED = "receive_response_headers.complete"


class Client(openai.DefaultAsyncHttpxClient):
    """The SDK's own, but for that."""

    async def send(self, request: Any, **how: Any) -> Any:
        while True:  # each time round there is one less that was kept
            told: list[str] = []

            async def trace(event: str, _: Any, told: list[str] = told) -> None:
                told.append(event.partition(".")[2])

            request.extensions = {**request.extensions, "trace": trace}
            try:
                return await super().send(request, **how)
            except Exception as error:
                if type(error).__name__ not in BROKEN or OPENED in told or ANSWERED in told:
                    raise
