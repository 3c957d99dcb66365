import datetime as dt
import uuid
from pathlib import PurePath
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, AnonymousUser, UserManager
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.core.querysets import CommentaireQuerySet, EpreuveQuerySet, UseQuerySet
from apps.core.search import WordsField
from apps.core.text import WORD_MAX, is_visible, normalise

# One interaction of a kind counts per half hour: retries and double clicks are harmless.
FENETRE_SECONDES = 1800

MOTIF_MAX = 1000


class Niveau(models.TextChoices):
    PREPA = "PREPA", "Classe préparatoire"
    L1 = "L1", "Licence 1"
    L2 = "L2", "Licence 2"
    L3 = "L3", "Licence 3"
    M1 = "M1", "Master 1"
    M2 = "M2", "Master 2"
    D = "D", "Doctorat"
    AUTRE = "AUTRE", "Autre"


class Role(models.TextChoices):
    ETUDIANT = "etudiant", "Étudiant"
    ENSEIGNANT = "enseignant", "Enseignant"
    ADMINISTRATEUR = "administrateur", "Administrateur"


class Nomenclature(models.Model):
    code = models.SlugField("code", max_length=32, unique=True)
    nom = models.CharField("nom", max_length=120)

    class Meta:
        abstract = True
        ordering = ["nom", "code"]

    def __str__(self) -> str:
        return self.nom


class Matiere(Nomenclature):
    class Meta(Nomenclature.Meta):
        verbose_name = "matière"


class Filiere(Nomenclature):
    class Meta(Nomenclature.Meta):
        verbose_name = "filière"


