from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.models import Epreuve
from apps.core.services.files import DOCUMENTS


class Paquet(models.Model):
    """An archive that is written anew for each request: the same bytes, or none.

    What a later release would word or order otherwise is kept, and all that else is in it is in
    its lines.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        verbose_name="utilisateur",
        related_name="paquets",
    )
    sha256 = models.CharField("SHA-256 de l'archive", max_length=64)
    taille_octets = models.PositiveBigIntegerField("taille (octets)")
    manifeste = models.TextField("manifeste.json")
    page = models.TextField("index.html")
    date = models.DateTimeField("demandé le", default=timezone.now, editable=False)
    remis_le = models.DateTimeField("remis le", null=True, blank=True)

    class Meta:
        ordering = ["-date", "-id"]
        constraints = [
            # The same question asked again after a lost answer is the same paquet.
            models.UniqueConstraint(fields=["user", "sha256"], name="paquet_unique")
        ]

    def __str__(self) -> str:
        return f"{self.user} — {self.sha256[:12]}"


class DocumentPaquet(models.Model):
    paquet = models.ForeignKey(
        Paquet, models.CASCADE, verbose_name="paquet", related_name="documents"
    )
    epreuve = models.ForeignKey(
        Epreuve, models.CASCADE, verbose_name="épreuve", related_name="en_paquets"
    )
    document = models.CharField("document", max_length=8, choices=[(d, d) for d in DOCUMENTS])
    nom = models.CharField("nom dans l'archive", max_length=500)
    taille_octets = models.PositiveBigIntegerField("taille (octets)")
    sha256 = models.CharField("SHA-256", max_length=64)
    crc32 = models.PositiveBigIntegerField("CRC-32")

    class Meta:
        verbose_name = "document d'un paquet"
        verbose_name_plural = "documents des paquets"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["paquet", "epreuve", "document"], name="documentpaquet_unique"
            ),
            models.CheckConstraint(
                condition=Q(document__in=list(DOCUMENTS)), name="documentpaquet_document_connu"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.paquet} — {self.nom}"
