"""The world outside: HTTP, WebRTC, configuration. May import `pipeline`; never the other way round."""

__version__ = "0.1.0"
