"""Export and erase: everything of mine, nothing of anybody else's, and no trace after.

One person does all that can be done here; the tests look at what that leaves.
"""

import base64
import contextlib
import dataclasses
import io
import json
import logging
import pickle
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache, caches
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models import Field
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from apps.comptes.export import held_of
from apps.comptes.services.erasure import ERASED_COMMENT
from apps.core import logs
from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Role,
    Signalement,
    Statut,
    StatutCommentaire,
    User,
)
from apps.core.services import journal
from apps.core.services.commentaires import moderate_comment
from apps.core.services.counters import recount
from apps.core.services.epreuves import refresh_search_text
from apps.recommender import model_store
from apps.recommender.ml import artifact, snapshot
from apps.recommender.models import DeclencheurActivation, ModelMetadata, TrainingLog
from apps.recommender.services import training, training_runs
from apps.recommender.services.activation import activate
from tests.conftest import forget
from tests.factories import (
    PASSWORD,
    CommentaireFactory,
    EpreuveFactory,
    InteractionFactory,
    UserFactory,
    pdf,
    with_file,
)
from tests.recommender.conftest import CONFIG, Bank

pytestmark = pytest.mark.django_db(transaction=True)

PK = 8_675_309_421
SAID = "ce que Nadège seule a écrit"
ABOUT_HER = (
    "privee.nadege",
    "nk.privee@imsp.test",
    "MAT-77310-X",
    "Nadègeline",
    "nadegeline",
    "Kpodjizokin",
    "kpodjizokin",
    SAID,
    str(PK),
    base64.urlsafe_b64encode(str(PK).encode()).decode().rstrip("="),
)
RECOMMENDED = "/api/recommendations/personalized/"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that a process of the server would have logged."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.RequestId())
    handler.setFormatter(logs.Json())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


@pytest.fixture
def nadege(bank: Bank) -> User:
    """She studies, teaches and administers, so that nothing of the bank is closed to her."""
    user: User = UserFactory(
        pk=PK,
        username="Privee.Nadege",
        email="nk.privee@imsp.test",
        first_name="Nadègeline",
        last_name="Kpodjizokin",
        matricule="MAT-77310-X",
        role=Role.ADMINISTRATEUR,
        filiere=bank.students["MATH"][0].filiere,
    )
    user.groups.add(Group.objects.create(name="Jury"))
    user.user_permissions.add(Permission.objects.earliest("pk"))
    return user


@pytest.fixture
def life(
    bank: Bank, nadege: User, rachidi: User, written: io.StringIO, queue: None, settings: Any
) -> APIClient:
    """Hers, from her first failed login to a model that knows her; the client that she is left."""
    settings.COURRIEL = True
    me = signed_in(nadege)
    studies(me, bank)
    carries(me, bank)
    teaches(me, nadege)
    administers(nadege, rachidi, bank.students["MATH"][1])
    trains(nadege)
    me.get(RECOMMENDED)
    return me


def signed_in(user: User) -> APIClient:
    client = APIClient()
    for name in filter(None, (user.username, user.email, user.matricule)):
        client.post("/api/token/", {"username": name, "password": "faux"})
    tokens = client.post("/api/token/", {"username": user.username, "password": PASSWORD}).json()
    client.post("/api/token/", {"username": user.email.upper(), "password": "faux"})
    client.post("/api/mot-de-passe/oubli/", {"email": user.email.upper()})
    tokens = client.post("/api/token/refresh/", {"refresh": tokens["refresh"]}).json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    return client


def studies(me: APIClient, bank: Bank) -> None:
    koffi = bank.students["MATH"][1]
    for epreuve in bank.epreuves["MATH"][:6]:
        ok(me.post(f"/api/epreuves/{epreuve.pk}/view/"))
    first, second = bank.epreuves["MATH"][:2]
    ok(me.put(f"/api/epreuves/{first.pk}/favori/"))
    note = {"epreuve": first.pk, "note_difficulte": 2, "note_pertinence": 5}
    ok(me.post("/api/evaluations/", note))
    Evaluation.objects.create(user=koffi, epreuve=first, note_difficulte=4, note_pertinence=4)
    answered, alone = (
        ok(me.post("/api/commentaires/", {"epreuve": second.pk, "contenu": f"{SAID} {n}"})).json()
        for n in (1, 2)
    )
    CommentaireFactory(parent_id=answered["id"], epreuve=second, auteur=koffi, contenu="Merci !")
    theirs = CommentaireFactory(epreuve=second, auteur=koffi, contenu="Et la suite ?")
    reply = {"epreuve": second.pk, "contenu": SAID, "parent": theirs.pk}
    ok(me.post("/api/commentaires/", reply))
    ok(me.post(f"/api/commentaires/{theirs.pk}/signaler/", {"motif": SAID}))
    third = bank.students["MATH"][2]
    Signalement.objects.create(commentaire_id=answered["id"], user=third, motif=SAID)
    ok(me.delete(f"/api/commentaires/{alone['id']}/"))


