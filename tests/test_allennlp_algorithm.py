"""The yardstick of speed computes what the package computes."""

import numpy as np
import pytest
from allennlp_algorithm import embed_sentences

from sklearn_elmo import ElmoTokenVectorizer, models


@pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")
@pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")
@pytest.mark.parametrize("n_sentences", [1, 70])
def test_the_same_numbers_step_by_step(tiny_model, real_sentences, n_sentences):
    sentences = [list(words) for words in (real_sentences * 2)[:n_sentences]]
    model = models.load(str(tiny_model))
    vectorizer = ElmoTokenVectorizer(
        str(tiny_model), tokenizer="pretokenized", layer_mix="concat"
    )
    ours = vectorizer.fit_transform(sentences)
    for rows, layers in zip(ours, embed_sentences(model, sentences), strict=True):
        np.testing.assert_allclose(rows, np.concatenate(layers, axis=1), atol=1e-5)
