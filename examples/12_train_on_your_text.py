"""Train on your own text: from scratch, or on from the bundled model.

Half a minute on a few hundred messages, to show every step. A useful model needs
millions of words and hours; the calls are the same. Saves a plot to
``examples/output/12_train_on_your_text.png``. Needs matplotlib (extra ``examples``).
"""

# %%
import csv
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_elmo import ElmoPretrainer, ElmoVectorizer

mpl.use("agg")
HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
texts = messages["text"].sample(600, random_state=0).tolist()
train, held_out = texts[:500], texts[500:]
folder = tempfile.TemporaryDirectory()

# %%
# A small model from scratch, in small batches, since there is little text: the defaults
# are for millions of words. With ``checkpoint_dir`` a stopped run resumes; ``fit`` also
# takes paths of text files, one sentence per line, plain or compressed.
size = {
    "lstm": {"dim": 64, "projection_dim": 16, "n_layers": 2, "cell_clip": 3,
             "proj_clip": 3, "use_skip_connections": True},
    "char_cnn": {"n_characters": 262, "max_characters_per_token": 50,
                 "embedding": {"dim": 8}, "filters": [[1, 8], [2, 8], [3, 16]],
                 "n_highway": 1, "activation": "relu"},
}  # fmt: skip
pretrainer = ElmoPretrainer(
    size,
    epochs=8,
    batch_size=16,
    n_steps=10,
    learning_rate=0.01,
    dropout=0.0,
    checkpoint_dir=Path(folder.name) / "run",
    random_state=0,
)
pretrainer.fit(train)
print(f"perplexity of held-out messages: {pretrainer.perplexity(held_out):.0f}")

# %%
# The loss of the run. A model that takes all words for equally likely has the loss of
# the dashed line.
history = [row for row in pretrainer.history_ if "smoothed_loss" in row]
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
epochs = [row["epochs"] for row in history]
ax.plot(epochs, [row["smoothed_loss"] for row in history], "o-", color="#0072B2")
ax.axhline(
    np.log(len(pretrainer.vocabulary_)),
    color="#D55E00",
    linestyle="--",
    label=f"{len(pretrainer.vocabulary_):,} words equally likely",
)
ax.set(
    xlabel="epochs",
    ylabel="loss (nats per word)",
    title="Training on 500 messages",
)
ax.legend()
ax.grid(alpha=0.3)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "12_train_on_your_text.png", dpi=120)
print(f"plot saved to {output / '12_train_on_your_text.png'}")

# %%
# ``save`` writes AllenNLP's layout with a model card beside it, for any tool that reads
# ELMo.
model = Path(folder.name) / "my-elmo"
pretrainer.save(model)
print(sorted(path.name for path in model.iterdir()))
rows = ElmoVectorizer(str(model)).fit_transform(held_out[:3])
print(rows.shape)

# %%
# ``init="default"`` goes on from the bundled model, to adapt it to a domain::
#
#     ElmoPretrainer(init="default", max_minutes=60, checkpoint_dir="run").fit(
#         ["corpus-0.txt.xz", "corpus-1.txt.xz"]
#     )
folder.cleanup()
