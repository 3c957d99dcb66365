from typing import Any, ClassVar

from django.core.files.uploadedfile import UploadedFile
from django.db import models
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import ISO_8601, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.fields import SkipField

from apps.core import selectors
from apps.core.fields import (
    Choice,
    CodeField,
    DocumentField,
    IdField,
    MineField,
    MomentField,
    NoteField,
    PublishedField,
)
from apps.core.models import (
    MOTIF_MAX,
    Commentaire,
    Contexte,
    Epreuve,
    Evaluation,
    Filiere,
    Interaction,
    Matiere,
    Role,
    Signalement,
    Statut,
    User,
    validate_visible,
)
from apps.core.services.files import DOCUMENTS

# --- Épreuves ----------------------------------------------------------------------------


class PersonSerializer(serializers.ModelSerializer[User]):
    nom = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "nom")

    def get_nom(self, person: User) -> str:
        return person.get_full_name() or person.username


class EnseignantSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(allow_null=True, help_text="Nul : sans compte dans la banque.")
    nom = serializers.CharField()


SHRUNKEN = (
    "Moyenne ramenée vers celle de la banque quand les évaluations sont peu nombreuses : celle à "
    "comparer d'une épreuve à l'autre. Nulle sans évaluation."
)


class EpreuveSerializer(serializers.ModelSerializer[Epreuve]):
    """An épreuve in a list: what a card shows, or the `champs` of the context.

    Codes, which the filters take and the facets name: names would make a page half as long again.
    """

    matiere = serializers.SlugRelatedField[Any](slug_field="code", read_only=True)
    filiere = serializers.SlugRelatedField[Any](slug_field="code", read_only=True, allow_null=True)
    matiere_nom = serializers.CharField(source="matiere.nom")
    filiere_nom = serializers.CharField(source="filiere.nom", allow_null=True)
    enseignant = serializers.SerializerMethodField()
    corrige_disponible = serializers.SerializerMethodField(
        help_text="Vrai si vous pouvez le télécharger maintenant."
    )
    note_difficulte = NoteField(help_text=SHRUNKEN)
    note_pertinence = NoteField(help_text=SHRUNKEN)
    note_difficulte_moyenne = NoteField(help_text="Moyenne simple ; nulle sans évaluation.")
    note_pertinence_moyenne = NoteField(help_text="Moyenne simple ; nulle sans évaluation.")

    class Meta:
        model = Epreuve
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "titre",
            "matiere",
            "filiere",
            "niveau",
            "type_epreuve",
            "session",
            "annee",
            "corrige_disponible",
            "taille_octets",
            "nb_pages",
            "nb_vues",
            "nb_telechargements",
            "note_difficulte",
            "note_pertinence",
            "matiere_nom",
            "filiere_nom",
            "semestre",
            "annee_academique",
            "enseignant",
            "nb_evaluations",
            "note_difficulte_moyenne",
            "note_pertinence_moyenne",
            "statut",
            "date_publication",
        )
        read_only_fields = fields
        on_request: ClassVar[tuple[str, ...]] = fields[fields.index("matiere_nom") :]

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        if "request" not in self.context:  # The schema describes them all.
            return fields
        wanted = self.context.get("champs") or fields.keys() - {*self.Meta.on_request}
        return {name: field for name, field in fields.items() if name in wanted}

    def get_corrige_disponible(self, epreuve: Epreuve) -> bool:
        return epreuve.shows_corrige_to(self.context["request"].user)

    @extend_schema_field(EnseignantSerializer(allow_null=True))
    def get_enseignant(self, epreuve: Epreuve) -> dict[str, Any] | None:
        if epreuve.enseignant:
            return dict(PersonSerializer(epreuve.enseignant).data)
        return {"id": None, "nom": epreuve.enseignant_nom} if epreuve.enseignant_nom else None


class RepartitionSerializer(serializers.Serializer[Any]):
    difficulte = serializers.DictField(child=serializers.IntegerField())
    pertinence = serializers.DictField(child=serializers.IntegerField())


class NotesSerializer(serializers.ModelSerializer[Evaluation]):
    class Meta:
        model = Evaluation
        fields = ("id", "note_difficulte", "note_pertinence", "date_modification")
        read_only_fields = fields


class VignetteField(serializers.URLField):
    def get_attribute(self, instance: Epreuve) -> str:
        if not instance.vignette:
            raise SkipField
        path = reverse("epreuve-vignette", args=[instance.pk, instance.vignette_version])
        return str(self.context["request"].build_absolute_uri(path))


