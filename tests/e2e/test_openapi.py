"""The OpenAPI documents of users and groups are true: schemathesis tries what they allow, and what they do not.

No answer is a 5xx, none has a status, a content type or a shape that the document does not say.
"""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.core.result import Ok

from quartet_cli.stack import Stack
from quartet_testing.client import Api
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

EXAMPLES = 6
"""Of each operation and kind; the seed is fixed."""
TRUE = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
HELD = (
    "/rabbitmq/dead-letters/discard",
    "/pause",
    "/resume",
    "/rabbitmq/redrives",
    "/rabbitmq/replay",
    "/users/lookup",
    "/users/lookup/group-scopes",
    "/users/totals",
    "/groups/totals",
    "/groups/search",
    "/groups/bulk",
    "/groups/privileged",
)
"""Endings of paths that other tests try: discard, redrives and replay have effects, the others are not reached by the
proxy.
"""


@pytest.mark.parametrize("service", ["users", "groups"])
async def test_requests_allowed_by_the_document_get_documented_responses(api: Api, stack: Stack, service: str) -> None:
    user = await api.create_user()
    await api.create_group([user["id"]])
    document = (await api.get(f"/{service}/openapi.json")).json()
    token = await asyncio.to_thread(stack.token, new_tenant())
    await asyncio.to_thread(try_all, document, stack.url, token)


def try_all(document: dict[str, Any], url: str, token: str) -> None:
    """Try each operation of the document; raises what is wrong, all of it at once."""
    wrong: list[str] = []
    tried = 0
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found.err()
        operation = found.ok()
        if operation.path.endswith(HELD):
            continue
        tried += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                try_operation(operation, mode, url, token)
            except Unsatisfiable:
                continue  # nothing can be wrong with a request that says nothing
            except (Exception, BaseExceptionGroup) as error:  # the others are to be tried too
                wrong.append(f"{operation.label}: {error}"[:1500])
    assert tried > 10
    assert not wrong, "\n\n".join(wrong)


def try_operation(operation: Any, mode: GenerationMode, url: str, token: str) -> None:
    """Send some requests of one operation, with a token, and check the answers."""
    strategy: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: Any) -> None:
        response = case.call(base_url=url, headers={"Authorization": f"Bearer {token}"})
        # 501 is what the RFC wants for what is not there on purpose (RFC 7644 section 3.11)
        assert response.status_code < 500 or response.status_code == 501, response.text  # statuses
        case.validate_response(response, checks=TRUE)

    run()
