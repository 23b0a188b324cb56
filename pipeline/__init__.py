"""The conversation: audio in, audio out. Knows no network, no aiortc, no aiohttp."""
