"""The process that decodes pictures; `crust.files.pictures` starts it and says why. A job and its answer are lines of JSON."""

from __future__ import annotations

import json
import math
import resource
import select
import warnings
from pathlib import Path
from typing import Any

MEMORY = 1_073_741_824  # bytes of addresses, the libraries' own among them; the largest picture needs half of it
PIXELS = 50_000_000  # of one picture: what a large camera makes; 200 MB when decoded
CPU_S = 15  # of one picture
WRITTEN = 8_388_608  # bytes; the largest preview has well below one million
IDLE_S = 60  # without a job, until it ends: it holds 30 MB
JOBS = 200  # until it ends: what a decoder leaks, it leaks in bounds
QUALITY = 80


def limit() -> None:
    """Give up what decoding does not need. It cannot be had back."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, WRITTEN), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 32),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))


def limit_cpu() -> None:
    """Some seconds from now on; the kernel ends a process that takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def shrunk(job: dict[str, Any]) -> dict[str, Any]:
    """Do a job; gives the picture's own dimensions."""
    from PIL import AvifImagePlugin, Image, ImageOps  # only now are the limits in force

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each takes 64 MiB of addresses
    Image.MAX_IMAGE_PIXELS = PIXELS
    box = (job["size"], job["size"])
    with Image.open(job["source"], formats=("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")) as picture:
        width, height = picture.size
        if width * height > PIXELS:
            raise ValueError(f"it has more than {PIXELS // 1_000_000} million pixels")
        turned = picture.getexif().get(0x0112, 1) >= 5  # orientations that exchange the sides
        picture.draft("RGB", (2 * job["size"], 2 * job["size"]))  # a JPEG is decoded small at once
        picture.load()
        upright = ImageOps.exif_transpose(picture)
    plain = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    if job["square"]:
        plain = ImageOps.fit(plain, box)
    else:
        plain.thumbnail(box)
    plain.info = {}  # places, times and devices that the picture told of
    plain.save(job["target"], "WEBP", quality=QUALITY, method=2)
    return {"width": height, "height": width} if turned else {"width": width, "height": height}


def answer(line: bytes) -> dict[str, Any]:
    """What came of a job. Whatever a decoder raises is about the picture."""
    job = json.loads(line)
    try:
        limit_cpu()
        return shrunk(job)
    except MemoryError:
        reason = "it takes too much memory"
    except Exception as error:  # noqa: BLE001  # decoders raise all sorts of things, and there is nobody else to tell
        reason = str(error) or type(error).__name__
    Path(job["target"]).unlink(missing_ok=True)
    return {"error": reason[:200]}


def main() -> None:
    """Answer jobs until there are no more."""
    limit()
    warnings.simplefilter("error")  # Pillow warns of what decompresses to very much
    stdin = open(0, "rb", 0)  # noqa: SIM115  # unbuffered, so that `select` knows of all that has come
    for _ in range(JOBS):
        ready, _, _ = select.select([stdin.fileno()], [], [], IDLE_S)
        line = stdin.readline() if ready else b""
        if not line:
            return
        print(json.dumps(answer(line)), flush=True)  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
