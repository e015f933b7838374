"""The bidirectional language model in PyTorch: its readable form and its files.

Reading order: `options` (the shape of a model), `characters` (tokens to bytes),
`char_cnn` (bytes to a token vector), `lstm` (token vectors to contextual vectors) and
`model` (all of these together). `layout` names the data sets of a weight file,
`locations` finds the files of a model, `weights` reads and writes them, and
`weight_file` and `hdf5_checks` make sure that no weight file can do harm.

Two other packages compute the same numbers faster, and the tests compare them with this
one: `sklearn_elmo.inference` for many texts at a time, without gradients, and the
``*_autograd`` modules of `sklearn_elmo.pretraining` for training steps.
"""
