"""The conversation: audio in, audio out. Knows no network, no aiortc, no aiohttp."""

import os

# To be set before numpy is loaded. Behind each product OpenBLAS keeps its other threads spinning: that took
# 0.1 s of a processor for each recording that Whisper decodes. The products here are too small to share out.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