class Users(UserManager["User"]):
    """Usernames are matched without regard to case, at login as at creation."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """As the login lock counts, and by the unique index: `iexact` is UPPER, where ı is I."""
        return self.alias(lower=Lower("username")).get(lower=(username or "").lower())

    def create_superuser(
        self,
        username: str,
        email: str | None = None,
        password: str | None = None,
        **extra_fields: Any,
    ) -> "User":
        extra_fields["role"] = Role.ADMINISTRATEUR
        return super().create_superuser(username, email, password, **extra_fields)


class User(AbstractUser):
    # ASCII only: databases and Python agree on no other case, and nobody passes for another.
    username = models.CharField(
        "nom d'utilisateur",
        max_length=150,
        unique=True,
        help_text="150 caractères au plus : lettres sans accent, chiffres et @ . + - _ seulement.",
        validators=[ASCIIUsernameValidator()],
        error_messages={"unique": "Ce nom d'utilisateur est déjà pris."},
    )
    role = models.CharField("rôle", max_length=16, choices=Role, default=Role.ETUDIANT)
    matricule = models.CharField("matricule", max_length=32, unique=True, null=True, blank=True)
    filiere = models.ForeignKey(
        Filiere, models.PROTECT, verbose_name="filière", null=True, blank=True
    )
    niveau = models.CharField("niveau", max_length=8, choices=Niveau, blank=True)
    personnalisation = models.BooleanField(
        "recommandations personnalisées",
        default=True,
        help_text="Décoché, l'historique de cette personne ne sert ni à l'entraînement ni à ses "
        "recommandations.",
    )

    mot_de_passe_temporaire = models.BooleanField(
        "mot de passe temporaire",
        default=False,
        help_text="Coché, le mot de passe n'ouvre pas de session : il sert une fois, à en choisir "
        "un autre.",
    )
    # Part of every session: moved, it closes all those of the account at their next request.
    token_version = models.PositiveIntegerField(default=0, editable=False)
    # Moved with every interaction: part of the cache keys, and read along with the account.
    version_historique = models.PositiveBigIntegerField(default=0, editable=False)

    objects: ClassVar[Users] = Users()

    class Meta:
        verbose_name = "utilisateur"
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="user_username_sans_casse",
                violation_error_message="Ce nom d'utilisateur est déjà pris.",
            ),
            models.CheckConstraint(
                condition=Q(username__regex=r"^[A-Za-z0-9_.@+-]+\Z"),
                name="user_username_ascii",
                violation_error_message="Un nom d'utilisateur s'écrit sans accent ni espace.",
            ),
            models.UniqueConstraint(
                Lower("email"),
                condition=~Q(email=""),
                name="user_email_sans_casse",
                violation_error_message="Cette adresse est déjà utilisée.",
            ),
            models.CheckConstraint(
                condition=Q(role=Role.ADMINISTRATEUR, is_staff=True)
                | (~Q(role=Role.ADMINISTRATEUR) & Q(is_staff=False)),
                name="user_administrateur_est_staff",
                violation_error_message="Seul un administrateur accède à l'administration.",
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="user_role_connu"),
        ]

    def get_session_auth_hash(self) -> str:
        """What every session and token carries: it moves with the password and the role too."""
        stamp = f"{self.password}|{self.role}|{self.token_version}"
        return salted_hmac("apps.core.models.User", stamp, algorithm="sha256").hexdigest()

    @property
    def empreinte(self) -> str:
        """What logs and cache keys say of an account: it leads nowhere once the row is gone."""
        salt = "apps.core.models.User.empreinte"
        # With its date: a restored database gives the same number to somebody else.
        account = f"{self.pk}|{self.date_joined.timestamp()}"
        return salted_hmac(salt, account, algorithm="sha256").hexdigest()[:16]

    @property
    def peut_deposer(self) -> bool:
        return self.role in {Role.ENSEIGNANT, Role.ADMINISTRATEUR}


class TypeEpreuve(models.TextChoices):
    EXAMEN = "examen", "Examen"
    PARTIEL = "partiel", "Partiel"
    DEVOIR = "devoir", "Devoir"
    TD = "td", "Travaux dirigés"
    CONCOURS = "concours", "Concours"
    AUTRE = "autre", "Autre"


class Session(models.TextChoices):
    NORMALE = "normale", "Normale"
    RATTRAPAGE = "rattrapage", "Rattrapage"
    UNIQUE = "unique", "Unique"


class Statut(models.TextChoices):
    BROUILLON = "brouillon", "Brouillon"
    SOUMISE = "soumise", "Soumise"
    PUBLIEE = "publiee", "Publiée"
    REJETEE = "rejetee", "Rejetée"
    ARCHIVEE = "archivee", "Archivée"


def storage_name(instance: "Epreuve", filename: str) -> str:
    """A name of our own: nothing of what the client sent reaches the file system."""
    name = uuid.uuid4().hex
    return f"epreuves/{name[:2]}/{name}.pdf"


def vignette_name(instance: "Epreuve", filename: str) -> str:
    """Another picture, another name: whoever has one need never ask for it again."""
    name = uuid.uuid4().hex
    return f"vignettes/{name[:2]}/{name}.webp"


def validate_annee_academique(value: str) -> None:
    """Silent on another shape, which the pattern beside it refuses: DRF runs both."""
    first, _, second = value.partition("-")
    if first.isdecimal() and second.isdecimal() and int(second) != int(first) + 1:
        raise ValidationError(
            "Les deux années doivent se suivre, par exemple 2023-2024.", code="annees_suivies"
        )


def validate_visible(value: str) -> None:
    if not is_visible(value):
        raise ValidationError("Écrivez au moins un caractère visible.", code="invisible")


class Epreuve(models.Model):
    titre = models.CharField("titre", max_length=200, validators=[validate_visible])
    description = models.TextField("description", max_length=5000, blank=True)
    matiere = models.ForeignKey(
        Matiere, models.PROTECT, verbose_name="matière", related_name="epreuves"
    )
    filiere = models.ForeignKey(
        Filiere,
        models.PROTECT,
        verbose_name="filière",
        related_name="epreuves",
        null=True,
        blank=True,
        help_text="Vide : toutes les filières.",
    )
    reference_externe = models.CharField(
        "référence externe", max_length=64, unique=True, null=True, blank=True
    )
    niveau = models.CharField("niveau", max_length=8, choices=Niveau, default=Niveau.AUTRE)
    type_epreuve = models.CharField(
        "type d'épreuve", max_length=10, choices=TypeEpreuve, default=TypeEpreuve.EXAMEN
    )
    session = models.CharField("session", max_length=10, choices=Session, default=Session.NORMALE)
    semestre = models.PositiveSmallIntegerField(
        "semestre",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10)],
    )
    annee_academique = models.CharField(
        "année académique",
        max_length=9,
        blank=True,
        validators=[
            RegexValidator(r"^[0-9]{4}-[0-9]{4}\Z", "Écrivez l'année académique comme 2023-2024."),
            validate_annee_academique,
        ],
    )
    annee = models.PositiveSmallIntegerField(
        "année",
        null=True,
        blank=True,
        validators=[MinValueValidator(1900), MaxValueValidator(2100)],
    )
    enseignant = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="enseignant",
        related_name="epreuves_enseignees",
        null=True,
        blank=True,
    )
    enseignant_nom = models.CharField("nom de l'enseignant", max_length=120, blank=True)
    depose_par = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="déposée par",
        related_name="epreuves_deposees",
        null=True,
        blank=True,
    )

    fichier = models.FileField("sujet (PDF)", upload_to=storage_name, blank=True)
    fichier_corrige = models.FileField("corrigé (PDF)", upload_to=storage_name, blank=True)
    vignette = models.FileField("vignette", upload_to=vignette_name, blank=True, editable=False)
    corrige_visible_le = models.DateTimeField(
        "corrigé visible le",
        null=True,
        blank=True,
        db_index=True,
        # The last day of the calendar is past it in another time zone, and breaks whoever shows it.
        validators=[
            MinValueValidator(dt.datetime(1900, 1, 1, tzinfo=dt.UTC)),
            MaxValueValidator(dt.datetime(2100, 1, 1, tzinfo=dt.UTC)),
        ],
        help_text="Avant cette date, seuls l'auteur et les administrateurs ont le corrigé. Vide : "
        "visible tout de suite.",
    )
    taille_octets = models.PositiveBigIntegerField("taille du sujet (octets)", default=0)
    taille_corrige_octets = models.PositiveBigIntegerField("taille du corrigé (octets)", default=0)
    nb_pages = models.PositiveIntegerField("pages", null=True, blank=True)
    sha256 = models.CharField("SHA-256 du sujet", max_length=64, blank=True)
    sha256_corrige = models.CharField("SHA-256 du corrigé", max_length=64, blank=True)

    statut = models.CharField("statut", max_length=10, choices=Statut, default=Statut.BROUILLON)
    motif_rejet = models.TextField("motif du rejet", max_length=MOTIF_MAX, blank=True)
    date_creation = models.DateTimeField("créée le", default=timezone.now, editable=False)
    date_modification = models.DateTimeField("modifiée le", auto_now=True)
    date_publication = models.DateTimeField("publiée le", null=True, blank=True)

    nb_vues = models.PositiveIntegerField("vues", default=0, editable=False)
    nb_telechargements = models.PositiveIntegerField("téléchargements", default=0, editable=False)
    nb_evaluations = models.PositiveIntegerField("évaluations", default=0, editable=False)
    # Sums, not means: the shrunken means, and the mean of the bank, are made of them.
    somme_difficulte = models.PositiveIntegerField(default=0, editable=False)
    somme_pertinence = models.PositiveIntegerField(default=0, editable=False)
    # Written by `calibrate_difficulty`, which looks at all the notes of the bank at once.
    difficulte_calibree = models.FloatField(
        "difficulté calibrée", null=True, blank=True, editable=False
    )

    texte_recherche = models.TextField(editable=False, default="")

    objects = EpreuveQuerySet.as_manager()

    class Meta:
        verbose_name = "épreuve"
        ordering = ["-date_publication", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["sha256"],
                condition=~Q(sha256="") & ~Q(statut=Statut.ARCHIVEE),
                name="epreuve_fichier_unique",
                violation_error_message="Ce fichier est déjà dans la banque.",
            ),
            models.CheckConstraint(
                condition=~Q(statut=Statut.PUBLIEE) | Q(date_publication__isnull=False),
                name="epreuve_publiee_datee",
                violation_error_message="Une épreuve publiée porte sa date de publication.",
            ),
            models.CheckConstraint(
                condition=Q(statut__in=Statut.values), name="epreuve_statut_connu"
            ),
            models.CheckConstraint(
                condition=(Q(statut=Statut.REJETEE) & ~Q(motif_rejet=""))
                | (~Q(statut=Statut.REJETEE) & Q(motif_rejet="")),
                name="epreuve_rejet_motive",
                violation_error_message="Une épreuve rejetée, et elle seule, porte un motif.",
            ),
            models.CheckConstraint(
                condition=Q(difficulte_calibree=None) | Q(difficulte_calibree__range=(1, 5)),
                name="epreuve_difficulte_calibree_1_a_5",
            ),
        ]
        indexes = [
            # Read in both directions; where values may be missing, see also the migrations.
            models.Index(F("date_publication").desc(), F("id").desc(), name="epreuve_recentes"),
            models.Index(fields=["nb_vues", "id"], name="epreuve_vues"),
            models.Index(fields=["nb_telechargements", "id"], name="epreuve_telechargements"),
            models.Index(fields=["annee", "id"], name="epreuve_annee"),
            models.Index(fields=["titre", "id"], name="epreuve_titre"),
            models.Index(fields=["filiere", "niveau"], name="epreuve_filiere_niveau"),
            # All that the facets count: the rows themselves are left alone.
            models.Index(
                fields=[
                    "statut",
                    "matiere",
                    "filiere",
                    "niveau",
                    "type_epreuve",
                    "session",
                    "annee",
                    "fichier_corrige",
                    "corrige_visible_le",
                    "depose_par",
                ],
                name="epreuve_facettes",
            ),
            # The mean of the bank, which every shrunken mean needs, without reading the rows.
            models.Index(
                fields=["nb_evaluations", "somme_difficulte", "somme_pertinence"],
                condition=Q(nb_evaluations__gt=0),
                name="epreuve_evaluees",
            ),
        ]

    def __str__(self) -> str:
        return self.titre

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.texte_recherche = self.searchable_text()
        if (fields := kwargs.get("update_fields")) is not None:
            kwargs["update_fields"] = {*fields, "texte_recherche", "date_modification"}
        super().save(*args, **kwargs)

    def searchable_text(self) -> str:
        enseignant = self.enseignant.get_full_name() if self.enseignant else self.enseignant_nom
        return normalise(
            f"{self.titre} {self.description} {self.matiere.nom} {self.annee or ''} {enseignant}"
        )

    def shows_corrige_to(self, user: "User | AnonymousUser") -> bool:
        """What `EpreuveQuerySet.with_corrige_for` asks of the database."""
        if not self.fichier_corrige:
            return False
        if self.corrige_visible_le is None or self.corrige_visible_le <= timezone.now():
            return True
        return user.is_authenticated and (user.is_staff or user.pk == self.depose_par_id)

    @property
    def vignette_version(self) -> str:
        return PurePath(self.vignette.name or "").stem

    @property
    def note_difficulte_moyenne(self) -> float | None:
        return self._mean(self.somme_difficulte)

    @property
    def note_pertinence_moyenne(self) -> float | None:
        return self._mean(self.somme_pertinence)

    def _mean(self, total: int) -> float | None:
        return round(total / self.nb_evaluations, 2) if self.nb_evaluations else None


class EtatTexte(models.TextChoices):
    EN_ATTENTE = "en_attente", "En attente"
    FAIT = "fait", "Lu"
    SANS_TEXTE = "sans_texte", "Sans texte"


class TexteEpreuve(models.Model):
    """The words an épreuve is found by, apart from its row, which lists read.

    The indexes of a search are PostgreSQL's alone: see the migrations.
    """

    epreuve = models.OneToOneField(
        Epreuve, models.CASCADE, primary_key=True, related_name="texte", verbose_name="épreuve"
    )
    etat = models.CharField("texte du sujet", max_length=10, choices=EtatTexte)
    titre = WordsField("mots du titre")
    fiche = WordsField("mots de la fiche", help_text="Ceux du titre en sont.")
    sujet = WordsField("mots du PDF")

    class Meta:
        verbose_name = "texte d'épreuve"
        verbose_name_plural = "textes d'épreuves"
        constraints = [
            models.CheckConstraint(
                condition=Q(etat__in=EtatTexte.values), name="texteepreuve_etat_connu"
            )
        ]
        indexes = [
            models.Index(
                fields=["epreuve"],
                condition=Q(etat=EtatTexte.EN_ATTENTE),
                name="texteepreuve_en_attente",
            )
        ]

    def __str__(self) -> str:
        return f"{self.epreuve} : {self.get_etat_display()}"


class Mot(models.Model):
    """A word of the records, which a misspelt search may have meant; it goes with a name."""

    texte = models.CharField("mot", max_length=WORD_MAX, primary_key=True)

    def __str__(self) -> str:
        return self.texte


class TypeInteraction(models.TextChoices):
    VUE = "vue", "Vue"
    TELECHARGEMENT = "telechargement", "Téléchargement"
    FAVORI = "favori", "Favori"
    EVALUATION = "evaluation", "Évaluation"
    COMMENTAIRE = "commentaire", "Commentaire"


class Contexte(models.TextChoices):
    DIRECT = "direct", "Direct"
    RECHERCHE = "recherche", "Recherche"
    PERSONNALISEE = "personnalisee", "Recommandation personnalisée"
    SIMILAIRE = "similaire", "Épreuve similaire"
    POPULAIRES = "populaires", "Populaires"
    RECENTES = "recentes", "Récentes"
    IMPORT = "import", "Import"


def fenetre_of(date: dt.datetime) -> int:
    return int(date.timestamp()) // FENETRE_SECONDES


def date_of(fenetre: int) -> dt.date:
    """The day, here, of its first second."""
    return timezone.localdate(dt.datetime.fromtimestamp(fenetre * FENETRE_SECONDES, dt.UTC))


class Interaction(models.Model):
    """What a person did with an épreuve: append-only, the training set of the recommender."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        verbose_name="utilisateur",
        related_name="interactions",
    )
    epreuve = models.ForeignKey(
        Epreuve, models.CASCADE, verbose_name="épreuve", related_name="interactions"
    )
    type_interaction = models.CharField("type", max_length=16, choices=TypeInteraction)
    contexte = models.CharField(
        "contexte", max_length=16, choices=Contexte, default=Contexte.DIRECT
    )
    # The answer that showed the épreuve to this person, where they came from one.
    requete_id = models.UUIDField("requête", null=True, blank=True, editable=False)
    date = models.DateTimeField("date", default=timezone.now)
    fenetre = models.BigIntegerField("fenêtre", editable=False)

    objects = UseQuerySet["Interaction"].as_manager()

    class Meta:
        ordering = ["-date", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "epreuve", "type_interaction", "fenetre"],
                name="interaction_une_par_fenetre",
            ),
            models.CheckConstraint(
                condition=Q(type_interaction__in=TypeInteraction.values),
                name="interaction_type_connu",
            ),
        ]
        indexes = [
            models.Index(fields=["date"], name="interaction_date"),
            models.Index(fields=["epreuve", "date"], name="interaction_epreuve_date"),
        ]

    def __str__(self) -> str:
        return f"{self.user} — {self.get_type_interaction_display()} — {self.epreuve}"


