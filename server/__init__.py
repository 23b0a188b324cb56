"""The world outside the conversation: HTTP, WebRTC, configuration."""

__version__ = "0.1.0"
