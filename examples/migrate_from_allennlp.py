"""Run an old AllenNLP script without AllenNLP: only the first cell is new.

The rest is what scripts of 2019 look like: `ElmoEmbedder`, the `Elmo` module inside a
PyTorch classifier, the states that ELMo carries, and the `allennlp elmo` command.
"""

# %%
# ruff: noqa: E402  # the old script's imports need the new lines before them
# The new lines: AllenNLP's module names become importable, and the two files are those
# of the bundled model. URLs of the official models work as well; they are downloaded
# once.
import os

from sklearn_elmo import models
from sklearn_elmo.allennlp import install

install()
folder = models.describe("default")["source"]
options_file = os.path.join(folder, "options.json")
weight_file = os.path.join(folder, "weights.hdf5")

# %%
# From here on, the old script. Vectors of all layers, and the similarity of two words:
import json
import sys
import tempfile

import h5py
import scipy.spatial.distance
import torch
from allennlp.commands import main
from allennlp.commands.elmo import ElmoEmbedder
from allennlp.common.tqdm import Tqdm
from allennlp.common.util import lazy_groups_of
from allennlp.modules.elmo import Elmo, batch_to_ids
from allennlp.nn.util import get_text_field_mask

elmo = ElmoEmbedder(options_file, weight_file)
apple = elmo.embed_sentence(["I", "ate", "an", "apple", "for", "breakfast"])
carrot = elmo.embed_sentence(["I", "ate", "a", "carrot", "for", "breakfast"])
assert len(apple) == 3  # layers
assert len(apple[0]) == 6  # tokens
distance = scipy.spatial.distance.cosine(apple[2][3], carrot[2][3])
print(f"apple to carrot: {distance:.3f}")

# %%
# A classifier around the frozen biLM; the weights of the layers are trained with it.
SENTENCES = [
    ("A wonderful film from start to end .", 1),
    ("Great acting and a lovely story .", 1),
    ("I enjoyed every minute .", 1),
    ("Dull , slow and far too long .", 0),
    ("A terrible script and worse acting .", 0),
    ("I want my money back .", 0),
]


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.elmo = Elmo(options_file, weight_file, 1, dropout=0)
        self.output = torch.nn.Linear(self.elmo.get_output_dim(), 2)

    def forward(self, sentences):
        character_ids = batch_to_ids(sentences)
        embeddings = self.elmo(character_ids)["elmo_representations"][0]
        mask = get_text_field_mask({"elmo": character_ids}).unsqueeze(-1).float()
        # The state is carried from batch to batch; old code that wants none resets it.
        self.elmo._elmo_lstm._elmo_lstm.reset_states()
        return self.output((embeddings * mask).sum(dim=1) / mask.sum(dim=1))


torch.manual_seed(0)
classifier = Classifier()
trained = [p for p in classifier.parameters() if p.requires_grad]
optimizer = torch.optim.Adam(trained, lr=0.01)
for _ in Tqdm.tqdm(range(6), disable=True):
    for batch in lazy_groups_of(iter(SENTENCES), 3):
        logits = classifier([text.split() for text, _ in batch])
        labels = torch.tensor([label for _, label in batch])
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

classifier.eval()
predicted = classifier([text.split() for text, _ in SENTENCES]).argmax(dim=1)
print("predicted:", predicted.tolist())
weights = torch.cat(list(classifier.elmo.scalar_mix_0.scalar_parameters)).softmax(0)
print("layer weights:", [round(weight, 3) for weight in weights.tolist()])

# %%
# The command that writes vectors to disk, called as scripts did. In a shell it is
# ``python -m sklearn_elmo.allennlp elmo ...`` or ``sklearn-elmo elmo ...``.
with tempfile.TemporaryDirectory() as temporary:
    sentences_path = os.path.join(temporary, "sentences.txt")
    output_path = os.path.join(temporary, "elmo_layers.hdf5")
    with open(sentences_path, "w") as sentences_file:
        sentences_file.writelines(text + "\n" for text, _ in SENTENCES)
    sys.argv = ["allennlp", "elmo", sentences_path, output_path, "--average"]
    sys.argv += ["--options-file", options_file, "--weight-file", weight_file]
    main()
    with h5py.File(output_path, "r") as h5py_file:
        sentence_to_index = json.loads(h5py_file["sentence_to_index"][0])
        index = sentence_to_index["I enjoyed every minute ."]
        print(f"vectors of line {index}:", h5py_file[index].shape)

# %%
# New again: the vectors of the first cell as a picture, the cosine of each word of one
# sentence with each word of the other, by layer. Needs matplotlib (extra ``examples``).
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

mpl.use("agg")
first, second = (
    vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    for vectors in (apple, carrot)
)
figure, axes = plt.subplots(1, 3, figsize=(6, 2.7), layout="constrained", sharey=True)
for layer, ax in enumerate(axes):
    image = ax.imshow(first[layer] @ second[layer].T, cmap="cividis", vmin=0, vmax=1)
    words = ["I", "ate", "a", "carrot", "for", "breakfast"]
    ax.set_xticks(range(6), words, rotation=90)
    ax.set(title=f"layer {layer}")
axes[0].set_yticks(range(6), ["I", "ate", "an", "apple", "for", "breakfast"])
figure.colorbar(image, label="cosine", shrink=0.7)
output = Path(__file__).parent / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "migrate_from_allennlp.png", dpi=120)
print(f"plot saved to {output / 'migrate_from_allennlp.png'}")
