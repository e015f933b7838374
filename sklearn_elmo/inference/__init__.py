"""Fast inference: the same numbers as `sklearn_elmo.bilm`, many texts at a time.

``ElmoVectorizer`` runs this form of the model. `encoder.Encoder` reads batches of texts
in windows of bounded memory; `reductions` pools each window as it passes. `lstm` and
`linear` hold the layers, `weights` their parameters, `token_cache` the context-free
token vectors, and `cuda_graphs` the optional recordings for GPUs. The tests compare
every path with `sklearn_elmo.bilm.model.BiLm`, the readable reference.
"""