class EpreuveDetailSerializer(EpreuveSerializer):
    auteur = PersonSerializer(source="depose_par", allow_null=True)
    repartition_notes = serializers.SerializerMethodField(
        help_text="Nombre d'évaluations par note, de 1 à 5."
    )
    difficulte_calibree = NoteField(
        help_text="Difficulté sur 5 pour un étudiant ordinaire : la sévérité de chacun est "
        "estimée, puis retirée. Calculée chaque nuit ; nulle jusque-là."
    )
    vignette = VignetteField(
        required=False,
        help_text="Adresse de la première page en petit (WebP) ; absente tant qu'elle n'est pas "
        "dessinée.",
    )
    favori = MineField(help_text="Dans vos favoris.")
    deja_vue = MineField(help_text="Vrai dès que vous avez eu affaire à cette épreuve.")
    mon_evaluation = MineField(help_text="Nul : pas encore évaluée.")
    taille_corrige_octets = serializers.SerializerMethodField(
        help_text="Nul : pas de corrigé que vous puissiez télécharger."
    )

    class Meta(EpreuveSerializer.Meta):
        fields = (
            *EpreuveSerializer.Meta.fields,
            "description",
            "auteur",
            "motif_rejet",
            "taille_corrige_octets",
            "corrige_visible_le",
            "vignette",
            "repartition_notes",
            "difficulte_calibree",
            "favori",
            "deja_vue",
            "mon_evaluation",
        )
        read_only_fields = fields
        on_request = ()

    def get_taille_corrige_octets(self, epreuve: Epreuve) -> int | None:
        shown = self.get_corrige_disponible(epreuve)
        return epreuve.taille_corrige_octets if shown else None

    @extend_schema_field(RepartitionSerializer)
    def get_repartition_notes(self, epreuve: Epreuve) -> dict[str, dict[int, int]]:
        return selectors.note_distribution(epreuve)

    def get_favori(self, epreuve: Epreuve) -> bool:
        return epreuve.favoris.filter(user=self.context["request"].user).exists()

    def get_deja_vue(self, epreuve: Epreuve) -> bool:
        return selectors.has_seen(self.context["request"].user, epreuve)

    @extend_schema_field(NotesSerializer(allow_null=True))
    def get_mon_evaluation(self, epreuve: Epreuve) -> dict[str, Any] | None:
        mine = epreuve.evaluations.filter(user=self.context["request"].user).first()
        return dict(NotesSerializer(mine).data) if mine else None


class FacetSerializer(serializers.Serializer[Any]):
    """A value of a text filter."""

    valeur = serializers.CharField(help_text="Ce qu'attend le filtre du même nom.")
    libelle = serializers.CharField(help_text="Ce que lisent les gens.")
    nombre = serializers.IntegerField(min_value=1)


class AnneeFacetSerializer(FacetSerializer):
    valeur = serializers.IntegerField()  # type: ignore[assignment]


class CorrigeFacetSerializer(FacetSerializer):
    valeur = serializers.BooleanField()  # type: ignore[assignment]


class FacetsSerializer(serializers.Serializer[Any]):
    """Each filter that a list may offer, with the values it would keep something of."""

    matiere = FacetSerializer(many=True)
    filiere = FacetSerializer(many=True)
    niveau = FacetSerializer(many=True)
    type_epreuve = FacetSerializer(many=True)
    session = FacetSerializer(many=True)
    annee = AnneeFacetSerializer(many=True)
    corrige = CorrigeFacetSerializer(many=True)


class EpreuveFactsSerializer(serializers.ModelSerializer[Epreuve]):
    """What its author says of an épreuve; counters, dates and owners are not theirs to set."""

    serializer_choice_field = Choice
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: MomentField,
    }

    matiere = CodeField(queryset=Matiere.objects.all())
    filiere = CodeField(queryset=Filiere.objects.all(), allow_null=True, required=False)
    enseignant = IdField(
        queryset=User.objects.exclude(role=Role.ETUDIANT), allow_null=True, required=False
    )

    class Meta:
        model = Epreuve
        fields: ClassVar[tuple[str, ...]] = (
            "titre",
            "description",
            "matiere",
            "filiere",
            "niveau",
            "type_epreuve",
            "session",
            "semestre",
            "annee_academique",
            "annee",
            "enseignant",
            "enseignant_nom",
            "corrige_visible_le",
        )


