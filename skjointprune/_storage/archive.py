"""Archives: JSON and tensors in one file, which ends in a digest of all before.

The file is a zip of two members that are not compressed: tensors in the format of
safetensors, all else in JSON. It ends in a comment with the SHA-256 of all that stands
before, so one comparison tells whether any byte of it changed.
"""

import hashlib
import io
import os
import re
import uuid
import zipfile
from pathlib import Path
from typing import Any

from .._utils.optional import import_optional

# What a file is, as its last bytes say: an estimator, or a fit that is to go on.
ESTIMATOR, CHECKPOINT = b"format", b"resume"
TAIL = re.compile(rb"skjointprune (format|resume) (\d{4}) sha256 ([0-9a-f]{64})")
TAIL_LENGTH, DIGEST_LENGTH = 96, 64
MODEL, WEIGHTS = "model.json", "weights.safetensors"


def import_safetensors(asked_for: str) -> Any:
    """Return the module that writes tensors, or say how to install it."""
    return import_optional("safetensors.torch", asked_for, '"skjointprune[save]"')


def pack_archive(kind: bytes, version: int, model: bytes, weights: bytes) -> bytes:
    """Return the bytes of a file; the same for the same members."""
    mark = b"skjointprune %s %04d sha256 " % (kind, version)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ((MODEL, model), (WEIGHTS, weights)):
            member = zipfile.ZipInfo(name)  # of 1980, so that bytes repeat
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
        archive.comment = mark + b"0" * DIGEST_LENGTH
    hashed = memoryview(buffer.getvalue())[:-DIGEST_LENGTH]
    return b"".join((hashed, hashlib.sha256(hashed).hexdigest().encode()))


def is_archive(tail: bytes, kind: bytes) -> bool:
    """Tell whether a file with these last bytes is an archive of a kind."""
    found = TAIL.fullmatch(tail)
    return found is not None and found[1] == kind


def version_of(data: bytes) -> int:
    """Return the version of the format of an archive."""
    tail = TAIL.fullmatch(data[-TAIL_LENGTH:])
    assert tail is not None  # as `unpack_archive` has found
    return int(tail[2])


def unpack_archive(data: bytes, kind: bytes, newest: int) -> tuple[bytes, bytes]:
    """Return model and weights, if the digest is right.

    Raises
    ------
    ValueError
        If it is not, the version is newer, or there is anything else in the file.
    """
    tail = TAIL.fullmatch(data[-TAIL_LENGTH:])
    hashed = memoryview(data)[:-DIGEST_LENGTH]
    if (
        tail is None
        or tail[1] != kind
        or hashlib.sha256(hashed).hexdigest() != tail[3].decode()
    ):
        raise ValueError(
            "it was cut short or changed, as its digest does not fit. Copy it again."
        )
    if int(tail[2]) > newest:
        raise ValueError(
            f"it has format {int(tail[2])}, and this version of skjointprune reads up "
            f"to {newest}. Upgrade skjointprune."
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if [m.filename for m in members] != [MODEL, WEIGHTS] or any(
            m.compress_type != zipfile.ZIP_STORED or m.file_size > len(data)
            for m in members
        ):
            raise ValueError(
                f"it must hold {MODEL} and {WEIGHTS}, not compressed, and nothing "
                "else. Save the estimator again."
            )
        return archive.read(MODEL), archive.read(WEIGHTS)


def as_path(path: Any) -> Path:
    """Return the argument `path` as a Path.

    Raises
    ------
    TypeError
        If it is neither text nor path-like.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"`path` must be text or path-like. Got {path!r}; pass the name of a file."
        )
    return Path(path)


def check_folder_of(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError where the folder of a file to write is not there."""
    if not Path(os.path.realpath(path)).parent.is_dir():
        raise FileNotFoundError(
            "`path` must name a file in a folder that is there. Got "
            f"{os.fspath(path)!r}; make the folder."
        )


def replace_file(data: bytes, path: str | os.PathLike[str], mark: str = "") -> None:
    """Replace a file at once, so that a write that fails leaves the old one.

    The new one has a name of its own until it is whole. With a `mark` in it the name is
    always the same, so that a process that is killed leaves one such file at most.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"`path` must name a file. Got the folder {target}.")
    check_folder_of(path)
    new = target.with_name(f"{target.name}.{mark or uuid.uuid4().hex}.tmp")
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)
