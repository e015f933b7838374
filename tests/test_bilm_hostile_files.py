"""Model files that were written to do harm: never followed, never believed."""

import errno
import io
import json
import os
import shutil
import signal
import socket
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import reference_numpy

from sklearn_elmo.bilm.weight_file import CHECKSUM_NAME
from sklearn_elmo.bilm.weights import read_model, read_options, write_model
from sklearn_elmo.errors import ModelFileError, ModelFileNotFoundError
from sklearn_elmo.models import describe, load, open_model

NAME = "CNN_high_0/W_carry"  # (20, 20)
CELLS = [
    f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
    for direction in (0, 1)
    for layer in (0, 1)
]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail a test that blocks."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        message = "the call blocked"
        raise AssertionError(message)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refusal(source: Any) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_model(source)
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert len(message) < 1500
    return message


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    return reference_numpy.read_arrays(folder / "weights.hdf5")


def edit_options(folder: Path, **lstm: int) -> None:
    path = folder / "options.json"
    options = json.loads(path.read_text("utf-8"))
    options["lstm"].update(lstm)
    path.write_text(json.dumps(options), "utf-8")


# Numbers that are elsewhere


def test_external_storage_is_not_followed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(np.ones((20, 20), "f4").tobytes())
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        file.create_dataset(NAME, (20, 20), "f4", external=[(str(secret), 0, 1600)])
    message = refusal(folder)
    assert NAME in message
    assert "another file" in message


