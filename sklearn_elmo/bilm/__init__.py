"""The bidirectional language model in PyTorch, without scikit-learn.

Reading order: ``options`` (what a model looks like), ``characters`` (tokens to
bytes), ``char_cnn`` (bytes to a token vector), ``lstm`` (token vectors to
contextual ones), ``model`` (all of it); ``layout``, ``locations`` and ``weights`` (its
files); ``products``, ``encoder`` and ``reductions`` (the same numbers, computed fast
for many texts).
"""
