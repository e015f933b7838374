"""Train on your own text: from scratch, or on from the bundled model.

Half a minute on a few hundred messages, to show every step. A useful model needs
millions of words and hours; the calls are the same.
"""

# %%
import csv
import tempfile
from pathlib import Path

import pandas as pd

from sklearn_elmo import ElmoPretrainer, ElmoVectorizer

HERE = Path(__file__).parent
messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
texts = messages["text"].sample(600, random_state=0).tolist()
train, held_out = texts[:500], texts[500:]
folder = tempfile.TemporaryDirectory()

# %%
# A small model from scratch. ``checkpoint_dir`` lets a stopped run resume; ``fit`` also
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
    epochs=1,
    checkpoint_dir=Path(folder.name) / "run",
    random_state=0,
)
pretrainer.fit(train)
print(f"perplexity of held-out messages: {pretrainer.perplexity(held_out):.0f}")

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
