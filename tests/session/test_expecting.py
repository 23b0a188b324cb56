"""A voice that connects beforehand is told in time, in which language and whose voice."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.providers import VoiceStyle
from tests.session.call import Call, Ears, Mind, Voice


@dataclass
class Expecting(Voice):
    expected: list[tuple[str, str]] = field(default_factory=list)  # language, persona; and what was said

    def expect(self, *, language: str, style: VoiceStyle) -> None:
        assert style.rate < 1.0, "the call's own pace is in it"
        self.expected.append((language, style.persona))

    def speak(self, text: str, *, language: str, style: VoiceStyle):
        self.expected.append(("said", text))
        return super().speak(text, language=language, style=style)


def test_a_voice_knows_of_a_reply_before_there_is_a_phrase_and_of_new_settings_at_once() -> None:
    voice = Expecting()
    call = Call(Ears([]), Mind(["Hello there."], first_ms=300), voice, persona="vera", speed=0.9)
    call.at(100, lambda session: session.update({"language": "de"}))
    call.at(500, lambda session: session.update({"greet": True}))
    call.at(520, lambda session: session.greet())
    call.run(3000)
    assert voice.expected[:2] == [("en", "vera"), ("de", "vera")]
    assert voice.expected[-2:] == [("de", "vera"), ("said", "Hello there.")]


def test_a_call_in_writing_expects_no_voice() -> None:
    voice = Expecting()
    call = Call(Ears([]), Mind(["Hello there."]), voice, text_only=True, greet=True)
    call.at(100, lambda session: session.greet())
    call.run(1000)
    assert voice.expected == []