@posix
def test_external_storage_in_a_named_pipe_does_not_block(
    folder: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        dataset = [(str(tmp_path / "pipe"), 0, 1600)]
        file.create_dataset(NAME, (20, 20), "f4", external=dataset)
    assert NAME in refusal(folder)


@pytest.mark.parametrize("unlimited", [False, True])
def test_virtual_data_set_is_not_followed(
    folder: Path, tmp_path: Path, unlimited: bool
) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file.create_dataset("x", data=np.ones((20, 20), "f4"), maxshape=(None, 20))
    shape = (None, 20) if unlimited else (20, 20)
    layout = h5py.VirtualLayout((20, 20), "f4", maxshape=shape)
    source = h5py.VirtualSource(
        tmp_path / "other.hdf5", "x", (20, 20), maxshape=(None, 20)
    )
    layout[:] = source
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        file.create_virtual_dataset(NAME, layout)
    assert NAME in refusal(folder)


@pytest.mark.parametrize("place", [NAME, "CNN_high_0", "RNN_0", CELLS[0]])
@pytest.mark.parametrize("external", [False, True])
def test_links_are_not_followed(
    folder: Path, tmp_path: Path, place: str, external: bool
) -> None:
    """Even where they lead to the right numbers."""
    other = shutil.copy(folder / "weights.hdf5", tmp_path / "other.hdf5")
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file.move(place, "moved")
        file[place] = (
            h5py.ExternalLink(str(other), place)
            if external
            else h5py.SoftLink("/moved")
        )
    message = refusal(folder)
    assert place in message
    assert "link" in message


@pytest.mark.parametrize("chunks", [None, (10, 10)])
def test_two_names_of_one_data_set_are_refused(
    folder: Path, chunks: tuple[int, int] | None
) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        data = file[NAME][...]
        del file[NAME], file["CNN_high_0/W_transform"]
        file.create_dataset(NAME, data=data, chunks=chunks)
        file["CNN_high_0/W_transform"] = file[NAME]
    message = refusal(folder)
    assert "shares bytes" in message
    assert "CNN_high_0/W_transform" in message


def test_data_sets_whose_bytes_overlap_are_refused(folder: Path) -> None:
    path = folder / "weights.hdf5"
    with h5py.File(path) as file:
        first = file[NAME].id.get_offset()
        second = file["CNN_high_0/W_transform"].id.get_offset()
    data = bytearray(path.read_bytes())
    at = data.find(second.to_bytes(8, "little"))
    assert at > 0
    data[at : at + 8] = (first + 4).to_bytes(8, "little")
    path.write_bytes(data)
    assert "shares bytes" in refusal(folder)


# More than the file can hold


def test_few_bytes_that_claim_gigabytes_are_refused_before_they_are_read(
    folder: Path,
) -> None:
    edit_options(folder, dim=2**22)
    shapes = {"W_0": (16, 2**24), "B": (2**24,), "W_P_0": (2**22, 8)}
    chunks = {"W_0": (1, 2**24), "B": (2**24,), "W_P_0": (2**21, 8)}  # 64 MiB each
    packed = zlib.compress(bytes(2**26), 9)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        for cell in CELLS:
            for name, shape in shapes.items():
                del file[f"{cell}/{name}"]
                dataset = file.create_dataset(
                    f"{cell}/{name}", shape, "f4", chunks=chunks[name], compression=9
                )
                for chunk in dataset.iter_chunks():
                    at = tuple(part.start for part in chunk)
                    dataset.id.write_direct_chunk(at, packed)
    start = time.perf_counter()
    message = refusal(folder)
    assert time.perf_counter() - start < 5
    assert "LSTMCell" in message
    assert "at most" in message


def test_chunk_that_inflates_to_more_than_a_chunk_is_refused(folder: Path) -> None:
    bomb = zlib.compress(bytes(2**30), 9)
    edit_options(folder, dim=2**15)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        for cell in CELLS:
            del file[cell]
            file[f"{cell}/B"] = np.ones(2**17, "f4")
            file[f"{cell}/W_P_0"] = np.ones((2**15, 8), "f4")
            dataset = file.create_dataset(
                f"{cell}/W_0", (16, 2**17), "f4", chunks=(16, 2**17), compression=9
            )
            dataset.id.write_direct_chunk((0, 0), bomb)
    message = refusal(folder)
    assert "expands" in message
    assert "W_0" in message


def test_huge_data_set_that_nothing_needs_is_not_read(folder: Path) -> None:
    digest = read_model(folder).digest
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file.create_dataset("softmax/W", (2**40,), "f4", chunks=(2**20,))
        file.create_dataset("other", (2**38,), "f8", compression="gzip", fillvalue=1)
    assert read_model(folder).digest == digest


def test_deeply_nested_groups_take_no_time(folder: Path) -> None:
    digest = read_model(folder).digest
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")
        loop = file.create_group("loop")
        for number in range(50):
            loop[str(number)] = loop
    start = time.perf_counter()
    assert read_model(folder).digest == digest
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
    assert NAME in refusal(folder)
    assert time.perf_counter() - start < 5


# Numbers that are not what they seem


def test_float_type_of_another_make_is_refused(folder: Path) -> None:
    kinds = h5py.h5t.IEEE_F32LE.copy()
    kinds.set_ebias(100)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        space = h5py.h5s.create_simple((20, 20))
        dataset = h5py.h5d.create(file["CNN_high_0"].id, b"W_carry", kinds, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((20, 20), "f4"))
    message = refusal(folder)
    assert NAME in message
    assert "IEEE" in message


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((20, 20), np.longdouble),
        np.zeros((20, 20), h5py.ref_dtype),
        np.zeros((20, 20), h5py.vlen_dtype(np.float32)),
        np.zeros((20, 20), h5py.string_dtype()),
        np.zeros((20, 20), "i4"),
    ],
    ids=["long double", "reference", "variable length", "string", "int"],
)
def test_other_types_are_refused(folder: Path, data: np.ndarray) -> None:
    if data.dtype == np.float64:
        pytest.skip("no long double here")
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        file.create_dataset(NAME, data.shape, data.dtype)
    assert NAME in refusal(folder)


