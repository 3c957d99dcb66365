import datetime as dt
import os
import socket
import time
import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.models import Contexte

# A run that said nothing for that long is dead, wherever it ran.
DEAD_AFTER = dt.timedelta(minutes=10)
# A worker looks for work every second, and a process is there in a few: nobody is there to take a
# run that waited for that long.
FORGOTTEN_AFTER = dt.timedelta(seconds=30)


class StatutEntrainement(models.TextChoices):
    EN_ATTENTE = "en_attente", "En attente"
    EN_COURS = "en_cours", "En cours"
    TERMINE = "termine", "Terminé"
    ECHOUE = "echoue", "Échoué"
    ANNULE = "annule", "Annulé"
    INTERROMPU = "interrompu", "Interrompu"


class Etape(models.TextChoices):
    LECTURE = "lecture", "Lecture des données"
    APPRENTISSAGE = "apprentissage", "Apprentissage"
    MESURE = "mesure", "Mesure sur le test"
    REFERENCES = "references", "Mesure des références"
    FINAL = "final", "Apprentissage final, sur toutes les données"
    ECRITURE = "ecriture", "Écriture du modèle"


class Declencheur(models.TextChoices):
    COMMANDE = "commande", "Ligne de commande"
    ADMIN = "admin", "Administration"
    API = "api", "API"


class DeclencheurActivation(models.TextChoices):
    ENTRAINEMENT = "entrainement", "Entraînement"
    COMMANDE = "commande", "Ligne de commande"
    ADMIN = "admin", "Administration"
    API = "api", "API"


class TrainingLog(models.Model):
    """One run of training, from its start, or its request, to its end, whatever that end was."""

    statut = models.CharField(
        "statut", max_length=10, choices=StatutEntrainement, default=StatutEntrainement.EN_COURS
    )
    declencheur = models.CharField(
        "déclencheur", max_length=10, choices=Declencheur, default=Declencheur.COMMANDE
    )
    lance_par = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="lancé par",
        null=True,
        blank=True,
        related_name="+",
    )
    # What the files of its model name it by: another database has the same ids.
    identifiant = models.UUIDField("identifiant", default=uuid.uuid4, editable=False)
    version = models.CharField("version du modèle", max_length=64, blank=True)
    hyperparametres = models.JSONField("hyper-paramètres", default=dict)
    empreinte_donnees = models.CharField("empreinte des données", max_length=64, blank=True)
    nb_utilisateurs = models.PositiveIntegerField("utilisateurs", default=0)
    nb_epreuves = models.PositiveIntegerField("épreuves", default=0)
    nb_interactions = models.PositiveIntegerField("paires positives", default=0)
    etape = models.CharField("étape", max_length=13, choices=Etape, blank=True)
    epoch_courante = models.PositiveIntegerField("epoch en cours", default=0)
    epoch_totale = models.PositiveIntegerField("epochs demandées", default=0)
    meilleure_epoch = models.PositiveIntegerField("meilleure epoch", null=True, blank=True)
    historique = models.JSONField("historique par epoch", default=list)
    metriques = models.JSONField("métriques", default=dict)
    references = models.JSONField("références", default=dict)
    debut = models.DateTimeField("début", default=timezone.now)
    fin = models.DateTimeField("fin", null=True, blank=True)
    battement = models.DateTimeField("dernier signe de vie", default=timezone.now)
    hote = models.CharField("machine", max_length=255, blank=True)
    pid = models.PositiveIntegerField("processus", default=0)
    reprises = models.PositiveIntegerField("reprises", default=0)
    arret_demande_le = models.DateTimeField("arrêt demandé le", null=True, blank=True)
    arret_demande_par = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="arrêt demandé par",
        null=True,
        blank=True,
        related_name="+",
    )
    erreur = models.TextField("erreur", blank=True)

    class Meta:
        verbose_name = "entraînement"
        ordering = ["-debut", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["statut"],
                condition=Q(statut=StatutEntrainement.EN_COURS),
                name="un_seul_entrainement_en_cours",
            ),
            models.UniqueConstraint(
                fields=["statut"],
                condition=Q(statut=StatutEntrainement.EN_ATTENTE),
                name="un_seul_entrainement_en_attente",
            ),
        ]

    def __str__(self) -> str:
        return f"Entraînement {self.pk}"

    @property
    def etat(self) -> str:
        """In words; its row alone says of a dead one that it is in progress."""
        return "Sans signe de vie" if self.is_dead else self.get_statut_display()

    @property
    def is_forgotten(self) -> bool:
        """It waits, and nobody came for it."""
        waiting = self.statut == StatutEntrainement.EN_ATTENTE
        return waiting and timezone.now() - self.battement > FORGOTTEN_AFTER

    @property
    def is_dead(self) -> bool:
        """In progress by its row alone: its process is gone, or was silent for too long."""
        if self.statut != StatutEntrainement.EN_COURS:
            return False
        return timezone.now() - self.battement > DEAD_AFTER or self.lost_its_process

    @property
    def lost_its_process(self) -> bool:
        """That it had when it last gave a sign of life: gone, as far as this machine can tell."""
        here = self.hote == socket.gethostname()
        return here and not _is_alive(self.pid, self.battement)


def _is_alive(pid: int, since: dt.datetime) -> bool:
    """Is the process that had this number then still there?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's: it is there
    return not _was_born_after(pid, since)


def _was_born_after(pid: int, moment: dt.datetime) -> bool:
    """Numbers are given again: a container that restarts has its worker at number 1 once more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:  # Only Linux tells.
        return False
    started = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    return timezone.now() - dt.timedelta(seconds=age) > moment


