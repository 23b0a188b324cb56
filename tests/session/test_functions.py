"""Functions: a client's, which the wire carries both ways, and the server's own, which nobody sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.languages import say
from pipeline.providers import CutShort, Message, Piece, Token, ToolCall
from pipeline.settings import NamedTool, Settings, ToolSettings
from pipeline.toolbox import Toolbox
from tests import tools
from tests.realtime_client import typed, types
from tests.session.call import Ears, Mind, Voice, speech
from tests.session.wire import Json, Wired
from tests.sounds import speech as spoken

QUESTION = "what is the weather in rome"
END = 500 + 1000 * len(spoken(QUESTION)) // 16_000
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Today's.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def calling(name: str, arguments: str, id: str = "call_1") -> list[Piece]:
    """As a model streams it: the arguments in two pieces."""
    half = len(arguments) // 2
    return [
        ToolCall(id, name, ""),
        ToolCall(id, name, arguments[:half]),
        ToolCall(id, name, arguments[half:]),
    ]


def words(text: str) -> list[Piece]:
    return [Token(f"{word} ") for word in text.split()]


ROME = calling("weather", '{"city": "Rome"}')


def output_of(call: Json, output: str = "sunny") -> Json:
    item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
    return {"type": "conversation.item.create", "item": item}


def runs_it(event: Json) -> list[Json]:
    """A client that carries out what a response wants, as clients do at its end."""
    calls = [item for item in event["response"]["output"] if item["type"] == "function_call"]
    outputs = [output_of(call) for call in calls if call["status"] == "completed"]
    return [*outputs, {"type": "response.create"}] if outputs else []


def asked(*replies: Any, ears: Ears | None = None, sounds: tuple[Any, ...] = (), **call: Any) -> Wired:
    heard = ears or Ears([[QUESTION]])
    line = Wired(heard, Mind(list(replies)), Voice(), speech(500, QUESTION), *sounds, **call)
    return line.send(0, "session.update", session={"tools": [WEATHER]})


# ---------------------------------------------------------------- a client's


def test_a_call_goes_out_with_its_arguments_and_comes_back_with_what_came_out() -> None:
    line = asked(ROME, "It is sunny.")
    line.wire.when("response.done", runs_it)
    line.run(8000)
    first, second = (event["response"] for event in line.wire.of("response.done"))
    (call,) = first["output"]
    assert (call["type"], call["name"], call["arguments"], call["status"]) == (
        "function_call",
        "weather",
        '{"city": "Rome"}',
        "completed",
    )
    kinds = types(line.wire.events)
    start = kinds.index("response.created")
    assert kinds[start : kinds.index("response.done") + 1] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert second["output"][0]["content"] == [{"type": "output_audio", "transcript": "It is sunny."}]
    told = line.mind.asked[-1]
    assert told[-2:] == [
        Message("assistant", "", calls=(ToolCall("call_1", "weather", '{"city": "Rome"}'),)),
        Message("tool", "sunny", call_id="call_1"),
    ]
    assert [tool.name for tool in line.mind.options[-1].tools] == ["weather"]


def test_arguments_are_streamed_as_they_come() -> None:
    line = asked(ROME)
    line.mind.token_ms = 100
    line.run(5000)
    deltas = [event["delta"] for event in line.wire.of("response.function_call_arguments.delta")]
    assert len(deltas) == 2
    assert "".join(deltas) == '{"city": "Rome"}'


def test_a_call_is_told_while_what_comes_before_it_is_spoken() -> None:
    line = asked([*words("Let me look that up for you right away."), *ROME], "It is sunny.")
    line.wire.when("response.done", runs_it)
    line.run(10_000)
    done = next(event for event in line.wire.of("response.output_item.done") if event["output_index"] == 1)
    assert done["item"]["type"] == "function_call"
    assert line.wire.events.index(done) < types(line.wire.events).index("response.output_audio.done")
    output = line.wire.of("response.done")[0]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call"]
    assert line.texts()[1] == ("assistant", "Let me look that up for you right away.")


def test_a_client_that_is_quick_is_answered_when_the_words_before_the_call_have_been_said() -> None:
    """OpenAI's response is over when it has been generated: clients answer a call at once."""
    line = asked([*words("Let me look that up for you right away."), *ROME], "It is sunny.")

    def at_once(event: Json) -> list[Json]:
        call = event["item"]
        return [output_of(call), {"type": "response.create"}] if call["type"] == "function_call" else []

    line.wire.when("response.output_item.done", at_once)
    line.run(10_000)
    assert not line.wire.errors
    first, second = line.wire.of("response.done")
    assert second["response"]["output"][0]["content"][0]["transcript"] == "It is sunny."
    assert line.wire.events.index(first) < line.wire.events.index(line.wire.of("response.created")[1])


