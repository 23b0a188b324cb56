"""How the HTTP side says no: always JSON, in the shape of OpenAI's API."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from server.access.admission import NotAllowed
from server.access.auth import TooManyFailures, Unauthorized
from server.access.client_secrets import SecretRefused, SessionTooLarge
from server.access.guard import Guard, Handler
from server.access.oidc import IssuerUnreachable
from server.workers import BadOffer, Full, NoBudget, NotResumed, TooMany

log = logging.getLogger(__name__)

TOO_LARGE = "offer_too_large"
KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
ISSUER_RETRY_S = 10


class Refused(Exception):
    """A request that cannot be served; becomes its answer."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


def error(
    status: int, code: str, message: str, *, param: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    kind = "server_error" if status >= 500 else KINDS.get(status, "invalid_request_error")
    body: dict[str, Any] = {"error": {"message": message, "type": kind, "code": code, "param": param}}
    return web.json_response(body, status=status, headers=headers)


def refuse_in_json(guard: Guard) -> Any:
    """The one middleware: lets in whom the guard knows, and words whatever goes wrong."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = guard.refusal(request.headers.get("Host", ""), request.headers.get("Origin"))
        if refusal:
            return error(403, "forbidden", refusal)
        try:
            return await handler(request)
        except Refused as refused:
            return error(refused.status, refused.code, str(refused), param=refused.param)
        except BadOffer as bad:
            return error(413 if bad.code == TOO_LARGE else 400, bad.code, str(bad), param=bad.param)
        except NotResumed as late:
            return error(409 if late.code == "conversation_elsewhere" else 410, late.code, str(late))
        except (Unauthorized, SecretRefused) as stranger:
            return error(401, stranger.code, str(stranger), headers={"WWW-Authenticate": "Bearer"})
        except NotAllowed as forbidden:
            return error(403, "not_an_admin", str(forbidden))
        except SessionTooLarge as large:
            return error(400, "session_too_large", str(large), param="session")
        except (TooMany, TooManyFailures) as many:
            return error(
                429, "rate_limit_exceeded", str(many), headers={"Retry-After": str(many.retry_after_s)}
            )
        except IssuerUnreachable as away:
            return error(503, "issuer_unreachable", str(away), headers={"Retry-After": str(ISSUER_RETRY_S)})
        except NoBudget as spent:
            return error(503, "budget_spent", str(spent), headers={"Retry-After": str(spent.retry_after_s)})
        except Full as full:
            return error(503, "server_busy", str(full), headers={"Retry-After": str(full.retry_after_s)})
        except web.HTTPRequestEntityTooLarge:
            return error(413, TOO_LARGE, "the body is too large")
        except web.HTTPMethodNotAllowed as wrong:
            allowed = ", ".join(sorted(wrong.allowed_methods))
            return error(405, "method_not_allowed", f"here goes {allowed}", headers={"Allow": allowed})
        except web.HTTPNotFound:
            return error(404, "not_found", f"there is no {request.path[:200]}")
        except web.HTTPException as other:
            if other.status < 400:
                raise
            return error(other.status, "http_error", other.reason)
        except (ConnectionError, TimeoutError):
            return error(408, "request_timeout", "the request did not arrive in time")
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return error(500, "internal_error", "that failed here; the server's log says why")

    return middleware