def carries(me: APIClient, bank: Bank) -> None:
    with_file(bank.epreuves["MATH"][-1])
    paquet = ok(me.post("/api/paquets/", {"budget_octets": 1_000_000})).json()
    assert b"".join(ok(me.get(paquet["url"])))


def teaches(me: APIClient, user: User) -> None:
    for title, statut in (("Donnée", "publiee"), ("En cours", "brouillon")):
        data = {
            "titre": title,
            "matiere": "ALGEBRE",
            "statut": statut,
            "enseignant_nom": "nadegeline KPODJIZOKIN",
            "fichier": SimpleUploadedFile("x.pdf", pdf(title)),
        }
        ok(me.post("/api/epreuves/", data, format="multipart"))
    taught = EpreuveFactory(titre="Enseignée", enseignant=user, enseignant_nom="N. Kpodjizokin")
    refresh_search_text(Epreuve.objects.filter(pk=taught.pk))
    ok(me.post(f"/api/epreuves/{Epreuve.objects.get(titre='Donnée').pk}/download/"))


def administers(user: User, rachidi: User, koffi: User) -> None:
    """In the pages; there, somebody looks after her account and her words as well."""
    hers, his = Client(), Client()
    Client().post("/admin/login/", {"username": user.username, "password": "faux"})
    hers.post("/admin/login/", {"username": user.username, "password": PASSWORD})
    his.force_login(rachidi)
    ok(hers.post(f"/admin/core/user/{koffi.pk}/lien", follow=True))
    ok(his.post(f"/admin/core/user/{user.pk}/lien", follow=True))
    for comment in Commentaire.objects.filter(auteur=user, statut="visible"):
        for statut in (StatutCommentaire.MASQUE, StatutCommentaire.VISIBLE):
            moderate_comment(comment, statut, par=rachidi)
    journal.note(user, f"Compte de {user.username} revu.", par=rachidi)
    journal.note(user, "Mon compte.", par=user)


def trains(user: User) -> None:
    for version in ("v1", "v2"):
        config = dataclasses.replace(CONFIG, seed=len(version) + int(version[1]))
        outcome = training.train(config, version=version, lance_par=user)
        assert outcome.model.eligible
    serve("v1", user)
    breaks_down(user)


def breaks_down(user: User) -> None:
    """A run that she asked to stop, and whose machine failed it first: it could be resumed."""

    def full_disk(entry: dict[str, Any]) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        training.train(CONFIG, version="v3", on_epoch=full_disk)
    TrainingLog.objects.filter(version="v3").update(arret_demande_par=user)


def serve(version: str, user: User | None = None) -> None:
    model = ModelMetadata.objects.get(version=version)
    activate(model, declencheur=DeclencheurActivation.COMMANDE, par=user, motif="Essai.")


def ok(answer: Any) -> Any:
    assert answer.status_code < 300, answer.content
    return answer


def erase(client: APIClient, password: str = PASSWORD) -> Any:
    return client.delete("/api/moi/", {"password": password})


# --- What is there -----------------------------------------------------------------------


def every_row() -> dict[str, list[str]]:
    """By table, read past the models."""
    rows = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows[table] = [repr(row) for row in cursor.fetchall()]
    return rows


def every_key() -> dict[str, str]:
    """Of the caches, with their values, those that are out of date included."""
    if django_settings.REDIS_URL:
        shared = {key: repr(cache.get(key)) for key in cache.iter_keys("*")}
    else:
        shared = {key: repr(pickle.loads(one)) for key, one in cache._cache.items()}  # noqa: S301
    own = {key: repr(pickle.loads(one)) for key, one in caches["processus"]._cache.items()}  # noqa: S301
    return shared | own