class EpreuveWriteSerializer(EpreuveFactsSerializer):
    fichier = DocumentField(
        help_text="Le sujet : un PDF, ou des photographies JPEG ou PNG dans l'ordre des pages."
    )
    fichier_corrige = DocumentField(
        required=False, allow_null=True, help_text="Le corrigé, de même ; nul : le retirer."
    )

    class Meta(EpreuveFactsSerializer.Meta):
        fields = (*EpreuveFactsSerializer.Meta.fields, "fichier", "fichier_corrige")

    def to_internal_value(self, data: Any) -> Any:
        """A file under another name would be lost without a word."""
        values = super().to_internal_value(data)
        sent = [name for name, value in data.items() if isinstance(value, UploadedFile)]
        unknown = "Fichier inconnu : donnez fichier, fichier_corrige, ou les deux."
        if lost := {name: unknown for name in sent if name not in self.fields}:
            raise serializers.ValidationError(lost, code="fichier_inconnu")
        return values

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Set the files apart, which are not assigned like the other fields."""
        files = {name: attrs.pop(name) for name in DOCUMENTS.values() if name in attrs}
        return attrs | {"fichiers": files}


class CatalogueLineSerializer(EpreuveFactsSerializer):
    """A line of a catalogue, once its names are codes; its files are read apart."""

    class Meta(EpreuveFactsSerializer.Meta):
        fields = (*EpreuveFactsSerializer.Meta.fields, "reference_externe")
        extra_kwargs: ClassVar[dict[str, Any]] = {
            # Whose reference it is, the import knows and says.
            "reference_externe": {"validators": []},
            "corrige_visible_le": {
                "input_formats": [ISO_8601, "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y"],
                "error_messages": {
                    "invalid": "Écrivez une date comme 2027-06-15 08:00 ou 15/06/2027 08:00."
                },
            },
        }


class EpreuveDepositSerializer(EpreuveWriteSerializer):
    statut = Choice(
        [(s.value, s.label) for s in (Statut.BROUILLON, Statut.SOUMISE, Statut.PUBLIEE)],
        default=Statut.SOUMISE,
        help_text="« publiee » : réservé aux administrateurs.",
    )

    class Meta(EpreuveWriteSerializer.Meta):
        fields = (*EpreuveWriteSerializer.Meta.fields, "statut")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        statut = Statut(attrs["statut"])
        if statut == Statut.PUBLIEE and not self.context["request"].user.is_staff:
            raise PermissionDenied("Seul un administrateur publie une épreuve.")
        return super().validate(attrs) | {"statut": statut}


class RejectionSerializer(serializers.Serializer[Any]):
    motif = serializers.CharField(
        max_length=MOTIF_MAX, validators=[validate_visible], help_text="Ce que lira l'auteur."
    )


# --- What people do ----------------------------------------------------------------------


class ContexteSerializer(serializers.Serializer[Any]):
    contexte = Choice(
        [choice for choice in Contexte.choices if choice[0] != Contexte.IMPORT],
        default=Contexte.DIRECT,
        help_text="D'où l'on vient.",
    )
    requete_id = serializers.UUIDField(
        required=False,
        allow_null=True,
        error_messages={"invalid": "Renvoyez tel quel le requete_id de la réponse suivie."},
        help_text="De la réponse (personalized, similar) qui montrait l'épreuve : le contexte en "
        "vient alors. Inconnu ou d'une autre personne, il est sans effet.",
    )


class DownloadRequestSerializer(ContexteSerializer):
    document = Choice(list(DOCUMENTS), default="sujet")


class ViewSerializer(serializers.Serializer[Any]):
    enregistree = serializers.BooleanField(
        help_text="Faux : déjà comptée dans la demi-heure en cours."
    )
    nb_vues = serializers.IntegerField()


class DownloadSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="À ouvrir sans jeton, jusqu'à expire_le.")
    expire_le = serializers.DateTimeField()
    nom_fichier = serializers.CharField()
    taille_octets = serializers.IntegerField()
    sha256 = serializers.CharField()
    nb_telechargements = serializers.IntegerField()


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    epreuve = PublishedField(queryset=Epreuve.objects.published())

    class Meta:
        model = Evaluation
        fields = (
            "id",
            "epreuve",
            "note_difficulte",
            "note_pertinence",
            "date_creation",
            "date_modification",
        )
        read_only_fields = ("id", "date_creation", "date_modification")
        # The pair (user, épreuve) is replaced, not refused.
        validators: ClassVar[list[Any]] = []


class HistoriqueSerializer(serializers.ModelSerializer[Interaction]):
    epreuve = EpreuveSerializer()

    class Meta:
        model = Interaction
        fields = ("id", "type_interaction", "date", "epreuve")
        read_only_fields = fields


class EvaluationEditSerializer(serializers.ModelSerializer[Evaluation]):
    class Meta:
        model = Evaluation
        fields = ("note_difficulte", "note_pertinence")


class CommentaireSerializer(serializers.ModelSerializer[Commentaire]):
    epreuve = PublishedField(queryset=Epreuve.objects.published())
    parent = IdField(  # type: ignore[assignment]
        queryset=Commentaire.objects.visible(), allow_null=True, required=False
    )
    auteur = PersonSerializer(read_only=True, allow_null=True)
    nb_reponses = serializers.IntegerField(read_only=True)

    class Meta:
        model = Commentaire
        fields = (
            "id",
            "epreuve",
            "auteur",
            "contenu",
            "parent",
            "nb_reponses",
            "statut",
            "date_creation",
            "date_modification",
        )
        read_only_fields = ("id", "statut", "date_creation", "date_modification")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        parent = attrs.get("parent")
        if parent and (parent.parent_id or parent.epreuve_id != attrs["epreuve"].pk):
            raise serializers.ValidationError(
                {"parent": "On répond à un premier commentaire de la même épreuve."},
                code="parent_invalide",
            )
        return attrs


class CommentaireEditSerializer(serializers.ModelSerializer[Commentaire]):
    class Meta:
        model = Commentaire
        fields = ("contenu",)


class SignalementSerializer(serializers.ModelSerializer[Signalement]):
    class Meta:
        model = Signalement
        fields = ("motif",)
