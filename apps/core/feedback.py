"""What each kind of interaction says of a student's liking, on one scale.

A pair (user, épreuve) is worth the maximum of its interactions. An evaluation is worth what its
note_pertinence says; a pair rated 1 or 2 is no positive at all, whatever else was done. A favourite
counts while it is one: taken back, its interaction stays in the log and is worth nothing. A view of
what was recommended says what we recommended: it is worth nothing until something more is done.
"""

from apps.core.models import Contexte, TypeInteraction

WEIGHTS: dict[str, int] = {
    TypeInteraction.VUE: 1,
    TypeInteraction.COMMENTAIRE: 2,
    TypeInteraction.TELECHARGEMENT: 3,
    TypeInteraction.FAVORI: 4,
    # Recorded when a student rates; what it is worth depends on the note, below.
    TypeInteraction.EVALUATION: 0,
}

WEIGHT_BY_PERTINENCE: dict[int, int] = {5: 3, 4: 3, 3: 1}
DISLIKED_PERTINENCE = 2

POPULARITY_DAYS = 90

# What a model chose: views of its choice would teach the next one.
RECOMMENDED = (Contexte.PERSONNALISEE, Contexte.SIMILAIRE)
