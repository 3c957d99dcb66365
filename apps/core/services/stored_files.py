"""What lies in MEDIA_ROOT and belongs to no épreuve: a process was killed between disk and row."""

import datetime as dt
from collections.abc import Iterator
from pathlib import PurePosixPath

from django.core.files.storage import default_storage
from django.db import models
from django.utils import timezone

from apps.core.models import Epreuve
from apps.core.services import waiting_imports

# A deposit writes its files before the row that names them is committed.
SETTLED_AFTER = dt.timedelta(hours=24)
FOLDERS = ("epreuves", "vignettes", waiting_imports.FOLDER)


def orphans(*, settled_after: dt.timedelta = SETTLED_AFTER) -> list[str]:
    """Sorted names; what is younger than `settled_after` may still find its row."""
    # Listed before the rows are read: a file of a later deposit is in neither.
    stored = [name for folder in FOLDERS for name in _files_under(folder)]
    fields = [field.name for field in Epreuve._meta.fields if isinstance(field, models.FileField)]
    rows = Epreuve.objects.values_list(*fields)
    wanted = {name for row in rows.iterator() for name in row}
    limit = timezone.now() - settled_after
    return sorted(
        name
        for name in stored
        if name not in wanted and default_storage.get_modified_time(name) < limit
    )


def _files_under(folder: str) -> Iterator[str]:
    if not default_storage.exists(folder):
        return
    folders, names = default_storage.listdir(folder)
    for name in names:
        yield str(PurePosixPath(folder, name))
    for inner in folders:
        yield from _files_under(str(PurePosixPath(folder, inner)))
