"""How much a camera may send, by what comes back of it; and how often a lost packet is sent again."""

from __future__ import annotations

from server.media.return_path import COPY_AFTER_S, LEAST_BPS, REMEMBERED, Bound, Copies, ReturnPath


def test_our_own_estimate_stands_while_the_browser_sees_no_congestion() -> None:
    bound = Bound()
    assert bound.apply(None) is None
    for estimate, sent in ((100_000, 130_000), (150_000, 190_000), (220_000, 240_000)):  # it lags behind
        bound.estimated(estimate, sent)
        assert bound.apply(300_000) == 300_000


def test_an_estimate_that_falls_binds_until_it_is_above_our_own_again() -> None:
    bound = Bound()
    bound.estimated(400_000, 400_000)
    bound.estimated(250_000, 250_000)
    assert bound.apply(500_000) == 250_000
    bound.estimated(300_000, 300_000)
    assert bound.apply(500_000) == 300_000, "it grows with the browser's"
    bound.estimated(600_000, 600_000)
    assert bound.apply(500_000) == 500_000
    bound.estimated(590_000, 590_000)
    assert bound.apply(700_000) == 700_000, "a fall of less than 3 % is the estimate's own trembling"


def test_a_first_estimate_far_below_what_was_sent_binds() -> None:
    bound = Bound()
    bound.estimated(130_000, 220_000)
    assert bound.apply(300_000) == 130_000


def test_a_fall_is_known_before_we_have_an_estimate_of_our_own() -> None:
    bound = Bound()
    bound.estimated(400_000, 400_000)
    bound.estimated(250_000, 250_000)
    assert bound.apply(None) == 250_000


def test_one_packet_in_five_lost_takes_a_tenth_each_time_and_comes_back_slowly() -> None:
    bound = Bound()
    bound.told_bps = 500_000
    bound.lost(0.2)
    assert bound.apply(500_000) == 450_000
    bound.lost(0.2)
    assert bound.apply(500_000) == 405_000
    bound.lost(0.05)
    assert bound.apply(500_000) == 405_000, "neither much nor little"
    for _ in range(20):
        bound.lost(0.0)
    assert bound.apply(500_000) == 500_000


def test_a_picture_is_never_bound_below_what_an_encoder_makes_one_of() -> None:
    bound = Bound()
    bound.told_bps = 40_000
    for _ in range(50):
        bound.lost(1.0)
    assert bound.apply(40_000) == LEAST_BPS


def test_losses_before_anything_is_known_bind_nothing() -> None:
    bound = Bound()
    bound.lost(1.0)
    assert bound.apply(300_000) == 300_000


def test_a_packet_is_sent_again_ever_more_rarely() -> None:
    copies = Copies()
    sent = [tick for tick in range(80) if copies.allows(7, tick * COPY_AFTER_S / 4 + 1e-9 * tick)]
    assert sent == [0, 4, 12, 28, 60]


def test_each_packet_has_its_own_turn_and_only_the_newest_are_remembered() -> None:
    copies = Copies()
    assert all(copies.allows(number, 0.0) for number in range(REMEMBERED))
    assert not any(copies.allows(number, COPY_AFTER_S / 2) for number in range(REMEMBERED))
    assert copies.allows(REMEMBERED, 0.0)
    assert copies.allows(0, 0.0), "forgotten: the oldest"


async def test_where_aiortc_has_other_names_its_own_ways_stay() -> None:
    assert not ReturnPath().attach(object(), object())  # type: ignore[arg-type]
