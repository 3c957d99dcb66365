"""The life of an épreuve: what may be done from where, by whom, and where it leads.

The API, the administration and the tests all read this one table.
"""

from dataclasses import dataclass
from enum import Enum, auto

from django.contrib.auth.models import AnonymousUser
from django.db.models import TextChoices

from apps.core.models import Epreuve, Statut, User


class Action(TextChoices):
    SOUMETTRE = "soumettre", "Soumettre"
    PUBLIER = "publier", "Publier"
    REJETER = "rejeter", "Rejeter"
    ARCHIVER = "archiver", "Archiver"
    RESTAURER = "restaurer", "Restaurer"


class Who(Enum):
    AUTEUR = auto()
    ADMINISTRATEUR = auto()


@dataclass(frozen=True)
class Transition:
    before: frozenset[Statut]
    after: Statut
    who: frozenset[Who]

    def is_open_to(self, user: User | AnonymousUser, epreuve: Epreuve) -> bool:
        is_author = user.is_authenticated and epreuve.depose_par_id == user.pk
        return (Who.AUTEUR in self.who and is_author) or (
            Who.ADMINISTRATEUR in self.who and user.is_staff
        )


TRANSITIONS: dict[Action, Transition] = {
    Action.SOUMETTRE: Transition(
        frozenset({Statut.BROUILLON, Statut.REJETEE}), Statut.SOUMISE, frozenset({Who.AUTEUR})
    ),
    # A rejection may be a mistake.
    Action.PUBLIER: Transition(
        frozenset({Statut.SOUMISE, Statut.REJETEE}),
        Statut.PUBLIEE,
        frozenset({Who.ADMINISTRATEUR}),
    ),
    Action.REJETER: Transition(
        frozenset({Statut.SOUMISE}), Statut.REJETEE, frozenset({Who.ADMINISTRATEUR})
    ),
    Action.ARCHIVER: Transition(
        frozenset(Statut) - {Statut.ARCHIVEE},
        Statut.ARCHIVEE,
        frozenset({Who.AUTEUR, Who.ADMINISTRATEUR}),
    ),
    # Back into the queue: nothing but PUBLIER puts an épreuve into the catalogue.
    Action.RESTAURER: Transition(
        frozenset({Statut.ARCHIVEE}), Statut.SOUMISE, frozenset({Who.ADMINISTRATEUR})
    ),
}


def actions_from(statut: str) -> list[Action]:
    return [action for action, transition in TRANSITIONS.items() if statut in transition.before]
