"""Why a vendor's server cannot be reached, or what it says of an error: one line for a person to act upon."""

from __future__ import annotations

import errno
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SAID_CHARACTERS = 200  # of what a vendor says about an error
AS_WEB = {"ws": "http", "wss": "https"}  # proxies go by the schemes of web pages
NO_ADDRESS = ("UnsupportedProtocol", "InvalidURL", "InvalidURI")  # of httpx, httpx2, websockets
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


def unreachable(where: str, url: str, setting: str, error: BaseException) -> str:
    """What keeps us from a server, and what to look at.

    Args:
        where: its name for a person.
        url: with which it was asked.
        setting: that its address comes from; "": it is the vendor's own.
        error: as the library raised it; what it was raised from counts too."""
    causes = list(_causes(error))
    proxy, variable = _proxy(url)
    looked_at = variable or setting
    right = f", and is {looked_at} right" if looked_at else ""
    if any(type(cause).__name__ in NO_ADDRESS for cause in causes):
        scheme = "wss://" if urlsplit(url).scheme.startswith("ws") else "https:// or http://"
        return f"{where} is no address: {setting or 'it'} begins with {scheme}"
    to = f"to {where}{f' through the proxy {proxy} ({variable})' if proxy else ''}"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"no secure connection {to}: {cause.verify_message}"
                " (SSL_CERT_FILE may name the authorities that are to be trusted)"
            )
        if isinstance(cause, ssl.SSLError):
            plain = f"; is {setting} right, or does it begin with {_plain(url)}?" if setting else ""
            return f"no secure connection {to}: what answers speaks no TLS{plain}"
        if isinstance(cause, socket.gaierror):
            return f"no connection {to}: its name is not known; is there a network{right}?"
        if isinstance(cause, ConnectionRefusedError):
            return f"no connection {to}: nothing listens there; does it run{right}?"
        if isinstance(cause, OSError) and cause.errno in NO_WAY:
            return f"no connection {to}: no network leads there"
    return f"no connection {to}"


def said(body: str, key: str) -> str:
    """What an answer says of an error, for a person: without the JSON around it and the key in it; "" for a
    web page."""
    text = " ".join(_message(body).split())[:SAID_CHARACTERS].rstrip(".")
    if key:
        text = text.replace(key, "***")
    return "" if "<" in text else text


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The innermost first."""
    inner = error.__cause__ or error.__context__
    if inner is not None:
        yield from _causes(inner)
    for one in getattr(error, "exceptions", ()):
        yield from _causes(one)
    yield error


def _proxy(url: str) -> tuple[str, str]:
    """Through which one the environment has it asked, without the password that its address may hold; and the
    variable that says so. ("", ""): through none."""
    parts = urlsplit(url)
    scheme = AS_WEB.get(parts.scheme, parts.scheme)
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or not parts.hostname or proxy_bypass(parts.hostname):
        return "", ""
    return urlsplit(proxy).netloc.rpartition("@")[2] or "there", f"{scheme.upper()}_PROXY"


def _plain(url: str) -> str:
    return "ws://" if urlsplit(url).scheme.startswith("ws") else "http://"


def _message(body: str) -> str:
    """Vendors wrap it differently: {"error": {"message"}}, {"detail": {"message"}}, {"err_msg"}."""
    try:
        told: Any = json.loads(body)
    except ValueError:
        return body
    for _ in range(3):
        if isinstance(told, dict):
            told = next(
                (told[name] for name in ("error", "detail", "err_msg", "message") if told.get(name)), body
            )
    return told if isinstance(told, str) else body