def test_several_calls_of_one_reply_are_answered_together() -> None:
    both = [*ROME, *calling("weather", '{"city": "Oslo"}', "call_2")]
    line = asked(both, "Sunny in both.")
    line.wire.when("response.done", runs_it)
    line.run(8000)
    output = line.wire.of("response.done")[0]["response"]["output"]
    assert [item["call_id"] for item in output] == ["call_1", "call_2"]
    assert [(message.role, message.call_id) for message in line.mind.asked[-1][-3:]] == [
        ("assistant", ""),
        ("tool", "call_1"),
        ("tool", "call_2"),
    ]


def test_an_id_that_a_model_uses_twice_is_told_apart() -> None:
    line = asked(ROME, ROME, "Sunny.")
    line.wire.when("response.done", runs_it)
    line.run(8000)
    done = line.wire.of("response.output_item.done")[:2]
    calls = [event["item"]["call_id"] for event in done]
    assert calls[0] == "call_1" != calls[1]
    assert line.texts()[-1] == ("assistant", "Sunny.")


def test_a_prepared_call_is_not_told_before_the_turn_is_over() -> None:
    more = "and in the whole of italy please"
    second_at = END + 150
    ears = Ears([[QUESTION, f"{QUESTION} {more}"]])
    line = asked(ROME, ears=ears, sounds=(speech(second_at, more),))
    line.run(9000)
    assert len(line.mind.asked) >= 2, "one was prepared for the first half"
    assert len(line.wire.of("response.output_item.added")) == 1
    created = line.wire.one("response.created")
    assert line.wire.events.index(created) < types(line.wire.events).index("response.output_item.added")
    (at_ms,) = [seen.at_ms for seen in line.of(ev.ReplyCreated)]
    assert at_ms >= second_at + 1000 * len(spoken(more)) // 16_000


def test_what_was_called_is_not_taken_back_by_whoever_goes_on_speaking() -> None:
    more = "i mean tomorrow of course not today"
    ears = Ears([[QUESTION], [more]])
    line = asked(
        [*words("Let me see."), *ROME], "It will rain.", ears=ears, sounds=(speech(END + 450, more),)
    )
    line.run(9000)
    assert line.wire.of("response.output_item.done")[0]["item"]["type"] == "function_call"
    assert not line.wire.of("conversation.item.deleted")
    assert [text for role, text in line.texts() if role == "user"] == [QUESTION, more]
    last = line.mind.asked[-1]
    assert [message.text for message in last if message.role == "tool"] == ["No result has come yet."]


def test_a_call_whose_output_never_comes_does_not_stand_in_the_way() -> None:
    ears = Ears([[QUESTION], ["never mind"]])
    line = asked(ROME, "All right.", ears=ears, sounds=(speech(5000, "never mind"),))
    line.run(10_000)
    assert line.texts()[-1] == ("assistant", "All right.")


def test_an_output_that_comes_while_the_person_speaks_waits_for_them() -> None:
    more = "and do you know what i did there last summer with my friends"
    ears = Ears([[QUESTION], [more]])
    line = asked(ROME, "Sunny. What did you do?", ears=ears, sounds=(speech(4000, more),))

    def tell(session: Any) -> None:
        line.wire.send(session, output_of(line.wire.of("response.done")[0]["response"]["output"][0]))
        line.wire.send(session, {"type": "response.create", "response": {"metadata": {"why": "output"}}})

    line.at(4800, tell).run(12_000)
    stopped = line.wire.of("input_audio_buffer.speech_stopped")[1]
    assert stopped["audio_end_ms"] > 4000 + 1000 * len(spoken(more)) // 16_000 - 300
    last = line.wire.of("response.done")[-1]["response"]
    assert last["metadata"] == {"why": "output"}
    assert [message.role for message in line.mind.asked[-1][-4:]] == ["user", "assistant", "tool", "user"]


