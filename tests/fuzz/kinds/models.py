"""Options, weights and zip files of models."""

import json
import os
import random
import zipfile
from pathlib import Path

import h5py
import numpy as np
import reference_numpy

from sklearn_elmo.bilm.weights import read_model, write_model

from ..kind import Kind
from ..mutations import BYTES, HDF5, JSON, in_zip


def make_ours(folder: Path) -> None:
    files = read_model(reference_numpy.make_model(folder, seed=7))
    write_model(folder, files.options, files.arrays)


def make_older(folder: Path) -> None:
    """As older versions wrote it: a checksum of variable length at the root."""
    make_plain(folder)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        file.attrs["sklearn_elmo_sha256"] = "0123456789abcdef" * 4


def make_plain(folder: Path) -> None:
    reference_numpy.make_model(folder, seed=7)


def make_compressed(folder: Path) -> None:
    make_plain(folder)
    arrays = reference_numpy.read_arrays(folder / "weights.hdf5")
    with h5py.File(folder / "weights.hdf5", "w", libver="latest") as file:
        for name, array in arrays.items():
            file.create_dataset(
                name, data=array, compression="gzip", shuffle=True, fletcher32=True
            )


def make_zip(folder: Path) -> None:
    make_ours(folder)
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("options.json", "weights.hdf5"):
            archive.write(folder / name, f"model/{name}")
            (folder / name).unlink()


def read_digest(folder: Path) -> str:
    archive = folder / "model.zip"
    files = read_model(archive if archive.exists() else folder)
    for name, array in files.arrays.items():
        assert array.dtype == np.float32, name
        assert np.isfinite(array).all(), name
    return files.digest


def edit_hdf5(rng: random.Random, folder: Path) -> None:
    """Change an object of the file through h5py."""
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        names = sorted(reference_numpy.read_arrays(folder / "weights.hdf5"))
        name, other = rng.sample(names, 2)
        data = file[name][...]
        del file[name]
        match rng.randrange(13):
            case 0:
                file[name] = data.astype(rng.choice(("f2", ">f8", "i4", "c8", "?")))
            case 1:
                file[name] = data[..., :-1]
            case 2:
                file[name] = h5py.SoftLink(f"/{other}")
            case 3:
                file[name] = h5py.ExternalLink(os.devnull, other)
            case 4:
                file[name] = file[other]
            case 5:
                file.create_group(f"{name}/deeper")
            case 6:
                outside = [("/dev/zero", 0, h5py.h5f.UNLIMITED)]
                file.create_dataset(name, data.shape, "f4", external=outside)
            case 7:
                file.create_dataset(name, data.shape, "f4", fillvalue=0.25)
            case 8:
                chunks = tuple(max(1, n // 2) for n in data.shape)
                file.create_dataset(name, data.shape, "f4", chunks=chunks)
                file[name][0] = data[0]
            case 9:
                file[name] = np.where(data == data.max(), np.nan, data)
            case 10:
                file[name] = np.full(data.shape, "text", h5py.string_dtype())
            case 11:
                layout = h5py.VirtualLayout(data.shape, "f4")
                layout[...] = h5py.VirtualSource("weights.hdf5", other, data.shape)
                file.create_virtual_dataset(name, layout)
            case 12:
                file.create_dataset(name, data=data, scaleoffset=2)


def edit_options(rng: random.Random, folder: Path) -> None:
    path = folder / "options.json"
    options = json.loads(path.read_bytes())
    part = options[rng.choice(("lstm", "char_cnn"))]
    part[rng.choice(sorted(part))] = rng.choice((0, 1, 5, 10**9, 2**40, True, None))
    path.write_text(json.dumps(options))


def made(name: str, make: object, **settings: object) -> Kind:
    defaults = {"pattern": "weights.hdf5", "mutators": HDF5, "read": read_digest}
    return Kind(name, make, **(defaults | settings))  # type: ignore[arg-type]


KINDS = [
    made("weights-ours", make_ours, edit=edit_hdf5),
    # Nothing in these can tell one finite number from another.
    made("weights-older", make_older, exact=False),
    made("weights-plain", make_plain, exact=False, edit=edit_hdf5),
    made("weights-compressed", make_compressed, exact=False),
    made(
        "options",
        make_ours,
        pattern="options.json",
        mutators=JSON,
        exact=False,
        edit=edit_options,
    ),
    made(
        "model-zip",
        make_zip,
        pattern="model.zip",
        mutators=(*BYTES, in_zip(HDF5)),
        exact=False,  # other options are a model of their own
    ),
]
