"""Train a PyTorch classifier on ELMo, with the settings that AllenNLP's how-to advises.

Spam or not, on real text messages: one ELMo layer beside word vectors, no layer norm,
dropout of 0.5, a little L2 on the mix of ELMo's layers alone. Prints the accuracy and
the learned layer weights, and plots both by epoch to
``examples/output/11_fine_tuning_in_torch.png``; then the same as a scikit-learn
estimator, if skorch is here. Needs matplotlib (extra ``examples``).
"""

# %%
# Real labelled texts, shipped beside this file. ``--word-vectors glove.6B.100d.txt.gz``
# (a path or URL) starts the word vectors from GloVe instead of from chance.
import argparse
import csv
import importlib.util
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from sklearn_elmo import ElmoTokenVectorizer
from sklearn_elmo.allennlp import text_field_embedder

mpl.use("agg")
HERE = Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("--model", default="default", help="name or folder")
parser.add_argument("--word-vectors", help="GloVe, word2vec or fastText file")
parser.add_argument("--messages", type=int, default=240)
parser.add_argument("--epochs", type=int, default=3)
options = parser.parse_args()

MAX_TOKENS = 40
BATCH_SIZE = 32
torch.manual_seed(0)

messages = pd.read_csv(
    HERE / "data" / "sms_spam.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE
)
messages = messages.groupby("label").sample(options.messages // 2, random_state=0)
tokens = np.array(
    ElmoTokenVectorizer(max_tokens=MAX_TOKENS).tokenize(messages["text"]),
    dtype=object,
)
is_spam = (messages["label"] == "spam").to_numpy(np.int64)
train, test, y_train, y_test = train_test_split(
    tokens, is_spam, random_state=0, stratify=is_spam
)
print(f"{len(train)} messages to train, {len(test)} to test; {is_spam.mean():.0%} spam")

# %%
# The embedders, as an AllenNLP config describes them. The state of the LSTMs is not
# carried from batch to batch: batches are shuffled.
config = {
    "tokens": {"type": "embedding", "embedding_dim": 100, "trainable": True},
    "elmo": {
        "type": "elmo_token_embedder",
        "options_file": options.model,
        "do_layer_norm": False,
        "dropout": 0.5,
        "state": "zero",
        "saved_weights": "trained",
    },
}
if options.word_vectors:
    config["tokens"] = {"type": "embedding", "pretrained_file": options.word_vectors}
indexers = {"tokens": {"type": "single_id", "lowercase_tokens": True}}
vocabulary = sorted({token.lower() for row in train for token in row})


def make_embedder() -> nn.Module:
    """Build ELMo and the word vectors beside it."""
    return text_field_embedder(config, indexers, vocabulary=vocabulary, random_state=0)


# %%
# A small classifier on top: one LSTM, the maximum over the tokens, one linear layer.
class Classifier(nn.Module):
    """Messages to the scores of 'ham' and 'spam'."""

    def __init__(self, hidden: int = 50) -> None:
        super().__init__()
        self.embedder = make_embedder()
        self.lstm = nn.LSTM(
            self.embedder.get_output_dim(), hidden, batch_first=True, bidirectional=True
        )
        self.scores = nn.Linear(2 * hidden, 2)

    def forward(self, tokens: Tensor, elmo: Tensor) -> Tensor:
        """``(B, T)`` word ids and ``(B, T, 50)`` character ids -> ``(B, 2)``."""
        vectors = self.embedder({"tokens": tokens, "elmo": elmo})
        states, _ = self.lstm(vectors)
        return self.scores(states.masked_fill((tokens == 0)[..., None], -1e9).amax(1))


model = Classifier()

# %%
# L2 of 0.001 on the scalar parameters alone, found by their name. AllenNLP adds
# 0.001 * w ** 2 to the loss, whose gradient is 0.002 * w: that is weight_decay.
scalars = [p for name, p in model.named_parameters() if "scalar_parameters" in name]
others = [
    p
    for name, p in model.named_parameters()
    if "scalar_parameters" not in name and p.requires_grad
]
optimizer = torch.optim.Adam(
    [
        {"params": scalars, "weight_decay": 2 * 0.001, "lr": 0.02},
        {"params": others},
    ],
    lr=0.003,
)
index = model.embedder.index
mix = model.embedder.token_embedder_elmo._elmo.scalar_mix_0


def accuracy_on_test() -> float:
    """Return the share of the test messages that the model gets right."""
    model.eval()
    with torch.no_grad():
        found = [
            model(**index(test[first : first + BATCH_SIZE])).argmax(1)
            for first in range(0, len(test), BATCH_SIZE)
        ]
    return float((torch.cat(found).numpy() == y_test).mean())


epochs = [{"accuracy": accuracy_on_test(), "weights": mix.layer_weights().tolist()}]
for epoch in range(options.epochs):
    model.train()
    total = 0.0
    for rows in torch.randperm(len(train)).split(BATCH_SIZE):
        loss = nn.functional.cross_entropy(
            model(**index(train[rows])), torch.from_numpy(y_train[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    epochs.append(
        {"accuracy": accuracy_on_test(), "weights": mix.layer_weights().tolist()}
    )
    accuracy = epochs[-1]["accuracy"]
    print(f"epoch {epoch + 1}: loss {total / len(train):.3f}, accuracy {accuracy:.3f}")

# %%
# Which layers it looks at, and how much there is to save.
weights = " ".join(f"{weight:.3f}" for weight in mix.layer_weights().tolist())
print(f"weights of ELMo's layers: {weights}; gamma {mix.gamma.item():.3f}")
saved = model.state_dict()  # without the frozen biLM, which is on the disk already
n_saved = sum(value.numel() for value in saved.values())
n_all = sum(parameter.numel() for parameter in model.parameters())
print(f"{n_saved:,} of {n_all:,} numbers need saving")

# %%
# The accuracy and the weights of the layers, from before the first epoch on.
figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.8), layout="constrained")
left.plot([epoch["accuracy"] for epoch in epochs], "o-", color="#0072B2")
left.set(title="Held-out messages", ylabel="accuracy", ylim=(None, 1))
weights = np.array([epoch["weights"] for epoch in epochs])
for layer in range(weights.shape[1]):
    right.plot(weights[:, layer], "o-", label=f"layer {layer}")
right.set(title="ELMo's layers", ylabel="weight in the mix")
right.legend(fontsize="small")
for ax in (left, right):
    ax.set(xlabel="epochs", xticks=range(len(epochs)))
    ax.grid(alpha=0.3)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "11_fine_tuning_in_torch.png", dpi=120)
print(f"plot saved to {output / '11_fine_tuning_in_torch.png'}")

# %%
# The same as a scikit-learn estimator. skorch finds the parameter group by its name.
if importlib.util.find_spec("skorch"):
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        Classifier,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__param_groups=[
            ("*scalar_parameters*", {"weight_decay": 2 * 0.001, "lr": 0.02})
        ],
        lr=0.003,
        batch_size=BATCH_SIZE,
        max_epochs=options.epochs,
        train_split=None,
        verbose=0,
    )
    as_arrays = {
        part: {name: ids.numpy() for name, ids in index(rows).items()}
        for part, rows in [("train", train), ("test", test)]
    }
    net.fit(as_arrays["train"], y_train)
    accuracy = net.score(as_arrays["test"], y_test)
    print(f"with skorch: accuracy {accuracy:.3f}")
