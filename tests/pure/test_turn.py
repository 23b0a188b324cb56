"""STUN and TURN servers as a page is told them."""

from __future__ import annotations

import json
import time

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.errors import ConfigError
from server.transport.network import IceSettings
from server.transport.turn import credentials, ice_servers, refuse_unsigned

STUN = "stun:stun.example:3478"
TURN = "turn:turn.example:3478?transport=tcp"
SECRET = SecretStr("north")


def test_a_password_is_the_hmac_of_the_name_under_the_shared_secret() -> None:
    # printf 1433895918:viva | openssl dgst -sha1 -hmac north -binary | base64
    assert credentials("north", "viva", 1433895918) == ("1433895918:viva", "JA7I9+QBBiZx5q4kAXe99mc4NCU=")


def test_stun_servers_come_without_credentials_and_turn_servers_with_short_lived_ones() -> None:
    stun, turn = ice_servers((STUN, TURN, "turns:turn.example:443"), SECRET, ttl_s=600)
    assert stun == {"urls": [STUN]}
    assert turn["urls"] == [TURN, "turns:turn.example:443"]
    expires_s, _, user = turn["username"].partition(":")
    assert 590 <= int(expires_s) - time.time() <= 600
    assert credentials("north", user, int(expires_s)) == (turn["username"], turn["credential"])


def test_each_page_has_a_user_of_its_own_and_none_sees_the_secret() -> None:
    given = [ice_servers((TURN,), SECRET, ttl_s=600)[0] for _ in range(20)]
    assert len({each["username"] for each in given}) == 20
    assert "north" not in json.dumps(given)


def test_without_servers_a_page_is_told_none() -> None:
    assert ice_servers((), None, ttl_s=600) == []


def test_a_turn_server_without_its_secret_is_refused_at_start() -> None:
    refuse_unsigned((STUN,), None)
    refuse_unsigned((STUN, TURN), SECRET)
    with pytest.raises(ConfigError, match=r"turn\.example.*VIVA_TURN_SECRET"):
        refuse_unsigned((STUN, TURN), None)


@pytest.mark.parametrize(
    "url",
    [
        "turn.example",
        "http://turn.example",
        "stun:",
        "stun:a b",
        "turn:turn.example?transport=sctp",
        "stun:stun.example?transport=udp",
    ],
)
def test_what_is_no_stun_or_turn_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        IceSettings(servers=(url,))


@pytest.mark.parametrize("address", ["viva.example", "203.0.113.256", "203.0.113.7:50000", ""])
def test_only_an_address_can_be_announced(address: str) -> None:
    with pytest.raises(ValidationError):
        IceSettings(announce=(address,))