def test_lossy_filter_is_refused(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        data = file[NAME][...]
        del file[NAME]
        file.create_dataset(NAME, data=data, scaleoffset=3)
    message = refusal(folder)
    assert NAME in message
    assert "filter" in message


def test_lost_checksum_filter_is_refused(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        data = file[NAME][...]
        del file[NAME]
        dataset = file.create_dataset(NAME, (20, 20), "f4", fletcher32=True)
        dataset.id.write_direct_chunk((0, 0), data.tobytes())
    assert NAME in refusal(folder)


def test_chunk_that_skipped_a_filter_is_refused(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        data = file[NAME][...]
        del file[NAME]
        dataset = file.create_dataset(
            NAME, (20, 20), "f4", chunks=(20, 20), shuffle=True
        )
        dataset.id.write_direct_chunk((0, 0), data.tobytes(), filter_mask=1)
    assert NAME in refusal(folder)


def test_chunk_in_the_wrong_place_is_refused(folder: Path) -> None:
    """The place where it belongs would read as zeros."""
    path = folder / "weights.hdf5"
    with h5py.File(path, "r+") as file:
        data = file[NAME][...]
        del file[NAME]
        file.create_dataset(NAME, data=data, chunks=(10, 20))
        key = struct_of(file[NAME].id.get_chunk_info(1))
    content = bytearray(path.read_bytes())
    assert content.count(key) == 1
    wrong = key[:8] + (40).to_bytes(8, "little") + key[16:]
    path.write_bytes(content.replace(key, wrong))
    assert NAME in refusal(folder)


def test_chunk_that_is_listed_but_not_found_is_refused(folder: Path) -> None:
    """Its key has one offset more, always 0; HDF5 reads zeros if it is not."""
    path = folder / "weights.hdf5"
    with h5py.File(path, "r+") as file:
        data = file[NAME][...]
        del file[NAME]
        file.create_dataset(NAME, data=data, chunks=(20, 20), compression="gzip")
        key = struct_of(file[NAME].id.get_chunk_info(0))
    content = bytearray(path.read_bytes())
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, key[:-6] + b"\x08" + key[-5:]))
    message = refusal(folder)
    assert NAME in message
    assert "not written" in message


def test_chunks_of_zeros_are_read(folder: Path) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        zeros = np.zeros((20, 20), "f4")
        file.create_dataset(NAME, data=zeros, chunks=(5, 10), compression="gzip")
    assert not read_model(folder).arrays[NAME].any()


def test_shuffle_of_another_width_is_refused(folder: Path) -> None:
    path = folder / "weights.hdf5"
    with h5py.File(path, "r+") as file:
        data = file[NAME][...]
        del file[NAME]
        file.create_dataset(NAME, data=data, compression="gzip", shuffle=True)
    content = path.read_bytes()
    described = b"shuffle\0" + (4).to_bytes(4, "little")
    assert content.count(described) == 1
    path.write_bytes(content.replace(described, described[:-2] + b"\x08\0"))
    message = refusal(folder)
    assert NAME in message
    assert "shuffled" in message


def test_data_set_that_begins_in_the_description_of_another_is_refused(
    folder: Path,
) -> None:
    path = folder / "weights.hdf5"
    with h5py.File(path) as file:
        start = file[NAME].id.get_offset()
        header = h5py.h5o.get_info(file["CNN_proj/W_proj"].id).addr
    data = path.read_bytes()
    assert data.count(start.to_bytes(8, "little")) == 1
    path.write_bytes(
        data.replace(start.to_bytes(8, "little"), (header - 64).to_bytes(8, "little"))
    )
    assert "shares bytes" in refusal(folder)


def test_data_set_that_lost_its_checksum_is_refused(folder: Path) -> None:
    files = read_model(folder)
    write_model(folder, files.options, files.arrays)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME].attrs[CHECKSUM_NAME]
    message = refusal(folder)
    assert NAME in message
    assert "checksum" in message


def struct_of(chunk: Any) -> bytes:
    """Give the key of a chunk as HDF5's B-tree has it: size, mask, offsets."""
    head = chunk.size.to_bytes(4, "little") + chunk.filter_mask.to_bytes(4, "little")
    offsets = b"".join(n.to_bytes(8, "little") for n in (*chunk.chunk_offset, 0))
    return head + offsets


