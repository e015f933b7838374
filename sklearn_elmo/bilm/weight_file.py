"""Reading an HDF5 weight file that may be damaged or written to do harm.

Everything about a file is checked before its numbers are read: see `hdf5_checks`.
"""

import contextlib
import hashlib
import io
import math
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, pairwise
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from sklearn_elmo.bilm.hdf5_checks import (
    DatasetFault,
    byte_ranges,
    check_constant_chunks,
    check_origin,
    check_type,
    fixed_string,
)
from sklearn_elmo.errors import ModelFileError

if TYPE_CHECKING:
    import h5py

__all__ = ["CHECKSUM_NAME", "WeightFile", "array_checksum", "open_weight_file"]

CHECKSUM_NAME = "sklearn_elmo_sha256"
"""Attribute of each data set that this package writes: its `array_checksum`.

HDF5's own checksums do not cover the metadata of a file. Files of older versions have
an attribute of this name at the root, as a string of variable length, which HDF5 cannot
read safely from a damaged file. So nothing at the root is read.
"""
_CHECKSUM = (CHECKSUM_NAME, 64)
_LEAST_HEADER_BYTES = 16

# 11 times the largest published ELMo; 4 GiB as float32.
_MOST_NUMBERS = 2**30
# Weights hardly compress: what expands more than this is a decompression bomb.
_MOST_EXPANSION = 100
_EXPANSION_SLACK_BYTES = 2**26

# Groups can be nested without end; names are listed for messages only.
_MOST_LISTED = 1000

_Result = TypeVar("_Result")


@contextlib.contextmanager
def open_weight_file(stream: IO[bytes], name: str) -> "Iterator[WeightFile]":
    """Open a weight file, and raise every complaint of h5py as `ModelFileError`.

    Parameters
    ----------
    stream : binary file
        Must be seekable.
    name : str
        What the file is called in messages.

    Yields
    ------
    WeightFile
    """
    import h5py

    try:
        n_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        with h5py.File(stream, "r") as hdf5:
            yield WeightFile(hdf5.id, name, n_bytes)
    except ModelFileError:
        raise
    except MemoryError as error:
        message = (
            f"The weight file {name!r} needs more memory than there is. Use a smaller "
            "model, or a machine with more memory."
        )
        raise ModelFileError(message) from error
    # h5py turns the library's many complaints about damage into any of these.
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        zlib.error,
    ) as error:
        message = (
            f"The weight file {name!r} is damaged, truncated or not an HDF5 file "
            f"({str(error)[:200]}). Expected the HDF5 file of an AllenNLP or bilm-tf "
            "model; copy or download it again."
        )
        raise ModelFileError(message) from error


