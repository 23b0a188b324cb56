"""Who is let in and how much of everything one may have: the sections [auth], [limits] and [tls]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.settings import Section

# Asymmetric ones only: with a shared secret whoever checks a token could make one; "none" is none at all.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class AuthSettings(Section):
    open: bool = False  # let in whoever reaches the port; on loopback, without any key, that is so anyway
    secret_s: int = Field(600, ge=10, le=7200)  # a client secret's life, where its maker says none
    single_use: bool = False  # every client secret opens one call only
    user_header: str = ""  # in which a trusted proxy names the user, e.g. "X-Forwarded-User"; "": none
    roles_header: str = ""  # and their roles, with commas between
    admin_role: str = "viva-admin"  # the one that makes an admin, in that header or in the token
    oidc_issuer: str = ""  # URL; its tokens are taken as `Authorization: Bearer`; "": none
    oidc_audience: str = ""  # who those tokens have to be for
    oidc_user_claim: str = "sub"
    oidc_roles_claim: str = "roles"
    oidc_algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")


class LimitSettings(Section):
    """0 means: no such limit."""

    offers_per_minute: int = Field(60, ge=0)  # of one address
    offers_per_minute_key: int = Field(0, ge=0)  # of one key or user
    calls_per_address: int = Field(0, ge=0)  # at a time
    calls_per_key: int = Field(0, ge=0)
    failures_per_minute: int = Field(20, ge=1)  # wrong keys of one address
    call_s: float = Field(0.0, ge=0)  # the longest call
    call_warning_s: float = Field(60.0, ge=0)  # before its end the person is told
    event_bytes: int = Field(262_144, ge=1024)  # of one event of a client
    events_per_s: float = Field(100.0, gt=0)  # of one client, sustained
    event_bytes_per_s: float = Field(524_288.0, gt=0)  # sound over the WebSocket included
    video_kbps: int = Field(4000, ge=100)  # kbit/s
    video_fps: float = Field(35.0, ge=1)  # frames a second
    video_pixels: int = Field(1920 * 1088, ge=64 * 64)  # of one picture, in whole blocks of 16
    connections: int = Field(512, ge=1)  # at a time, HTTP and WebSocket
    connections_per_address: int = Field(64, ge=0)
    request_within_s: float = Field(10.0, gt=0)  # from the connection to the end of a request's head
    idle_s: float = Field(75.0, gt=0)  # between two requests of a connection
    sent_within_s: float = Field(60.0, gt=0)  # an answer is to be read by its client


class TlsSettings(Section):
    certificate: str = ""  # path, PEM, with its chain; "": plain HTTP
    key: str = ""  # path, PEM
    hsts_s: int = Field(0, ge=0)  # for which browsers insist on https; 0: not said
