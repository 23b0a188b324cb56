"""The 13 languages through the real espeak-ng and the sentence cutter: what is heard, not what was meant."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from difflib import SequenceMatcher
from itertools import pairwise

import pytest

from pipeline.languages import language_of
from pipeline.sentences import Sentences
from pipeline.speakable import speakable
from pipeline.tts.espeak import RATE, Espeak
from tests.providers.test_tts import Said, said

# Two sentences a language, as a mind would write them, the first long enough to stand alone.
SPOKEN = {
    "en": ("Thanks, that is a clear answer so far. ", "What would you change today?"),
    "es": ("Gracias, es una respuesta muy clara. ", "¿Qué cambiaría usted hoy?"),
    "fr": ("Merci, votre réponse est très claire. ", "Que changeriez-vous aujourd’hui ?"),
    "de": ("Danke, das ist eine klare Antwort. ", "Was würden Sie heute ändern?"),
    "zh": ("谢谢你，这个回答很清楚。", "今天你会怎么改进它呢？"),
    "hi": ("धन्यवाद, यह बहुत साफ़ जवाब है। ", "आज आप क्या बदलेंगे?"),
    "ja": ("ありがとうございます、とても明確な答えです。", "今なら何を変えますか？"),
    "ko": ("감사합니다, 아주 분명한 대답이에요. ", "지금이라면 무엇을 바꾸시겠어요?"),
    "pt": ("Obrigado, é uma resposta muito clara. ", "O que você mudaria hoje?"),
    "ar": ("شكرا، هذا جواب واضح جدا. ", "ما هو التغيير المهم اليوم؟"),
    "ru": ("Спасибо, это очень ясный ответ. ", "Что бы вы изменили сегодня?"),
    "it": ("Grazie, è una risposta molto chiara. ", "Che cosa cambierebbe oggi?"),
    "nl": ("Bedankt, dat is een duidelijk antwoord. ", "Wat zou u vandaag veranderen?"),
}
# The same said with signs and in words.
READ = [
    ("en", "1,250 users, 20%, $5", "one thousand two hundred fifty users, twenty percent, five dollars"),
    ("es", "1.250 usuarios, 20 %, 5 €", "mil doscientos cincuenta usuarios, veinte por ciento, cinco euros"),
    ("fr", "1 250 clients, 20 %, 5 €", "mille deux cent cinquante clients, vingt pour cent, cinq euros"),
    ("de", "am 3. Mai um 14:30 Uhr, 5 €", "am dritten Mai um vierzehn Uhr dreißig, fünf Euro"),
    ("zh", "1250个，20%，¥5", "一千二百五十个，百分之二十，五元"),
    ("hi", "20%, ₹500, 5 km", "बीस प्रतिशत, पाँच सौ रुपये, पाँच किलोमीटर"),
    ("ja", "1250人、20%、5円", "千二百五十人、二十パーセント、五円"),
    ("ko", "3명, 20%, 5km", "세 명, 이십 퍼센트, 오 킬로미터"),
    ("pt", "1.250 clientes, 20%, 5 €", "mil duzentos e cinquenta clientes, vinte por cento, cinco euros"),
    ("ar", "3 km, 5 €", "ثلاثة كيلومتر، خمسة يورو"),
    ("ru", "2 км, 20%, 5 €", "два километра, двадцать процентов, пять евро"),
    ("it", "1.250 clienti, 20%, 5 €", "milleduecentocinquanta clienti, venti per cento, cinque euro"),
    ("nl", "1.250 klanten, 20%, 5 €", "twaalfhonderdvijftig klanten, twintig procent, vijf euro"),
]
FARTHEST = 20  # characters from one mark to the next: espeak-ng speaks "to be" as one word, and the like
ALIKE = 0.8  # of the phonemes of both: voices join words and figures a little differently
SPELLED_OUT = re.compile(r"l[eE]t@")  # "Chinese letter", "Japanese letter": what it says of unknown writing
CODE = "API, SQL, C++, CI/CD"


@pytest.fixture
async def espeak() -> AsyncIterator[Espeak]:
    created = Espeak()
    await created.start()
    yield created
    await created.close()


def sounds(phrase: Said) -> list[str]:
    """Its phonemes without stress, pauses and changes of the language."""
    bare = (re.sub(r"\(\w+\)|[',|_!;]", "", one.mnemonic) for one in phrase.phonemes)
    return [sound for sound in bare if sound.strip(":?-")]


@pytest.mark.parametrize("language", SPOKEN)
def test_a_reply_is_cut_at_its_sentence_ends(language: str) -> None:
    cutter = Sentences(language)
    cut = [phrase for letter in "".join(SPOKEN[language]) for phrase in cutter.push(letter)]
    phrases = [phrase.strip() for phrase in [*cut, *cutter.flush()]]
    assert "".join(phrases).replace(" ", "") == "".join(SPOKEN[language]).replace(" ", "")
    assert phrases[-1] == SPOKEN[language][1]
    assert all(phrase[-1] in (*language_of(language).terminators, ",", "،", "、", "，") for phrase in phrases)


@pytest.mark.parametrize("language", SPOKEN)
async def test_a_sentence_is_spoken_and_marked_word_by_word(espeak: Espeak, language: str) -> None:
    for sentence in SPOKEN[language]:
        text = speakable(sentence, language).text
        phrase = await said(espeak, text, language)
        heard, seconds = sounds(phrase), len(phrase.samples) / RATE
        assert not SPELLED_OUT.search("".join(heard)), heard
        assert 6 < len(heard) / seconds < 25, f"{len(heard)} sounds in {seconds:.1f} s"
        assert phrase.words[0].start <= 1  # ¿
        assert all(a.end <= b.start and a.at <= b.at for a, b in pairwise(phrase.words))
        steps = [b.start - a.start for a, b in pairwise(phrase.words)]
        steps.append(len(text) - phrase.words[-1].start)
        assert max(steps) <= FARTHEST, [text[word.start : word.end] for word in phrase.words]


async def test_japanese_is_marked_by_words_as_they_are_written(espeak: Espeak) -> None:
    text = "お名前と、今日は3人で食べましたか。"
    words = (await said(espeak, text, "ja")).words
    marked = [text[word.start : word.end] for word in words]
    assert marked == "お 名前 と 今日 は 3人 で 食べ まし た か".split()
    assert all(a.at < b.at for a, b in pairwise(words))


@pytest.mark.parametrize("language", SPOKEN)
async def test_code_words_are_spoken_in_every_language(espeak: Espeak, language: str) -> None:
    phrase = await said(espeak, speakable(CODE, language).text, language)
    heard = sounds(phrase)
    assert not SPELLED_OUT.search("".join(heard)), heard
    assert len(heard) >= 15
    assert "sl" not in "".join(heard), "a slash is not read out"


@pytest.mark.parametrize(("language", "signs", "words"), READ)
async def test_signs_and_figures_sound_like_their_words(
    espeak: Espeak, language: str, signs: str, words: str
) -> None:
    one = sounds(await said(espeak, speakable(signs, language).text, language))
    other = sounds(await said(espeak, speakable(words, language).text, language))
    assert SequenceMatcher(None, one, other).ratio() > ALIKE, f"{one} is not {other}"


@pytest.mark.parametrize("language", SPOKEN)
async def test_all_fixed_words_are_spoken(espeak: Espeak, language: str) -> None:
    for lines in language_of(language).say.values():
        heard = sounds(await said(espeak, speakable(lines[0], language).text, language))
        assert len(heard) >= 5
        assert not SPELLED_OUT.search("".join(heard)), lines[0]


async def test_writing_that_the_voice_does_not_know_would_be_noticed(espeak: Espeak) -> None:
    heard = sounds(await said(espeak, "漢字", "ko"))
    assert SPELLED_OUT.search("".join(heard))