class ModelMetadata(models.Model):
    """One trained model on disk: what it is, how good it was, whether it serves."""

    version = models.CharField("version", max_length=64, unique=True)
    architecture = models.CharField("architecture", max_length=16)
    embedding_dim = models.PositiveIntegerField("dimension des embeddings")
    nb_utilisateurs = models.PositiveIntegerField("utilisateurs")
    nb_epreuves = models.PositiveIntegerField("épreuves")
    chemin = models.CharField("dossier (sous ml_models)", max_length=255)
    sha256 = models.CharField("SHA-256 du manifeste", max_length=64)
    # That of `users.json`, the one file that is ever rewritten: moved, processes load it again.
    sha256_utilisateurs = models.CharField(max_length=64, blank=True, editable=False)
    taille_octets = models.PositiveBigIntegerField("taille (octets)")
    training_log = models.OneToOneField(
        TrainingLog, models.PROTECT, verbose_name="entraînement", related_name="modele"
    )
    metriques = models.JSONField("métriques", default=dict)
    fiche = models.JSONField("fiche de modèle", default=dict)
    # Of `ml.comparison.Measured`: no names, an order that only the same data give again.
    ndcg_par_etudiant = models.JSONField(default=list, editable=False)
    derniere_interaction = models.DateTimeField(
        "dernière interaction apprise", null=True, blank=True
    )
    eligible = models.BooleanField("éligible", default=False)
    motif_refus = models.TextField("motif du refus", blank=True)
    derogation = models.TextField("motif de la dérogation", blank=True)
    est_actif = models.BooleanField("actif", default=False)
    date_creation = models.DateTimeField("créé le", default=timezone.now)
    active_le = models.DateTimeField("activé le", null=True, blank=True)
    active_par = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="activé par",
        null=True,
        blank=True,
        related_name="+",
    )
    fichiers_supprimes_le = models.DateTimeField("fichiers supprimés le", null=True, blank=True)

    class Meta:
        verbose_name = "modèle"
        ordering = ["-date_creation", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["est_actif"], condition=Q(est_actif=True), name="un_seul_modele_actif"
            ),
            models.CheckConstraint(
                condition=Q(est_actif=False) | Q(eligible=True) | ~Q(derogation=""),
                name="modele_actif_eligible_ou_deroge",
            ),
            models.CheckConstraint(
                condition=Q(est_actif=False) | Q(fichiers_supprimes_le=None),
                name="modele_actif_a_ses_fichiers",
            ),
        ]

    def __str__(self) -> str:
        return self.version

    @property
    def learnt_until(self) -> dt.datetime:
        """Nothing that came after is in its data; a model of before this was kept had no later."""
        return self.derniere_interaction or self.training_log.debut


class ActivationModele(models.Model):
    """The journal of what served since when, and why; nothing is ever taken out of it."""

    modele = models.ForeignKey(
        ModelMetadata, models.PROTECT, verbose_name="modèle", related_name="activations"
    )
    precedente = models.ForeignKey(
        ModelMetadata,
        models.PROTECT,
        verbose_name="modèle précédent",
        null=True,
        blank=True,
        related_name="+",
    )
    active_le = models.DateTimeField("activé le", default=timezone.now)
    active_par = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name="activé par",
        null=True,
        blank=True,
        related_name="+",
    )
    declencheur = models.CharField("déclencheur", max_length=12, choices=DeclencheurActivation)
    motif = models.TextField("motif", blank=True)
    derogation = models.BooleanField("dérogation", default=False)
    # Of one that went back: the activation whose stay goes on.
    reprend = models.ForeignKey("self", models.PROTECT, null=True, editable=False, related_name="+")

    class Meta:
        verbose_name = "activation"
        ordering = ["-active_le", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(derogation=False) | ~Q(motif=""), name="derogation_motivee"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.modele} le {timezone.localtime(self.active_le):%d/%m/%Y à %H:%M}"


class CatalogueGeneration(models.Model):
    """A single row, moved with every change of the published catalogue.

    Part of every cache key. It lives in the database because a counter in Redis starts again
    after a flush and meets the keys of its first life.
    """

    generation = models.PositiveBigIntegerField("génération", default=0)

    def __str__(self) -> str:
        return str(self.generation)


class ReponseServie(models.Model):
    """One answer that was shown: to whom, when, by what, and what they opened of it."""

    GENRES = [(genre.value, genre.label) for genre in (Contexte.PERSONNALISEE, Contexte.SIMILAIRE)]

    id = models.UUIDField("requête", primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        verbose_name="utilisateur",
        related_name="reponses_servies",
    )
    date = models.DateTimeField("date", default=timezone.now, db_index=True)
    genre = models.CharField("genre", max_length=16, choices=GENRES)
    version_modele = models.CharField("version du modèle", max_length=64, blank=True)
    epreuves = models.JSONField("épreuves montrées, dans l'ordre")
    # Text, since statistics group by these two: in JSON that takes twice as long.
    sources = models.TextField("source de chacune", blank=True)
    clics = models.TextField("rangs ouverts", blank=True)

    class Meta:
        verbose_name = "réponse servie"
        verbose_name_plural = "qualité en ligne"
        ordering = ["-date"]
        constraints = [
            models.CheckConstraint(
                condition=Q(genre__in=[Contexte.PERSONNALISEE, Contexte.SIMILAIRE]),
                name="reponseservie_genre_connu",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_genre_display()} du {timezone.localtime(self.date):%d/%m/%Y à %H:%M}"
