"""What a voice is given, and where its words are in what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.settings import Language
from pipeline.speakable import speakable

LANGUAGES = Language.__args__  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Exactly**, use `Redis`.", "Exactly, use Redis."),
        ("# A title", "A title"),
        ("- first point", "first point"),
        ("_Well_ said, *really*.", "Well said, really."),
        ("[the docs](https://a.b/c) say so", "the docs say so"),
        ("> quoted", "quoted"),
        ("Great 🎉👍🏽!", "Great!"),
        ("It costs $5 or $2.5M.", "It costs 5 dollars or 2.5 million dollars."),
        ("It costs $1.", "It costs 1 dollar."),
        ("About 20% of 3,000 users", "About 20 percent of 3,000 users"),
        ("It takes 30 ms.", "It takes 30 milliseconds."),
        ("1 GB of memory", "1 gigabyte of memory"),
        ("Use SQL, e.g. in C++.", "Use sequel, for example in C plus plus."),
        ("We run k8s & nginx", "We run kubernetes and engine x"),
        ("See https://www.example.com/a/b?c=d.", "See example dot com."),
        ("Mail me@example.org!", "Mail me at example dot org!"),
        ("On 2024-05-01.", "On May 1, 2024."),
        ("2-3 times, 10–20 users", "2 to 3 times, 10 to 20 users"),
        ("It is O(n log n).", "It is O of n log n."),
        ("A well-known API is an API.", "A well-known API is an API."),
        ("Year 1999 and 42 cats", "Year 19 99 and 42 cats"),
        ("In the 1990s, the 80s, the 2000s", "In the 19 nineties, the eighties, the 2 thousands"),
        (
            "a 30s timeout, 1990 ms, $1990, 555-1990",
            "a 30 seconds timeout, 1990 milliseconds, 1990 dollars, 555-1990",
        ),
        ("3/4 of 1 1/2, 2/3; 8/10", "3 quarters of 1 and 1 half, 2 thirds; 8 out of 10"),
        ("3/15/2024 and 9/11", "3/15/2024 and 9/11"),
        ("100K requests/day at 5 km/h", "100K requests per day at 5 kilometres per hour"),
        ("HTTP/2, yes/no and/or CDN/LB", "HTTP 2, yes no and or CDN LB"),
        ("World War II, Chapter IV, Henry VIII", "World War 2, Chapter 4, Henry the 8th"),
        ("Type I. King Henry and I. Mix VI", "Type I. King Henry and I. Mix VI"),
        ("12 St. James St. near Dr. Who", "12 Saint James Street near Doctor Who"),
        ("from 9 a.m. to 5 p.m.", "from 9 AM to 5 PM"),
        ("AWS, an IDE, QA and IPv6", "A.W.S, an I.D.E, Q.A and I P version 6"),
        ("Don't say “no” (yet).", "Don't say “no” (yet)."),
        ("```python\nx = 1\n```", ""),
        ("No. 5 is alive. No.", "number 5 is alive. No."),
        ("🎉", ""),
        ("***", ""),
        ("", ""),
    ],
)
def test_english_phrase_is_read_sensibly(text, spoken):
    assert speakable(text, "en").text == spoken


@pytest.mark.parametrize(
    ("language", "text", "spoken"),
    [
        ("de", "z. B. 5 km für 3 €", "zum Beispiel 5 Kilometer für 3 Euro"),
        ("es", "Sr. Pérez & Cía., 20 %", "señor Pérez y Cía., 20 por ciento"),
        ("fr", "p. ex. 3 € & 5 km", "par exemple 3 euros et 5 kilomètres"),
        ("nl", "bijv. 2-3 km", "bijvoorbeeld 2 tot 3 kilometer"),
        ("it", "ad es. 5 kg", "ad esempio 5 chili"),
        ("pt", "R$ 20 por 5 km", "20 reais por 5 quilômetros"),
        ("ru", "т. е. 5 км", "то есть 5 километров"),
        ("zh", "大约5km，¥30", "大约5公里，30元"),
        ("ja", "約5kmです。", "約5キロメートルです。"),
        ("ko", "약 5km, ₩3000", "약 5 킬로미터, 3000 원"),
        ("hi", "₹500 में 5 km", "500 रुपये में 5 किलोमीटर"),
        ("ar", "حوالي 5 km", "حوالي 5 كيلومتر"),
        ("de", "1 h, 2 h und 2 min", "1 Stunde, 2 Stunden und 2 Minuten"),
        ("fr", "1,5 km, 1 €, 2 €", "1,5 kilomètre, 1 euro, 2 euros"),
        ("es", "1 km y 1,5 km", "1 kilómetro y 1,5 kilómetros"),
        (
            "ru",
            "1 км, 2 км, 5 км, 12 км, 21 км",
            "1 километр, 2 километра, 5 километров, 12 километров, 21 километр",
        ),
        ("ru", "3,5 часа, 20%, 1%", "3,5 часа, 20 процентов, 1 процент"),
        ("zh", "提高了20%，2个人，第2个，12个", "提高了百分之20，两个人，第2个，12个"),
        ("ko", "3명이 5km를 2시 30분에 20살", "세명이 5 킬로미터를 두시 30분에 스무살"),
        ("fr", "1 250 € et 3 000 personnes", "1250 euros et 3000 personnes"),
        ("ru", "5 000 руб.", "5000 рублей"),
        ("es", "la n.º 3 y la 1.ª", "la número 3 y la primera"),
        ("it", "la domanda n. 3", "la domanda numero 3"),
    ],
)
def test_signs_are_read_in_the_language(language, text, spoken):
    assert speakable(text, language).text == spoken


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("en", "On May 1, 2024"),
        ("es", "On 1 de mayo de 2024"),
        ("fr", "On 1er mai 2024"),
        ("de", "On erste Mai 2024"),
        ("zh", "On2024年5月1日"),
        ("hi", "On 1 मई 2024"),
        ("ja", "On2024年5月1日"),
        ("ko", "On 2024년 5월 1일"),
        ("pt", "On 1º de maio de 2024"),
        ("ar", "On 1 مايو 2024"),
        ("ru", "On 1 мая 2024 года"),
        ("it", "On 1º maggio 2024"),
        ("nl", "On 1 mei 2024"),
    ],
)
def test_a_date_is_read_with_its_month(language, spoken):
    assert speakable("On 2024-05-01", language).text.replace(" 2024年", "2024年") == spoken


@pytest.mark.parametrize(
    ("language", "text", "spoken"),
    [
        ("de", "um 14:30 Uhr oder 15:00", "um 14 Uhr 30 oder 15 Uhr"),
        ("nl", "om 14:30 uur", "om 14 uur 30"),
        ("zh", "14:30开始", "14点30分开始"),
        ("ja", "14:00です", "14時です"),
        ("ko", "14:30에", "14시 30분에"),
        ("hi", "14:30 बजे", "14 बजकर 30 मिनट"),
        ("es", "a las 14:30", "a las 14:30"),
    ],
)
def test_a_time_is_read_as_one_where_the_voice_does_not(language, text, spoken):
    assert speakable(text, language).text == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("am 3. Mai", "am dritten Mai"),
        ("der 3. Mai", "der dritte Mai"),
        ("im 21. Jahrhundert", "im einundzwanzigsten Jahrhundert"),
        ("am 2024-05-30", "am dreißigsten Mai 2024"),
        ("in Zimmer 3. Danach", "in Zimmer 3. Danach"),
    ],
)
def test_a_german_ordinal_is_read_as_one(text, spoken):
    assert speakable(text, "de").text == spoken


@pytest.mark.parametrize("language", LANGUAGES)
def test_code_words_are_read_in_every_language(language):
    spoken = speakable("CI/CD, C++, C#, Node.js", language).text
    assert not set(spoken) & set("/+#.")


def test_display_keeps_signs_and_emoji_but_no_markdown():
    assert speakable("**Good** 🎉 & `SQL`\n", "en").display == "Good 🎉 & SQL "


def test_displays_of_phrases_join_to_the_text():
    whole = "First, **this** is it. Then that."
    phrases = ["First, **this** is it. ", "Then that."]
    assert "".join(speakable(phrase, "en").display for phrase in phrases) == speakable(whole, "en").display


def test_code_is_shown_but_not_spoken():
    spoken = speakable("```python\nx = 1\n```", "en")
    assert (spoken.text, spoken.display) == ("", "x = 1")


def test_mark_behind_a_replaced_sign_points_behind_it():
    spoken = speakable("Use SQL, e.g. here", "en")
    here = spoken.text.index("here")
    assert spoken.display[spoken.shown(here) :] == "here"
    inside = spoken.text.index("example")  # of "for example"
    assert spoken.display[: spoken.shown(inside)] == "Use SQL, "


def test_ends_map_to_ends():
    spoken = speakable("  Hello **there**  ", "en")
    assert spoken.shown(len(spoken.text)) == len(spoken.display)
    assert spoken.shown(0) == spoken.display.index("H")


@given(
    st.text(alphabet="abC 12.,!?*_`#$€%&+|[]()🎉-–@/\n<>é中", max_size=80),
    st.sampled_from(LANGUAGES),
)
def test_map_is_monotone_and_inside_the_display(text, language):
    spoken = speakable(text, language)
    places = [spoken.shown(offset) for offset in range(-1, len(spoken.text) + 2)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= len(spoken.display)
    assert not set(spoken.text) & set("*_`#|🎉")
    assert "  " not in spoken.text
    assert spoken.text == spoken.text.strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_sentence_is_left_as_it_is(language):
    assert speakable("Marta 2 Anna, Otto.", language).text == "Marta 2 Anna, Otto."
