"""The API against its own document, by somebody else's fuzzer (schemathesis).

No answer is a fault of ours (5xx), and each is one that the document names: status, content type,
headers and body.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import TYPE_CHECKING

import pytest

from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.controld.world import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ENDLESS = "/api/v1/events"
"""Its answer never ends; tests/controld/test_api_events.py reads it."""
ENDING = ("/api/v1/password", "/api/v1/logout", "/api/v1/users/{user}/disable")
"""They end a login or a user, so each is asked by itself."""
EXAMPLES, SEED = 25, 1
FIRST = '"1"'
"""The ETag of what nobody has changed: each change gets through once."""


async def tell_what_there_is(rig: Rig) -> None:
    """Ids of real objects, so that what is asked gets past "there is no such thing"."""
    world, gateway = rig.world, rig.gateway.endpoint
    (device, *_) = (await world.admin.ok("GET", f"/gateways/{gateway}/devices"))["devices"]
    (user, *_) = (await world.state(rig.session))["users"]
    (own,) = (await world.admin.ok("GET", "/organisations"))["organisations"]
    there = {
        "gateway": gateway,
        "device": device["id"],
        "session": rig.session,
        "user": user,
        "organisation": own["id"],
    }
    lines = [f'"path.{name}" = "{value}"' for name, value in there.items()]
    lines.append(f"'header.If-Match' = '{FIRST}'")
    told = "\n".join(["[parameters]", *lines])
    (world.directory / "schemathesis.toml").write_text(told, encoding="utf-8")


async def fuzz(rig: Rig, token: str, *selection: str) -> None:
    """Ask each selected operation EXAMPLES times and more; fails with what was said."""
    world = rig.world
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"{world.anyone.base}/api/v1/openapi.json",
        *("--tls-verify", str(world.directory / "tls/ca.pem")),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS)),
        *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--workers", "1"),
        *("--generation-database", "none", "--no-color"),
        *selection,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=world.directory,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-8000:]


async def test_every_answer_is_one_that_the_document_names(rig: Rig) -> None:
    """With an administrator's token, on a plant with a gateway online and a session prepared."""
    world = rig.world
    await tell_what_there_is(rig)
    left_out = (("--exclude-path", path) for path in (ENDLESS, *ENDING))
    await fuzz(rig, world.admin.token, *itertools.chain(*left_out))
    assert (await world.admin("GET", "/gateways")).status == 200  # the login is still one
    actions = set(await world.actions())
    assert {
        *("gateway_created", "device_created", "policy_changed", "session_ended"),
        *("user_created", "user_role_changed", "organisation_created", "organisation_renamed"),
    } <= actions


@pytest.mark.parametrize("path", ENDING)
async def test_so_are_the_answers_to_what_ends_a_login(rig: Rig, path: str) -> None:
    await tell_what_there_is(rig)
    spare = await rig.world.anyone.login("admin", ADMIN_PASSWORD)
    await fuzz(rig, spare.token, "--include-path", path)
