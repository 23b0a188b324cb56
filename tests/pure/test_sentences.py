"""Phrases out of tokens: early, whole, and never in the middle of a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sentences import LONGEST, LONGEST_FENCE, LONGEST_UNSPACED, Sentences


def cut(text: str, language: str = "en", step: int = 1) -> list[str]:
    sentences = Sentences(language)
    phrases: list[str] = []
    for start in range(0, len(text), step):
        phrases += sentences.push(text[start : start + step])
    return phrases + sentences.flush()


def stripped(text: str, language: str = "en") -> list[str]:
    return [phrase.strip() for phrase in cut(text, language)]


def test_first_phrase_ends_with_its_first_clause():
    assert stripped("You named the cache first, and that is what most people forget. Now tell me more.") == [
        "You named the cache first,",
        "and that is what most people forget.",
        "Now tell me more.",
    ]


@pytest.mark.parametrize(
    ("language", "first", "rest"),
    [
        ("en", "You described the whole migration very well", "because you named the people."),
        ("es", "Me gustaría saber algo más del proyecto", "porque suena interesante."),
        ("fr", "Je voudrais savoir comment vous avez travaillé", "pendant cette année."),
    ],
)
def test_a_long_first_phrase_without_a_mark_ends_before_a_word_that_joins(language, first, rest):
    assert stripped(f"{first} {rest}", language) == [first, rest]


@pytest.mark.parametrize(
    "text",
    [
        "What happens when you do that and why is it so?",
        "Tell me how you choose between one relational and one document database.",
        "Tell me what the name of that old tool is because.",
    ],
)
def test_a_first_phrase_is_not_torn_apart(text):
    assert len(cut(text)) == 1


def test_later_phrases_are_not_cut_before_words_that_join():
    text = "Good morning to you. You described the whole migration very well because you named the people."
    assert len(stripped(text)) == 2


def test_clause_of_one_word_is_not_spoken_alone():
    assert stripped("Exactly, a cache helps here. What about writes, then?") == [
        "Exactly, a cache helps here.",
        "What about writes, then?",
    ]


def test_later_phrases_end_with_sentences_not_clauses():
    assert stripped("Fine. First this one here, then that one there, and then the rest. Last one here.")[
        1
    ] == ("First this one here, then that one there, and then the rest.")


def test_short_later_sentence_goes_with_the_next():
    assert stripped("Good morning. Right. Let us begin with caches.") == [
        "Good morning.",
        "Right. Let us begin with caches.",
    ]


def test_first_phrase_is_out_as_soon_as_the_next_word_begins():
    sentences = Sentences("en")
    assert sentences.push("That is right.") == []
    assert sentences.push(" Now") == ["That is right. "]


@pytest.mark.parametrize(
    "text",
    [
        "Pi is about 3.14159 and rising",
        "We pay 1,000,000 dollars, e.g. for storage"[:24],
        "Ask Dr. Smith about it",
        "Ask Mrs. Jones and J. R. Miller about it",
        "In the U.S. Army it was so",
        "Use a cache, e.g. Redis",
        "See https://example.com/a?b=c.d!e for more",
        "It is in No. 5 of the list",
        "1. Begin with the numbers",
        "He asked “really?” and left",
    ],
)
def test_nothing_is_cut_inside(text):
    assert len(cut(text)) == 1


def test_no_as_a_sentence_is_one():
    assert stripped("No. That is something else.") == ["No.", "That is something else."]


def test_so_do_i_is_a_sentence():
    assert stripped("So do I. Let us go on.") == ["So do I.", "Let us go on."]


def test_german_ordinal_is_no_sentence_end():
    assert stripped("Wir treffen uns am 3. Mai im Büro. Passt das?", "de")[0] == (
        "Wir treffen uns am 3. Mai im Büro."
    )


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("en", "What is that? I like it!", 2),
        ("es", "¿Qué tal estás? ¡Me alegro mucho!", 2),
        ("fr", "Ça va bien ? Moi aussi, merci bien.", 2),
        ("de", "Wie geht es dir? Mir geht es gut.", 2),
        ("pt", "Tudo bem com você? Comigo está tudo ótimo.", 2),
        ("it", "Come stai oggi? Io sto bene.", 2),
        ("nl", "Hoe gaat het met je? Met mij gaat het goed.", 2),
        ("ru", "Как у тебя дела? У меня всё хорошо.", 2),
        ("zh", "你今天怎么样？我很好，谢谢你。", 2),
        ("ja", "お元気ですか。私は元気です。", 2),
        ("ko", "오늘 어떻게 지냈어요? 저는 잘 지냈어요.", 2),
        ("ar", "كيف حالك اليوم؟ أنا بخير والحمد لله.", 2),
        ("hi", "आप कैसे हैं? मैं बिल्कुल ठीक हूँ। धन्यवाद आपका बहुत।", 3),
    ],
)
def test_sentence_ends_of_every_language(language, text, count):
    assert len(cut(text, language)) == count


def test_quote_that_closes_a_sentence_stays_with_it():
    assert stripped("She said “stop.” Then she left us.") == ["She said “stop.”", "Then she left us."]
    assert stripped("他说：“我们走吧。”然后他离开了。", "zh")[-1] == "然后他离开了。"


def test_ellipsis_before_a_small_letter_goes_on():
    assert stripped("Well... that is hard to say. Go on then.")[0] == "Well... that is hard to say."


def test_line_end_is_a_phrase_end():
    assert stripped("Three things\n- one more thing\n- another thing\n") == [
        "Three things",
        "- one more thing",
        "- another thing",
    ]


def test_endless_sentence_is_bounded():
    assert max(map(len, cut("word " * 300))) <= LONGEST
    assert max(map(len, cut("字" * 500, "zh"))) <= LONGEST_UNSPACED
    assert max(map(len, cut("x" * 1000))) <= LONGEST


def test_block_of_code_is_one_phrase_of_its_own():
    code = "```python\nx = 1. \ny = 2! \n```"
    assert code in cut(f"Look at this:\n{code}\nThat was it.")


def test_code_that_never_ends_is_bounded():
    assert max(map(len, cut("```" + "x = 1. \n" * 2000, step=50))) <= LONGEST_FENCE + 50


@given(
    st.text(alphabet="ab A1.,!?…\n`“”。、 ", max_size=400),
    st.sampled_from(["en", "de", "zh"]),
    st.integers(1, 9),
)
def test_phrases_joined_are_the_text(text, language, step):
    joined = "".join(cut(text, language, step))
    assert joined.rstrip() == text.rstrip()
    assert text.startswith(joined)


@given(st.text(alphabet="abc A.,!? ", max_size=200))
def test_no_phrase_is_empty(text):
    assert all(phrase.strip() for phrase in cut(text))


@pytest.mark.parametrize(
    ("language", "phrases"),
    [
        ("de", ["Ich nutze z. B. Redis und i. d. R. Kafka. ", "Gut, dass Sie fragen."]),
        ("es", ["Usé p. ej. Redis en EE. UU. durante un año. ", "Bien, sigamos ahora."]),
        ("es", ["En la pág. 5 y el núm. 3. ", "Bien, sigamos ahora."]),
        ("fr", ["J'utilise p. ex. Redis. ", "Bien, continuons alors."]),
        ("it", ["Ho usato ad es. Redis nella n. 5. ", "Bene, andiamo avanti."]),
        ("pt", ["Usei p. ex. Redis. ", "Muito bem, vamos lá."]),
        ("nl", ["Ik gebruik bijv. Redis. ", "Goed, we gaan verder."]),
        ("ru", ["Это т. е. Redis и т. д. ", "Потом ушёл он сам."]),
        ("hi", ["डॉ. शर्मा को रु. 500 मिले। ", "ठीक है, आगे बढ़ते हैं।"]),
        ("ar", ["قال د. أحمد ذلك. ", "نعم، هذا صحيح."]),
        ("en", ["No. ", "Then I left it alone."]),
    ],
)
def test_an_abbreviation_before_a_capital_or_a_number_ends_nothing(language: str, phrases: list[str]) -> None:
    cutter = Sentences(language)
    cut = [phrase for letter in "".join(phrases) for phrase in cutter.push(letter)]
    assert [*cut, *cutter.flush()] == phrases