class WeightFile:
    """The data sets of an open weight file.

    Parameters
    ----------
    root : h5py.h5g.GroupID
    name : str
        What the file is called in messages.
    n_bytes : int
        Length of the file.
    """

    def __init__(self, root: "h5py.h5g.GroupID", name: str, n_bytes: int) -> None:
        import h5py

        self.name = name
        self._n_bytes = n_bytes
        self._root = root
        # Of HDF5's addresses; there may be other content before.
        self._first_byte = h5py.h5i.get_file_id(root).get_create_plist().get_userblock()
        self._groups: dict[str, h5py.h5g.GroupID | None] = {"": root}

    def __contains__(self, name: str) -> bool:
        """Return whether the file has an object of this name.

        Raises
        ------
        ModelFileError
            If a part of the name is a link to another name or file.
        """
        return self._group_with(name) is not None

    def some_names(self, count: int) -> list[str]:
        """Return a few names of data sets, for messages."""
        return sorted(islice(_dataset_names(self._root), count))

    def read(
        self, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[Any]]:
        """Read data sets as they are stored, after all of them have been checked.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            Names to read, with the expected shapes.

        Returns
        -------
        dict of str to ndarray
            Floats of 2, 4 or 8 bytes in any byte order; NaN and infinity included.

        Raises
        ------
        ModelFileError
            If a data set is missing, has another type or shape, another byte order
            than the others, is not all there, shares bytes with another, keeps them
            elsewhere, or does not match its checksum.
        """
        datasets = {name: self._open(name) for name in shapes}
        for name, dataset in datasets.items():
            self._checked(name, check_origin, dataset)
            self._checked(name, check_type, dataset, shapes[name])
        self._check_orders(datasets)
        self._check_memory(shapes, datasets)
        ranges = [self._header_range(name) for name in datasets]
        ranges += [
            (start, end, name)
            for name, dataset in datasets.items()
            for start, end in self._checked(name, byte_ranges, dataset)
        ]
        self._check_ranges(ranges)
        checksums = self._checksums(datasets)
        return {
            name: self._read(name, dataset, checksums.get(name))
            for name, dataset in datasets.items()
        }

    def _group_with(self, name: str) -> "h5py.h5g.GroupID | None":
        """Return the group that holds an object, or None if there is no such object."""
        import h5py

        path, _, last = name.rpartition("/")
        if path not in self._groups:
            self._groups[path] = self._open_group(path)
        group = self._groups[path]
        if group is None or not group.links.exists(last.encode()):
            return None
        if group.links.get_info(last.encode()).type != h5py.h5l.TYPE_HARD:
            # It could lead to any file that the user may read, or to one that blocks.
            self._refuse(name, "is a link to another name or file", "the object itself")
        return group

    def _open_group(self, path: str) -> "h5py.h5g.GroupID | None":
        import h5py

        parent = self._group_with(path)
        last = path.rpartition("/")[2].encode()
        if parent is None or _kind(parent, last) != h5py.h5o.TYPE_GROUP:
            return None
        return h5py.h5g.open(parent, last)

    def _open(self, name: str) -> "h5py.h5d.DatasetID":
        import h5py

        group = self._group_with(name)
        last = name.rpartition("/")[2].encode()
        if group is None or _kind(group, last) != h5py.h5o.TYPE_DATASET:
            found = "is missing" if group is None else "is a group or a type"
            self._refuse(name, found, "a data set")
        return h5py.h5d.open(group, last)

    def _header_range(self, name: str) -> tuple[int, int, str]:
        """Return the place of the beginning of a data set's description."""
        import h5py

        group, last = self._group_with(name), name.rpartition("/")[2].encode()
        start = self._first_byte + h5py.h5o.get_info(group, last).addr
        return start, start + _LEAST_HEADER_BYTES, name

    def _check_orders(self, datasets: "Mapping[str, h5py.h5d.DatasetID]") -> None:
        """Refuse data sets of different byte orders: a writer has only one."""
        first: tuple[str, int] | None = None
        for name, dataset in datasets.items():
            order = dataset.get_type().get_order()
            first = first or (name, order)
            if order != first[1]:
                self._refuse(name, f"has another byte order than {first[0]!r}", "one")

    def _check_memory(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        datasets: "Mapping[str, h5py.h5d.DatasetID]",
    ) -> None:
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        n_numbers = sum(sizes.values())
        if n_numbers > _MOST_NUMBERS:
            found = f"is the largest of {n_numbers} numbers"
            self._refuse(largest, found, f"at most {_MOST_NUMBERS} in a model")
        n_bytes = sum(
            sizes[name] * dataset.get_type().get_size()
            for name, dataset in datasets.items()
        )
        stored = sum(dataset.get_storage_size() for dataset in datasets.values())
        stored = min(stored, self._n_bytes)
        most_bytes = _EXPANSION_SLACK_BYTES + _MOST_EXPANSION * stored
        if n_bytes > most_bytes:
            found = f"is the largest of {n_bytes} bytes of numbers in {stored} of file"
            self._refuse(largest, found, f"at most {most_bytes}")

    def _check_ranges(self, ranges: list[tuple[int, int, str]]) -> None:
        """Refuse bytes beyond the end of the file, and bytes that are used twice."""
        ranges.sort()
        for start, end, name in ranges:
            if start < 0 or end > self._n_bytes:
                found = f"has its bytes up to {end}, beyond the end of the file"
                self._refuse(name, found, f"{self._n_bytes} bytes or fewer")
        for (_, end, one), (start, _, other) in pairwise(ranges):
            if start < end:
                self._refuse(other, f"shares bytes with {one!r}", "bytes of its own")

    def _checksums(
        self, datasets: "Mapping[str, h5py.h5d.DatasetID]"
    ) -> Mapping[str, str]:
        """Return the checksum of every data set, or nothing in a file without them."""
        found = {
            name: checksum
            for name, dataset in datasets.items()
            if (checksum := self._checked(name, fixed_string, dataset, *_CHECKSUM))
        }
        for name in datasets if found else ():
            if name not in found:
                self._refuse(name, "has no checksum", "one, as the others have")
        return found

    def _read(
        self, name: str, dataset: "h5py.h5d.DatasetID", checksum: str | None
    ) -> npt.NDArray[Any]:
        import h5py

        array = np.empty(dataset.shape, dataset.dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
        self._checked(name, check_constant_chunks, dataset, array)
        if checksum is not None:
            found = array_checksum(name, array)
            if found != checksum:
                self._refuse(name, f"has the checksum {found[:16]}...", checksum[:16])
        return array

    def _checked(
        self, name: str, check: Callable[..., _Result], *arguments: object
    ) -> _Result:
        try:
            return check(*arguments)
        except DatasetFault as fault:
            self._refuse(name, fault.found, fault.expected)

    def _refuse(self, name: str, found: str, expected: str) -> NoReturn:
        message = (
            f"The weight file {self.name!r} cannot be used: the data set {name!r} "
            f"{found}; expected {expected}. Use undamaged weights that belong to the "
            "options."
        )
        raise ModelFileError(message)


def array_checksum(name: str, array: npt.NDArray[Any]) -> str:
    """Return the sha256 (hexadecimal) of a data set's name, shape, type and bytes."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{name}{array.shape}{array.dtype.str}".encode())
    digest.update(array.data)
    return digest.hexdigest()


def _kind(group: "h5py.h5g.GroupID", name: bytes) -> int:
    import h5py

    return int(h5py.h5o.get_info(group, name).type)


def _dataset_names(root: "h5py.h5g.GroupID") -> Iterator[str]:
    """Yield names from the root on, as long as there are not too many to look at."""
    import h5py

    pending, n_looks = deque([(root, "")]), 0
    while pending:
        group, path = pending.popleft()
        n_looks += group.get_num_objs()
        if n_looks > _MOST_LISTED:
            return
        for last in group:
            if group.links.get_info(last).type != h5py.h5l.TYPE_HARD:
                continue
            name = path + last.decode("utf-8", "replace")
            kind = _kind(group, last)
            if kind == h5py.h5o.TYPE_DATASET:
                yield name
            elif kind == h5py.h5o.TYPE_GROUP:
                pending.append((h5py.h5g.open(group, last), f"{name}/"))