_NOTE = (MinValueValidator(1), MaxValueValidator(5))


class Evaluation(models.Model):
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        verbose_name="utilisateur",
        related_name="evaluations",
    )
    epreuve = models.ForeignKey(
        Epreuve, models.CASCADE, verbose_name="épreuve", related_name="evaluations"
    )
    note_difficulte = models.PositiveSmallIntegerField("difficulté", validators=_NOTE)
    note_pertinence = models.PositiveSmallIntegerField("pertinence", validators=_NOTE)
    date_creation = models.DateTimeField("créée le", default=timezone.now, editable=False)
    date_modification = models.DateTimeField("modifiée le", auto_now=True)

    objects = UseQuerySet["Evaluation"].as_manager()

    class Meta:
        verbose_name = "évaluation"
        ordering = ["-date_modification", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "epreuve"], name="evaluation_unique"),
            models.CheckConstraint(
                condition=Q(note_difficulte__range=(1, 5)), name="evaluation_difficulte_1_a_5"
            ),
            models.CheckConstraint(
                condition=Q(note_pertinence__range=(1, 5)), name="evaluation_pertinence_1_a_5"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} — {self.epreuve}"


class Favori(models.Model):
    """What is on somebody's list now; that it was put there is an interaction, which stays."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        verbose_name="utilisateur",
        related_name="favoris",
    )
    epreuve = models.ForeignKey(
        Epreuve, models.CASCADE, verbose_name="épreuve", related_name="favoris"
    )
    date = models.DateTimeField("date", default=timezone.now, editable=False)

    class Meta:
        ordering = ["-date", "-id"]
        constraints = [models.UniqueConstraint(fields=["user", "epreuve"], name="favori_unique")]

    def __str__(self) -> str:
        return f"{self.user} — {self.epreuve}"


class StatutCommentaire(models.TextChoices):
    VISIBLE = "visible", "Visible"
    MASQUE = "masque", "Masqué"
    SUPPRIME = "supprime", "Supprimé"


class Commentaire(models.Model):
    auteur = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="auteur",
        related_name="commentaires",
        null=True,
        blank=True,
    )
    epreuve = models.ForeignKey(
        Epreuve, models.CASCADE, verbose_name="épreuve", related_name="commentaires"
    )
    parent = models.ForeignKey(
        "self",
        models.CASCADE,
        verbose_name="en réponse à",
        related_name="reponses",
        null=True,
        blank=True,
    )
    contenu = models.TextField("contenu", max_length=2000, validators=[validate_visible])
    statut = models.CharField(
        "statut", max_length=10, choices=StatutCommentaire, default=StatutCommentaire.VISIBLE
    )
    date_creation = models.DateTimeField("créé le", default=timezone.now, editable=False)
    date_modification = models.DateTimeField("modifié le", auto_now=True)

    objects = CommentaireQuerySet.as_manager()

    class Meta:
        ordering = ["date_creation", "id"]
        constraints = [
            models.CheckConstraint(condition=~Q(contenu=""), name="commentaire_non_vide"),
            models.CheckConstraint(
                condition=Q(statut__in=StatutCommentaire.values), name="commentaire_statut_connu"
            ),
        ]
        indexes = [models.Index(fields=["epreuve", "date_creation"], name="commentaire_epreuve")]

    def __str__(self) -> str:
        return f"{self.auteur or 'Compte supprimé'} — {self.epreuve}"

    def clean(self) -> None:
        if self.parent and (self.parent.parent_id or self.parent.epreuve_id != self.epreuve_id):
            raise ValidationError(
                {"parent": "On répond à un premier commentaire de la même épreuve."},
                code="parent_invalide",
            )


class Signalement(models.Model):
    """What somebody holds against a comment; once a moderator has decided it counts no more."""

    commentaire = models.ForeignKey(
        Commentaire, models.CASCADE, verbose_name="commentaire", related_name="signalements"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        verbose_name="utilisateur",
        related_name="signalements",
    )
    motif = models.TextField("motif", max_length=500, validators=[validate_visible])
    date = models.DateTimeField("date", default=timezone.now, editable=False)
    traite = models.BooleanField("traité", default=False)

    class Meta:
        ordering = ["date", "id"]
        constraints = [
            models.UniqueConstraint(fields=["commentaire", "user"], name="signalement_unique")
        ]

    def __str__(self) -> str:
        return f"{self.user} — {self.commentaire}"