def every_file() -> dict[str, bytes]:
    roots = (Path(django_settings.MEDIA_ROOT), Path(django_settings.ML_MODELS_DIR))
    files = (file for root in roots for file in root.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


def every_frozen_id() -> dict[str, set[int]]:
    """By folder of a training: Parquet is squeezed."""
    return {str(folder): snapshot.user_ids(folder) for folder in training_runs.folders()}


def traces(written: io.StringIO) -> list[str]:
    """Where something about her is found."""
    found = [
        f"{table}: {row}"
        for table, rows in every_row().items()
        for row in rows
        if tells_of_her(row)
    ]
    found += [f"{key}: {value}" for key, value in every_key().items() if tells_of_her(key + value)]
    number = struct.pack("<q", PK)
    found += [
        name
        for name, content in every_file().items()
        if number in content or tells_of_her(content.decode(errors="replace"))
    ]
    found += [folder for folder, known in every_frozen_id().items() if PK in known]
    return found + [line for line in written.getvalue().splitlines() if tells_of_her(line)]


def tells_of_her(text: str) -> bool:
    plain = f"{text} {unsealed(text)}".lower()
    return any(one.lower() in plain for one in ABOUT_HER)


def unsealed(text: str) -> str:
    """What tokens and sessions say to who decodes them, squeezed or not."""
    said = []
    for run in re.findall(r"[\w-]{16,}", text, re.ASCII):
        content = base64.urlsafe_b64decode(run[: len(run) - (len(run) % 4 == 1)] + "==")
        said.append(content)
        with contextlib.suppress(zlib.error):
            said.append(zlib.decompressobj().decompress(content))
    return b" ".join(said).decode(errors="replace")


def recommended_to(people: list[User]) -> dict[int, list[tuple[int, float, str]]]:
    """What a new process would answer each of them, from the model alone."""
    forget()
    model_store.reset()
    return {person.pk: answered(person) for person in people}


def answered(person: User) -> list[tuple[int, float, str]]:
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=person.pk))
    answer = ok(client.get(RECOMMENDED, {"top_k": 3, "exclude_seen": False})).json()
    assert {one["source"] for one in answer["recommendations"]} == {"ncf"}
    return [
        (one["epreuve"]["id"], one["score"], one["source"]) for one in answer["recommendations"]
    ]


# --- Erasing -----------------------------------------------------------------------------


def test_nothing_of_an_erased_account_is_found_anywhere(life, written):
    """The same eyes see a lot before: only the files of the bank and the log say nothing."""
    before = traces(written)
    tables = {line.partition(":")[0] for line in before}
    assert {
        "core_user",
        "core_interaction",
        "core_epreuve",
        "core_commentaire",
        "core_signalement",
        "django_admin_log",
        "axes_accessattempt",
        "axes_accesslog",
        "django_session",
        "token_blacklist_outstandingtoken",
        "django_tasks_database_dbtaskresult",
        "recommender_traininglog",
        "recommender_modelmetadata",
        "recommender_activationmodele",
        "recommender_reponseservie",
    } <= tables
    assert len([line for line in before if line.endswith("users.json")]) == 2
    assert len([line for line in before if "/entrainement-" in line]) == 1
    assert "utilisateur" in written.getvalue()
    assert erase(life).status_code == 204
    assert traces(written) == []
    assert life.get("/api/moi/").status_code == 401


def test_the_process_forgets_too_at_its_next_look(life, bank):
    assert model_store.active_model().predictor.knows_user(PK)
    erase(life)
    predictor = model_store.active_model().predictor
    assert not predictor.knows_user(PK)
    assert predictor.version == "v1"
    assert predictor.knows_user(bank.students["MATH"][0].pk)


@pytest.mark.parametrize("architecture", ["hybrid", "neumf"])
def test_others_are_recommended_the_same_bit_for_bit(
    bank, nadege, rachidi, written, queue, settings, architecture
):
    me = signed_in(nadege)
    studies(me, bank)
    others = [*bank.students["MATH"], *bank.students["PHYS"]]
    for version, seed in (("v1", 3), ("v2", 4)):
        config = dataclasses.replace(CONFIG, architecture=architecture, seed=seed)
        assert training.train(config, version=version).model.eligible
    before = {}
    for version in ("v1", "v2"):
        serve(version)
        before[version] = recommended_to(others)
    assert before["v1"] != before["v2"]
    loaded = model_store.active_model()

    assert erase(me).status_code == 204
    forget()
    assert {person.pk: answered(person) for person in others} == before["v2"]
    assert model_store.active_model() is not loaded
    assert recommended_to(others) == before["v2"]
    serve("v1")
    assert recommended_to(others) == before["v1"]
    serve("v2")
    assert recommended_to(others) == before["v2"]


def test_what_others_hold_stays_as_it_was(life, bank):
    others = [*bank.students["MATH"][:2], *bank.students["PHYS"]]
    before = [held_of(person) for person in others]
    erase(life)
    assert [held_of(person) for person in others] == before


