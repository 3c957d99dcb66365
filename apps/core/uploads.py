"""A file too large is refused while it streams in, not once it fills the disk."""

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import TemporaryFileUploadHandler


class UploadTooLarge(RequestDataTooBig):
    """What Django knows to answer, in the administration as in the API."""


class LimitedTemporaryFile(TemporaryFileUploadHandler):
    @property
    def most(self) -> int:
        return int(settings.TAILLE_MAX_OCTETS)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > self.most:
            self.upload_interrupted()
            raise UploadTooLarge("A file of this request is too large.")
        super().receive_data_chunk(raw_data, start)


class LimitedArchive(LimitedTemporaryFile):
    @property
    def most(self) -> int:
        return int(settings.IMPORT_ARCHIVE_MAX_OCTETS)
