"""Training a bidirectional language model on raw text.

Reading order: ``reading`` (files and texts to documents), ``corpus`` (documents to
numbers on disk), ``workspace``, ``vocabulary``, ``batches`` (which words a step reads);
``network`` with ``convolution`` and ``recurrence`` (the costly parts, their gradients
written out), ``objective`` and ``teacher`` with ``teacher_answers`` and
``teacher_heads`` (what it shall learn); ``beginning`` (the model at first),
``step``, ``trainer`` with ``checkpoint`` and ``evaluation``; ``files`` and
``model_card`` (what is left behind); ``pretrainer`` (the estimator).
"""
