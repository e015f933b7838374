"""The names of AllenNLP 0.9 that `install` makes importable, and where they are here.

A module of AllenNLP maps to its names, each with the module and the name here. Modules
of this package are written without the package.
"""

from collections.abc import Mapping

__all__ = ["NAMES", "OUT_OF_SCOPE", "Home"]

Home = tuple[str, str]

_ELMO = {
    "Elmo": "elmo",
    "ElmoLstm": "elmo_lstm",
    "ELMoCharacterMapper": "character_ids.ElmoCharacterMapper",
    "ELMoTokenCharactersIndexer": "indexers",
    "ScalarMix": "scalar_mix",
    "_ElmoBiLm": "elmo_bilm.ElmoBiLm",
    "_ElmoCharacterEncoder": "character_encoder.ElmoCharacterEncoder",
    "batch_to_ids": "character_ids",
    "remove_sentence_boundaries": "sequences",
    "add_sentence_boundary_token_ids": "sequences",
}
_INDEXERS = {
    "ELMoTokenCharactersIndexer": "indexers",
    "SingleIdTokenIndexer": "indexers",
    "TokenCharactersIndexer": "character_indexer",
    "TokenIndexer": "indexers",
}
_TOKEN_EMBEDDERS = {
    "ElmoTokenEmbedder": "elmo_token_embedder",
    "ElmoTokenEmbedderMultiLang": "elmo_token_embedder_multilang",
    "Embedding": "embedding",
    "TokenCharactersEncoder": "character_encoding",
    "TokenEmbedder": "token_embedder",
}
_TEXT_FIELD_EMBEDDERS = {
    "BasicTextFieldEmbedder": "basic_text_field_embedder",
    "TextFieldEmbedder": "basic_text_field_embedder",
}
_DATA = {
    "Batch": "instances",
    "Instance": "instances",
    "Token": "vocabulary",
    "TokenIndexer": "indexers",
    "Vocabulary": "vocabulary",
}
_SEQUENCES = dict.fromkeys(
    (
        "add_sentence_boundary_token_ids",
        "get_device_of",
        "get_dropout_mask",
        "get_lengths_from_binary_sequence_mask",
        "get_mask_from_sequence_lengths",
        "get_text_field_mask",
        "move_to_device",
        "remove_sentence_boundaries",
        "sort_batch_by_length",
    ),
    "sequences",
)
_ERROR = {"ConfigurationError": "sklearn_elmo.errors:SklearnElmoError"}
_MODULES: Mapping[str, Mapping[str, str]] = {
    "": {"__version__": "small_parts.ALLENNLP_VERSION"},
    "commands": {"main": "sklearn_elmo.cli.allennlp_program:call"},
    "commands.elmo": {
        "DEFAULT_BATCH_SIZE": "embedder",
        "DEFAULT_OPTIONS_FILE": "model_files",
        "DEFAULT_WEIGHT_FILE": "model_files",
        "ElmoEmbedder": "embedder",
        "batch_to_ids": "character_ids",
        "remove_sentence_boundaries": "sequences",
    },
    "commands.train": {"train_model": "small_parts"},
    "commands.subcommand": {"Subcommand": "small_parts"},
    "common": {
        "FromParams": "registrable.Registrable",
        "Params": "params",
        "Registrable": "registrable",
        "Tqdm": "small_parts",
    },
    "common.checks": _ERROR,
    "common.file_utils": {"cached_path": "model_files"},
    "common.from_params": {"FromParams": "registrable.Registrable"},
    "common.params": {"Params": "params"},
    "common.registrable": {"Registrable": "registrable"},
    "common.testing": {"AllenNlpTestCase": "testing", "ModelTestCase": "testing"},
    "common.testing.model_test_case": {"ModelTestCase": "testing"},
    "common.testing.test_case": {"AllenNlpTestCase": "testing"},
    "common.tqdm": {"Tqdm": "small_parts"},
    "common.util": {
        "lazy_groups_of": "small_parts",
        "pad_sequence_to_length": "small_parts",
        "prepare_global_logging": "small_parts",
    },
    "data": _DATA,
    "data.batch": {"Batch": "instances"},
    "data.dataset": {"Batch": "instances", "Dataset": "instances.Batch"},
    "data.fields": {"TextField": "instances"},
    "data.fields.text_field": {"TextField": "instances"},
    "data.instance": {"Instance": "instances"},
    "data.iterators": {"BasicIterator": "instances"},
    "data.iterators.basic_iterator": {"BasicIterator": "instances"},
    "data.token_indexers": _INDEXERS,
    "data.token_indexers.elmo_indexer": {
        "ELMoCharacterMapper": "character_ids.ElmoCharacterMapper",
        "ELMoTokenCharactersIndexer": "indexers",
        "_make_bos_eos": "character_ids.make_boundary_characters",
    },
    "data.token_indexers.single_id_token_indexer": {"SingleIdTokenIndexer": "indexers"},
    "data.token_indexers.token_characters_indexer": {
        "TokenCharactersIndexer": "character_indexer"
    },
    "data.token_indexers.token_indexer": {"TokenIndexer": "indexers"},
    "data.tokenizers": {"Token": "vocabulary"},
    "data.tokenizers.token": {"Token": "vocabulary"},
    "data.vocabulary": {
        "DEFAULT_OOV_TOKEN": "vocabulary.UNKNOWN_TOKEN",
        "DEFAULT_PADDING_TOKEN": "vocabulary.PADDING_TOKEN",
        "Vocabulary": "vocabulary",
    },
    "modules": {
        "Elmo": "elmo",
        "Highway": "highway",
        "ScalarMix": "scalar_mix",
        "TimeDistributed": "character_encoding",
        **_TEXT_FIELD_EMBEDDERS,
        "Embedding": "embedding",
        "TokenEmbedder": "token_embedder",
    },
    "modules.elmo": _ELMO,
    "modules.elmo_lstm": {"ElmoLstm": "elmo_lstm"},
    "modules.encoder_base": {"_EncoderBase": "encoder_base.EncoderBase"},
    "modules.lstm_cell_with_projection": {
        "LstmCellWithProjection": "lstm_cell_with_projection"
    },
    "modules.highway": {"Highway": "highway"},
    "modules.scalar_mix": {"ScalarMix": "scalar_mix"},
    "modules.seq2vec_encoders.cnn_encoder": {"CnnEncoder": "character_encoding"},
    "modules.text_field_embedders": _TEXT_FIELD_EMBEDDERS,
    "modules.text_field_embedders.basic_text_field_embedder": {
        "BasicTextFieldEmbedder": "basic_text_field_embedder"
    },
    "modules.text_field_embedders.text_field_embedder": {
        "TextFieldEmbedder": "basic_text_field_embedder"
    },
    "modules.time_distributed": {"TimeDistributed": "character_encoding"},
    "modules.token_embedders": _TOKEN_EMBEDDERS,
    "modules.token_embedders.elmo_token_embedder": {
        "ElmoTokenEmbedder": "elmo_token_embedder"
    },
    "modules.token_embedders.elmo_token_embedder_multilang": {
        "ElmoTokenEmbedderMultiLang": "elmo_token_embedder_multilang"
    },
    "modules.token_embedders.embedding": {"Embedding": "embedding"},
    "modules.token_embedders.token_characters_encoder": {
        "TokenCharactersEncoder": "character_encoding"
    },
    "modules.token_embedders.token_embedder": {"TokenEmbedder": "token_embedder"},
    "nn.initializers": {"block_orthogonal": "lstm_cell_with_projection"},
    "nn.util": _SEQUENCES,
}


def _home(place: str, name: str) -> Home:
    """Return the module and the name of a place."""
    if ":" in place:
        module, _, here = place.partition(":")
        return module, here
    module, _, here = place.partition(".")
    return f"sklearn_elmo.allennlp.{module}", here or name


NAMES: Mapping[str, Mapping[str, Home]] = {
    f"allennlp.{module}".rstrip("."): {
        name: _home(place, name) for name, place in names.items()
    }
    for module, names in _MODULES.items()
}
"""Module of AllenNLP -> name -> (module here, name here)."""

OUT_OF_SCOPE = (
    "it has what old code needs of AllenNLP 0.9's ELMo, and no trainers, models, "
    "predictors, dataset readers or encoders. sklearn_elmo/allennlp/HOWTO.md lists the "
    "names."
)
