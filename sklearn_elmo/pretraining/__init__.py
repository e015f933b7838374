"""Training a bidirectional language model on raw text.

Reading order, from the text to the estimator:

- Text: ``sources`` (what `fit` accepts), ``documents`` (files and texts to documents),
  ``corpus`` (documents to numbers on disk), ``vocabulary`` (the predicted words),
  ``workspace`` (the folder of a run), ``batches`` (the words that a step reads).
- Model: ``network``, the trained form of the model. ``char_cnn_autograd`` and
  ``lstm_autograd`` hold its costly parts, with gradients written by hand; ``objective``
  is the softmax over the vocabulary.
- Teachers: ``distillation``, in the order ``answers``, ``targets``, ``teacher``,
  ``heads``.
- Training: ``presets`` and ``initial_model`` (where a run starts), ``settings``,
  ``step``, ``trainer``, ``evaluation``, ``checkpoint``, ``progress``, ``loss_plot``.
- Results: ``saved_model`` and ``model_card`` (the files of a trained model).
- Estimator: ``parameters`` (validation) and ``pretrainer``.
"""
