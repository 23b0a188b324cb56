"""How a Japanese reader says a word in Latin letters: a known one, letter by letter, or by its sounds."""

from __future__ import annotations

import re
from collections.abc import Mapping

_KNOWN: Mapping[str, str] = {  # names of ours, and what interviews about software are full of
    "mei": "メイ", "alex": "アレックス", "vera": "ヴェラ", "tomas": "トマス", "viva": "ヴィヴァ",
    "json": "ジェイソン", "sql": "エスキューエル", "mysql": "マイエスキューエル",
    "nosql": "ノーエスキューエル", "postgresql": "ポストグレス", "postgres": "ポストグレス",
    "redis": "レディス", "kafka": "カフカ", "github": "ギットハブ", "gitlab": "ギットラボ",
    "git": "ギット", "linux": "リナックス", "java": "ジャヴァ", "javascript": "ジャヴァスクリプト",
    "typescript": "タイプスクリプト", "react": "リアクト", "node": "ノード",
    "kubernetes": "クバネティス", "docker": "ドッカー", "python": "パイソン", "rust": "ラスト",
    "go": "ゴー", "rest": "レスト", "graphql": "グラフキューエル", "cloud": "クラウド",
    "cache": "キャッシュ", "web": "ウェブ", "email": "イーメール", "mail": "メール", "app": "アプリ",
    "team": "チーム", "ok": "オーケー", "google": "グーグル", "amazon": "アマゾン", "apple": "アップル",
    "openai": "オープンエーアイ",
}  # fmt: skip
_LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "エー ビー シー ディー イー エフ ジー エイチ アイ ジェー ケー エル エム エヌ オー ピー キュー"
        " アール エス ティー ユー ヴイ ダブリュー エックス ワイ ゼット".split(),
        strict=True,
    )
)
_VOWELS = dict(zip("aiueo", "アイウエオ", strict=True))
_ROWS: Mapping[str, str] = {  # a consonant, with a, i, u, e, o after it, and alone
    "k": "カ キ ク ケ コ ク", "c": "カ シ ク セ コ ク", "q": "カ キ ク ケ コ ク",
    "g": "ガ ギ グ ゲ ゴ グ", "s": "サ シ ス セ ソ ス", "z": "ザ ジ ズ ゼ ゾ ズ",
    "t": "タ ティ トゥ テ ト ト", "d": "ダ ディ ドゥ デ ド ド", "n": "ナ ニ ヌ ネ ノ ン",
    "h": "ハ ヒ フ ヘ ホ フ", "b": "バ ビ ブ ベ ボ ブ", "p": "パ ピ プ ペ ポ プ",
    "m": "マ ミ ム メ モ ム", "y": "ヤ イ ユ イェ ヨ イ", "r": "ラ リ ル レ ロ ル",
    "l": "ラ リ ル レ ロ ル", "w": "ワ ウィ ウ ウェ ウォ ウ", "f": "ファ フィ フ フェ フォ フ",
    "v": "ヴァ ヴィ ヴ ヴェ ヴォ ヴ", "j": "ジャ ジ ジュ ジェ ジョ ジ",
    "x": "クサ クシ クス クセ クソ クス", "sh": "シャ シ シュ シェ ショ シュ",
    "ch": "チャ チ チュ チェ チョ チ", "ts": "ツァ ツィ ツ ツェ ツォ ツ", "th": "サ シ ス セ ソ ス",
    "ph": "ファ フィ フ フェ フォ フ", "ck": "カ キ ク ケ コ ク",
}  # fmt: skip
_SOUND = re.compile(rf"({'|'.join(sorted(_ROWS, key=len, reverse=True))})?([aiueo])?")
SPELLED = 3  # letters; a lower-case word that short without a vowel is an abbreviation, too


def latin_reading(word: str, listed: str | None = None) -> str:
    """A word of Latin letters in katakana. What is not known is spelled if it is written in capitals, and
    else read by its sounds, which a Japanese listener understands better than ten names of letters.

    Args:
        listed: what a dictionary says, which takes short words for abbreviations.
    """
    folded = word.casefold()
    if folded in _KNOWN:
        return _KNOWN[folded]
    if listed is not None and (word.isupper() or len(word) > SPELLED):
        return listed
    if word.isupper() or (len(word) <= SPELLED and not set(folded) & set(_VOWELS)):
        return "".join(_LETTERS.get(letter, "") for letter in folded)
    said: list[str] = []
    for consonant, vowel in _SOUND.findall(folded):
        if consonant:
            row = _ROWS[consonant].split()
            said.append(row["aiueo".index(vowel)] if vowel else row[-1])
        elif vowel:
            said.append(_VOWELS[vowel])
    return "".join(said)