@pytest.mark.parametrize("how", ["contiguous", "chunked", "filled"])
def test_numbers_that_were_never_written_are_refused(folder: Path, how: str) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        del file[NAME]
        file.create_dataset(
            NAME,
            (20, 20),
            "f4",
            chunks=None if how == "contiguous" else (5, 5),
            fillvalue=1.5 if how == "filled" else None,
        )
    assert "not written" in refusal(folder)


# Zip files


def zip_of(folder: Path, path: Path, **extra: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in ("options.json", "weights.hdf5"):
            data = extra.get(member.partition(".")[0])
            archive.writestr(member, data or (folder / member).read_bytes())
    return path


def test_zip_member_that_unpacks_to_gigabytes_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "options.json", "options.json")
        with archive.open("weights.hdf5", "w", force_zip64=True) as member:
            for _ in range(256):
                member.write(bytes(2**20))
    message = refusal(path)
    assert "weights.hdf5" in message
    assert "unpacks" in message


@pytest.mark.parametrize("part", ["options", "weights"])
def test_zip_member_larger_than_declared_is_refused(
    folder: Path, tmp_path: Path, part: str
) -> None:
    path = zip_of(folder, tmp_path / "model.zip")
    with zipfile.ZipFile(path) as archive:
        member = "options.json" if part == "options" else "weights.hdf5"
        size = archive.getinfo(member).file_size
    data = path.read_bytes()
    assert data.count(size.to_bytes(4, "little")) >= 2
    path.write_bytes(
        data.replace(size.to_bytes(4, "little"), (size - 9).to_bytes(4, "little"))
    )
    assert "model.zip" in refusal(path)


def test_large_options_in_a_zip_are_refused(folder: Path, tmp_path: Path) -> None:
    path = zip_of(folder, tmp_path / "model.zip", options=b" " * 2**24 + b"{}")
    message = refusal(path)
    assert "options.json" in message


def test_weights_of_any_honest_size_are_read_from_a_zip(
    folder: Path, tmp_path: Path
) -> None:
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file["softmax"] = np.zeros(2**20, np.float32)
    digest = read_model(folder).digest
    assert read_model(zip_of(folder, tmp_path / "model.zip")).digest == digest


# Options


def test_options_larger_than_a_mebibyte_are_refused(folder: Path) -> None:
    options = (folder / "options.json").read_bytes()
    (folder / "options.json").write_bytes(options + b" " * 2**20)
    assert "options.json" in refusal(folder)


def test_key_given_twice_is_refused(folder: Path) -> None:
    """JSON readers disagree about which value counts."""
    path = folder / "options.json"
    path.write_bytes(path.read_bytes().replace(b'"dim"', b'"dim": 3, "dim"', 1))
    message = refusal(folder)
    assert "options.json" in message
    assert "'dim'" in message


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_number_that_is_none_is_refused(folder: Path, text: str) -> None:
    path = folder / "options.json"
    options = json.loads(path.read_text())
    options["lstm"]["dim"] = "here"
    path.write_text(json.dumps(options).replace('"here"', text))
    assert "options.json" in refusal(folder)


def test_swapped_options_and_weights_are_called_so(tiny_model: Path) -> None:
    message = refusal((tiny_model / "weights.hdf5", tiny_model / "options.json"))
    assert "swapped" in message
    with pytest.raises(ModelFileError, match="swapped"):
        read_options((tiny_model / "weights.hdf5", tiny_model / "options.json"))


# Paths


