"""Fast inference: the numbers of `sklearn_elmo.bilm`, for many texts at a time.

The vectorizers run this form of the model. `reductions` reads batches of texts in
parallel and pools them, `encoder` reads one batch in windows of bounded memory. Below
them, `token_cache` keeps context-free token vectors, and `char_cnn` and `lstm` are the
fast forms of the modules of the same names in `sklearn_elmo.bilm`, made of the products
in `linear`. `precision` names the precisions, and `cuda_graphs` is an option for GPUs.
The tests compare every path with `sklearn_elmo.bilm.model.BiLm`, the readable form.
"""
