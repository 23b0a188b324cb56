"""The scripted partner: every language has what it needs, and a chat stays with what was said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.languages import cue, language_of
from pipeline.llm.scripted import create
from pipeline.providers import Message, Note, ReplyOptions, Token
from pipeline.settings import Language, Settings

LANGUAGES = Language.__args__  # type: ignore[attr-defined]
LONG = {"zh": "我今天去公园散步了然后回家做饭", "ja": "今日は公園を散歩してから家で料理をしました"}


class Talk:
    def __init__(self, language: str, mode: str, seed: int = 0, name: str = "Mei") -> None:
        self.mind = create(Settings())
        self.options = ReplyOptions(language, mode, persona_name=name, seed=seed)
        self.messages: list[Message] = []

    async def say(self, text: str | None) -> str:
        if text is not None:
            self.messages.append(Message("user", text))
        words, note = [], None
        async for part in self.mind.reply(self.messages, self.options):
            if isinstance(part, Token):
                words.append(part.text)
            elif isinstance(part, Note):
                note = json.loads(json.dumps(dict(part.data)))
        self.messages.append(Message("assistant", "".join(words), note))
        return "".join(words)

    @property
    def note(self) -> dict[str, Any]:
        return dict(self.messages[-1].note or {})


async def begun(language: str, mode: str = "language", **more: Any) -> Talk:
    talk = Talk(language, mode, **more)
    await talk.say(None)
    return talk


def a_cue(language: str, kind: str) -> str:
    """The longest way to ask for it, as it stands in languages.toml."""
    return max((text for text, one in language_of(language).cues.items() if one == kind), key=len)


def an_answer(language: str) -> str:
    return LONG.get(language, "a b c d e f g h i j")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("mode", ["language", "chat", "interview"])
async def test_it_greets_and_asks_in_every_language_and_mode(language, mode):
    talk = Talk(language, mode)
    greeting = await talk.say(None)
    assert "Mei" in greeting
    assert greeting[-1] in "?？؟.。।"
    assert "{" not in greeting


@pytest.mark.parametrize("language", LANGUAGES)
async def test_twelve_different_questions_come_before_one_comes_again(language):
    talk = await begun(language)
    asked = [talk.note["ask"]]
    for _ in range(11):
        await talk.say(an_answer(language))
        asked.append(talk.note["ask"])
    assert len(set(asked)) == 12


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_reaction_comes_twice_in_five_turns(language):
    talk = await begun(language)
    reactions: list[str] = []
    for _ in range(12):
        reply = await talk.say(an_answer(language))
        reactions.append(reply.removesuffix(talk.note["ask"]))
    assert all(len(set(reactions[n : n + 5])) == 5 for n in range(8))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_repeat_and_skip_are_understood(language):
    talk = await begun(language)
    first = talk.note["ask"]
    assert await talk.say(a_cue(language, "repeat")) == first
    await talk.say(a_cue(language, "skip"))
    assert talk.note["ask"] != first


@pytest.mark.parametrize("language", LANGUAGES)
async def test_stop_is_asked_back_and_said_again_ends(language):
    talk = await begun(language)
    asked_back = await talk.say(a_cue(language, "stop"))
    assert asked_back[-1] in "?？؟"
    assert "ended" not in talk.note
    goodbye = await talk.say(a_cue(language, "stop"))
    assert talk.note["ended"] == "stopped"
    assert goodbye in language_of(language).say["goodbye"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_long_answer_after_the_question_whether_to_stop_goes_on(language):
    talk = await begun(language)
    await talk.say(a_cue(language, "stop"))
    await talk.say(an_answer(language))
    assert not talk.note.get("ended")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_wait_gives_time(language):
    talk = await begun(language)
    assert await talk.say(a_cue(language, "wait")) in language_of(language).say["take_your_time"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_it_says_is_a_cue_of_its_own(language):
    talk = await begun(language)
    for _ in range(12):
        reply = await talk.say(an_answer(language))
        assert cue(reply, language) is None


async def test_short_answer_is_asked_about_once():
    talk = await begun("de")
    first = talk.note["ask"]
    await talk.say("Gut.")
    assert talk.note["ask"] in ("Erzähl mir ein bisschen mehr.", "Und warum?", "Kannst du mehr dazu sagen?")
    await talk.say("Ja.")
    assert talk.note["ask"] not in (first, "Erzähl mir ein bisschen mehr.")


async def test_question_that_was_not_heard_comes_again():
    talk = await begun("fr")
    ask = talk.note["ask"]
    talk.messages[-1] = Message("assistant", "Bonjour", talk.messages[-1].note)
    assert await talk.say("[INTERRUPTED] pardon je voulais juste dire une petite chose avant") == ask


async def test_interview_without_a_question_bank_asks_in_its_order():
    talk = await begun("es", "interview")
    assert "Hábleme un poco de usted" in talk.note["ask"]


@pytest.mark.parametrize(
    ("language", "friendly"),
    [
        ("de", " dir dich du "),
        ("fr", " toi te tu t'entendre "),
        ("es", " contigo te tú "),
        ("nl", " je jij jou "),
    ],
)
async def test_interviewer_is_polite(language, friendly):
    talk = await begun(language, "interview")
    said = [talk.messages[-1].text]
    for _ in range(8):
        said.append(await talk.say(an_answer(language)))
        said.append(await talk.say("a"))
    words = set(" ".join(said).lower().replace(".", " ").replace(",", " ").replace("?", " ").split())
    assert not words & set(friendly.split())


async def test_chat_takes_up_what_was_said():
    talk = await begun("en", "chat")
    reply = await talk.say("I went to a concert with my band last night")
    assert talk.note["ask"] in (
        "Which song can you still sing from start to end?",
        "Did you ever play an instrument?",
        "What was your last concert?",
    )
    assert reply.startswith(("Music, good.", "I'd like to hear that."))


async def test_chat_says_what_it_is_when_asked():
    talk = await begun("en", "chat")
    assert "script" in await talk.say("and you are you a real person")


async def test_chat_never_asks_the_same_in_thirty_turns():
    talk = await begun("en", "chat")
    asked = [talk.note["ask"]]
    for _ in range(29):
        await talk.say("well it was quite all right I suppose")
        asked.append(talk.note["ask"])
    assert len(set(asked)) == 30


async def test_sad_news_is_not_met_with_joy():
    talk = await begun("en", "chat")
    reply = await talk.say("I had a terrible day because my cat died")
    assert reply.startswith(("I'm sorry", "Oh, that's not nice", "That sounds hard"))


async def test_changing_the_mode_greets_anew():
    talk = await begun("en", "chat")
    talk.options = ReplyOptions("en", "interview", persona_name="Alex")
    assert "Please tell me about yourself." in await talk.say("let us do an interview")


@pytest.mark.parametrize("mode", ["language", "chat"])
async def test_a_talk_that_another_mind_began_goes_on_without_a_greeting(mode):
    talk = Talk("en", mode)
    talk.messages = [Message("assistant", "Hello, I am Mei. How was your day?")]
    reply = await talk.say("it was long and i worked a lot")
    assert "Mei" not in reply
    assert reply.endswith(talk.note["ask"])


async def test_a_question_of_another_mind_is_not_asked_once_more():
    talk = await begun("en")
    ask = talk.note["ask"]
    talk.messages += [Message("user", "well"), Message("assistant", "Oh!", {**talk.note, "mind": "openai"})]
    await talk.say("it was long and i worked a lot")
    assert talk.note["ask"] != ask


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
async def test_an_interview_ends_with_a_farewell_after_its_last_question(language):
    talk = await begun(language, "interview")
    asked = [talk.note["ask"]]
    while "ended" not in talk.note:
        reply = await talk.say(an_answer(language))
        if talk.note["ask"] != asked[-1]:
            asked.append(talk.note["ask"])
    assert len(set(asked)) == len(asked) == 6
    assert talk.note["ended"] == "finished"
    assert any(reply.endswith(line) for line in language_of(language).say["goodbye"])