def test_an_output_of_no_call_is_refused_in_openais_words() -> None:
    line = asked("Hello.").send(100, **output_of({"call_id": "call_x"})).run(500)
    (error,) = line.wire.errors
    assert (error["code"], error["param"]) == ("invalid_tool_call_id", "item.call_id")
    assert error["message"] == "Tool call ID 'call_x' not found in conversation."


def test_a_history_with_calls_can_be_given() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
    line = Wired(Ears([]), Mind(["Sunny."]), Voice())
    line.send(100, "conversation.item.create", **typed("Weather?"))
    line.send(110, "conversation.item.create", item=call)
    line.send(120, **output_of(call)).send(130, "response.create").run(3000)
    assert [message.role for message in line.mind.asked[0][1:]] == ["user", "assistant", "tool"]
    assert not line.wire.errors


def test_a_call_that_was_cut_off_is_not_to_be_carried_out() -> None:
    line = asked([*ROME[:2], CutShort("max_output_tokens")])
    line.wire.when("response.done", runs_it)
    line.run(5000)
    done = line.wire.one("response.done")["response"]
    assert (done["status"], done["output"][0]["status"]) == ("incomplete", "incomplete")
    assert len(line.mind.asked) == 1


def test_a_call_that_is_being_made_ends_incomplete_with_its_response() -> None:
    line = asked(ROME)
    line.mind.token_ms = 1500
    line.send(END + 2500, "response.cancel").run(9000)
    done = line.wire.one("response.done")["response"]
    assert done["status"] == "cancelled"
    assert [item["status"] for item in done["output"]] == ["incomplete"]
    assert line.wire.one("response.function_call_arguments.done")["arguments"] != '{"city": "Rome"}'


@pytest.mark.parametrize("choice", ["none", "required", {"type": "function", "name": "weather"}])
def test_the_choice_among_tools_reaches_the_mind(choice: Any) -> None:
    line = asked("Hello.").send(10, "session.update", session={"tool_choice": choice})
    line.run(5000)
    wanted = NamedTool(name="weather") if isinstance(choice, dict) else choice
    assert line.mind.options[0].tool_choice == wanted
    assert line.wire.of("session.updated")[-1]["session"]["tool_choice"] == choice


def test_tools_of_one_response_are_its_own() -> None:
    clock = {**WEATHER, "name": "clock"}
    line = asked("Hello.").send(
        100, "response.create", response={"tools": [clock], "tool_choice": "required"}
    )
    line.run(400)
    assert [tool.name for tool in line.mind.options[0].tools] == ["clock"]
    assert line.mind.options[0].tool_choice == "required"
    assert [tool.name for tool in line.session.call.tools] == ["weather"]


# ---------------------------------------------------------------- the server's


@pytest.fixture(autouse=True)
def _forget() -> None:
    tools.ran.clear()


def box(*names: str, **settings: Any) -> Toolbox:
    return Toolbox(ToolSettings(functions=tuple(f"tests.tools:{name}" for name in names), **settings))


def own(word: str = "cache") -> list[Piece]:
    return calling("look_up", json.dumps({"word": word}))


def test_the_servers_tool_runs_within_the_reply_and_no_client_sees_it() -> None:
    line = asked([*words("One second."), *own()], "It is a word.", toolbox=box("look_up"))
    line.run(10_000)
    assert tools.ran == [("look_up", {"word": "cache"})]
    assert line.texts() == [("user", QUESTION), ("assistant", "One second. It is a word.")]
    assert not line.wire.of("response.function_call_arguments.delta")
    assert len(line.wire.of("response.done")) == 1
    told = line.mind.asked[-1]
    assert [message.role for message in told[-3:]] == ["user", "assistant", "tool"]
    assert (told[-2].text.strip(), told[-1].text) == ("One second.", "cache is a word")
    assert line.wire.one("response.done")["response"]["usage"]["input_tokens"] == 20


def test_what_a_tool_said_is_known_in_the_next_turn() -> None:
    ears = Ears([[QUESTION], ["thank you"]])
    line = asked(own(), "It is a word.", "Welcome.", ears=ears, sounds=(speech(7000, "thank you"),))
    line.toolbox = box("look_up")
    line.run(12_000)
    last = line.mind.asked[-1]
    assert [message.role for message in last] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert last[2].calls[0].name == "look_up"


