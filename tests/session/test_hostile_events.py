"""A client may send what it likes: it gets errors, and the conversation goes on."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.hostile.events import MESSAGES, VAD
from tests.session.call import Ears, Mind, Voice, speech
from tests.session.wire import Wired

QUESTION = "what is a cache"
LENGTH_MS = 9_000
BURSTS = st.lists(st.tuples(st.integers(0, LENGTH_MS - 3_000), MESSAGES), min_size=20, max_size=60)
REFUSALS = {"invalid_request_error", "server_error"}


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to make such a case small takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(messages=BURSTS)
def test_whatever_a_client_sends_it_gets_errors_and_the_call_goes_on(
    messages: list[tuple[int, str | bytes]],
) -> None:
    call = Wired(
        Ears([[QUESTION]] * 9), Mind(["It keeps what was asked before."]), Voice(), speech(500, QUESTION)
    )
    for at_ms, message in messages:
        call.at(at_ms, lambda _, message=message: call.wire.wire.handle(message))
    call.send(LENGTH_MS - 2_900, "session.update", session={"audio": {"input": {"turn_detection": VAD}}})
    call.send(LENGTH_MS - 2_800, "input_audio_buffer.commit")  # of what was said while nothing detected turns
    call.send(LENGTH_MS - 500, "conversation.item.retrieve", item_id="nobody")
    call.run(LENGTH_MS)
    assert {error["type"] for error in call.wire.errors} <= REFUSALS
    assert call.wire.errors[-1]["code"] == "item_not_found"
    assert all(len(json.dumps(error)) < 2_000 for error in call.wire.errors)