@pytest.mark.parametrize("call", [read_model, describe, load, open_model])
def test_missing_model_is_also_a_file_not_found(tmp_path: Path, call: Any) -> None:
    sources: list[Any] = [
        str(tmp_path / "nowhere"),
        tmp_path / "nowhere",
        (tmp_path / "a.json", tmp_path / "b.hdf5"),
        "~no_such_user_here/model",
    ]
    for source in sources:
        with pytest.raises(ModelFileNotFoundError) as caught:
            call(source)
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("call", [read_model, describe, load, open_model])
@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "x/" * 3000, "", "\ud800"])
def test_path_that_cannot_exist_is_a_model_file_error(call: Any, path: str) -> None:
    if path == "":  # means the current folder
        path = "/dev/null/model"
    with pytest.raises(ModelFileError):
        call(path)
    with pytest.raises(ModelFileError):
        call((path, path))


def make_special(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        server = socket.socket(socket.AF_UNIX)
        try:
            server.bind(str(path))
        finally:
            server.close()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.mkdir()


@posix
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "loop", "folder"])
@pytest.mark.parametrize("call", [read_model, describe, load, open_model])
def test_what_is_no_plain_file_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: Any, kind: str
) -> None:
    monkeypatch.chdir(folder.parent)  # the path of a socket must be short
    make_special(Path("special"), kind)
    with pytest.raises(ModelFileError):
        call("special")
    with pytest.raises(ModelFileError):
        call((Path("special"), folder / "weights.hdf5"))
    if call is not describe:
        with pytest.raises(ModelFileError):
            call((folder / "options.json", Path("special")))
    for name in ("options.json", "weights.hdf5"):
        (folder / name).rename(folder.parent / name)
        make_special(folder / name, kind)
        with pytest.raises(ModelFileError):
            call(folder)
        if kind == "folder":
            (folder / name).rmdir()
        else:
            (folder / name).unlink()
        (folder.parent / name).rename(folder / name)


@pytest.mark.parametrize("userblock", [0, 512])
def test_file_with_other_content_before_it_is_read(
    folder: Path, userblock: int
) -> None:
    digest = read_model(folder).digest
    arrays = arrays_of(folder)
    with h5py.File(folder / "weights.hdf5", "w", userblock_size=userblock) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip", shuffle=True)
    assert read_model(folder).digest == digest


# Reading that fails, and names


def test_two_zip_members_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    """Programs disagree about which of them counts."""
    path = zip_of(folder, tmp_path / "model.zip")
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("options.json", b"{}")
    message = refusal(path)
    assert "model.zip" in message
    assert "several files named 'options.json'" in message


@posix
@pytest.mark.parametrize("part", ["options", "weights"])
def test_read_error_is_an_error_of_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """As on a failing disk, or a network folder that was lost."""
    name = "options.json" if part == "options" else "weights.hdf5"

    class Failing(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def open_failing(path: Path, **_: Any) -> io.FileIO:
        return (Failing if path.name == name else io.FileIO)(path)

    monkeypatch.setattr("sklearn_elmo.bilm.locations.open_plain_file", open_failing)
    message = refusal(folder)
    assert name in message


@posix
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_file_of_the_kernel_is_refused(folder: Path) -> None:
    """It looks like a plain file, but cannot be read or has no end."""
    for odd in (Path("/proc/self/mem"), Path("/proc/self/status")):
        refusal((folder / "options.json", odd))
        refusal((odd, folder / "weights.hdf5"))


def test_names_in_messages_cannot_move_the_cursor(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for number in (1, 2):
            archive.writestr(f"\x1b[31m{number}\noptions.json", b"{}")
        archive.write(folder / "weights.hdf5", "weights.hdf5")
    assert refusal(tmp_path / "model.zip").isprintable()
    with h5py.File(folder / "weights.hdf5", "w") as file:
        file["\x1b[31m\n"] = 1.0
    assert refusal(folder).isprintable()


def test_byte_order_of_one_data_set_that_was_flipped_is_refused(folder: Path) -> None:
    """Its numbers are finite, but other ones; files without checksums hide that."""
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        swapped = file[NAME][...].byteswap()
        del file[NAME]
        file.create_dataset(NAME, data=swapped.view(">f4"))
    message = refusal(folder)
    assert NAME in message
    assert "byte order" in message