def test_counters_stand_for_the_rows_that_are_left(bank, awa, written, queue):
    me, everything = signed_in(awa), Epreuve.objects.values_list("pk", flat=True)
    studies(me, bank)
    recount(everything)
    first = Epreuve.objects.get(pk=bank.epreuves["MATH"][0].pk)
    erase(me)
    assert recount(everything) == []
    after = Epreuve.objects.get(pk=first.pk)
    assert (first.nb_vues - after.nb_vues, after.nb_evaluations) == (1, 1)
    assert (after.somme_difficulte, after.somme_pertinence) == (4, 4)


def test_what_was_answered_keeps_its_place_and_the_rest_is_gone(life, bank, api):
    erase(life)
    second = bank.epreuves["MATH"][1]
    rows = api(bank.students["MATH"][1]).get("/api/commentaires/", {"epreuve": second.pk}).json()
    shown = [(row["contenu"], row["auteur"] is None, row["nb_reponses"]) for row in rows["results"]]
    assert shown == [
        (ERASED_COMMENT, True, 1),
        ("Merci !", False, 0),
        ("Et la suite ?", False, 0),
    ]
    assert Commentaire.objects.count() == 3


def test_epreuves_are_the_institute_s_and_a_draft_is_archived(life):
    erase(life)
    given, draft, taught = (
        Epreuve.objects.get(titre=titre) for titre in ("Donnée", "En cours", "Enseignée")
    )
    assert (given.statut, draft.statut) == (Statut.PUBLIEE, Statut.ARCHIVEE)
    assert given.depose_par is None
    assert given.fichier.size > 0
    assert (taught.enseignant, taught.enseignant_nom, given.enseignant_nom) == (None, "", "")
    assert not Epreuve.objects.matching("kpodjizokin").exists()


def test_the_history_of_an_epreuve_still_tells_what_was_done(life, rachidi):
    before = LogEntry.objects.filter(content_type__model="epreuve")
    messages = sorted(before.values_list("object_id", "change_message"))
    erase(life)
    after = LogEntry.objects.filter(content_type__model="epreuve")
    told = sorted(after.values_list("object_id", "change_message"))
    draft = Epreuve.objects.get(titre="En cours")
    archived = (str(draft.pk), "Archiver : Brouillon → Archivée.")
    assert told == sorted([*messages, archived])
    (by,) = set(after.values_list("user__username", "user__is_active"))
    assert by[0].startswith("compte-supprime-")
    assert by[1] is False


# --- The models --------------------------------------------------------------------------


def test_a_training_under_way_does_not_bring_her_back(bank, nadege, monkeypatch):
    """Erased after her past was read, before the files are written."""
    me = signed_in(nadege)
    studies(me, bank)
    rachidi: User = UserFactory(role=Role.ADMINISTRATEUR)
    save = artifact.save

    def late(*args: Any, **options: Any) -> Any:
        assert erase(me).status_code == 204
        return save(*args, **options)

    monkeypatch.setattr(artifact, "save", late)
    outcome = training.train(CONFIG, version="v1", lance_par=rachidi)
    path = django_settings.ML_MODELS_DIR / "v1"
    assert not artifact.knows_user(path, PK)
    outcome.model.refresh_from_db()
    assert outcome.model.sha256_utilisateurs == artifact.forget_users(
        path, set(User.objects.values_list("pk", flat=True))
    )
    assert not model_store.active_model().predictor.knows_user(PK)


# --- Exporting ---------------------------------------------------------------------------

