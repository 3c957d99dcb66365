from typing import Any

import pytest
from django.core.files.base import ContentFile

from apps.comptes.services.accounts import open_session
from apps.core.models import User
from apps.core.services.files import Link, signed_token
from apps.recommender.models import ActivationModele, ReponseServie
from tests.factories import (
    PASSWORD,
    CommentaireFactory,
    EpreuveFactory,
    EvaluationFactory,
    FavoriFactory,
    ModelMetadataFactory,
    pdf,
    seen,
    with_file,
)

# Of whatever an id is asked for; no sequence of PostgreSQL comes so far.
PK = 10**9


@pytest.fixture
def known(awa: User, mme_dossou: User) -> dict[str, Any]:
    """What a random value would never meet, by the name of the parameter or field."""
    epreuve = with_file(EpreuveFactory(pk=PK, depose_par=mme_dossou, matiere__code="ANALYSE"))
    epreuve.vignette.save("", ContentFile(b"webp"))
    EvaluationFactory(pk=PK, user=awa, epreuve=epreuve)
    seen(awa, epreuve)
    FavoriFactory(user=awa, epreuve=epreuve)
    CommentaireFactory(pk=PK, auteur=awa, epreuve=epreuve)
    # All that may be missing is.
    bare = EpreuveFactory(filiere=None, annee=None, annee_academique="", niveau="AUTRE")
    seen(awa, bare)
    CommentaireFactory(auteur=None, epreuve=epreuve)
    modele = ModelMetadataFactory(
        version=epreuve.vignette_version, training_log__pk=PK, motif_refus="NDCG trop bas."
    )
    ActivationModele.objects.create(modele=modele, declencheur="entrainement")
    ReponseServie.objects.create(
        user=awa, genre="personnalisee", epreuves=[epreuve.pk], sources="recentes", clics="1"
    )
    tokens = open_session(awa)
    return {
        **dict.fromkeys(("id", "epreuve", "epreuve_id", "parent"), PK),
        "enseignant": mme_dossou.pk,
        "matiere": "ANALYSE",
        "filiere": "MATH",
        "version": epreuve.vignette_version,
        "jeton": signed_token(Link(epreuve.pk, "sujet", awa.pk)),
        "username": "awa",
        "password": PASSWORD,
        "mot_de_passe": PASSWORD,
        "nouveau_mot_de_passe": f"{PASSWORD}-neuf",
        "email": awa.email,
        "fichier": [pdf("neuf")],
        "refresh": tokens["refresh"],
        "token": tokens["access"],
    }
