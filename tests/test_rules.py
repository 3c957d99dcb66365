"""Promise 37: whatever people do, in whatever order, the bank keeps to its rules.

Hypothesis plays the people. A few dicts say what must have come of it, as somebody who reads the
documentation would; after each step the API is asked whether it did.
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as bounded_by
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from rest_framework.test import APIClient

from apps.core.models import Epreuve, Evaluation, Interaction, Role, User, fenetre_of
from apps.core.services.counters import recount
from apps.core.services.evaluations import rate_epreuve
from tests.conftest import forget
from tests.factories import PASSWORD, UserFactory, pdf, with_file
from tests.recommender.conftest import _new_process, bank, trained  # noqa: F401

pytestmark = pytest.mark.django_db

STUDENT, TEACHER, ADMIN = Role.ETUDIANT, Role.ENSEIGNANT, Role.ADMINISTRATEUR
FILES = [pdf(f"sujet {number}") for number in range(4)]
HASHES = {hashlib.sha256(file).hexdigest(): number for number, file in enumerate(FILES)}
REPORTS_TO_MASK = 2
PRIOR = 5
NOTES = st.integers(1, 5)

STATES = {"brouillon", "soumise", "publiee", "rejetee", "archivee"}
# Before, after, and who may: its author, an administrator.
MOVES = {
    "soumettre": ({"brouillon", "rejetee"}, "soumise", {"author"}),
    "publier": ({"soumise", "rejetee"}, "publiee", {"admin"}),
    "rejeter": ({"soumise"}, "rejetee", {"admin"}),
    "archiver": (STATES - {"archivee"}, "archivee", {"author", "admin"}),
    "restaurer": ({"archivee"}, "soumise", {"admin"}),
}


@dataclass
class Paper:
    """An épreuve."""

    statut: str
    author: str | None = None
    file: int | None = None
    notes: dict[str, tuple[int, int]] = field(default_factory=dict)
    evaluations: dict[str, int] = field(default_factory=dict)
    favourite_of: set[str] = field(default_factory=set)

    @property
    def is_out(self) -> bool:
        return self.statut == "publiee"


@dataclass
class Comment:
    author: str | None
    paper: int
    parent: int | None
    statut: str = "visible"
    # By whom, and whether it waits for a moderator.
    reports: dict[str, bool] = field(default_factory=dict)


class Rules(RuleBasedStateMachine):
    start: dt.datetime
    now: dt.datetime

    def __init__(self) -> None:
        super().__init__()
        self.scope = ExitStack()
        self.scope.enter_context(transaction.atomic())
        forget()
        type(self).now = self.start
        self.roles = {user.username: user.role for user in User.objects.all()}
        students = sorted(name for name, role in self.roles.items() if role == STUDENT)
        self.actors = [*students[:2], *sorted(self.roles.keys() - students)]
        self.papers = {
            pk: Paper("publiee", author, HASHES.get(sha256))
            for pk, author, sha256 in Epreuve.objects.values_list(
                "pk", "depose_par__username", "sha256"
            )
        }
        for row in Evaluation.objects.select_related("user"):
            paper, name = self.papers[row.epreuve_id], row.user.username
            paper.notes[name] = (row.note_difficulte, row.note_pertinence)
            paper.evaluations[name] = row.pk
        rows = Interaction.objects.values_list(
            "user__username", "epreuve", "type_interaction", "fenetre"
        )
        # Who did what, to which épreuve, in which half hour.
        self.done = set(rows)
        self.comments: dict[int, Comment] = {}
        self.actor, self.touched = self.actors[0], min(self.papers)
        self.at_first, self.arrived, self.turn = len(self.papers), 0, 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.scope.close()

    # --- The means ---------------------------------------------------------------------------

    def client_of(self, name: str | None) -> APIClient:
        client = APIClient()
        if name:
            # Read anew, as a token is: nothing is left of the request before.
            client.force_authenticate(User.objects.get(username=name))
        return client

    def somebody(self, data: st.DataObject, often: str | None = None) -> str:
        """`often`: whose it is, who alone gets far with it, or who counts."""
        anybody = st.sampled_from(self.actors)
        self.actor = data.draw(st.just(often) | anybody if often else anybody, label="who")
        return self.actor

    def a_reader(self, data: st.DataObject) -> str:
        return self.somebody(data, often=self.actors[0])

    def some_paper(self, data: st.DataObject) -> int:
        """One of the two that were used from the beginning, or of the last ones deposited."""
        pks = sorted(self.papers)
        few = [*pks[:2], *pks[self.at_first :][-3:]]
        self.touched = data.draw(st.sampled_from(few), label="épreuve")
        return self.touched

    def asked(
        self, name: str | None, method: str, path: str, body: Any = None, **more: Any
    ) -> HttpResponse:
        return getattr(self.client_of(name), method)(f"/api/{path}", body, **more)

    def tried(self, expected: int, name: str, method: str, path: str, body: Any = None) -> Any:
        answer = self.asked(name, method, path, body)
        assert answer.status_code == expected, (name, method, path, answer.content.decode())
        return answer.json() if answer.content else None

    # --- What the rules say ------------------------------------------------------------------

    def is_admin(self, name: str) -> bool:
        return self.roles[name] == ADMIN

    def sees(self, name: str, paper: Paper) -> bool:
        own = paper.author == name and paper.statut != "archivee"
        return paper.is_out or own or self.is_admin(name)

    def out(self) -> set[int]:
        return {pk for pk, paper in self.papers.items() if paper.is_out}

    def seen_by(self, name: str) -> set[int]:
        return {pk for who, pk, _, _ in self.done if who == name}

    def readers(self, pk: int, names: Iterable[str]) -> list[str]:
        """Those whose use of it counts."""
        author = self.papers[pk].author
        return [name for name in names if name != author and not self.is_admin(name)]

    def does(self, name: str, pk: int, kind: str) -> bool:
        what = (name, pk, kind, fenetre_of(self.now))
        is_new = what not in self.done
        self.done.add(what)
        return is_new

    def times(self, pk: int, kind: str) -> int:
        return len(self.readers(pk, [who for who, *what, _ in self.done if what == [pk, kind]]))

    def holds(self, file: int | None, but: int | None = None) -> bool:
        return file is not None and any(
            paper.file == file and paper.statut != "archivee"
            for pk, paper in self.papers.items()
            if pk != but
        )

    def means(self) -> dict[int, tuple[int, dict[str, float | None]]]:
        """Of each épreuve: how many evaluations count, and the four means."""
        counted = {
            pk: [paper.notes[name] for name in self.readers(pk, paper.notes)]
            for pk, paper in self.papers.items()
        }
        everything = [notes for of_one in counted.values() for notes in of_one]
        found = {}
        for pk, of_one in counted.items():
            said: dict[str, float | None] = {}
            for place, name in enumerate(("note_difficulte", "note_pertinence")):
                here, all_of_them = ([note[place] for note in of] for of in (of_one, everything))
                said[name] = said[f"{name}_moyenne"] = None
                if here:
                    of_bank = sum(all_of_them) / len(all_of_them)
                    said[name] = (sum(here) + PRIOR * of_bank) / (len(here) + PRIOR)
                    said[f"{name}_moyenne"] = sum(here) / len(here)
            found[pk] = (len(of_one), said)
        return found

    # --- Papers ------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        file=st.sampled_from(range(len(FILES))),
        statut=st.sampled_from(["brouillon", "soumise", "publiee"]),
    )
    def deposit(self, data: st.DataObject, file: int, statut: str) -> None:
        name = self.somebody(data)
        body = {
            "titre": f"Sujet {file}",
            "matiere": "ALGEBRE",
            "statut": statut,
            "fichier": SimpleUploadedFile("sujet.pdf", FILES[file]),
        }
        answer = self.asked(name, "post", "epreuves/", body, format="multipart")
        refused = self.roles[name] == STUDENT or (statut == "publiee" and not self.is_admin(name))
        expected = 403 if refused else 409 if self.holds(file) else 201
        assert answer.status_code == expected, answer.content.decode()
        if expected == 201:
            self.touched = answer.json()["id"]
            self.papers[self.touched] = Paper(statut, name, file)

    @rule(data=st.data(), action=st.sampled_from(sorted(MOVES)))
    def move(self, data: st.DataObject, action: str) -> None:
        pk = self.some_paper(data)
        paper, (before, after, who) = self.papers[pk], MOVES[action]
        name = self.somebody(data, often=paper.author)
        is_theirs = ("author" in who and paper.author == name) or (
            "admin" in who and self.is_admin(name)
        )
        back = action == "restaurer" and self.holds(paper.file, but=pk)
        if not self.sees(name, paper):
            expected = 404
        elif not is_theirs:
            expected = 403
        elif paper.statut not in before or back:
            expected = 409
        else:
            expected = 204 if action == "archiver" else 200
            paper.statut = after
        if action == "archiver":
            self.tried(expected, name, "delete", f"epreuves/{pk}/")
        else:
            body = {"motif": "Page 2 illisible."} if action == "rejeter" else None
            self.tried(expected, name, "post", f"epreuves/{pk}/{action}/", body)

    # --- Use ---------------------------------------------------------------------------------

    @rule(data=st.data())
    def view(self, data: st.DataObject) -> None:
        name, pk = self.a_reader(data), self.some_paper(data)
        if not self.papers[pk].is_out:
            self.tried(404, name, "post", f"epreuves/{pk}/view/")
            return
        is_new = self.does(name, pk, "vue")
        answer = self.tried(201 if is_new else 200, name, "post", f"epreuves/{pk}/view/")
        assert answer == {"enregistree": is_new, "nb_vues": self.times(pk, "vue")}

    @rule(data=st.data())
    def download(self, data: st.DataObject) -> None:
        name, pk = self.a_reader(data), self.some_paper(data)
        paper = self.papers[pk]
        if not self.sees(name, paper) or paper.file is None:
            self.tried(404, name, "post", f"epreuves/{pk}/download/")
            return
        if paper.is_out:
            self.does(name, pk, "telechargement")
        answer = self.tried(200, name, "post", f"epreuves/{pk}/download/")
        assert answer["nb_telechargements"] == self.times(pk, "telechargement")
        path = answer["url"].partition("/api/")[2]
        file = self.asked(None, "get", path)
        assert b"".join(file) == FILES[paper.file]

    @rule(data=st.data(), difficulte=NOTES, pertinence=NOTES)
    def rate(self, data: st.DataObject, difficulte: int, pertinence: int) -> None:
        name, pk = self.a_reader(data), self.some_paper(data)
        paper = self.papers[pk]
        body = {"epreuve": pk, "note_difficulte": difficulte, "note_pertinence": pertinence}
        if not paper.is_out:
            self.tried(404, name, "post", "evaluations/", body)
            return
        answer = self.tried(200 if name in paper.notes else 201, name, "post", "evaluations/", body)
        assert paper.evaluations.setdefault(name, answer["id"]) == answer["id"]
        paper.notes[name] = (difficulte, pertinence)
        self.does(name, pk, "evaluation")

    @precondition(lambda self: any(paper.notes for paper in self.papers.values()))
    @rule(data=st.data(), pertinence=NOTES, withdraws=st.booleans())
    def change_notes(self, data: st.DataObject, pertinence: int, withdraws: bool) -> None:
        rated = [(pk, who) for pk, paper in self.papers.items() for who in sorted(paper.notes)]
        self.touched, rater = data.draw(st.sampled_from(rated), label="évaluation")
        name, paper = self.somebody(data, often=rater), self.papers[self.touched]
        path = f"evaluations/{paper.evaluations[rater]}/"
        if name != rater:
            self.tried(404, name, "delete" if withdraws else "patch", path)
        elif withdraws:
            self.tried(204, name, "delete", path)
            del paper.notes[name], paper.evaluations[name]
        elif not paper.is_out:
            self.tried(404, name, "patch", path, {"note_pertinence": pertinence})
        else:
            self.tried(200, name, "patch", path, {"note_pertinence": pertinence})
            paper.notes[name] = (paper.notes[name][0], pertinence)
            self.does(name, self.touched, "evaluation")

    @rule(data=st.data(), keeps=st.booleans())
    def favourite(self, data: st.DataObject, keeps: bool) -> None:
        name, pk = self.a_reader(data), self.some_paper(data)
        paper, path = self.papers[pk], f"epreuves/{pk}/favori/"
        if not (paper.is_out if keeps else self.sees(name, paper)):
            self.tried(404, name, "put" if keeps else "delete", path)
        elif keeps:
            self.tried(204, name, "put", path)
            if name not in paper.favourite_of:
                self.does(name, pk, "favori")
            paper.favourite_of.add(name)
        else:
            self.tried(204, name, "delete", path)
            paper.favourite_of.discard(name)

    # --- Comments ----------------------------------------------------------------------------

    @rule(data=st.data(), answers=st.booleans())
    def comment(self, data: st.DataObject, answers: bool) -> None:
        name, pk = self.a_reader(data), self.some_paper(data)
        body: dict[str, Any] = {"epreuve": pk, "contenu": "Merci !"}
        fits = True
        if answers and self.comments:
            body["parent"] = data.draw(st.sampled_from(sorted(self.comments)), label="parent")
            parent = self.comments[body["parent"]]
            fits = parent.statut == "visible" and parent.paper == pk and parent.parent is None
        if not self.papers[pk].is_out:
            # Both may be wrong at once; then the épreuve, or the parent, is named first.
            assert self.asked(name, "post", "commentaires/", body).status_code in {400, 404}
            return
        answer = self.tried(201 if fits else 400, name, "post", "commentaires/", body)
        if fits:
            self.comments[answer["id"]] = Comment(name, pk, body.get("parent"))
            self.does(name, pk, "commentaire")

    @precondition(lambda self: self.comments)
    @rule(data=st.data(), gesture=st.sampled_from(["patch", "delete", "report"]))
    def touch_comment(self, data: st.DataObject, gesture: str) -> None:
        pk = data.draw(st.sampled_from(sorted(self.comments)), label="commentaire")
        comment = self.comments[pk]
        name = self.somebody(data, often=comment.author)
        self.touched = comment.paper
        getattr(self, f"_{gesture}")(name, pk, comment)

    def reads(self, name: str, comment: Comment) -> bool:
        own = comment.statut == "masque" and comment.author == name
        return comment.statut == "visible" or own or self.is_admin(name)

    def _patch(self, name: str, pk: int, comment: Comment) -> None:
        if not self.reads(name, comment):
            expected = 404
        elif comment.author != name:
            expected = 403
        else:
            expected = 200 if self.papers[comment.paper].is_out else 404
        self.tried(expected, name, "patch", f"commentaires/{pk}/", {"contenu": "Mieux."})

    def _delete(self, name: str, pk: int, comment: Comment) -> None:
        if not self.reads(name, comment):
            expected = 404
        elif comment.author != name and not self.is_admin(name):
            expected = 403
        elif comment.statut == "supprime":
            expected = 409
        else:
            expected = 204
            comment.statut = "supprime"
            comment.reports = dict.fromkeys(comment.reports, False)
        self.tried(expected, name, "delete", f"commentaires/{pk}/")

    def _report(self, name: str, pk: int, comment: Comment) -> None:
        if comment.statut != "visible" or not self.papers[comment.paper].is_out:
            expected = 404
        elif comment.author == name or name in comment.reports:
            expected = 409
        else:
            expected = 204
            comment.reports[name] = True
            if sum(comment.reports.values()) >= REPORTS_TO_MASK:
                comment.statut = "masque"
        self.tried(expected, name, "post", f"commentaires/{pk}/signaler/", {"motif": "Injure."})

    # --- Time, and people who come and go ----------------------------------------------------

    @rule()
    def half_an_hour_passes(self) -> None:
        type(self).now += dt.timedelta(minutes=30)

    @precondition(lambda self: len(self.actors) < 8)
    @rule()
    def register(self) -> None:
        self.arrived += 1
        name = f"nouveau{self.arrived}"
        body = {"username": name, "password": PASSWORD}
        answer = self.asked(None, "post", "inscription/", body)
        assert answer.status_code == 201, answer.content.decode()
        self.roles[name] = STUDENT
        self.actors.append(name)
        self.actor = name

    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        name = self.a_reader(data)
        if self.is_admin(name) and list(self.roles.values()).count(ADMIN) == 1:
            self.tried(409, name, "delete", "moi/", {"password": PASSWORD})
            return
        self.tried(204, name, "delete", "moi/", {"password": PASSWORD})
        del self.roles[name]
        self.actors.remove(name)
        self.done = {what for what in self.done if what[0] != name}
        for paper in self.papers.values():
            paper.favourite_of.discard(name)
            paper.notes.pop(name, None)
            paper.evaluations.pop(name, None)
            if paper.author == name:
                paper.author = None
                paper.statut = "archivee" if paper.statut == "brouillon" else paper.statut
        self._withdraw_comments(name)
        self.actor = self.actors[0]

    def _withdraw_comments(self, name: str) -> None:
        theirs = {pk for pk, comment in self.comments.items() if comment.author == name}
        for pk in theirs:
            if self.comments[pk].parent is not None:
                del self.comments[pk]
        answered = {comment.parent for comment in self.comments.values()}
        for pk in theirs & self.comments.keys():
            if pk in answered:
                self.comments[pk].author = None
                self.comments[pk].reports = {}
            else:
                del self.comments[pk]
        for comment in self.comments.values():
            comment.reports.pop(name, None)

    # --- What must be so after each step -----------------------------------------------------

    def listed(self, name: str | None, path: str) -> list[dict[str, Any]]:
        answer = self.asked(name, "get", path)
        assert answer.status_code == 200, (name, path, answer.content.decode())
        return answer.json()["results"]

    @invariant()
    def counters_and_means_are_those_of_the_rules(self) -> None:
        admin = next(name for name, role in self.roles.items() if role == ADMIN)
        counters = "nb_vues,nb_telechargements,nb_evaluations"
        notes = "note_difficulte,note_pertinence,note_difficulte_moyenne,note_pertinence_moyenne"
        path = f"epreuves/?page_size=100&champs=id,statut,{counters},{notes}"
        means = self.means()
        rows = {row["id"]: row for row in self.listed(admin, path)}
        assert rows.keys() == self.papers.keys()
        for pk, row in rows.items():
            number, expected = means[pk]
            assert row["statut"] == self.papers[pk].statut, pk
            assert row["nb_vues"] == self.times(pk, "vue"), pk
            assert row["nb_telechargements"] == self.times(pk, "telechargement"), pk
            assert row["nb_evaluations"] == number, pk
            for name, mean in expected.items():
                assert row[name] == (mean and pytest.approx(mean, abs=0.0051)), (pk, name)

    @invariant()
    def nothing_is_left_to_repair(self) -> None:
        assert recount(self.papers, repair=False) == []

    @invariant()
    def what_is_shown_is_what_the_rules_say(self) -> None:
        """In turn: all of it after each step would ask more than it would find."""
        self.turn += 1
        checks = (
            self.what_is_hidden_is_nowhere,
            self.recommendations_are_new_to_whom_they_are_shown,
            self.everybody_finds_what_they_did,
        )
        checks[self.turn % len(checks)]()

    def what_is_hidden_is_nowhere(self) -> None:
        assert ids(self.listed(None, "epreuves/?page_size=100")) == self.out()
        assert ids(self.listed(None, "epreuves/recentes/?limite=50")) == self.out()
        assert ids(self.listed(None, "epreuves/populaires/?limite=50")) <= self.out()
        visible = {pk for pk, paper in self.papers.items() if self.sees(self.actor, paper)}
        assert ids(self.listed(self.actor, "epreuves/?page_size=100")) == visible

    def recommendations_are_new_to_whom_they_are_shown(self) -> None:
        own = {pk for pk, paper in self.papers.items() if paper.author == self.actor}
        offered = self.recommended("personalized/?top_k=100")
        assert offered == self.out() - own - self.seen_by(self.actor)
        if self.sees(self.actor, self.papers[self.touched]):
            near = self.recommended(f"similar/?top_k=100&epreuve_id={self.touched}")
            assert near <= self.out() - {self.touched}

    def recommended(self, path: str) -> set[int]:
        answer = self.asked(self.actor, "get", f"recommendations/{path}").json()
        pks = [one["epreuve"]["id"] for one in answer["recommendations"]]
        assert max(Counter(pks).values(), default=1) == 1, pks
        return set(pks)

    def everybody_finds_what_they_did(self) -> None:
        name, out = self.actor, self.out()
        mine = {pk for pk in out if name in self.papers[pk].favourite_of}
        assert ids(self.listed(name, "moi/favoris/?page_size=100")) == mine
        did = [(pk, kind) for who, pk, kind, _ in self.done if who == name and pk in out]
        history = self.listed(name, "moi/historique/?page_size=100")
        assert Counter(
            (row["epreuve"]["id"], row["type_interaction"]) for row in history
        ) == Counter(did)
        rated = {pk: paper.notes[name] for pk, paper in self.papers.items() if name in paper.notes}
        rows = self.listed(name, "evaluations/?page_size=100")
        assert len(rows) == len(rated)
        assert {
            row["epreuve"]: (row["note_difficulte"], row["note_pertinence"]) for row in rows
        } == rated

    @invariant()
    def an_epreuve_says_what_became_of_it(self) -> None:
        name, pk = self.actor, self.touched
        paper = self.papers[pk]
        if not self.sees(name, paper):
            for path in (f"epreuves/{pk}/", f"commentaires/?epreuve={pk}"):
                self.tried(404, name, "get", path)
            return
        row = self.tried(200, name, "get", f"epreuves/{pk}/")
        assert row["favori"] == (name in paper.favourite_of)
        assert row["deja_vue"] == (pk in self.seen_by(name))
        mine = row["mon_evaluation"]
        assert (mine and (mine["note_difficulte"], mine["note_pertinence"])) == paper.notes.get(
            name
        )
        counted = Counter(paper.notes[who][0] for who in self.readers(pk, paper.notes))
        assert row["repartition_notes"]["difficulte"] == {str(n): counted[n] for n in range(1, 6)}
        self._check_comments(name, pk)

    def _check_comments(self, name: str, pk: int) -> None:
        here = {key: one for key, one in self.comments.items() if one.paper == pk}
        replies = Counter(one.parent for one in here.values() if one.statut == "visible")
        shown = {
            row["id"]: (row["statut"], row["nb_reponses"], row["auteur"] is None)
            for row in self.listed(name, f"commentaires/?epreuve={pk}&page_size=100")
        }
        assert shown == {
            key: (one.statut, replies[key], one.author is None)
            for key, one in here.items()
            if self.reads(name, one)
        }


def ids(rows: Collection[dict[str, Any]]) -> set[int]:
    """Of a list that shows each épreuve once."""
    assert len({row["id"] for row in rows}) == len(rows), rows
    return {row["id"] for row in rows}


@pytest.fixture
def play(
    request: pytest.FixtureRequest,
    m_zinsou: User,
    mme_dossou: User,
    rachidi: User,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., None]:
    """In a bank with an active model, and a clock that only the people move.

    Two of its épreuves have an author, a file and notes: what is rare in a few steps starts here.
    """
    request.getfixturevalue("trained")
    UserFactory(username="nadege", role=ADMIN, filiere=None, niveau="")
    students = User.objects.filter(role=STUDENT).order_by("username")[:2]
    authors = (mme_dossou, m_zinsou)
    for epreuve, author, file in zip(Epreuve.objects.order_by("pk"), authors, FILES, strict=False):
        epreuve.depose_par = author
        with_file(epreuve, file)
        for student in students:
            rate_epreuve(user=student, epreuve=epreuve, note_difficulte=2, note_pertinence=5)
    recount(Epreuve.objects.values_list("pk", flat=True))
    settings.INSCRIPTION_OUVERTE = True
    settings.SIGNALEMENTS_MASQUAGE = REPORTS_TO_MASK
    Rules.start = Rules.now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: Rules.now)

    def play(**bounds: Any) -> None:
        few = bounded_by(
            deadline=None, database=None, suppress_health_check=[*HealthCheck], **bounds
        )
        run_state_machine_as_test(Rules, settings=few)

    return play


def test_whatever_people_do_the_rules_hold(play):
    # Its steps are few enough to be read as they are: to look for fewer takes minutes.
    play(max_examples=12, stateful_step_count=15, derandomize=True, phases=[Phase.generate])


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_the_rules_hold_in_300_runs(play):
    play(max_examples=300, stateful_step_count=15)
