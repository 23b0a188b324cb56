"""Users by the tokens of an issuer, and what is not one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pipeline.errors import ConfigError
from server.access.door import AuthSettings
from server.access.oidc import ASKED_EVERY_S, Issuer, IssuerUnreachable, TokenRefused
from tests.real.issuer import LocalIssuer, local_issuer


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with local_issuer() as running:
        yield running


def settings(issuer: LocalIssuer) -> AuthSettings:
    return AuthSettings(oidc_issuer=issuer.url, oidc_audience="viva")


async def test_a_users_token_names_the_user_and_the_role(issuer: LocalIssuer) -> None:
    door = Issuer(settings(issuer))
    granted = await door.check(issuer.token())
    assert (granted.by, granted.user, granted.role) == ("oidc", "ann", "user")
    assert (await door.check(issuer.token(roles=["viva-admin"]))).role == "admin"
    assert (await door.check(issuer.token(roles="other viva-admin"))).role == "admin"
    assert (await door.check(issuer.token(roles={"viva-admin": True}))).role == "user"
    assert issuer.fetched == 1, "its keys are kept"


async def test_what_is_not_our_token_is_refused(issuer: LocalIssuer) -> None:
    door = Issuer(settings(issuer))
    now = int(time.time())
    good = issuer.token()
    others = LocalIssuer()
    others.url = issuer.url
    wrong = {
        "expired": issuer.token(exp=now - 120),
        "without an end": issuer.token(exp=None),
        "not yet valid": issuer.token(nbf=now + 600),
        "for somebody else": issuer.token(aud="payroll"),
        "for nobody": issuer.token(aud=None),
        "by somebody else": issuer.token(iss="https://evil.example"),
        "of nobody": issuer.token(sub=None),
        "unsigned": issuer.token(key="", algorithm="none"),
        "signed by another key": others.token(),
        "signed by another key that is unknown": others.token(kid="second"),
        "changed": good[:-8] + "AAAAAAAA",
        "no token": "a.b.c",
        "half a character": "\udcff.b.c",
    }
    taken = []
    for name, token in wrong.items():
        try:
            taken.append((name, await door.check(token)))
        except TokenRefused:
            continue
    assert not taken


async def test_the_public_key_is_no_shared_secret(issuer: LocalIssuer) -> None:
    """The oldest trick: a token signed by HS256, with the key that everybody may read."""
    import base64
    import hashlib
    import hmac

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    body = issuer.token().split(".")[1].encode()
    signed = part(b'{"alg":"HS256","kid":"first","typ":"JWT"}') + b"." + body
    token = signed + b"." + part(hmac.new(issuer.public_pem, signed, hashlib.sha256).digest())
    with pytest.raises(TokenRefused, match="algorithm"):
        await Issuer(settings(issuer)).check(token.decode())


async def test_a_new_key_is_found_and_an_invented_one_does_not_flood_the_issuer(issuer: LocalIssuer) -> None:
    clock = Clock()
    door = Issuer(settings(issuer), clock)
    await door.check(issuer.token())
    old = issuer.token()
    issuer.rotate("second")
    clock.now_s += ASKED_EVERY_S
    assert (await door.check(issuer.token())).user == "ann"
    assert issuer.fetched == 2
    with pytest.raises(TokenRefused):
        await door.check(old)
    for n in range(20):
        with pytest.raises(TokenRefused):
            await door.check(issuer.token(kid=f"invented{n}"))
    assert issuer.fetched == 2


async def test_an_issuer_that_is_away_is_not_a_wrong_token(issuer: LocalIssuer) -> None:
    clock = Clock()
    door = Issuer(settings(issuer), clock)
    issuer.down = True
    with pytest.raises(IssuerUnreachable):
        await door.check(issuer.token())
    issuer.down = False
    with pytest.raises(IssuerUnreachable):
        await door.check(issuer.token())
    clock.now_s += ASKED_EVERY_S
    assert (await door.check(issuer.token())).user == "ann"
    issuer.down = True
    clock.now_s += 7200
    assert (await door.check(issuer.token())).user == "ann", "the keys from before stay good"


@pytest.mark.parametrize(
    "says",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"jwks_uri": 3},
    ],
)
async def test_a_discovery_document_leads_nowhere_else(issuer: LocalIssuer, says: dict) -> None:
    issuer.says = says
    with pytest.raises(IssuerUnreachable):
        await Issuer(settings(issuer)).check(issuer.token())
    assert issuer.fetched == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"oidc_issuer": "http://login.example", "oidc_audience": "viva"}, "https"),
        ({"oidc_issuer": "login.example", "oidc_audience": "viva"}, "https"),
        ({"oidc_issuer": "https://login.example"}, "oidc_audience"),
    ],
)
async def test_half_a_setting_is_refused_at_start(wrong: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Issuer(AuthSettings(**wrong))
