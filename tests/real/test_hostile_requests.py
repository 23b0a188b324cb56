"""The routes, by their own document: whatever is sent, the answer is one that the document promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.settings import CallSettings, Settings
from server.access.door import LimitSettings
from server.access.guard import Guard
from server.app import application
from server.config import Config, ServerSettings
from server.engines import Engines
from server.openapi import PATHS, document
from server.signaling import MediaWorker
from tests.real.aside import aside
from tests.real.served import Served, served

pytestmark = pytest.mark.real

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
EXAMPLES = 20  # of each route
SCHEMA = schemathesis.openapi.from_dict(document())


@schemathesis.serializer("application/sdp")
def as_it_is(context: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with aside(served(max_calls=4, door={"limits": LimitSettings(offers_per_minute=0)})) as running:
        yield running.thing


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_a_route_keeps_what_its_document_promises(case: schemathesis.Case, server: Served) -> None:
    response = case.call(base_url=server.url, timeout=10)
    allowed = (503,) if case.path == "/readyz" or response.headers.get("Retry-After") else ()
    checks = [check for check in CHECKS if not (allowed and check is not_a_server_error)]
    case.validate_response(response, checks=checks)


async def test_the_document_has_every_route_and_no_other() -> None:
    config = Config(ServerSettings(), CallSettings(), Settings(), None)
    engines = Engines(config.pipeline)
    app = application(config, engines, MediaWorker(config, engines), Guard((), ()))
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS")
    }
    written = {(path, method) for path, methods in PATHS.items() for method in methods}
    assert routes - {("/{path}", "get")} == written
