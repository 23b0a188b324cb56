"""A small OpenID Connect issuer on this machine: discovery, keys, tokens; it can change and misbehave."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


class LocalIssuer:
    def __init__(self) -> None:
        self.url = ""
        self.fetched = 0  # times that its keys were asked for
        self.says: dict[str, Any] = {}  # in place of what its discovery document would say
        self.down = False
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.rotate("first")

    def rotate(self, key_id: str) -> None:
        """A new key in place of the old ones."""
        self._keys = {key_id: ec.generate_private_key(ec.SECP256R1())}

    def token(
        self, *, key: Any = None, algorithm: str = "ES256", kid: str | None = None, **claims: Any
    ) -> str:
        """A good one for the audience "viva", but for what `claims` changes (None: left out)."""
        key_id, own = next(iter(self._keys.items()))
        now = int(time.time())
        body = {"iss": self.url, "aud": "viva", "sub": "ann", "iat": now, "exp": now + 60, **claims}
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, own if key is None else key, algorithm, headers={"kid": kid or key_id})

    @property
    def public_pem(self) -> bytes:
        key = next(iter(self._keys.values())).public_key()
        return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    async def discovery(self, request: web.Request) -> web.Response:
        if self.down:
            raise web.HTTPServiceUnavailable
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.says})

    async def keys(self, request: web.Request) -> web.Response:
        self.fetched += 1
        keys = [
            {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": key_id, "use": "sig"}
            for key_id, key in self._keys.items()
        ]
        return web.json_response({"keys": keys})


@asynccontextmanager
async def local_issuer() -> AsyncIterator[LocalIssuer]:
    issuer = LocalIssuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.keys)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield issuer
    finally:
        await runner.cleanup()
