"""Vocabularies, instances, configurations and embedders besides ELMo."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_elmo.allennlp import (
    ELMoTokenCharactersIndexer,
    ElmoTokenEmbedderMultiLang,
    SingleIdTokenIndexer,
    Vocabulary,
    batch_to_ids,
)
from sklearn_elmo.allennlp.basic_text_field_embedder import BasicTextFieldEmbedder
from sklearn_elmo.allennlp.character_encoding import (
    CnnEncoder,
    RecurrentEncoder,
    TimeDistributed,
    TokenCharactersEncoder,
)
from sklearn_elmo.allennlp.character_ids import (
    ElmoCharacterMapper,
    make_boundary_characters,
)
from sklearn_elmo.allennlp.character_indexer import TokenCharactersIndexer
from sklearn_elmo.allennlp.embedding import Embedding
from sklearn_elmo.allennlp.highway import Highway
from sklearn_elmo.allennlp.indexers import TokenIndexer
from sklearn_elmo.allennlp.instances import BasicIterator, Batch, Instance, TextField
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.registrable import Registrable
from sklearn_elmo.allennlp.small_parts import (
    OutOfScopeError,
    Tqdm,
    lazy_groups_of,
    train_model,
)
from sklearn_elmo.allennlp.testing import AllenNlpTestCase, ModelTestCase
from sklearn_elmo.allennlp.token_embedder import TokenEmbedder
from sklearn_elmo.allennlp.vocabulary import Token
from sklearn_elmo.errors import InvalidParameterError, SklearnElmoError

# Character ids.


def test_mapper_has_raw_ids_and_adds_one() -> None:
    mapper = ElmoCharacterMapper({"<first>": 1})
    assert mapper.max_word_length == 50
    assert mapper.padding_character == 260
    assert ElmoCharacterMapper.beginning_of_sentence_characters[:3] == [258, 256, 259]
    assert mapper.end_of_sentence_characters[3:] == [260] * 47
    assert mapper.convert_word_to_char_ids("<first>")[:3] == [259, 2, 260]
    assert mapper.convert_word_to_char_ids(mapper.bos_token)[:3] == [259, 257, 260]
    assert mapper.convert_word_to_char_ids("é")[:4] == [259, 196, 170, 260]
    assert mapper == ElmoCharacterMapper({"<first>": 1}) != ElmoCharacterMapper()


def test_mapper_can_be_called_on_the_class() -> None:
    ids = ElmoCharacterMapper.convert_word_to_char_ids("hello")
    assert ids == batch_to_ids([["hello"]])[0, 0].tolist()
    with pytest.raises(TypeError, match="needs a word"):
        ElmoCharacterMapper().convert_word_to_char_ids()


def test_ids_of_tokens_that_have_a_text() -> None:
    tokens = [Token("Hello"), SimpleNamespace(text="world")]
    assert torch.equal(batch_to_ids([tokens]), batch_to_ids([["Hello", "world"]]))


@pytest.mark.parametrize("text", [None, 3, b"a"])
def test_tokens_without_a_text_are_named(text: object) -> None:
    with pytest.raises(AttributeError, match="Token 1 of sentence 0"):
        batch_to_ids([["a", SimpleNamespace(text=text)]])


def test_padding_token_of_the_characters_indexer_is_deprecated() -> None:
    with pytest.warns(FutureWarning, match="as_padded_tensor"):
        assert ELMoTokenCharactersIndexer().get_padding_token() == 0


# Vocabulary and instances.


def test_vocabulary_counts_by_namespace() -> None:
    counts = {"tokens": {"a": 1, "b": 3, "c": 3}, "labels": {"X": 1}}
    vocabulary = Vocabulary(counts, min_count={"tokens": 2})
    ids = {"@@PADDING@@": 0, "@@UNKNOWN@@": 1, "b": 2, "c": 3}
    assert vocabulary.get_token_to_index_vocabulary() == ids
    assert vocabulary.get_token_index("a") == 1
    assert vocabulary.get_token_from_index(2) == "b"
    assert vocabulary.get_index_to_token_vocabulary("labels") == {0: "X"}
    with pytest.raises(KeyError):
        vocabulary.get_token_index("Y", "labels")
    assert vocabulary.add_token_to_namespace("Y", "labels") == 1
    with pytest.raises(TypeError, match="is int"):
        vocabulary.add_token_to_namespace(3)
    with pytest.raises(InvalidParameterError, match="tokens_to_add"):
        Vocabulary.from_files("folder")


def make_instances(sentences: list[list[str]]) -> list[Instance]:
    indexers = {
        "characters": ELMoTokenCharactersIndexer(),
        "words": SingleIdTokenIndexer(),
    }
    return [
        Instance({"text": TextField([Token(word) for word in sentence], indexers)})
        for sentence in sentences
    ]


SENTENCES = [["a", "b", "c"], ["b"], [], ["c", "b"]]


def test_batch_pads_all_ids_of_a_field() -> None:
    instances = make_instances(SENTENCES)
    vocabulary = Vocabulary.from_instances(instances)
    batch = Batch(instances)
    batch.index_instances(vocabulary)
    tensors = batch.as_tensor_dict()["text"]
    assert torch.equal(tensors["characters"], batch_to_ids(SENTENCES))
    expected = SingleIdTokenIndexer().as_batch(SENTENCES, vocabulary)
    assert torch.equal(tensors["words"], expected)
    assert expected[0, 1] == 2  # the most frequent word
    longer = batch.as_tensor_dict({"text": {"words_length": 5}})["text"]
    assert longer["words"].shape == (4, 5)


def test_iterator_gives_batches_in_order() -> None:
    instances = make_instances(SENTENCES)
    iterator = BasicIterator(3)
    iterator.index_with(Vocabulary())
    batches = list(iterator(instances, num_epochs=2, shuffle=False))
    assert [len(batch["text"]["words"]) for batch in batches] == [3, 1, 3, 1]
    assert batches[1]["text"]["characters"].shape == (1, 2, 50)
    assert iterator.get_num_batches(instances) == 2


def test_instances_say_what_they_need() -> None:
    field = TextField([Token("a")], {"words": SingleIdTokenIndexer()})
    with pytest.raises(SklearnElmoError, match="index"):
        field.get_padding_lengths()
    with pytest.raises(TypeError, match="Token 0 of a TextField is str"):
        TextField(["a"], {})
    with pytest.raises(SklearnElmoError, match="different fields"):
        Batch([Instance({"a": field}), Instance({"b": field})])
    assert (len(field), str(field), field[0].text) == (1, "a", "a")


# Params and Registrable.


def test_params_are_taken_out_one_by_one(tmp_path: Path) -> None:
    config = {"n": "3", "p": 0.5, "on": "true", "sub": {"x": [1, {"y": 2}]}, "z": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    params = Params.from_file(tmp_path / "config.json")
    assert params.duplicate().as_dict() == config
    assert (params.pop_int("n"), params.pop_float("p"), params.pop_bool("on")) == (
        3,
        0.5,
        True,
    )
    sub = params.pop("sub")
    assert sub["x"][1]["y"] == 2
    with pytest.raises(SklearnElmoError, match=r"'sub\.w'"):
        sub.pop("w")
    with pytest.raises(SklearnElmoError, match="unknown keys: 'z'"):
        params.assert_empty("Elmo")
    assert params.pop_int("z") is None
    params.assert_empty("Elmo")
    for method, value in [("pop_int", "x"), ("pop_float", "x"), ("pop_bool", "x")]:
        with pytest.raises(SklearnElmoError, match="'k' must be"):
            getattr(Params({"k": value}), method)("k")
    with pytest.raises(SklearnElmoError, match="must be one of"):
        Params({"k": 1}).pop_choice("k", [2, 3])


def test_params_note_files(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    params = Params({"sub": {"file": str(tmp_path / "weights")}})
    params.get("sub").add_file_to_archive("file")
    assert params.files_to_archive == {"sub.file": str(tmp_path / "weights")}
    (tmp_path / "jsonnet").write_text("local x = 1; {}")
    with pytest.raises(SklearnElmoError, match="Jsonnet"):
        Params.from_file(tmp_path / "jsonnet")


@pytest.fixture
def own_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {kind: dict(names) for kind, names in Registrable._registry.items()}
    monkeypatch.setattr(Registrable, "_registry", registry)

    @TokenEmbedder.register("own")
    class OwnEmbedder(TokenEmbedder):
        def __init__(self, width: int, inner: TokenEmbedder, scale: float = 1.0):
            super().__init__()
            self.width, self.scale, self.inner = width, scale, inner

        def get_output_dim(self) -> int:
            return self.width

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.scale * torch.ones(*inputs.shape, self.width)


@pytest.mark.usefixtures("own_embedder")
def test_embedders_of_one_s_own_are_built_by_their_names() -> None:
    inner = {"type": "embedding", "num_embeddings": 3, "embedding_dim": 2}
    config = {"type": "own", "width": 4, "scale": "2", "inner": inner}
    embedder = BasicTextFieldEmbedder.from_params(params={"words": config})
    assert isinstance(embedder.token_embedder_words.inner, Embedding)
    vectors = embedder({"words": torch.tensor([[1, 2]])})
    assert vectors.tolist() == [[[2.0] * 4] * 2]
    assert "own" in TokenEmbedder.list_available()
    with pytest.raises(SklearnElmoError, match="already the name"):
        TokenEmbedder.register("own")(Embedding)
    for wrong, match in [({"width": 4}, "incomplete"), ({"depth": 1}, "'depth'")]:
        with pytest.raises(SklearnElmoError, match=match):
            TokenEmbedder.from_params({"type": "own", **wrong})


def test_unknown_types_are_named_with_those_that_there_are() -> None:
    with pytest.raises(SklearnElmoError, match=r"'character_encoding'.*'embedding'"):
        TokenEmbedder.from_params({"type": "bert-pretrained"})
    with pytest.raises(SklearnElmoError, match="'characters', 'elmo_characters'"):
        TokenIndexer.from_params({"type": "spacy"})


# Embeddings and characters.


def test_embedding_pads_projects_and_checks() -> None:
    weight = torch.arange(6.0).reshape(3, 2) + 1
    embedding = Embedding(3, 2, 5, weight, padding_index=0, trainable=False)
    assert embedding.get_output_dim() == 5
    assert not embedding.weight.requires_grad
    assert not embedding.weight[0].any()
    vectors = embedding(torch.tensor([[[1]]]))
    torch.testing.assert_close(vectors[0, 0], embedding._projection(weight[1:2]))
    with pytest.raises(SklearnElmoError, match=r"expected \(4, 2\)"):
        Embedding(4, 2, weight=weight)
    vocabulary = Vocabulary(tokens_to_add={"tokens": ["a"]})
    built = Embedding.from_params(vocabulary, {"embedding_dim": 2})
    assert built.weight.shape == (3, 2)
    for config, match in [
        ({"embedding_dim": 2, "max_norm": 1.0}, "'max_norm'"),
    ]:
        with pytest.raises(SklearnElmoError, match=match):
            Embedding.from_params(vocabulary, config)
    with pytest.raises(SklearnElmoError, match="no vocabulary"):
        Embedding.from_params(params={"embedding_dim": 2})


def test_embedding_reads_the_vectors_of_its_vocabulary(tmp_path: Path) -> None:
    file = tmp_path / "glove.txt"
    file.write_text("the 1 2\na 3 4\nother 5 6\n")
    vocabulary = Vocabulary(tokens_to_add={"tokens": ["a", "zzz", "the"]})
    config = {"embedding_dim": 2, "pretrained_file": str(file), "trainable": False}
    weight = TokenEmbedder.from_params(dict(config), vocab=vocabulary).weight
    assert weight.shape == (5, 2)
    assert weight[[2, 4]].tolist() == [[3, 4], [1, 2]]
    assert weight[3].any()
    with pytest.raises(SklearnElmoError, match="of 7, but"):
        Embedding.from_params(vocabulary, {**config, "embedding_dim": 7})


def test_characters_are_indexed() -> None:
    indexer = TokenCharactersIndexer(min_padding_length=3)
    counter = Vocabulary.from_instances(
        [Instance({"t": TextField([Token("ab"), Token("b")], {"c": indexer})})]
    )
    ids = indexer.as_batch([["ab", "bx"], ["abba"]], counter)
    assert ids.tolist() == [[[3, 2, 0, 0], [2, 1, 0, 0]], [[3, 2, 2, 3], [0, 0, 0, 0]]]
    assert indexer.as_batch([["a"]], counter).shape == (1, 1, 3)
    with pytest.raises(SklearnElmoError, match="vocabulary"):
        indexer.as_batch([["a"]])


def test_bytes_are_indexed_without_a_vocabulary() -> None:
    tokenizer = {"byte_encoding": "utf-8", "start_tokens": [259], "end_tokens": [260]}
    indexer = TokenCharactersIndexer(
        character_tokenizer=tokenizer, min_padding_length=5, end_tokens=["@"]
    )
    ids = indexer.as_batch([["é"]])
    assert ids.tolist() == [[[259, 196, 170, 260, 0], [259, 65, 260, 0, 0]]]


def test_cnn_is_the_maximum_over_positions() -> None:
    torch.manual_seed(0)
    encoder = CnnEncoder(3, 2, (1, 2), "tanh", output_dim=4)
    assert encoder.get_output_dim() == 4
    tokens = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = encoder(tokens, mask).detach().numpy()
    inputs = (tokens * mask[..., None]).numpy()
    features = []
    for number, width in enumerate((1, 2)):
        layer = encoder.get_submodule(f"conv_layer_{number}")
        weight, bias = (p.detach().numpy() for p in layer.parameters())
        windows = np.stack([inputs[:, i : i + width] for i in range(5 - width)])
        values = np.einsum("pnke,oek->npo", windows, weight) + bias
        features.append(np.tanh(values).max(axis=1))
    projection = encoder.projection_layer
    expected = np.concatenate(features, axis=1) @ projection.weight.detach().numpy().T
    np.testing.assert_allclose(
        found, expected + projection.bias.detach().numpy(), atol=1e-6
    )
    with pytest.raises(SklearnElmoError, match="'conv_layer_activation'"):
        CnnEncoder(3, 2, (1,), "swish")


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
def test_recurrent_encoder_is_the_final_state_of_each_row(kind: type) -> None:
    module = kind(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    encoder = RecurrentEncoder(module)
    tokens = torch.randn(3, 5, 3)
    lengths = [2, 0, 5]
    mask = (torch.arange(5) < torch.tensor(lengths)[:, None]).long()
    found = encoder(tokens, mask)
    assert found.shape == (3, encoder.get_output_dim()) == (3, 8)
    assert not found[1].any()
    for row in (0, 2):
        state = module(tokens[row : row + 1, : lengths[row]])[1]
        h = state[0] if isinstance(state, tuple) else state
        torch.testing.assert_close(found[row], torch.cat([h[-2, 0], h[-1, 0]]))


def test_character_encoding_has_allennlp_s_names() -> None:
    config = {
        "type": "character_encoding",
        "embedding": {"embedding_dim": 4, "num_embeddings": 15},
        "encoder": {
            "type": "cnn",
            "embedding_dim": 4,
            "num_filters": 6,
            "ngram_filter_sizes": [3],
        },
        "dropout": 0.1,
    }
    encoder = TokenEmbedder.from_params(config)
    assert isinstance(encoder, TokenCharactersEncoder)
    assert encoder.get_output_dim() == 6
    assert [name for name, _ in encoder.named_parameters()] == [
        "_embedding._module.weight",
        "_encoder._module.conv_layer_0.weight",
        "_encoder._module.conv_layer_0.bias",
    ]
    assert encoder._dropout.p == 0.1
    assert encoder(torch.ones(2, 3, 5, dtype=torch.int64)).shape == (2, 3, 6)


# Several embedders.


def make_embedders(tiny_model: Path) -> dict[str, object]:
    return {
        "words": {"type": "embedding", "num_embeddings": 9, "embedding_dim": 2},
        "elmo": {
            "type": "elmo_token_embedder",
            "options_file": str(tiny_model / "options.json"),
            "weight_file": str(tiny_model / "weights.hdf5"),
            "dropout": 0.0,
            "namespace_to_cache": "tokens",
        },
    }


@pytest.mark.parametrize(
    "indexer_map",
    [
        {"words": ["words"], "elmo": ["elmo", "words"]},
        {"words": ["words"], "elmo": {"inputs": "elmo", "word_inputs": "words"}},
        {"words": {"inputs": "words"}, "elmo": ["elmo", None]},
    ],
)
def test_indexer_maps_choose_the_inputs(
    tiny_model: Path, indexer_map: dict[str, object]
) -> None:
    vocabulary = Vocabulary(tokens_to_add={"tokens": ["The", "cat"]})
    config = {
        "token_embedders": make_embedders(tiny_model),
        "embedder_to_indexer_map": indexer_map,
    }
    embedder = BasicTextFieldEmbedder.from_params(vocabulary, Params(config))
    inputs = {
        "words": torch.tensor([[2, 3]]),
        # Other characters than the words': they are read only without word_inputs.
        "elmo": batch_to_ids([["dog", "ran"]]),
    }
    reads_words = "words" in embedder.input_names("elmo")
    expected = batch_to_ids([["The", "cat"]]) if reads_words else inputs["elmo"]
    elmo = embedder.token_embedder_elmo
    found = embedder(inputs)[..., :16]
    elmo._elmo.reset_states()
    torch.testing.assert_close(found, elmo(expected))


def test_unmatched_keys_are_errors_unless_allowed() -> None:
    part = {"type": "embedding", "num_embeddings": 9, "embedding_dim": 2}
    ids = torch.tensor([[1, 2]])
    strict = BasicTextFieldEmbedder.from_params(params={"words": part})
    assert strict({"words": ids}).shape == (1, 2, 2)
    with pytest.raises(SklearnElmoError, match="is generating more keys"):
        strict({"words": ids, "other": ids})
    with pytest.raises(SklearnElmoError, match="Mismatched token keys"):
        strict({"other": ids})
    config = {"words": part, "allow_unmatched_keys": True}
    tolerant = BasicTextFieldEmbedder.from_params(params=config)
    assert tolerant({"words": ids, "other": ids}).shape == (1, 2, 2)
    for wrong in ({"elmo": ["words"]}, {"words": "words"}, {"words": []}):
        with pytest.raises(SklearnElmoError, match="embedder_to_indexer_map"):
            BasicTextFieldEmbedder({"words": Embedding(9, 2)}, wrong)


def test_time_distributed_merges_the_first_axes_of_tensors() -> None:
    class Scaled(torch.nn.Module):
        def forward(
            self, inputs: torch.Tensor, scale: torch.Tensor, offset: float = 0.0
        ) -> torch.Tensor:
            assert inputs.ndim == 2
            return inputs * scale + offset

    inputs = torch.randn(2, 3, 4)
    distributed = TimeDistributed(Scaled())
    scale = torch.tensor([2.0])
    found = distributed(inputs, scale=scale, pass_through=["scale"], offset=1.0)
    torch.testing.assert_close(found, 2 * inputs + 1)
    found = distributed(inputs=inputs, scale=torch.ones(2, 3, 4))
    torch.testing.assert_close(found, inputs)


def test_wrapping_axes_come_back() -> None:
    embedder = BasicTextFieldEmbedder({"words": Embedding(9, 2)})
    ids = torch.randint(0, 9, (2, 3, 4, 5))
    found = embedder({"words": ids}, num_wrapping_dims=2)
    torch.testing.assert_close(found, embedder.token_embedder_words(ids))


# Several languages.


def multilang_config(tiny_model: Path, other: Path) -> dict[str, object]:
    folders = {"en": tiny_model, "fr": other}
    return {
        "options_files": {k: str(f / "options.json") for k, f in folders.items()},
        "weight_files": {k: str(f / "weights.hdf5") for k, f in folders.items()},
        "dropout": 0.0,
    }


array_files = pytest.mark.skipif(
    torch.__version__ < "2.6", reason="PyTorch before 2.6 reads files of tensors only"
)


@pytest.mark.parametrize("as_array", [False, pytest.param(True, marks=array_files)])
def test_each_language_has_its_model_and_alignment(
    tiny_model: Path, make_model, tmp_path: Path, as_array: bool
) -> None:
    matrix = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    torch.save(matrix if as_array else torch.from_numpy(matrix), tmp_path / "fr.pth")
    config = multilang_config(tiny_model, make_model(seed=3))
    config["aligning_files"] = {"fr": str(tmp_path / "fr.pth")}
    embedder = ElmoTokenEmbedderMultiLang.from_params(params=Params(config))
    ids = batch_to_ids([["Bonjour", "toi"]])
    plain = embedder.elmo_fr(ids)["elmo_representations"][0].detach().numpy()
    embedder.elmo_fr.reset_states()
    np.testing.assert_allclose(
        embedder(ids, lang="fr").detach(), plain @ matrix.T, atol=1e-5
    )
    english = embedder.elmo_en(ids)["elmo_representations"][0]
    embedder.elmo_en.reset_states()
    torch.testing.assert_close(embedder(ids, "en"), english)
    with pytest.raises(SklearnElmoError, match="'lang' argument"):
        embedder(ids, lang="de")
    frozen = {n for n, p in embedder.named_parameters() if not p.requires_grad}
    assert {"aligning_en.weight", "aligning_fr.weight"} <= frozen


def test_languages_must_fit(tiny_model: Path, make_model, tmp_path: Path) -> None:
    config = multilang_config(tiny_model, make_model(projection_dim=4))
    with pytest.raises(SklearnElmoError, match="different widths"):
        ElmoTokenEmbedderMultiLang(**config)
    config["options_files"].pop("fr")
    with pytest.raises(SklearnElmoError, match="the languages"):
        ElmoTokenEmbedderMultiLang(**config)
    config["weight_files"].pop("fr")
    for name, content in [("shape", torch.eye(3)), ("kind", {"a": "b"})]:
        torch.save(content, tmp_path / name)
        with pytest.raises(SklearnElmoError, match=f"align.*{name}"):
            ElmoTokenEmbedderMultiLang(
                **config, aligning_files={"en": str(tmp_path / name)}
            )


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("harm",))


def test_alignment_file_cannot_run_code(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(Harmful(), tmp_path / "bad.pth")
    config = multilang_config(tiny_model, tiny_model)
    with pytest.raises(SklearnElmoError, match="cannot be read"):
        ElmoTokenEmbedderMultiLang(
            **config, aligning_files={"en": str(tmp_path / "bad.pth")}
        )
    assert "harm" not in capsys.readouterr().out


# Small parts.


def test_groups_are_lazy_and_bars_slow() -> None:
    numbers = iter(range(5))
    groups = lazy_groups_of(numbers, 2)
    assert next(groups) == [0, 1]
    assert next(numbers) == 2
    Tqdm.set_slower_interval(True)
    assert Tqdm.tqdm([], file=io.StringIO()).mininterval == 10.0
    Tqdm.set_slower_interval(False)
    assert Tqdm.default_mininterval == 0.1


def test_highway_carries_at_first() -> None:
    highway = Highway(4, num_layers=2)
    assert highway._layers[1].bias[4:].tolist() == [1.0] * 4


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, lambda x: 2 * x])
def test_highway_has_any_activation(activation: Callable) -> None:
    highway = Highway(3, activation=activation)
    inputs = torch.randn(5, 3)
    linear = highway._layers[0]
    transform, carry = (inputs @ linear.weight.T + linear.bias).split(3, dim=1)
    gate = 1 / (1 + torch.exp(-carry))
    expected = gate * inputs + (1 - gate) * activation(transform)
    torch.testing.assert_close(highway(inputs), expected)
    highway._activation = torch.zeros_like
    torch.testing.assert_close(highway(inputs), gate * inputs)


def test_indexers_can_be_written_with_the_type_of_their_ids() -> None:
    """AllenNLP's TokenIndexer was generic: ``class My(TokenIndexer[List[int]])``."""

    class LengthIndexer(TokenIndexer[list[int]]):
        def tokens_to_indices(
            self, tokens: list, vocabulary: object, index_name: str
        ) -> dict[str, list]:
            return {index_name: [len(token.text) for token in tokens]}

    assert LengthIndexer.__bases__ == (TokenIndexer,)
    field = TextField([Token("a"), Token("cat")], {"n": LengthIndexer()})
    field.index(Vocabulary())
    assert field.get_padding_lengths() == {"n_length": 2}


