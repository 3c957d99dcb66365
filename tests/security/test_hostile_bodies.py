"""Promise 10, by hand: bodies made to break what reads them, for every operation that takes one."""

from typing import Any

import pytest
import yaml
from django.db import transaction

from tests.core.test_errors import DEEP, SHALLOW, in_the_one_form

pytestmark = pytest.mark.django_db

HOSTILE = [
    b"",
    b"{",
    b"[]",
    b'["a"]',
    b"null",
    b"1",
    b'"texte"',
    b"NaN",
    b'{"epreuve": NaN}',
    b'{"epreuve": 1e400, "parent": 1e400, "note_difficulte": 1e400, "contenu": 1e400}',
    b'{"epreuve": -1e400, "contexte": -1e400, "matiere": 1e400, "enseignant": 1e400}',
    b'{"epreuve": ' + b"9" * 5000 + b"}",
    b'{"epreuve": "\\ud800", "contexte": "\\ud800", "document": "\\udfff", "contenu": "\\ud800"}',
    b'{"username": "\\ud800", "password": "\\ud800", "refresh": "\\ud800", "token": "\\ud800"}',
    b'{"username": "a\\u0000", "password": "\\u0000", "refresh": "\\u0000", "contexte": "\\u0000"}',
    b'{"\\ud800": "\\u0000"}',
    b'{"contexte": {"a": ["b"]}, "epreuve": {"id": 1}, "username": {}, "refresh": []}',
    b'{"matiere": "\\ud800", "niveau": "\\ud800", "titre": "\\u0000", "enseignant": "\\ud800"}',
    b"\xff\xfe\x00{",
    b"\x00" * 10,
    # The last of two counts: a check of the first would be worth nothing.
    b'{"contenu": "a", "contenu": "\\u0000", "statut": "soumise", "statut": ["x"]}',
    b'{"motif": "a", "motif": "\\u0000", "epreuve": 1, "epreuve": [1]}',
    # What nobody sees, what turns the line around, half of a pair, the last code point.
    '{"contenu": "\u200b\u2060", "motif": "\u200b", "titre": "\u202e\u200f"}'.encode(),
    '{"username": "a\u202ewa", "password": "\u200b", "email": "\u200b@\u202e"}'.encode(),
    b'{"contenu": "\\ude00\\ud83d", "jeton": "\\udbff", "uid": "\\uffff", "motif": "\\udc00"}',
    # Beyond every column, in all the places for a number.
    b'{"epreuve": -9223372036854775809, "note_difficulte": 9223372036854775808}',
    b'{"budget_octets": 1e308, "annee": -0.0, "semestre": true, "enseignant": 1e22}',
    b'{"epochs": ' + b"9" * 400 + b', "seed": -1e400, "embedding_dim": 1e-400, "annee": true}',
    # A list or an object where there should be a text, and the other way around.
    b'{"motif": ["a"], "email": {"a": 1}, "token": [[]], "version": {}, "jeton": []}',
    b'{"filiere": ["MATH"], "personnalisation": "\\u0000", "prenom": {}, "champs": [null]}',
    b'{"__proto__": {"role": 1}, "": "", "id": {}, "fichier": "../../etc/passwd"}',
    b'\xef\xbb\xbf{"contenu": "a"}',
    DEEP,
    SHALLOW,
]
# Method, path, and whether a body is asked for.
with open("openapi.yaml") as _schema:
    WRITES = [
        (method, path, operation.get("requestBody", {}).get("required", False))
        for path, operations in yaml.safe_load(_schema)["paths"].items()
        for method, operation in operations.items()
        if method != "get"
    ]


@pytest.mark.parametrize(("method", "path", "asks"), WRITES)
def test_a_hostile_body_is_a_4xx(
    api: Any, rachidi: Any, known: dict[str, Any], settings: Any, method: str, path: str, asks: bool
) -> None:
    settings.INSCRIPTION_OUVERTE = True
    url = path.format(**known)
    for body in HOSTILE:
        with transaction.atomic():
            answer = api(rachidi).generic(method.upper(), url, body, "application/json")
            transaction.set_rollback(True)
        assert answer.status_code < 500, body[:80]
        if answer.status_code >= 400:
            in_the_one_form(answer)
        assert answer.status_code >= 400 or not asks, body[:80]
