"""The protocol: events of a session in the words of OpenAI Realtime, and back."""
