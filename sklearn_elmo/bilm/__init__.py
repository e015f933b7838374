"""The bidirectional language model in PyTorch, without scikit-learn.

Reading order: ``options`` (what a model looks like), ``characters`` (tokens to
bytes), ``char_cnn`` (bytes to a token vector), ``lstm`` (token vectors to
contextual ones), ``model`` (all of it), ``weights`` (files), and ``encoder`` (the
same numbers, computed fast for many texts).
"""
