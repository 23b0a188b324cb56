"""Keys, client secrets, addresses and limits: values in, values out, with clocks that the test moves."""

from __future__ import annotations

import asyncio
import base64
import json

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from pipeline.errors import ConfigError
from pipeline.settings import CallSettings, Settings
from server.access.address import client_address, counted_as, networks
from server.access.auth import Auth, Unauthorized
from server.access.client_secrets import ClientSecrets, SecretRefused, SessionTooLarge
from server.access.door import AuthSettings, LimitSettings
from server.access.grant import Grant
from server.access.guard import Guard
from server.access.keys import find_key, parse_keys
from server.access.limits import MOST_KNOWN, Flow, PerMinute
from server.config import Config, ServerSettings

KEY, OTHER = "k" * 24, "o" * 24
SIGNING = "s" * 32


class Clock:
    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


# ------------------------------------------------------------------ keys


def test_a_key_is_found_by_itself_and_by_nothing_like_it() -> None:
    keys = parse_keys("VIVA_API_KEYS", f"school={KEY}, app={OTHER},", "user")
    assert [key.label for key in keys] == ["school", "app"]
    found = find_key(keys, OTHER)
    assert found is not None
    assert (found.label, found.role) == ("app", "user")
    for wrong in ("", "k", KEY + "k", KEY.upper(), f"school={KEY}", "\udcff", "é" * 24):
        assert find_key(keys, wrong) is None


def test_of_a_key_only_a_hash_is_kept() -> None:
    assert KEY not in repr(parse_keys("VIVA_API_KEYS", f"school={KEY}", "user"))


@pytest.mark.parametrize(
    "text",
    [KEY, f"={KEY}", f"School={KEY}", f"a b={KEY}", "school=short", "school=", f"a={'k' * 12} {'k' * 12}"],
)
def test_what_is_no_key_is_named_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="VIVA_API_KEYS") as caught:
        parse_keys("VIVA_API_KEYS", text, "user")
    assert KEY not in str(caught.value)
    assert "short" not in str(caught.value).removeprefix("shortest")


# ------------------------------------------------------------------ client secrets


def made(secrets: ClientSecrets, session: dict | None = None, seconds: int = 60, **kind: bool) -> str:
    grant = Grant(by="key", key="school", user="ann", role="admin")
    value, _ = secrets.make(grant, session or {}, seconds, single_use=kind.get("single_use", False))
    return value


def test_another_replica_with_the_same_signing_secret_takes_a_client_secret() -> None:
    value = made(ClientSecrets([SIGNING]), {"instructions": "Be strict."})
    granted = ClientSecrets([SIGNING]).check(value)
    assert value.startswith("ek_")
    assert (granted.by, granted.key, granted.user) == ("secret", "school", "ann")
    assert granted.baked == {"instructions": "Be strict."}
    assert granted.role == "user", "whoever an admin lets in is no admin"


def test_a_client_secret_expires() -> None:
    clock = Clock()
    secrets = ClientSecrets([SIGNING], clock)
    value = made(secrets, seconds=10)
    clock.now_s += 9
    secrets.check(value)
    clock.now_s += 1
    with pytest.raises(SecretRefused, match="expired") as caught:
        secrets.check(value)
    assert caught.value.code == "expired_client_secret"


def test_a_signing_secret_can_be_replaced_in_two_steps() -> None:
    old = made(ClientSecrets([SIGNING]))
    new = "n" * 32
    assert ClientSecrets([new, SIGNING]).check(old).key == "school"
    with pytest.raises(SecretRefused):
        ClientSecrets([new]).check(old)
    with pytest.raises(SecretRefused):
        ClientSecrets().check(old)


def test_a_browser_cannot_read_the_session_out_of_its_secret() -> None:
    value = made(ClientSecrets([SIGNING]), {"instructions": "The answer is forty-two."})
    claims = jwt.decode(value.removeprefix("ek_"), options={"verify_signature": False})
    assert "forty-two" not in json.dumps(claims)
    assert b"forty-two" not in base64.urlsafe_b64decode(claims["session"])


def test_forged_secrets_are_refused() -> None:
    secrets = ClientSecrets([SIGNING])
    good = made(secrets)
    head, claims, signature = good.removeprefix("ek_").split(".")
    longer = json.loads(base64.urlsafe_b64decode(claims + "=="))
    longer["exp"] += 99_999
    unsigned = jwt.encode(longer, "", algorithm="none")
    forged = {
        "another's": made(ClientSecrets(["x" * 32])),
        "the raw secret as a key": "ek_" + jwt.encode(longer, SIGNING, algorithm="HS256"),
        "unsigned": "ek_" + unsigned,
        "changed": f"ek_{head}.{unsigned.split('.')[1]}.{signature}",
        "cut": good[:-5],
        "empty": "ek_",
        "words": "ek_hello there",
        "not ASCII": "ek_\udcff.é.ü",
    }
    for name, value in forged.items():
        with pytest.raises(SecretRefused) as caught:
            secrets.check(value)
        assert caught.value.code == "invalid_client_secret", name


