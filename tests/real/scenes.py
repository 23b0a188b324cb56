"""Every state of the page as the events that lead to it: what a server would send, in its order."""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]

QUESTION = (
    "Suppose the cache in front of your database goes down at peak time. "
    "What happens next, and what would you have done beforehand?"
)
ANSWER = (
    "I would have put a limit on concurrent reads, and kept the hot keys in the process for a few seconds."
)
BECAUSE = (
    "Mostly because it was the part that every request touched, so when it was slow everything was slow."
)


def provider(stage: str, name: str, detail: str, why: str) -> Event:
    return {"stage": stage, "name": name, "detail": detail, "why": why, "ready": True, "error": None}


def mode(mode_id: str, title: str, summary: str, persona: str) -> Event:
    return {"id": mode_id, "title": title, "summary": summary, "persona": persona}


def language(code: str, name: str, own: str, *, direction: str = "ltr", ears: bool = False) -> Event:
    words = {"code": code, "name": name, "own": own, "direction": direction}
    add = [] if ears else ["faster_whisper: set stt.faster_whisper.model", "openai: set OPENAI_API_KEY"]
    return {**words, "ears": ears, "voice": True, "add": add}


ABOUT: dict[str, Any] = {
    "version": "0.1.0",
    "ready": True,
    "providers": [
        provider("stt", "pocketsphinx", "US English, on this server", "No other recogniser is set up."),
        provider("llm", "scripted", "Not a language model.", "No key and no model server were found."),
        provider("tts", "espeak", "espeak-ng, on this server", "No other voice is set up."),
    ],
    "modes": [
        mode("interview", "Interview", "A job interview with feedback after every answer", "alex"),
        mode("language", "Language", "Practise a language with a friend who speaks it", "mei"),
        mode("chat", "Chat", "Free talk with an easy colleague", "tomas"),
    ],
    "personas": [
        {"id": "vera", "name": "Vera", "role": "Hiring manager, calm and exact"},
        {"id": "alex", "name": "Alex", "role": "Senior engineering manager, feedback first"},
        {"id": "mei", "name": "Mei", "role": "Language partner, patient"},
        {"id": "tomas", "name": "Tomás", "role": "Conversation host, easy-going"},
    ],
    "languages": [
        language("en", "English", "English", ears=True),
        language("es", "Spanish", "Español"),
        language("zh", "Chinese", "中文"),
        language("ar", "Arabic", "العربية", direction="rtl"),
    ],
    "topics": [
        {"id": "system_design", "title": "System design"},
        {"id": "coding", "title": "Coding"},
        {"id": "behavioural", "title": "Behavioural"},
    ],
    "limits": {"max_calls": 8},
}  # fmt: skip


def floor(phase: str, **more: Any) -> Event:
    return {"type": "viva.floor", "phase": phase, **more}


def item(item_id: str, role: str, text: str | None, status: str = "completed") -> Event:
    kind = "input_audio" if role == "user" else "output_audio"
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": status,
        "content": [{"type": kind, "transcript": text}],
    }


def said(item_id: str, text: str, after: str | None = None) -> list[Event]:
    """The person said `text`, and the server has understood it."""
    return [
        {"type": "conversation.item.added", "item": item(item_id, "user", None), "previous_item_id": after},
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": item_id,
            "transcript": text,
        },
    ]


def reply_begins(item_id: str, text: str, after: str | None) -> list[Event]:
    return [
        {
            "type": "conversation.item.added",
            "item": item(item_id, "assistant", "", "in_progress"),
            "previous_item_id": after,
        },
        floor("answering", audible=True),
        {"type": "output_audio_buffer.started", "response_id": f"r-{item_id}"},
        {"type": "viva.phrase", "response_id": f"r-{item_id}", "item_id": item_id, "text": text},
    ]


def heard(item_id: str, text: str, words: int) -> list[Event]:
    """The first `words` words of the phrase `text` are heard, one after another."""
    events: list[Event] = []
    at = 0
    for word in text.split(" ")[:words]:
        response = {"response_id": f"r-{item_id}", "item_id": item_id}
        events.append({"type": "viva.word", **response, "start": at, "text": word})
        events.append(
            {
                "type": "response.output_audio_transcript.delta",
                **response,
                "delta": word if at == 0 else f" {word}",
            }
        )
        at += len(word) + 1
    return events


def reply_ends(item_id: str, text: str) -> list[Event]:
    return [
        {"type": "conversation.item.done", "item": item(item_id, "assistant", text)},
        {"type": "response.done", "response": {"id": f"r-{item_id}", "status": "completed"}},
        {"type": "output_audio_buffer.stopped", "response_id": f"r-{item_id}"},
        floor("listening"),
    ]


def whole_reply(item_id: str, text: str, after: str | None) -> list[Event]:
    return [
        *reply_begins(item_id, text, after),
        *heard(item_id, text, len(text.split(" "))),
        *reply_ends(item_id, text),
    ]


GREETING = "Hello, I am Alex. What made you move the session store out of the monolith?"

EARLIER = [
    *whole_reply("i1", GREETING, None),
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 9000, "item_id": "i2"},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 21000, "item_id": "i2"},
    *said("i2", BECAUSE, "i1"),
    *whole_reply("i3", QUESTION, "i2"),
]

SPEAKS = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 30_000, "item_id": "i4"}
PARTIAL = {
    "type": "viva.partial",
    "item_id": "i4",
    "sure": "Well, the first thing is that every read goes straight to the database, so",
    "tail": " it would probably fall",
}
ASKED = [*EARLIER, SPEAKS, floor("hearing"), *said("i4", ANSWER, "i3")]

PAUSED = floor("paused", patience_ms=60_000, spent_ms=22_000, why="hanging")
SPOKEN = [*ASKED, *reply_begins("i5", QUESTION, "i4"), *heard("i5", QUESTION, 9)]
CANCELLED = {"id": "r-i5", "status": "cancelled", "status_details": {"reason": "turn_detected"}}
CUT = [
    floor("doubting", audible=True, ducked=True),
    SPEAKS,
    {"type": "response.done", "response": CANCELLED},
    {"type": "output_audio_buffer.cleared", "response_id": "r-i5"},
    {"type": "conversation.item.truncated", "item_id": "i5", "content_index": 0, "audio_end_ms": 2600},
    floor("hearing"),
]

SCENES: dict[str, list[Event]] = {
    "listening": EARLIER,
    "hearing": [*EARLIER, SPEAKS, floor("hearing"), PARTIAL],
    "pausing": [*EARLIER, SPEAKS, floor("hearing"), PARTIAL, PAUSED],
    "thinking": [*ASKED, floor("answering")],
    "speaking": SPOKEN,
    "interrupted": [*SPOKEN, *CUT],
}
