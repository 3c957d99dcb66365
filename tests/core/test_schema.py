import re

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command

from tests.factories import EpreuveFactory

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    path = tmp_path_factory.mktemp("schema") / "openapi.yaml"
    call_command("spectacular", file=str(path), validate=True, fail_on_warn=True)
    return yaml.safe_load(path.read_text())


def operations(schema):
    for path, item in schema["paths"].items():
        for method in METHODS & set(item):
            yield f"{method} {path}", item[method]


def test_every_operation_says_in_french_what_it_does(schema):
    silent = [name for name, operation in operations(schema) if not operation.get("description")]
    assert silent == []


def test_every_failure_is_described_by_the_one_form(schema):
    form = {"$ref": "#/components/schemas/ErrorResponse"}
    for name, operation in operations(schema):
        failures = {code: body for code, body in operation["responses"].items() if code >= "400"}
        assert failures, name
        for code, body in failures.items():
            assert body["content"]["application/json"]["schema"] == form, (name, code)
    described = schema["components"]["schemas"]["ErrorResponse"]
    assert set(described["required"]) == {"type", "errors", "request_id"}
    assert set(described["properties"]) == {"type", "errors", "request_id", "epreuve"}


@pytest.mark.parametrize(
    ("operation", "codes"),
    [
        ("post /api/epreuves/", {"201", "400", "401", "403", "409", "413", "415"}),
        ("get /api/epreuves/", {"200", "304", "400"}),
        ("get /api/recommendations/personalized/", {"200", "304", "400", "401"}),
        ("post /api/epreuves/{id}/view/", {"200", "201", "401", "404", "429"}),
        ("post /api/epreuves/{id}/download/", {"200", "401", "404", "429"}),
        ("get /api/fichiers/{jeton}/", {"200", "206", "304", "403", "404", "416"}),
        ("post /api/evaluations/", {"200", "201", "400", "401", "404"}),
        ("post /api/commentaires/", {"201", "400", "401", "404", "429"}),
        ("post /api/token/", {"200", "400", "401", "429"}),
        ("delete /api/commentaires/{id}/", {"204", "401", "403", "404"}),
        ("get /api/recommendations/similar/", {"200", "400", "401", "404"}),
    ],
)
def test_the_codes_that_people_meet_are_named(schema, operation, codes):
    assert codes <= set(dict(operations(schema))[operation]["responses"])


@pytest.mark.parametrize(
    ("component", "field"),
    [
        ("TrainingLog", "lance_par"),
        ("TrainingLog", "arret_demande_par"),
        ("Activation", "active_par"),
        ("Activation", "precedente"),
    ],
)
def test_what_may_be_null_is_always_there_and_says_so(schema, component, field):
    described = schema["components"]["schemas"][component]
    assert described["properties"][field]["nullable"] is True
    assert field in described["required"]


@pytest.mark.parametrize(("component", "field"), [("Moi", "niveau"), ("TrainingLog", "etape")])
def test_what_may_be_empty_says_so(schema, component, field):
    described = schema["components"]["schemas"][component]["properties"][field]
    assert {"$ref": "#/components/schemas/BlankEnum"} in described["oneOf"]


def test_an_address_that_may_be_empty_is_no_email(schema):
    assert "format" not in schema["components"]["schemas"]["Moi"]["properties"]["email"]


def test_lists_are_pages_and_their_parameters_are_ours(schema):
    listing = schema["paths"]["/api/epreuves/"]["get"]
    names = [parameter["name"] for parameter in listing["parameters"]]
    assert sorted(names) == sorted(set(names))
    assert {"search", "matiere", "ordering", "page", "page_size", "annee_min"} <= set(names)
    answer = listing["responses"]["200"]["content"]["application/json"]["schema"]
    page = schema["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
    assert set(page["properties"]) == {"count", "next", "previous", "results"}


@pytest.mark.parametrize("path", ["populaires", "recentes"])
def test_the_tops_are_in_the_envelope_of_lists(schema, path):
    top = schema["paths"][f"/api/epreuves/{path}/"]["get"]
    answer = top["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/PaginatedEpreuveList"}
    names = {parameter["name"] for parameter in top["parameters"]}
    assert {"limite", "exclude_seen"} <= names
    assert not {"page", "page_size", "ordering"} & names


def test_an_epreuve_is_deposited_as_a_form_with_files(schema):
    body = schema["paths"]["/api/epreuves/"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data"}
    form = schema["components"]["schemas"][
        body["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]
    ]
    for field in ("fichier", "fichier_corrige"):
        assert form["properties"][field]["items"] == {"type": "string", "format": "binary"}
    assert {"titre", "matiere", "fichier"} == set(form["required"])


@pytest.mark.django_db
def test_what_is_answered_is_what_is_described(schema, anyone, api, awa):
    EpreuveFactory()
    described = schema["components"]["schemas"]
    (card,) = anyone.get("/api/epreuves/").json()["results"]
    assert set(card) == set(described["Epreuve"]["required"])
    champs = ",".join(described["Epreuve"]["properties"])
    (card,) = anyone.get("/api/epreuves/", {"champs": champs}).json()["results"]
    assert set(card) == set(described["Epreuve"]["properties"])
    url = f"/api/epreuves/{card['id']}/"
    # A vignette comes once it is drawn.
    mine = {*api(awa).get(url).json(), "vignette"}
    assert mine == set(described["EpreuveDetail"]["properties"])
    assert set(anyone.get(url).json()) == set(described["EpreuveDetail"]["required"])


@pytest.mark.django_db
def test_swagger_needs_nothing_from_outside(anyone):
    page = anyone.get("/api/docs/")
    assert page.status_code == 200
    html = page.content.decode()
    assert re.findall(r'(?:src|href)="(?:https?:)?//', html) == []
    assets = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
    assert assets
    assert all(finders.find(asset) for asset in assets)


@pytest.mark.django_db
def test_the_schema_is_served(anyone):
    answer = anyone.get("/api/schema/")
    assert answer.status_code == 200
    assert yaml.safe_load(answer.content)["openapi"].startswith("3.")


@pytest.mark.parametrize("version", ["%0aa", "%00", "%0d%0aX-Other:%201", "%ED%A0%80", "2"])
def test_the_schema_has_one_version_whatever_is_asked_for(anyone, version):
    answer = anyone.get(f"/api/schema/?version={version}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == anyone.get("/api/schema/")["Content-Disposition"]
