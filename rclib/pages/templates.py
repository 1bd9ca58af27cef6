"""Templates and the files they refer to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
from aiohttp import web

from rclib.pages.guard import STATIC_PATH, add_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED_STATIC: Final = Path(__file__).parent / "static"


class Templates:
    """The templates and static files of one package, besides the shared static files."""

    def __init__(self, package: Path) -> None:
        self._files = {
            path.name: path
            for directory in (SHARED_STATIC, package / "static")
            for path in directory.iterdir()
        }
        self._assets = {
            name: f"{STATIC_PATH}{name}?{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
            for name, path in self._files.items()
        }
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(package / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """Return the page's text; `asset(name)` in it is the address of a static file."""
        made = self._environment.get_template(template)
        return made.render({"asset": self._assets.__getitem__, **values})

    def routes(self) -> list[web.RouteDef]:
        return [web.get(STATIC_PATH + "{name}", self._file)]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self._files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        response = web.FileResponse(path)
        add_headers(request, response)
        return response
