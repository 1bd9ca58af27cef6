"""The OpenAPI 3.1 document, made of the route table and of the types it names."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from controld.api import CURSOR, MAX_CHOICE, MAX_CURSOR, MAX_KEY, MIN_KEY, Choice, Open, Route
from controld.api_server import Problem
from controld.roles import Action
from rclib.runtime.version import suite_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controld.api import Call

PATH: Final = "/api/v1/openapi.json"
_PROBLEM: Final = "application/problem+json"
_PATH_ID: Final = "\\{(\\w+)\\}"
# What any request can run into, whatever it asks for.
_ALWAYS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def route_of(routes: Iterable[Route]) -> Route:
    """Make the route that gives the document of these and itself."""
    document: dict[str, Any] = {}

    async def give(call: Call) -> web.StreamResponse:
        del call
        return web.Response(body=msgspec.json.encode(document), content_type="application/json")

    route = Route(method="GET", path=PATH, needs=Open.ANYONE, handle=give)
    document |= document_of((*routes, route))
    return route


def document_of(routes: Iterable[Route]) -> dict[str, Any]:
    listed = tuple(routes)
    types = {t for route in listed for t in (route.takes, route.gives) if t is not None}
    schemas, parts = msgspec.json.schema_components(
        sorted({*types, Problem}, key=lambda t: t.__name__),
        ref_template="#/components/schemas/{name}",
    )
    del schemas  # each type stands among the parts, too
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "remoteconnect control plane",
            "version": suite_version(),
            "description": "Times are UTC milliseconds. Errors are problem+json with a `code`.",
        },
        "paths": paths,
        "components": {
            "schemas": _for_other_languages(parts),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    summary = (route.handle.__doc__ or "").strip().partition("\n")[0]
    module = route.handle.__module__.rpartition(".")[2].removeprefix("api_")
    operation: dict[str, Any] = {
        "operationId": f"{module}_{route.handle.__name__.strip('_')}",
        "tags": [module],
        "description": summary or route.handle.__name__.strip("_").replace("_", " "),
        "x-right": route.needs.value,
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.takes is not None:
        operation["requestBody"] = {
            "required": not route.is_optional,
            "content": {"application/json": {"schema": _reference(route.takes)}},
        }
    if route.needs is not Open.ANYONE:
        operation["security"] = [{"token": []}]
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(_PATH_ID, route.path)
    ]
    found += [
        {
            "name": number.name,
            "in": "query",
            "schema": {
                "type": "integer",
                "minimum": number.low,
                "maximum": number.high,
                "default": number.default,
            },
        }
        for number in route.numbers
    ]
    found += [_choice(choice) for choice in route.choices]
    if route.has_cursor:
        text = {"type": "string", "maxLength": MAX_CURSOR}
        found.append({"name": CURSOR, "in": "query", "schema": text})
    if route.status is HTTPStatus.CREATED:
        text = {"type": "string", "minLength": MIN_KEY, "maxLength": MAX_KEY}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": text})
    if route.is_change:
        text = {"type": "string"}
        found.append({"name": "If-Match", "in": "header", "required": True, "schema": text})
    if route.is_stream:
        text = {"type": "string"}
        found.append({"name": "Last-Event-ID", "in": "header", "schema": text})
    return found


def _choice(choice: Choice) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": MAX_CHOICE}
    if choice.values:
        schema = {"type": "string", "enum": list(choice.values)}
    return {"name": choice.name, "in": "query", "schema": schema}


def _responses(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    has_body = route.gives is not None or route.media
    status = route.status if has_body else HTTPStatus.NO_CONTENT
    if route.path == PATH:
        status, good["content"] = route.status, {"application/json": {"schema": {"type": "object"}}}
    elif route.gives is not None:
        kind = "text/event-stream" if route.is_stream else "application/json"
        schema = {"type": "string"} if route.is_stream else _reference(route.gives)
        good["content"] = {kind: {"schema": schema}}
    elif route.media:
        good["content"] = {media: {"schema": {"type": "string"}} for media in route.media}
    if route.gives is not None and "revision" in route.gives.__struct_fields__:
        good["headers"] = {"ETag": {"schema": {"type": "string"}}}
    return {str(status.value): good} | {
        str(each.value): {
            "description": each.phrase,
            "content": {_PROBLEM: {"schema": _reference(Problem)}},
        }
        for each in sorted({*_ALWAYS, *_refusals(route)})
    }


def _refusals(route: Route) -> Iterable[HTTPStatus]:
    if route.needs is not Open.ANYONE or route.takes is not None:
        yield HTTPStatus.UNAUTHORIZED
    if "{" in route.path or route.takes is not None:
        yield HTTPStatus.NOT_FOUND
    if route.method != "GET":
        yield from (HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if route.is_change:
        yield from (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.PRECONDITION_REQUIRED)
    if route.needs is not Action.READ_AUDIT or route.method != "GET":
        yield HTTPStatus.TOO_MANY_REQUESTS


def _reference(type_: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{type_.__name__}"}


def _for_other_languages(value: Any) -> Any:  # noqa: ANN401 -- JSON
    """Spell Python's anchors as ECMA 262 has them, which JSON Schema goes by."""
    if isinstance(value, dict):
        return {
            key: _anchored(each) if key == "pattern" else _for_other_languages(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_for_other_languages(each) for each in value]
    return value


def _anchored(pattern: Mapping[str, Any] | str) -> Any:  # noqa: ANN401 -- a property may have the name
    if not isinstance(pattern, str):
        return _for_other_languages(pattern)
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")
