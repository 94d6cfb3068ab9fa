"""Which storage the settings name."""

from __future__ import annotations

from crust.files.storage import SPOOL, Folder, Spool, Storage
from crust.settings import Settings


def place(settings: Settings) -> tuple[Storage, Spool]:
    """The storage, and the spool before it.

    Raises:
        SettingsError: it needs what is not installed.
    """
    root = settings.effective_files_dir
    spool = Spool(root / SPOOL)
    if not settings.files.store:
        return Folder(root), spool
    from crust.files.s3 import Bucket, bucket

    return Bucket(bucket(settings.files), spool), spool
