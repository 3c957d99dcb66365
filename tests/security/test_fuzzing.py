"""Promise 10: no input gives a 5xx, and every answer is one that the schema describes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.comptes.services.accounts import open_session
from apps.core.models import User
from config.wsgi import application

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent.parent


def read_to_its_end(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As a server does, which closes the file behind an answer."""
    answer = application(environ, start_response)
    try:
        return [b"".join(answer)]
    finally:
        answer.close()


SCHEMA = schemathesis.openapi.from_path(ROOT / "openapi.yaml")
SCHEMA.app = read_to_its_end
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """As with Django's own client: the transaction of the test outlives a request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _open_doors(settings: Any) -> None:
    settings.INSCRIPTION_OUVERTE = True
    settings.COURRIEL = True


@pytest.fixture
def headers(awa: User, mme_dossou: User, rachidi: User) -> list[dict[str, str]]:
    """Of each role: anonymous, student, teacher, administrator."""
    people = (awa, mme_dossou, rachidi)
    # Compressed, an answer could not be compared with what the schema says of it.
    tokens = ({}, *({"Authorization": f"Bearer {open_session(one)['access']}"} for one in people))
    return [{"Accept-Encoding": "identity", **token} for token in tokens]


def cases(operation: APIOperation, known: dict[str, Any]) -> st.SearchStrategy[Case]:
    """What the schema allows, the same about things that exist, and what it does not allow."""
    allowed = operation.as_strategy(GenerationMode.POSITIVE)
    return st.one_of(
        allowed.map(lambda case: about(case, known)),
        allowed,
        operation.as_strategy(GenerationMode.NEGATIVE),
    )


def about(case: Case, known: dict[str, Any]) -> Case:
    if case.media_type != "multipart/form-data":
        known = {name: value for name, value in known.items() if name != "fichier"}
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place.update({name: known[name] for name in place.keys() & known.keys()})
    return case


def tried(case: Case, headers: list[dict[str, str]]) -> int:
    """Ask as each role; the effects of each are taken back."""
    for of_role in headers:
        with transaction.atomic():
            answer = case.call(headers=of_role)
            transaction.set_rollback(True)
        case.validate_response(answer, checks=CHECKS)
    return len(headers)


def fuzz(
    operation: APIOperation,
    known: dict[str, Any],
    headers: list[dict[str, str]],
    **bounds: Any,
) -> int:
    """How many requests were made of it."""
    asked = 0

    @settings(deadline=None, database=None, suppress_health_check=[*HealthCheck], **bounds)
    @given(cases(operation, known))
    def answers(case: Case) -> None:
        nonlocal asked
        asked += tried(case, headers)

    answers()
    return asked


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_no_input_is_a_5xx_and_every_answer_is_described(operation, known, headers):
    assert fuzz(operation, known, headers, max_examples=3, derandomize=True)


@pytest.mark.reliability
@pytest.mark.timeout(1800)
def test_of_thousands_of_requests_none_is_a_5xx(known, headers):
    asked = sum(fuzz(operation, known, headers, max_examples=20) for operation in OPERATIONS)
    assert asked >= 2_000
