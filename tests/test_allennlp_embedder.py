"""`ElmoEmbedder` and the file it writes."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import reference_numpy
import torch

from sklearn_elmo.allennlp import Elmo, ElmoEmbedder, batch_to_ids
from sklearn_elmo.allennlp import embedder as embedder_module
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelFileError,
    OutputFileError,
    SklearnElmoWarning,
    TextValueError,
)

LINES = [
    "The cat sat .",
    "  A dog\u00a0ran\tfast  ",
    "The cat sat .",
    "Ünïcode « yes »",
]


def make_embedder(folder: Path, **keywords: object) -> ElmoEmbedder:
    return ElmoEmbedder(folder / "options.json", folder / "weights.hdf5", **keywords)


def as_file(lines: list[str]) -> io.StringIO:
    return io.StringIO("".join(f"{line}\n" for line in lines))


def test_embed_sentence_gives_all_layers(tiny_model: Path) -> None:
    tokens = ["I", "ate", "an", "apple"]
    found = make_embedder(tiny_model).embed_sentence(tokens)
    expected = reference_numpy.ReferenceElmo.from_folder(tiny_model).embed(tokens)
    assert found.shape == (3, 4, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_second_call_starts_where_the_first_ended(tiny_model: Path) -> None:
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    sentences = [["I", "ate", "an", "apple"], ["I", "ate", "a", "carrot"]]
    _, state = reference.embed_with_boundaries(sentences[0])
    expected = reference.embed(sentences[1], state)
    embedder = make_embedder(tiny_model)
    first, second = (embedder.embed_sentence(tokens) for tokens in sentences)
    np.testing.assert_allclose(second, expected, atol=5e-6)
    embedder.reset_states()
    np.testing.assert_array_equal(embedder.embed_sentence(sentences[0]), first)


@pytest.mark.parametrize("state", ["zero", "warm"])
def test_without_carried_state_the_order_does_not_matter(
    tiny_model: Path, state: str
) -> None:
    embedder = make_embedder(tiny_model, state=state)
    first = embedder.embed_sentence(["a", "b"])
    embedder.embed_sentence(["something", "else"])
    np.testing.assert_array_equal(embedder.embed_sentence(["a", "b"]), first)


def test_empty_sentences_have_the_model_s_own_shape(make_model) -> None:
    embedder = make_embedder(make_model(n_layers=1, projection_dim=4))
    assert embedder.embed_batch([]) == []
    for batch in ([[]], [[], []]):
        for row in embedder.embed_batch(batch):
            assert row.shape == (2, 0, 8)
            assert row.dtype == np.float32
    found = embedder.embed_batch([[], ["a"]])
    assert [row.shape for row in found] == [(2, 0, 8), (2, 1, 8)]
    assert list(embedder.embed_sentences([])) == []


def test_batch_without_tokens_leaves_the_state_alone(tiny_model: Path) -> None:
    one, other = make_embedder(tiny_model), make_embedder(tiny_model)
    for embedder in (one, other):
        embedder.embed_sentence(["warm", "up"])
    one.embed_sentence([])
    np.testing.assert_array_equal(
        one.embed_sentence(["a"]), other.embed_sentence(["a"])
    )


def test_embed_sentences_is_lazy_and_batches_in_order(tiny_model: Path) -> None:
    read = 0

    def sentences() -> Iterator[list[str]]:
        nonlocal read
        for number in range(5):
            read += 1
            yield ["token"] * (number + 1)

    embedder = make_embedder(tiny_model)
    vectors = embedder.embed_sentences(sentences(), batch_size=2)
    assert read == 0
    assert next(vectors).shape == (3, 1, 16)
    assert read == 2
    assert [row.shape[1] for row in vectors] == [2, 3, 4, 5]


@pytest.mark.parametrize("n_tokens", [1, 7, 20])
def test_splitting_a_batch_changes_no_number(
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    real_sentences: list[list[str]],
    n_tokens: int,
) -> None:
    batches = [real_sentences[:9], [[], *real_sentences[9:14]], real_sentences[14:30]]
    whole, parts = make_embedder(tiny_model), make_embedder(tiny_model)
    for batch in batches:
        expected = whole.embed_batch(batch)
        with monkeypatch.context() as patch:
            patch.setattr(embedder_module, "TOKENS_AT_ONCE", n_tokens)
            found = parts.embed_batch(batch)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=2e-6)


def test_batch_size_of_zero_embeds_nothing_and_a_negative_one_is_refused(
    tiny_model: Path,
) -> None:
    embedder = make_embedder(tiny_model)
    assert list(embedder.embed_sentences([["a"]], batch_size=0)) == []
    with pytest.raises(ValueError, match="'batch_size'"):
        list(embedder.embed_sentences([["a"]], batch_size=-1))


def test_batch_to_embeddings_gives_tensors(tiny_model: Path) -> None:
    activations, mask = make_embedder(tiny_model).batch_to_embeddings(
        [["a", "b"], ["c"]]
    )
    assert activations.shape == (2, 3, 2, 16)
    assert mask.tolist() == [[1, 1], [1, 0]]
    assert not activations[1, :, 1].any()


def test_model_with_fewer_characters_a_token(make_model) -> None:
    folder = make_model(max_characters=20)
    embedder = make_embedder(folder, state="zero")
    tokens = ["short", "a-word-of-more-than-twenty-letters"]
    expected = reference_numpy.ReferenceElmo.from_folder(folder).embed(tokens)
    np.testing.assert_allclose(embedder.embed_sentence(tokens), expected, atol=2e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"use_skip_connections": False},
        {"with_projection": False, "cell_dim": 8},
        {"with_cnn_projection": False, "filters": [[1, 4], [2, 4]]},
        {"n_highway": 0},
        {"activation": "tanh", "n_layers": 3, "cell_clip": None, "proj_clip": None},
    ],
)
def test_models_of_bilm_tf_load(make_model, arguments: dict[str, object]) -> None:
    folder = make_model(**arguments)
    tokens = ["Any", "sentence", "."]
    found = make_embedder(folder).embed_sentence(tokens)
    expected = reference_numpy.ReferenceElmo.from_folder(folder).embed(tokens)
    np.testing.assert_allclose(found, expected, atol=3e-6)


def test_absent_gpu_is_refused(tiny_model: Path) -> None:
    with pytest.raises(InvalidParameterError, match="'cuda_device' parameter"):
        make_embedder(tiny_model, cuda_device=99)


def test_embed_file_writes_what_allennlp_writes(
    tiny_model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "layers.hdf5"
    text = as_file(LINES)
    make_embedder(tiny_model).embed_file(text, output, batch_size=2)
    assert text.closed
    expected = list(
        make_embedder(tiny_model).embed_sentences(
            [line.split() for line in LINES], batch_size=2
        )
    )
    with h5py.File(output) as file:
        assert set(file) == {"0", "1", "2", "3", "sentence_to_index"}
        for index, vectors in enumerate(expected):
            dataset = file[str(index)]
            assert dataset.dtype == np.float32
            assert dataset.chunks is None
            assert dataset.compression is None
            assert not dataset.attrs
            np.testing.assert_array_equal(dataset[...], vectors)
        mapping = file["sentence_to_index"]
        assert mapping.shape == (1,)
        assert h5py.check_string_dtype(mapping.dtype) is not None
        text_of_mapping = mapping[0].decode("ascii")
    # The last of equal lines wins, where the first stood.
    assert list(json.loads(text_of_mapping).items()) == [
        ("The cat sat .", "2"),
        ("A dog\u00a0ran\tfast", "1"),
        ("Ünïcode « yes »", "3"),
    ]


@pytest.mark.parametrize(
    ("output_format", "pick"),
    [
        ("all", lambda layers: layers),
        ("top", lambda layers: layers[-1]),
        ("average", lambda layers: layers.mean(axis=0)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_embed_file_formats(
    tiny_model: Path, tmp_path: Path, output_format: str, pick, dtype: str
) -> None:
    output = tmp_path / "out.hdf5"
    make_embedder(tiny_model).embed_file(
        as_file(LINES), output, output_format, dtype=dtype
    )
    vectors = make_embedder(tiny_model).embed_batch([line.split() for line in LINES])
    with h5py.File(output) as file:
        assert file["1"].dtype == dtype
        np.testing.assert_array_equal(file["1"][...], pick(vectors[1]).astype(dtype))


def test_embed_file_key_options(tiny_model: Path, tmp_path: Path) -> None:
    embedder = make_embedder(tiny_model)
    lines = ["a b", "c"]
    output = tmp_path / "out.hdf5"
    embedder.embed_file(as_file(lines), output, forget_sentences=True)
    with h5py.File(output) as file:
        assert set(file) == {"0", "1"}
    embedder.embed_file(as_file(lines), output, use_sentence_keys=True)
    with h5py.File(output) as file:
        assert set(file) == {"a b", "c"}
    embedder.embed_file(as_file(lines), output, include_sentence_indices=True)
    with h5py.File(output) as file:
        assert file["sentence_indices"][0] == file["sentence_to_index"][0]
        assert json.loads(file["sentence_indices"][0]) == {"a b": "0", "c": "1"}


@pytest.mark.parametrize("forget", [False, True])
def test_embed_file_of_nothing(tiny_model: Path, tmp_path: Path, forget: bool) -> None:
    output = tmp_path / "out.hdf5"
    make_embedder(tiny_model).embed_file(as_file([]), output, forget_sentences=forget)
    with h5py.File(output) as file:
        assert set(file) == (set() if forget else {"sentence_to_index"})
        if not forget:
            assert file["sentence_to_index"][0] == b"{}"


def test_embed_file_refuses_blank_lines_before_anything_else(
    tiny_model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.hdf5"
    with pytest.raises(TextValueError, match=r"blank lines at indexes \[1, 3\]"):
        make_embedder(tiny_model).embed_file(as_file(["a", " \t", "b", ""]), output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["a", "and / or"], r"Line 1 .*'and / or' .* contains a '/'"),
        (["."], "or is '.'"),
        (["a", "b", "a"], "Line 2 .* repeats an earlier line"),
        (["x" * 70_000], "longer than"),
        (["a\0b"], "NUL"),
        (["a\ud800b"], "lone surrogate"),
    ],
)
def test_sentence_keys_that_hdf5_cannot_have_are_refused(
    tiny_model: Path, tmp_path: Path, lines: list[str], match: str
) -> None:
    output = tmp_path / "out.hdf5"
    with pytest.raises(TextValueError, match=match):
        make_embedder(tiny_model).embed_file(
            as_file(lines), output, use_sentence_keys=True
        )
    assert list(tmp_path.iterdir()) == []


def test_longest_sentence_key_is_kept_whole(tiny_model: Path, tmp_path: Path) -> None:
    line = "ü" * 30_000
    output = tmp_path / "out.hdf5"
    make_embedder(tiny_model).embed_file(
        as_file([line]), output, use_sentence_keys=True
    )
    with h5py.File(output) as file:
        assert list(file) == [line]


def test_failure_midway_leaves_the_old_file_alone(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.hdf5"
    output.write_bytes(b"old")
    embedder = make_embedder(tiny_model)
    embed_batch = embedder.embed_batch

    def fail_later(batch: list[list[str]]) -> list[np.ndarray]:
        if batch[0] == ["c"]:
            raise KeyboardInterrupt
        return embed_batch(batch)

    monkeypatch.setattr(embedder, "embed_batch", fail_later)
    with pytest.raises(KeyboardInterrupt):
        embedder.embed_file(as_file(["a", "b", "c"]), output, batch_size=1)
    assert output.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [output]


def test_output_that_cannot_be_written_is_named(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputFileError, match="Choose another path"):
        make_embedder(tiny_model).embed_file(
            as_file(["a"]), tmp_path / "file" / "out.hdf5"
        )


def test_output_format_is_checked(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="'output_format'"):
        make_embedder(tiny_model).embed_file(as_file(["a"]), tmp_path / "o", "both")


def test_output_has_the_rights_of_any_new_file(
    tiny_model: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    make_embedder(tiny_model).embed_file(as_file(["a"]), tmp_path / "out.hdf5")
    assert os.stat(tmp_path / "out.hdf5").st_mode == plain.stat().st_mode


def test_long_input_is_not_kept_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    """A generator of lines is read once; what is pending is one batch."""
    lines = (f"line {number}" for number in range(300))
    from sklearn_elmo.allennlp.hdf5_output import write_vectors

    embedder = make_embedder(tiny_model)
    write_vectors(
        lines,
        tmp_path / "out.hdf5",
        lambda token_lists: embedder.embed_sentences(token_lists),
        output_format="average",
    )
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert len(file) == 301
        assert file["299"].shape == (2, 16)


@pytest.fixture
def fresh_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_module, "_has_warned", False)


@pytest.mark.usefixtures("fresh_warning")
def test_default_model_warns_once_that_it_is_not_allennlp_s() -> None:
    with pytest.warns(SklearnElmoWarning, match="models fetch original") as caught:
        first = ElmoEmbedder()
    assert caught[0].filename == __file__
    second = ElmoEmbedder()  # warnings are errors
    assert first.elmo_bilm.digest == second.elmo_bilm.digest


@pytest.mark.usefixtures("fresh_warning")
def test_a_named_model_does_not_warn(tiny_model: Path) -> None:
    ElmoEmbedder(model="default")
    ElmoEmbedder("default")
    ElmoEmbedder(tiny_model)
    make_embedder(tiny_model)
    with pytest.raises(InvalidParameterError, match="Leave out the files"):
        ElmoEmbedder("options.json", model="default")


def test_weight_file_alone_goes_with_the_original_options(tiny_model: Path) -> None:
    with pytest.raises(ModelFileError, match="options are those of the original"):
        ElmoEmbedder(weight_file=tiny_model / "weights.hdf5")


def test_options_file_alone_goes_with_the_original_weights(tiny_model: Path) -> None:
    with pytest.raises(FileNotFoundError, match="fetch original"):
        ElmoEmbedder(tiny_model / "options.json")


def test_cuda_device_tells_and_moves(tiny_model: Path) -> None:
    embedder = make_embedder(tiny_model)
    assert embedder.cuda_device == -1
    embedder.cuda_device = -1
    with pytest.raises(InvalidParameterError, match="'cuda_device' parameter"):
        embedder.cuda_device = 99
    with pytest.raises(InvalidParameterError, match="'cuda_device' parameter"):
        make_embedder(tiny_model, cuda_device=99)


def test_tokens_of_spacy_s_kind_are_embedded(tiny_model: Path) -> None:
    tokens = [SimpleNamespace(text="I"), SimpleNamespace(text="ate")]
    found = make_embedder(tiny_model).embed_sentence(tokens)
    expected = make_embedder(tiny_model).embed_sentence(["I", "ate"])
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def huge_model(make_model) -> Path:
    """Weights that are finite, and products of them that are not."""
    folder = make_model(seed=4)
    with h5py.File(folder / "weights.hdf5", "r+") as file:
        for name in ("char_embed", "CNN_proj/W_proj"):
            file[name][...] *= 1e20
    return folder


def test_vectors_that_are_not_finite_name_the_model(
    huge_model: Path, tmp_path: Path
) -> None:
    embedder = make_embedder(huge_model)
    match = r"weights\.hdf5' .* sentence 'The cat' are not finite"
    for embed in (embedder.embed_batch, embedder.batch_to_embeddings):
        with pytest.raises(ModelFileError, match=match):
            embed([["The", "cat"]])
    assert embedder.elmo_bilm._elmo_lstm._states is None
    with pytest.raises(ModelFileError, match=match):
        embedder.embed_file(as_file(["The cat"]), tmp_path / "out.hdf5")
    assert list(tmp_path.iterdir()) == []


def test_module_returns_what_torch_gives(huge_model: Path) -> None:
    """As in AllenNLP: training code looks at its loss."""
    vectors = Elmo(huge_model)(batch_to_ids([["The", "cat"]]))["elmo_representations"]
    assert not torch.isfinite(vectors[0]).all()
