"""Ways to damage the bytes of a file. All are functions of a generator and bytes."""

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

Mutator = Callable[[random.Random, bytes], bytes]

INTEGERS = [0, 1, -1, 2, 7, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]
INTEGERS += [2**48, 2**62, 2**63 - 1, -(2**31), -(2**63)]

# HDF5 marks its structures with these; most of a file's bytes are numbers.
HDF5_MARKS = [b"TREE", b"HEAP", b"SNOD", b"OHDR", b"BTHD", b"FRHP", b"\x89HDF", b"W_"]
HDF5_MARKS += [b"sklearn_elmo_sha256", b"\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff"]


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if spoilt:
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def flip_metadata(rng: random.Random, data: bytes) -> bytes:
    """Flip a bit, or write an integer, near a mark of HDF5."""
    mark = rng.choice(HDF5_MARKS)
    places = [i for i in range(len(data)) if data.startswith(mark, i)]
    if not places:
        return flip_bits(rng, data)
    start = min(len(data) - 9, max(0, rng.choice(places) + rng.randrange(-32, 300)))
    spoilt = bytearray(data)
    if rng.random() < 0.7:
        spoilt[start] ^= 1 << rng.randrange(8)
        return bytes(spoilt)
    return _with_integer(rng, spoilt, start)


def write_integer(rng: random.Random, data: bytes) -> bytes:
    if len(data) < 9:
        return flip_bits(rng, data)
    return _with_integer(rng, bytearray(data), rng.randrange(len(data) - 8))


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def extend(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.choice((1, 4, 512, 5000)))


def overwrite(rng: random.Random, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    filler = rng.choice((b"\0", b"\xff", b"A", None))
    size = stop - start
    middle = rng.randbytes(size) if filler is None else filler * size
    return data[:start] + middle + data[stop:]


def delete(rng: random.Random, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:start] + data[stop:]


def repeat(rng: random.Random, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:stop] + data[start:stop] * rng.choice((1, 1, 20)) + data[stop:]


def swap_blocks(rng: random.Random, data: bytes) -> bytes:
    size = rng.choice((8, 16, 64, 512, 2048))
    if len(data) < 2 * size:
        return flip_bits(rng, data)
    first = rng.randrange(0, len(data) - 2 * size + 1)
    second = rng.randrange(first + size, len(data) - size + 1)
    return (
        data[:first]
        + data[second : second + size]
        + data[first + size : second]
        + data[first : first + size]
        + data[second + size :]
    )


def replace_all(rng: random.Random, data: bytes) -> bytes:
    """Put something else in place of the file."""
    return rng.choice(
        (
            b"",
            b"\0" * 100,
            b"{" * 50_000,
            b"<html>404</html>",
            b"version https://git-lfs.github.com/spec/v1\n",
            b"PK\x05\x06" + bytes(18),
            b"\x89HDF\r\n\x1a\n" + bytes(100),
            rng.randbytes(len(data) % 5000),
        )
    )


BYTES: Sequence[Mutator] = (
    flip_bits,
    flip_bits,
    write_integer,
    truncate,
    extend,
    overwrite,
    delete,
    repeat,
    swap_blocks,
    replace_all,
)
HDF5: Sequence[Mutator] = (*BYTES, *[flip_metadata] * len(BYTES))


def edit_json(rng: random.Random, data: bytes) -> bytes:
    """Replace, remove, double or rename something in a JSON document."""
    try:
        root = json.loads(data)
    except ValueError:
        return flip_bits(rng, data)
    holder, key = rng.choice(_places(root))
    how = rng.choice(("replace", "replace", "replace", "remove", "rename"))
    if how == "replace":
        holder[key] = _odd_value(rng)
    elif how == "remove":
        del holder[key]
    elif isinstance(holder, dict):
        holder[rng.choice(("", "\0", "x" * 1000, str(key).upper()))] = holder.pop(key)
    text = json.dumps(root).encode()
    if rng.random() < 0.1:  # a key given twice
        text = text.replace(b'": ', b'": 7, "', 1)
    return text


JSON: Sequence[Mutator] = (*BYTES, *[edit_json] * len(BYTES))


PIECES = [b'"', b"\0", b"\xef\xbb\xbf", b"\r", b"\n", b"\xff", b"\xed\xa0\x80"]
PIECES += [b",", b"\t", b'""', b"\\", b"{", b"\n\n", b"\xe2\x80\xa8", b"nan", b"1e999"]
PIECES += [b"x" * 100_000, b" " * 1000, b'\n"', b"-", b"inf ", b"9" * 5000]


def insert_text(rng: random.Random, data: bytes) -> bytes:
    """Insert what readers of text stumble over."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(PIECES) * rng.choice((1, 1, 3)) + data[at:]


TEXT: Sequence[Mutator] = (*BYTES, *[insert_text] * len(BYTES))


def in_zip(mutators: Sequence[Mutator]) -> Mutator:
    """Return a mutator of one member of a zip file, which stays a valid zip file."""

    def edit_member(rng: random.Random, data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        chosen = rng.choice(sorted(members))
        members[chosen] = rng.choice(mutators)(rng, members[chosen])
        if rng.random() < 0.1:
            members[rng.choice(("../up", "/root", "options.json2", "x/"))] = b"more"
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return target.getvalue()

    return edit_member


def _with_integer(rng: random.Random, data: bytearray, start: int) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(INTEGERS) % 2 ** (8 * size)
    order = rng.choice("<>")
    data[start : start + size] = struct.pack(order + "xBHxIxxxQ"[size], value)
    return bytes(data)


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 8, 64, 512, 4096)))


def _places(root: Any) -> list[tuple[Any, Any]]:
    """Return all (container, key) below a JSON value, the value itself included."""
    box = [root]
    found: list[tuple[Any, Any]] = []
    pending: list[Any] = [box]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            if node is not box:
                found.append((node, key))
            if isinstance(node[key], dict | list):
                pending.append(node[key])
    return found or [(box, 0)]


def _odd_value(rng: random.Random) -> Any:
    deep: Any = 1
    for _ in range(rng.choice((3, 500))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return rng.choice(
        (
            *INTEGERS,
            None,
            True,
            False,
            "",
            "text",
            "\ud800",
            "x" * 5000,
            0.5,
            -0.5,
            1e308,
            float("nan"),
            float("inf"),
            10**400,
            [],
            {},
            [0] * 1000,
            [[1, 2], [3]],
            deep,
        )
    )
