"""A conversation as OpenAI's chat completions take it, and as the templates of local models do.

A template writes a conversation as the text that its model was trained on. Many (Gemma, Mistral, Llama 2)
refuse one in which user and assistant do not take turns, a user first; some know no system prompt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipeline.providers import Message, ToolCall

# Not in parentheses, nor about "the call": small models go on in the style of what they read.
OPENING = "Hello. We are connected, please begin."


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """As the API takes them, system prompts in front.

    A call begins without a message of a user, and many local models refuse to speak first: they are given
    one, also later in the call, so that the beginning of a request stays the same and can be cached."""
    system = [message for message in messages if message.role == "system"]
    said = [message for message in messages if message.role != "system"]
    said = [message for message in said if message.text or message.calls or message.role == "tool"]
    result = [_chat_message(message) for message in system if message.text]
    if not said or said[0].role != "user":
        result.append({"role": "user", "content": OPENING})
    return result + [_chat_message(one) for one in said]


def taking_turns(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those messages for a template that wants user and assistant to alternate: what one of them says in
    several becomes one. Calls and their outputs stay as they are."""
    result: list[dict[str, Any]] = []
    for message in messages:
        before = result[-1] if result else {}
        plain = set(before) == set(message) == {"role", "content"}
        if plain and before["role"] == message["role"]:
            result[-1] = {**before, "content": f"{before['content']}\n\n{message['content']}"}
        else:
            result.append(message)
    return result


def without_system(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those messages for a template without a system prompt: the user says it."""
    told = [{**one, "role": "user"} if one["role"] == "system" else one for one in messages]
    return taking_turns(told)


def _object(call: ToolCall) -> str:
    """Its arguments. Some servers parse the history, and refuse all of it for what a model once wrote."""
    try:
        return call.arguments if isinstance(json.loads(call.arguments), dict) else "{}"
    except ValueError:
        return "{}"


def _chat_message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    if not message.calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _object(call)}}
        for call in message.calls
    ]
    return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
