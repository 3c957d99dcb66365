"""Rows that were there before a migration that must make sense of them."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def migrated() -> Iterator[Callable[[str], Any]]:
    """`migrated("0004_…")`: the models of the bank as they were then."""

    def to(name: str) -> Any:
        executor = MigrationExecutor(connection)
        executor.migrate([("core", name)])
        return MigrationExecutor(connection).loader.project_state([("core", name)]).apps

    yield to
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_a_rejection_without_a_reason_gets_one_and_logged_favourites_a_row(migrated):
    old = migrated("0004_sessions_and_history")
    matiere = old.get_model("core", "Matiere").objects.create(code="ANALYSE", nom="Analyse")
    user = old.get_model("core", "User").objects.create(username="awa")
    epreuves = [
        old.get_model("core", "Epreuve").objects.create(
            titre=statut, statut=statut, matiere=matiere
        )
        for statut in ("rejetee", "soumise")
    ]
    dates = [timezone.now() - dt.timedelta(days=days) for days in (1, 9)]
    for fenetre, date in enumerate(dates):
        for kind in ("vue", "favori"):
            old.get_model("core", "Interaction").objects.create(
                user=user, epreuve=epreuves[1], type_interaction=kind, fenetre=fenetre, date=date
            )
    new = migrated("0007_favoris")
    reasons = dict(new.get_model("core", "Epreuve").objects.values_list("titre", "motif_rejet"))
    assert reasons == {"rejetee": "Motif non enregistré.", "soumise": ""}
    favoris = new.get_model("core", "Favori").objects.values_list("user", "epreuve", "date")
    assert list(favoris) == [(user.pk, epreuves[1].pk, min(dates))]
