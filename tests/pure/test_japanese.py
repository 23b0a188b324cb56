"""What espeak-ng is given instead of Japanese writing, and where its words stand in that."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tts.japanese import read
from pipeline.tts.japanese_latin import latin_reading
from pipeline.tts.japanese_numbers import cardinal, numbers_in


@pytest.mark.parametrize(
    ("text", "kana"),
    [
        ("今日は何を食べましたか？", "キョーワ ナニオ タベマシタカ？"),
        ("学校へ行く。", "ガッコーエ イク。"),
        ("こんにちは！", "コンニチワ！"),
        ("私は日本人です。", "ワタシワ ニホンジンデス。"),
        ("何ですか。何人ですか。", "ナンデスカ。 ナンニンデスカ。"),
        ("もう一度お願いできますか。", "モー イチド オネガイ デキマスカ。"),
        ("行こうと思う。", "イコート オモウ。"),
        ("明日、一人で三日間", "アシタ、 ヒトリデ ミッカカン"),
        ("経験、招いて", "ケーケン、 マネイテ"),
        ("スペインとメイク", "スペイント メイク"),
        ("旅行", "リヨコー"),
        ("「はい」・『いいえ』", "ハイ イイエ"),
        ("Meiです。", "メイデス。"),
        ("PythonとSQLのAPI", "パイソント エスキューエルノ エーピーアイ"),
        ("3.5秒、1250円", "サンテンゴビョー、 センニヒャクゴジューエン"),
        ("5月1日に3人で", "ゴガツ ツイタチニ サンニンデ"),
        ("1日に２回", "イチニチニ ニカイ"),
        ("🎉〜", ""),
        ("", ""),
    ],
)
def test_a_phrase_is_read_as_it_is_spoken(text: str, kana: str) -> None:
    assert read(text).kana == kana


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("0", "ゼロ"),
        ("10", "ジュー"),
        ("111", "ヒャクジューイチ"),
        ("300", "サンビャク"),
        ("3600", "サンゼンロッピャク"),
        ("8800", "ハッセンハッピャク"),
        ("10000", "イチマン"),
        ("10000000", "イッセンマン"),
        ("120030004", "イチオクニセンサンマンヨン"),
        ("1000000000000", "イッチョー"),
        ("007", "ゼロゼロナナ"),
        ("12345678901234567", "イチニサンヨンゴロクナナハチキューゼロイチニサンヨンゴロクナナ"),
    ],
)
def test_numbers_are_grouped_by_ten_thousands(digits: str, said: str) -> None:
    assert cardinal(digits) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1分", "イップン"),
        ("3分", "サンプン"),
        ("4分", "ヨンプン"),
        ("10分", "ジュップン"),
        ("5分", "ゴフン"),
        ("1本", "イッポン"),
        ("3本", "サンボン"),
        ("2人", "フタリ"),
        ("12人", "ジューニニン"),
        ("4時", "ヨジ"),
        ("9時", "クジ"),
        ("7月", "シチガツ"),
        ("20日", "ハツカ"),
        ("20歳", "ハタチ"),
        ("8歳", "ハッサイ"),
        ("100回", "ヒャッカイ"),
        ("1,234年", "センニヒャクサンジューヨネン"),
        ("8つ", "ヤッツ"),
        ("2.5時間", "ニテンゴジカン"),
    ],
)
def test_what_is_counted_changes_the_number_before_it(text: str, said: str) -> None:
    assert [number.said for number in numbers_in(text)] == [said]


@pytest.mark.parametrize(
    ("word", "said"),
    [("CSS", "シーエスエス"), ("xml", "エックスエムエル"), ("sakura", "サクラ"), ("Smith", "スミス")],
)
def test_a_latin_word_that_no_dictionary_has_is_spelled_or_sounded(word: str, said: str) -> None:
    assert latin_reading(word) == said


def test_every_sound_points_at_the_word_that_was_written() -> None:
    text = "今日は3人で食べました。"
    reading = read(text)
    words = [text[reading.starts[at] : reading.ends[at]] for at in range(len(reading.kana))]
    assert words[0] == "今日"
    assert words[reading.kana.index("サンニン")] == "3人"
    assert words[reading.kana.index("タベ")] == "食べ"


@given(
    st.text(
        alphabet="今日本語人食旅行はをへのでたいうキョンッーAbz0123,.。、？「」・ 🎉〜…\n月分", max_size=40
    )
)
def test_any_text_is_read_in_order_and_in_kana_only(text: str) -> None:
    reading = read(text)
    assert len(reading.starts) == len(reading.ends) == len(reading.kana)
    assert all(a <= b for a, b in pairwise(reading.starts))
    assert all(0 <= start < end <= len(text) for start, end in zip(reading.starts, reading.ends, strict=True))
    assert all("ァ" <= char <= "ヺ" or char in "ー 。、！？…,.!?:;，．；：" for char in reading.kana)