def test_a_single_use_secret_opens_one_call_and_is_forgotten_when_it_expires() -> None:
    clock = Clock()
    secrets = ClientSecrets([SIGNING], clock)
    once = secrets.check(made(secrets, single_use=True))
    often = secrets.check(made(secrets))
    secrets.redeem(once)
    secrets.redeem(often)
    secrets.redeem(often)
    with pytest.raises(SecretRefused, match="been used"):
        secrets.redeem(once)
    other = secrets.check(made(secrets, single_use=True))
    secrets.redeem(other)


def test_a_session_that_does_not_fit_into_a_header_is_refused_in_words() -> None:
    secrets = ClientSecrets([SIGNING])
    random = "".join(chr(0x4E00 + 7919 * n % 20_000) for n in range(6000))
    with pytest.raises(SessionTooLarge, match="shorten its instructions"):
        made(secrets, {"instructions": random})
    assert len(made(secrets, {"instructions": "Ask about sorting, then about graphs. " * 400})) < 8000


# ------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # nobody's proxy: its word is nothing
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the left one is the client's invention
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, <script>", "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
    ],
)
def test_only_our_proxies_say_whose_request_it_is(peer: str, forwarded: str, address: str) -> None:
    assert client_address(peer, forwarded, networks(["10.0.0.0/8"])) == address


def test_a_whole_network_of_ipv6_counts_as_one() -> None:
    assert counted_as("2001:db8:1:2::3") == counted_as("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert counted_as("::ffff:192.0.2.1") == counted_as("192.0.2.1") == "192.0.2.1"
    assert counted_as("fe80::1%eth0") == "fe80::/64"
    assert counted_as("") == ""


# ------------------------------------------------------------------ limits


def test_so_many_a_minute_and_then_the_seconds_to_wait() -> None:
    clock = Clock()
    offers = PerMinute(30, clock)
    assert [offers.take("a") for _ in range(30)] == [0] * 30
    assert offers.take("a") == 2
    assert offers.take("b") == 0
    clock.now_s += 2
    assert offers.take("a") == 0
    assert offers.take("a") == 2
    assert PerMinute(0, clock).take("a") == 0


def test_counting_addresses_does_not_grow_without_end() -> None:
    offers = PerMinute(1, Clock())
    for n in range(MOST_KNOWN + 1):
        offers.take(f"{n}")
    assert offers.take(f"{MOST_KNOWN}") > 0
    assert offers.take("0") == 0, "the one that was longest unseen is forgotten"


def test_a_client_may_burst_but_not_for_long() -> None:
    limits = LimitSettings(events_per_s=10, event_bytes_per_s=1000)
    flow = Flow(limits, 0.0)
    assert not any(flow.spend(10, 0.0) for _ in range(100))
    assert flow.spend(10, 0.0) == pytest.approx(0.1)
    assert flow.spend(10, 0.0) == pytest.approx(0.2)  # what it owes, it owes
    assert flow.spend(10, 1.0) == 0
    assert Flow(limits, 0.0).spend(10_500, 0.0) == pytest.approx(0.5)


# ------------------------------------------------------------------ names and origins


def test_by_which_names_and_for_which_sites_the_server_answers() -> None:
    guard = Guard(("viva.example", "other.example:9"), ("https://app.example",))
    guard.listen_on(8443, others=True)
    for host in (
        "viva.example",
        "VIVA.example:8443",
        "other.example:9",
        "192.0.2.7:8443",
        "[2001:db8::1]:8443",
    ):
        assert guard.refusal(host, None) is None, host
        assert guard.refusal(host, f"https://{host}") is None
    for host in (
        "evil.example",
        "viva.example:1",
        "other.example",
        "192.0.2.7:1",
        "192.0.2.7",
        "1.2.3:8443",
        "",
    ):
        assert guard.refusal(host, None), host
    for origin in ("https://app.example:1", "http://app.example", "null", "https://evil.example", "file://"):
        assert guard.refusal("viva.example", origin), origin
    assert guard.refusal("viva.example", "https://app.example") is None


def test_where_only_this_machine_comes_no_other_address_is_a_name() -> None:
    guard = Guard()
    guard.listen_on(8080)
    assert guard.refusal("127.0.0.1:8080", None) is None
    assert guard.refusal("192.0.2.7:8080", None)


# ------------------------------------------------------------------ any header at all

HEADER = st.text(st.characters(codec="latin-1") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
BEARER = st.builds("{}{}{}".format, st.sampled_from(["Bearer ", "bearer ek_", "ek_", ""]), HEADER, HEADER)


@given(BEARER, HEADER, HEADER)
@settings(deadline=None)
def test_any_header_at_all_opens_nothing_and_breaks_nothing(
    bearer: str, protocol: str, forwarded: str
) -> None:
    config = Config(
        ServerSettings(trusted_proxies=("127.0.0.1",)),
        CallSettings(),
        Settings(),
        None,
        auth=AuthSettings(user_header="X-User"),
        limits=LimitSettings(failures_per_minute=10_000),
        keys=parse_keys("", f"school={KEY}", "user"),
    )
    headers = CIMultiDict(
        {"Authorization": bearer, "Sec-WebSocket-Protocol": protocol, "X-Forwarded-For": forwarded}
    )
    with pytest.raises(Unauthorized):
        asyncio.run(Auth(config).grant(CIMultiDictProxy(headers), "127.0.0.1"))
