"""Models that read little at once, and templates that are strict about who speaks when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.errors import ProviderError
from pipeline.llm.chat_messages import OPENING
from pipeline.llm.context import STEP, Context
from pipeline.llm.openai import OpenAIMind, create
from pipeline.providers import Message, ReplyOptions, Token, ToolCall
from pipeline.settings import LlmSettings, OpenAILlmSettings, Settings
from pipeline.tokens import estimate_all
from tests.vendors.llama_server import LlamaServer
from tests.vendors.openai_server import OpenAIServer

OPTIONS = ReplyOptions("en", "chat", max_tokens=50)
SYSTEM = Message("system", "Be kind.")


def mind_at(vendor: OpenAIServer) -> OpenAIMind:
    return create(Settings(llm=LlmSettings(openai=OpenAILlmSettings(base_url=vendor.base_url, model="m"))))


def talk(turns: int, words: int = 20) -> list[Message]:
    """The greeting and so many turns, the last one still to be answered."""
    messages = [SYSTEM, Message("assistant", "Hello, I am Tomás.")]
    for number in range(turns):
        messages.append(Message("user", f"turn {number} " + "word " * words))
        messages.append(Message("assistant", "Yes, go on. " * (words // 3)))
    return messages[:-1]


async def said(mind: OpenAIMind, messages: Sequence[Message]) -> str:
    return "".join([piece.text async for piece in mind.reply(messages, OPTIONS) if isinstance(piece, Token)])


def sent(vendor: OpenAIServer, number: int = -1) -> list[tuple[str, str]]:
    messages = vendor.requests("chat")[number].body["messages"]
    return [(message["role"], message["content"]) for message in messages]


async def test_a_talk_that_is_longer_than_the_context_is_answered_from_its_newest_part() -> None:
    async with LlamaServer(n_ctx=400) as vendor:
        mind = mind_at(vendor)
        assert await said(mind, talk(20)) == vendor.reply
        assert sent(vendor)[0] == ("system", "Be kind.")
        assert sent(vendor)[-1][1].startswith("turn 19 ")
        assert len(sent(vendor)) > 4, "no more than necessary is left out"
        await mind.close()


async def test_what_is_too_long_is_learned_once_and_the_prompt_begins_the_same_for_a_while() -> None:
    async with LlamaServer(n_ctx=400) as vendor:
        mind = mind_at(vendor)
        for turns in range(18, 30):
            assert await said(mind, talk(turns)) == vendor.reply
        answered = [sent(vendor, number)[:3] for number in range(len(vendor.requests("chat")))]
        assert len(answered) == 12 + 1, "one refusal"
        begins = [str(messages) for messages in answered[1:]]
        assert len(set(begins)) <= 12 / (STEP / 2) + 1
        await mind.close()


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 400 tokens. However, you requested 900 tokens (850 in the"
        " messages, 50 in the completion). Please reduce the length of the messages or completion.",
        "Trying to keep the first 900 tokens when context the overflows. However, the model is loaded with"
        " context length of only 400 tokens, which is not enough.",
    ],
)
async def test_other_servers_say_it_in_other_words(words: str) -> None:
    async with OpenAIServer() as vendor:
        mind = mind_at(vendor)
        vendor.refuses = {"max_tokens": words}
        with pytest.raises(ProviderError, match="too short even for the last message"):
            await said(mind, talk(20))
        lengths = [len(request.body["messages"]) for request in vendor.requests("chat")]
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[-1] < lengths[0] / 4
        assert "max_tokens" in vendor.requests("chat")[-1].body, "it is not that parameter that is refused"
        await mind.close()


def test_what_is_left_out_takes_its_outputs_along() -> None:
    call = Message("assistant", "", calls=(ToolCall("call_1", "weather", "{}"),))
    tool = Message("tool", "rain " * 50, call_id="call_1")
    messages = [SYSTEM, *[Message("user", "x" * 400)] * (STEP - 1), call, tool, Message("user", "So?")]
    assert Context(100).fitted(messages) == [SYSTEM, Message("user", "So?")]


@pytest.mark.parametrize("tokens", [30, 200, 1000, None])
def test_what_fits_is_left_alone_and_the_last_message_always_stays(tokens: int | None) -> None:
    messages = talk(8)
    fitted = Context(tokens).fitted(messages)
    assert fitted[0] == SYSTEM
    assert fitted[-1] == messages[-1]
    if tokens is None or estimate_all(messages) <= tokens:
        assert fitted == messages
    else:
        assert estimate_all(fitted) <= max(tokens, estimate_all([SYSTEM, messages[-1]]))


@pytest.mark.parametrize(("tokens", "known"), [(200, True), (30, False)])
def test_notes_on_what_was_said_before_outlast_what_was_said(tokens: int, known: bool) -> None:
    _, *said = talk(8)
    notes = Message("user", "Her cats are called Pixel and Byte. " * 5, stays=True)
    fitted = Context(tokens).fitted([SYSTEM, notes, *said])
    assert len(fitted) < len(said)
    assert (fitted[0], fitted[-1], notes in fitted) == (SYSTEM, said[-1], known)


async def test_who_spoke_first_is_answered_by_templates_that_want_turns_too() -> None:
    async with LlamaServer(alternates=True) as vendor:
        mind = mind_at(vendor)
        assert await said(mind, talk(2)) == vendor.reply
        assert [role for role, _ in sent(vendor)] == [
            "system",
            "user",
            "assistant",
            "user",
            "assistant",
            "user",
        ]
        assert len(vendor.requests("chat")) == 1
        await mind.close()


async def test_two_messages_of_one_speaker_become_one_where_a_template_wants_turns() -> None:
    async with LlamaServer(alternates=True) as vendor:
        mind = mind_at(vendor)
        unanswered = [SYSTEM, Message("user", "Hi."), Message("user", "Are you there?")]
        for _ in range(2):
            assert await said(mind, unanswered) == vendor.reply
        assert sent(vendor)[1:] == [("user", "Hi.\n\nAre you there?")]
        assert len(vendor.requests("chat")) == 3, "it is learned once"
        await mind.close()


async def test_a_template_without_a_system_prompt_is_told_it_by_the_user() -> None:
    async with LlamaServer(alternates=True, system=False) as vendor:
        mind = mind_at(vendor)
        assert await said(mind, [SYSTEM, Message("user", "Hi.")]) == vendor.reply
        assert sent(vendor) == [("user", "Be kind.\n\nHi.")]
        await mind.close()


async def test_a_refusal_that_cannot_be_mended_is_said() -> None:
    async with OpenAIServer() as vendor:
        mind = mind_at(vendor)
        vendor.refuses = {"model": "Conversation roles must alternate user/assistant"}
        with pytest.raises(ProviderError, match="alternate"):
            await said(mind, talk(2))
        await mind.close()


async def test_a_reply_reads_only_what_is_new_since_the_greeting() -> None:
    async with LlamaServer() as vendor:
        mind = mind_at(vendor)
        await said(mind, [SYSTEM])
        assert sent(vendor)[-1] == ("user", OPENING)
        await said(mind, talk(1))
        new = str(sent(vendor)[2:])
        assert vendor.read[-1] < len(new) + 50
        await mind.close()
