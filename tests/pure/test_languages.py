"""The rules at the head of languages.toml, and that its own entries obey them."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.languages import (
    cue,
    fold,
    is_backchannel,
    is_fragment,
    is_murmur,
    language_of,
    languages,
    say,
    starts_with_interrupt,
)

CODES = ("en", "es", "fr", "de", "zh", "hi", "ja", "ko", "pt", "ar", "ru", "it", "nl")
CUES = ("wait", "repeat", "skip", "dont_know", "back", "stop", "done", "slower", "harder", "easier")


def test_there_are_the_13_languages() -> None:
    assert tuple(sorted(languages())) == tuple(sorted(CODES))
    with pytest.raises(KeyError):
        language_of("tlh")


@pytest.mark.parametrize(
    ("language", "text", "folded"),
    [
        ("en", "  Well — I’d say: “it's   C++”, full-time!", "well i'd say it's c full-time"),
        ("en", "'quoted' rock 'n' roll -- mm-hmm -", "quoted rock n roll mm-hmm"),
        ("en", "ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("fr", "C’est-à-dire, fais‑le où ?", "c'est-à-dire fais-le où"),
        ("es", "¿Sí? ¡Claro que SÍ!", "sí claro que sí"),
        ("ar", "أَنَا إلى آخِرِ عَلَى الـــطريق", "انا الى اخر على الطريق"),
        ("hi", "थोड़ा, हाँ।", "थोडा हां"),
        ("ru", "Ещё ёлка и йод", "еще елка и йод"),
        ("zh", "我 觉得， 很好。", "我觉得很好"),
        ("ja", "えーと、 そうです。", "えーとそうです"),
        ("ko", "네, 알겠습니다.", "네 알겠습니다"),
        ("en", "", ""),
        ("en", " … !", ""),
    ],
)
def test_folding(language: str, text: str, folded: str) -> None:
    assert fold(text, language) == folded


@given(st.text(max_size=60), st.sampled_from(CODES))
def test_folding_twice_changes_nothing_more(text: str, language: str) -> None:
    once = fold(text, language)
    assert fold(once, language) == once
    assert all(unicodedata.category(character)[0] in "LNM" or character in " '-" for character in once)


@given(st.text(max_size=40), st.sampled_from(CODES))
def test_any_text_at_all_is_judged_without_an_error(text: str, language: str) -> None:
    assert cue(text, language) in (None, *CUES)
    is_backchannel(text, language)
    starts_with_interrupt(text, language)


def written(code: str, kind: str) -> list[str]:
    return [phrase for phrase, of in language_of(code).cues.items() if of == kind]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", CUES)
def test_every_cue_that_is_listed_is_understood(code: str, kind: str) -> None:
    assert written(code, kind)
    for phrase in written(code, kind):
        assert cue(phrase, code) == kind
        assert cue(f"{phrase.capitalize()}.", code) == kind


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("en", "Okay, um, that's all, thank you.", "done"),
        ("en", "Uh, could you repeat the question, please?", "repeat"),
        ("en", "sorry could you repeat the question for me", "repeat"),
        ("en", "well honestly i don't know", "dont_know"),
        ("en", "i don't know because", None),
        ("en", "i don't know because um", None),
        ("en", "i don't know if you have heard of kafka but", None),
        ("en", "I have to go through the logs.", None),
        ("en", "and then i had to pass the message on", None),
        ("en", "please stop here", None),
        ("en", "yeah we can stop here", "stop"),
        ("en", "then we can stop here and look at the data", None),
        ("en", "pass", "skip"),
        ("en", "", None),
        ("en", "yeah okay", None),
        ("es", "pues eh no sé", "dont_know"),
        ("es", "no sé nada de eso", None),
        ("zh", "嗯，下一个问题吧", "skip"),
        ("zh", "我不知道答案啊", "dont_know"),
        ("zh", "这个过程过", None),
        ("zh", "我不太清楚因为", None),
        ("ja", "えーと、次の質問をお願いします", "skip"),
        ("ja", "次", "skip"),
        ("ja", "次の会社では", None),
        ("ko", "음 다시 한 번 말씀해주시겠어요", "repeat"),
        ("ko", "다시한번 말씀해 주시겠어요", "repeat"),
        ("ko", "죄송하지만 질문을 다시 말해 주세요", "repeat"),
        ("ru", "Это всё, что я хотел сказать", "done"),
        ("hi", "थोड़ा रुकिए", "wait"),
        ("hi", "थोडा रुकिए", "wait"),
    ],
)
def test_cues_in_context(language: str, text: str, kind: str | None) -> None:
    assert cue(text, language) == kind


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "mhm", True),
        ("en", "Yeah, okay.", True),
        ("en", "That makes sense.", True),
        ("en", "oh I see", True),
        ("en", "um yeah", True),
        ("en", "yeah okay right sure", False),
        ("en", "yeah but", False),
        ("en", "okay kafka", False),
        ("en", "", False),
        ("zh", "对对对", True),
        ("zh", "嗯，好的", True),
        ("zh", "对我觉得", False),
        ("ja", "はい、そうですね", True),
        ("ja", "はい私は", False),
        ("ko", "네 네", True),
        ("ko", "네 알겠습니다", True),
        ("ar", "نعم بالتأكيد", True),
        ("de", "ja genau", True),
    ],
)
def test_backchannels(language: str, text: str, expected: bool) -> None:
    assert is_backchannel(text, language) is expected


@pytest.mark.parametrize("code", CODES)
def test_every_listed_backchannel_is_one(code: str) -> None:
    for entry in language_of(code).backchannels.all:
        assert is_backchannel(entry, code), entry


# As Whisper and vendors write a listener's sounds, and an answer that begins with one.
MURMURS = {
    "en": (["Mm.", "Mm-hmm.", "Mhm", "Hmm.", "Hmmmm...", "Uh-huh.", "Mmm", "Hm", "M-hm", "M-H-M.", "Mmhmm",
            "Uhhuh.", "Uh-hum", "Aha!", "Oh.", "Ahh"], "Hm, I would say Java"),
    "es": (["Mmm.", "Mhm.", "Ajá.", "Aja", "Ujum", "Hum.", "¡Ah!"], "Mmm, yo diría Java"),
    "fr": (["Hum.", "Hmm.", "Mmh.", "Hum hum", "Mm-hmm."], "Hum, je dirais Java"),
    "de": (["Mhm.", "Hm.", "Hmm.", "Mh", "Hm-hm.", "Aha.", "M-hm."], "Hm, ich würde Java sagen"),
    "zh": (["嗯", "嗯。", "嗯嗯嗯嗯", "哦。", "嗯哼", "Mm-hmm."], "嗯，我觉得是Java"),
    "hi": (["हम्म", "हम्म...", "हूँ", "हूं।", "ओह", "Hmm"], "हम्म, मैं जावा कहूँगा"),
    "ja": (["うん", "うんうん。", "うーん。", "ふーん", "ふぅん", "へぇー", "んー", "Hmm."],
           "うーん、Javaだと思います"),
    "ko": (["음", "음...", "음음", "흠.", "응응", "아하", "Mm-hmm."], "음, 저는 자바라고 생각해요"),
    "pt": (["Uhum.", "Aham.", "Hum-hum.", "Ahã", "Hã", "Mm-hmm."], "Hum, eu diria Java"),
    "ar": (["همم", "اممم", "أها", "آه", "Mm-hmm."], "همم أعتقد أنها جافا"),
    "ru": (["Угу.", "Ага", "М-м-м", "Хм.", "Хммм...", "Мгм", "Hmm."], "Хм, я бы сказал Java"),
    "it": (["Mh.", "Mh mh", "Mhm.", "Mmm", "Ah."], "Mh, direi Java"),
    "nl": (["Hm.", "Hmm.", "Mhm", "Hm-hm", "Aha."], "Hm, ik zou Java zeggen"),
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_a_listeners_sounds_are_known_however_they_are_spelled(code: str) -> None:
    sounds, answer = MURMURS[code]
    for sound in sounds:
        assert is_murmur(sound, code), sound
        assert is_backchannel(sound, code), sound
        assert not starts_with_interrupt(sound, code), sound
    assert not is_murmur(answer, code)
    assert not is_backchannel(answer, code)


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "Uh-uh."), ("en", "Mm-mm."), ("fr", "Mm-mm"), ("ja", "ううん"), ("ru", "Не-а.")],
)
def test_a_no_that_sounds_like_a_murmur_asks_for_the_floor(language: str, text: str) -> None:
    assert starts_with_interrupt(text, language)
    assert not is_murmur(text, language)
    assert not is_backchannel(text, language)


@pytest.mark.parametrize("text", ["Mmm, yeah.", "Hmmmm, okay.", "yes", "um"])
def test_a_backchannel_with_a_word_in_it_is_no_murmur(text: str) -> None:
    assert is_backchannel(text, "en")
    assert not is_murmur(text, "en")


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Wait, that's not", True),
        ("en", "uh hold on", True),
        ("en", "stop", True),
        ("en", "No, I meant", True),
        ("en", "no worries", False),
        ("en", "butter is good", False),
        ("en", "yeah", False),
        ("en", "", False),
        ("zh", "等一下我想问", True),
        ("zh", "不错", False),
        ("ja", "ちょっと待って", True),
        ("ko", "잠깐만요", True),
        ("es", "espera un momento", True),
    ],
)
def test_interrupt_words(language: str, text: str, expected: bool) -> None:
    assert starts_with_interrupt(text, language) is expected


@pytest.mark.parametrize("code", CODES)
def test_every_language_can_say_what_the_session_needs(code: str) -> None:
    for key in (
        "not_caught",
        "deaf",
        "nudge",
        "goodbye",
        "take_your_time",
        "one_moment",
        "apology",
        "time_up",
        "back",
    ):
        assert all(line.strip() for line in say(key, code))
        assert say(key, code)
    with pytest.raises(KeyError):
        say("nothing of the kind", code)


@pytest.mark.parametrize("code", CODES)
def test_rates_are_a_band(code: str) -> None:
    rate = language_of(code).rate
    assert 0 < rate.low < rate.high
    assert rate.unit in ("words_per_minute", "characters_per_minute", "syllables_per_minute")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "in my last job i was responsible for a team of five people and we moved everything"),
        ("zh", "我在那家公司一直做到现在因为我觉得这个方向很有意思而且团队也很好"),
        ("ko", "잠깐 생각할 시간을 주세요 그런데 저는 다섯 명의 팀을 이끌면서"),
    ],
)
def test_a_partial_costs_less_than_a_millisecond(language: str, text: str) -> None:
    fastest_ms = min(_cost_ms(f"{text} {index}", language) for index in range(30))
    assert fastest_ms < 1


def _cost_ms(text: str, language: str) -> float:
    start = time.process_time()
    cue(text, language)
    is_backchannel(text, language)
    starts_with_interrupt(text, language)
    return 1000 * (time.process_time() - start)


@pytest.mark.parametrize(
    ("text", "alone"),
    [("i", True), ("um", True), ("the", True), ("stop", False), ("i disagree", False), ("", False)],
)
def test_a_word_that_only_begins_something_is_a_fragment(text: str, alone: bool) -> None:
    assert is_fragment(text, "en") is alone


@pytest.mark.parametrize(
    ("text", "language"),
    [("ha ha ha", "en"), ("Haha!", "en"), ("heh", "en"), ("hahaha", "de"), ("jajaja", "es"), ("kkkkk", "pt"),
     ("ха-ха-ха", "ru"), ("哈哈哈", "zh"), ("ははは", "ja"), ("ㅋㅋㅋ", "ko"), ("ههههه", "ar"),
     ("हा हा हा", "hi"), ("(laughs)", "en"), ("[Musik]", "de"), ("*coughs* yeah", "en")],
)  # fmt: skip
def test_laughter_and_noises_noted_ask_for_nothing(text: str, language: str) -> None:
    assert is_backchannel(text, language)


@pytest.mark.parametrize("text", ["he has", "hi", "hello", "hey", "no ha ha", "he", "(laughs) no stop"])
def test_what_only_begins_like_laughter_is_none(text: str) -> None:
    assert not is_backchannel(text, "en")