def test_a_prepared_reply_runs_no_tool_before_it_is_released() -> None:
    more = "and in the whole of italy please"
    second_at = END + 150
    ears = Ears([[QUESTION, f"{QUESTION} {more}"]])
    line = asked(own(), "Yes.", ears=ears, sounds=(speech(second_at, more),), toolbox=box("look_up"))
    ran: list[int] = []
    line.at(second_at + 100, lambda _: ran.append(len(tools.ran)))
    line.run(9000)
    assert ran == [0]
    assert len([asked for asked in line.mind.asked if asked[-1].role == "user"]) >= 2
    assert len(tools.ran) == 1


def test_while_a_tool_takes_long_the_person_hears_that_it_does() -> None:
    line = asked(own("slow"), "It is a word.", toolbox=box("look_up")).run(20_000)
    filler = line.texts()[1][1].removesuffix(" It is a word.")
    assert filler in say("one_moment", "en")
    assert not line.wire.errors


def test_a_tool_that_hangs_is_told_to_the_mind_and_the_talk_goes_on() -> None:
    line = asked(own("endless"), "I could not.", toolbox=box("look_up", timeout_s=2.0)).run(12_000)
    assert line.mind.asked[-1][-1].text == "Error: no result within 2 s"
    assert line.texts()[-1] == ("assistant", "I could not.")


def test_a_mind_that_calls_for_ever_is_told_to_stop() -> None:
    line = asked(own(), own(), own(), own(), toolbox=box("look_up", rounds=2)).run(12_000)
    assert len(tools.ran) == 2
    assert [options.tool_choice for options in line.mind.options[-3:]] == ["auto", "auto", "none"]
    assert line.wire.one("response.done")["response"]["status"] == "completed"


def test_both_kinds_in_one_reply() -> None:
    line = asked([*own(), *ROME], "Sunny, and a word.", toolbox=box("look_up"))
    line.wire.when("response.done", runs_it)
    line.run(10_000)
    last = line.mind.asked[-1]
    assert [(message.role, message.text) for message in last[-4:]] == [
        ("assistant", ""),
        ("tool", "cache is a word"),
        ("assistant", ""),
        ("tool", "sunny"),
    ]
    assert {call.name for message in last for call in message.calls} == {"look_up", "weather"}
    assert line.texts()[-1] == ("assistant", "Sunny, and a word.")


def test_a_clients_tool_takes_the_place_of_the_servers_of_the_same_name() -> None:
    line = asked(calling("look_up", "{}"), toolbox=box("look_up"))
    line.send(10, "session.update", session={"tools": [{**WEATHER, "name": "look_up"}]}).run(5000)
    assert not tools.ran
    assert line.wire.one("response.done")["response"]["output"][0]["name"] == "look_up"


def test_breaking_into_a_tool_ends_it_and_what_was_begun_is_known() -> None:
    barge = "no wait i have another question about that"
    ears = Ears([[QUESTION], [barge]])
    line = asked(
        [*words("Let me look that word up in the book for you."), *own("slow")],
        "Go on.",
        ears=ears,
        sounds=(speech(4200, barge),),
        toolbox=box("look_up"),
        settings=Settings.model_validate({"turns": {"nudges": 0}}),
    )
    line.run(12_000)
    assert line.wire.of("response.done")[0]["response"]["status"] == "cancelled"
    assert line.texts()[-1] == ("assistant", "Go on.")
    (told,) = [message.text for message in line.mind.asked[-1] if message.role == "tool"]
    assert told == "Interrupted: it may have been done, or not."
    assert len(line.tasks) == 2


def test_a_function_that_nobody_has_is_answered_with_an_error() -> None:
    line = asked(calling("book_a_flight", "{}"), "I cannot.").run(8000)
    assert line.mind.asked[-1][-1].text == "Error: there is no function 'book_a_flight'"
    assert line.texts()[-1] == ("assistant", "I cannot.")
    assert not line.wire.of("response.function_call_arguments.done")


def test_what_a_tool_did_before_anything_was_heard_is_not_forgotten() -> None:
    line = asked(own("slow"), "Well.", toolbox=box("look_up"))
    line.send(END + 1500, "response.cancel").send(END + 1600, "response.create").run(9000)
    roles = [message.role for message in line.mind.asked[-1][1:]]
    assert roles[:3] == ["user", "assistant", "tool"]
    assert line.texts()[-1] == ("assistant", "Well.")
