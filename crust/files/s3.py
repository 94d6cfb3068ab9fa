"""Files in a bucket, with any server that speaks S3. `obstore` does the talking; it comes with the extra `s3`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crust.files.storage import CHUNK, Missing, Spool, Stored
from crust.settings import Files, SettingsError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE = 1_048_576  # bytes that are asked for at once, so that a slow reader keeps no connection to the bucket
PARTS = 2  # of 5 MiB, the least that S3 takes, which are sent at once
TIMEOUT = timedelta(seconds=30)  # for one request, of a piece or a part
RETRYING = timedelta(seconds=60)  # until a request that fails is given up


def bucket(settings: Files) -> ObjectStore:
    """The bucket that the settings name. What they leave open is read from the environment, as other tools do (`AWS_*`).

    Raises:
        SettingsError: `obstore` is not installed.
    """
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise SettingsError([f'files.store: s3 needs {error.name}, which is not installed: pip install "crust-chat[s3]"']) from None
    parts = urlsplit(settings.store)
    given = {
        "endpoint": settings.endpoint,
        "region": settings.region,
        "access_key_id": settings.access_key_id,
        "secret_access_key": settings.secret_access_key,
    }
    config: Any = {name: value for name, value in given.items() if value}
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options={"timeout": TIMEOUT, "allow_http": settings.endpoint.startswith("http:")},
        retry_config={"max_retries": 3, "retry_timeout": RETRYING},
    )


class Bucket:
    """Files in one of obstore's stores.

    Args:
        store: the store.
        spool: where copies on this machine are made.
    """

    def __init__(self, store: ObjectStore, spool: Spool) -> None:
        import obstore

        self._obstore, self._store, self._spool = obstore, store, spool

    async def keep(self, source: Path, key: str) -> None:
        """See `Storage`. An object is there as a whole or not at all."""
        with failures():
            await self._obstore.put_async(self._store, key, source, max_concurrency=PARTS)
        await asyncio.to_thread(source.unlink, missing_ok=True)

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """See `Storage`."""
        while start < end:
            upto = min(start + PIECE, end)
            with failures(key):
                piece = memoryview(await self._obstore.get_range_async(self._store, key, start=start, end=upto))
            if len(piece) != upto - start:
                raise Missing(key)
            for at in range(0, len(piece), CHUNK):
                yield bytes(piece[at : at + CHUNK])
            start = upto

    @asynccontextmanager
    async def local(self, key: str) -> AsyncIterator[Path]:
        """See `Storage`: a copy."""
        size = await self.size(key)
        if size is None:
            raise Missing(key)
        async with self._spool.receiving(self.read(key, 0, size), size) as copy:
            yield copy.path

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Storage`."""
        for key in keys:
            try:
                with failures(key):
                    await self._obstore.delete_async(self._store, key)
            except Missing:
                continue

    async def stored(self) -> AsyncIterator[Stored]:
        """See `Storage`."""
        with failures():
            async for some in self._obstore.list(self._store, chunk_size=1000):
                for each in some:
                    yield Stored(each["path"], each["size"], each["last_modified"].timestamp())

    async def size(self, key: str) -> int | None:
        """See `Storage`."""
        try:
            with failures(key):
                return (await self._obstore.head_async(self._store, key))["size"]
        except Missing:
            return None


@contextmanager
def failures(key: str | None = None) -> Iterator[None]:
    """What obstore raises, as `Storage` says it; without a key, what is not there is the bucket."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (FileNotFoundError, BaseError) as error:
        if key is not None and isinstance(error, FileNotFoundError):
            raise Missing(key) from None
        raise OSError(f"the bucket: {error}") from error