def test_vocabulary_has_allennlp_s_private_tables() -> None:
    vocabulary = Vocabulary(tokens_to_add={"tokens": ["a"], "labels": ["X"]})
    assert vocabulary._token_to_index["tokens"]["a"] == 2
    assert vocabulary._index_to_token["labels"] == {0: "X"}
    vocabulary._oov_token = "a"
    assert vocabulary.get_token_index("unknown") == 2
    vocabulary = Vocabulary()
    vocabulary._padding_token, vocabulary._oov_token = "<pad>", "<unk>"
    vocabulary.add_token_to_namespace("a")
    words = {"<pad>": 0, "<unk>": 1, "a": 2}
    assert vocabulary.get_token_to_index_vocabulary() == words


def test_mappers_of_one_s_own_make_their_boundaries() -> None:
    ids = make_boundary_characters(7, 0, 1, 2, 5)
    assert ids == [1, 7, 2, 0, 0]


def test_constants_of_the_mapper_cannot_be_set() -> None:
    for name in ("max_word_length", "padding_character", "bos_token"):
        before = getattr(ElmoCharacterMapper, name)
        with pytest.raises(AttributeError, match=f"{name} cannot be set"):
            setattr(ElmoCharacterMapper, name, 30)
        assert getattr(ElmoCharacterMapper, name) == before

    class Mapper(ElmoCharacterMapper):
        def convert_word_to_char_ids(self, word: str) -> list[int]:
            return [1] * 50

    indexer = ELMoTokenCharactersIndexer()
    indexer._mapper = Mapper()
    assert indexer.tokens_to_indices(["a"], None, "ids")["ids"] == [[1] * 50]


def test_trainer_and_models_are_out_of_scope() -> None:
    with pytest.raises(OutOfScopeError, match="trainer"):
        train_model({}, "folder")
    case = ModelTestCase("set_up_model")
    case.set_up_model("config.json", "data.txt")
    assert case.param_file == "config.json"
    for name in ("model", "vocab", "instances"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(case, name)
    with pytest.raises(NotImplementedError, match="train_save"):
        case.ensure_model_can_train_save_and_load("config.json")


def test_test_case_has_a_folder_for_the_time_of_a_test() -> None:
    case = AllenNlpTestCase("setUp")
    case.setUp()
    assert case.TEST_DIR.is_dir()
    assert case.FIXTURES_ROOT.parts[-3:] == ("allennlp", "tests", "fixtures")
    case.tearDown()
    assert not case.TEST_DIR.exists()