# Each relation to a person, and the section of the export that shows its rows.
EXPORTED = {
    "admin.LogEntry.user": "gestes_d_administration",
    "core.Commentaire.auteur": "commentaires",
    "core.Epreuve.depose_par": "epreuves_deposees",
    "core.Epreuve.enseignant": "epreuves_enseignees",
    "core.Evaluation.user": "evaluations",
    "core.Favori.user": "favoris",
    "core.Interaction.user": "interactions",
    "core.Signalement.user": "signalements",
    "core.User_groups.user": "compte",
    "core.User_user_permissions.user": "compte",
    "paquets.Paquet.user": "paquets",
    "recommender.ActivationModele.active_par": "activations",
    "recommender.ModelMetadata.active_par": "modeles_actives",
    "recommender.ReponseServie.user": "recommandations_recues",
    "recommender.TrainingLog.arret_demande_par": "entrainements_arretes",
    "recommender.TrainingLog.lance_par": "entrainements_lances",
    "token_blacklist.OutstandingToken.user": "jetons",
}
# A relation that is no business of the person's: its name, and why.
NOT_PERSONAL: dict[str, str] = {}
# Without a foreign key.
MORE = {
    "connexions_administration",
    "echecs_de_connexion",
    "epreuves",
    "gestes_sur_mon_compte",
    "liens_de_mot_de_passe",
    "modeles_qui_me_connaissent",
    "sessions_administration",
}
ACCOUNT = {
    "id": "id",
    "username": "username",
    "email": "email",
    "first_name": "prenom",
    "last_name": "nom",
    "role": "role",
    "matricule": "matricule",
    "filiere": "filiere",
    "niveau": "niveau",
    "personnalisation": "personnalisation",
    "date_joined": "date_inscription",
    "last_login": "derniere_connexion",
}
ACCOUNT_NOT_PERSONAL = {
    "password": "a secret, hashed",
    "is_staff": "is in the role",
    "is_superuser": "is in the role",
    "is_active": "true of whoever can ask",
    "mot_de_passe_temporaire": "false of whoever can ask",
    "token_version": "a counter of closed sessions",
    "version_historique": "a counter of the interactions, which are exported",
}


def relations() -> Iterator[tuple[str, Field]]:
    """Hidden ones included, which `related_objects` leaves out: those named "+"."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.get_fields(include_hidden=True):
            if field.concrete and field.related_model is User and not field.many_to_many:
                yield f"{model._meta.app_label}.{model.__name__}.{field.name}", field


def test_every_relation_to_a_person_is_exported_or_declared_not_personal():
    assert {name for name, _ in relations()} == {*EXPORTED, *NOT_PERSONAL}
    assert {field.name for field in User._meta.concrete_fields} == {*ACCOUNT, *ACCOUNT_NOT_PERSONAL}


def test_an_export_holds_every_row_of_mine(life, nadege):
    answer = life.get("/api/moi/export/")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == 'attachment; filename="mes-donnees.json"'
    shown = answer.json()
    assert shown.keys() == {*EXPORTED.values(), *MORE}
    assert [name for name, section in shown.items() if not section] == []
    for name, field in relations():
        rows = field.model._default_manager.filter(**{field.name: PK}).count()
        assert rows > 0, name
        if (section := EXPORTED[name]) != "compte":
            assert len(shown[section]) == rows, name
    account = shown["compte"]
    nadege.refresh_from_db()
    assert {*ACCOUNT.values()} <= account.keys()
    assert (account["id"], account["matricule"]) == (PK, "MAT-77310-X")
    assert (account["groupes"], len(account["droits"])) == (["Jury"], 1)
    assert shown["modeles_qui_me_connaissent"] == ["v1", "v2"]
    assert {row["contenu"] for row in shown["commentaires"]} == {SAID, f"{SAID} 1", f"{SAID} 2"}


def test_an_export_holds_nothing_of_others(life, bank, rachidi):
    text = life.get("/api/moi/export/").content.decode()
    others = [*bank.students["MATH"], *bank.students["PHYS"], rachidi]
    for person in others:
        assert f'"{person.username}"' not in text
    for words in ("Merci !", "Et la suite ?", rachidi.username):
        assert words not in text
    assert json.loads(text)["compte"]["id"] == PK


def test_the_title_of_what_is_hidden_from_me_is_not_told(api, bank):
    student = bank.students["MATH"][0]
    seen = bank.epreuves["MATH"][0]
    Epreuve.objects.filter(pk=seen.pk).update(statut=Statut.ARCHIVEE, titre="Sujet retiré")
    answer = api(student).get("/api/moi/export/")
    assert "Sujet retiré" not in answer.content.decode()
    assert seen.pk in {row["epreuve"] for row in answer.json()["interactions"]}


def test_an_export_takes_as_many_queries_for_a_long_life_as_for_a_short_one(
    api, bank, django_assert_num_queries: Callable[[int], Any]
):
    short = InteractionFactory(epreuve=bank.epreuves["MATH"][0]).user
    held_of(short)  # Content types are read once.
    with CaptureQueriesContext(connection) as few:
        held_of(User.objects.get(pk=short.pk))
    with django_assert_num_queries(len(few)):
        held_of(User.objects.get(pk=bank.students["MATH"][0].pk))


def test_an_export_counts_against_a_limit_of_its_own(api, bank, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "export", "1/hour")
    client = api(bank.students["MATH"][0])
    assert [client.get("/api/moi/export/").status_code for _ in range(2)] == [200, 429]
    assert client.get("/api/moi/").status_code == 200
