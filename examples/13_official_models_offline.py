"""Official models offline: fetch once, or import files that came by another way.

AllenNLP's models are downloaded only when asked for. This example shows the calls and
imports a model from files, as on a machine without a network. Saves a plot to
``examples/output/13_official_models_offline.png``. Needs matplotlib (extra
``examples``).
"""

# %%
# The names, and what is known of each. Nothing is downloaded.
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("agg")
HERE = Path(__file__).parent
folder = tempfile.TemporaryDirectory()
os.environ["SKLEARN_ELMO_HOME"] = folder.name  # where models would be kept

from sklearn_elmo import ElmoVectorizer, models  # noqa: E402

for name in models.list_models():
    known = models.describe(name)
    size = f"{known['n_parameters'] / 1e6:.1f}" if known.get("n_parameters") else "?"
    where = "here" if known["source"] else "models.fetch"
    print(f"{name:14} {size:>6} M parameters, {where}")

# %%
# The sizes as a plot. That of the Portuguese model is known once it has been fetched.
sizes = {}
for name in models.list_models():
    known = models.describe(name)
    if known.get("n_parameters"):
        sizes[f"{name}\n({known['width']} columns)"] = known["n_parameters"] / 1e6
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
bars = ax.barh(list(sizes), sizes.values(), color="#0072B2")
bars[0].set_color("#D55E00")  # the bundled one
ax.bar_label(bars, fmt="%.1f", padding=3)
ax.invert_yaxis()
ax.margins(x=0.1)
ax.set(
    xlabel="parameters (millions)", title="Models that can be named; orange: bundled"
)
ax.spines[["top", "right"]].set_visible(False)
output = HERE / "output"
output.mkdir(exist_ok=True)
figure.savefig(output / "13_official_models_offline.png", dpi=120)
print(f"plot saved to {output / '13_official_models_offline.png'}")

# %%
# With a network: ``sklearn-elmo models fetch original`` or
# ``models.fetch("original")``, about 360 MB, resumed if it is interrupted. Without one,
# copy options and weights there and import them under a name; here these are the files
# of the bundled model.
source = Path(models.describe("default")["source"])
command = "sklearn-elmo models import my-model options.json weights.hdf5"
print(f"$ {command}", flush=True)
command_line = [sys.executable, "-m", "sklearn_elmo", "models"]
files = [str(source / "options.json"), str(source / "weights.hdf5")]
subprocess.run([*command_line, "import", "my-model", *files], check=True)

# %%
# From now on the name works everywhere; `verify` compares the files with their hashes.
subprocess.run([*command_line, "verify", "my-model"], check=True)
print(ElmoVectorizer("my-model").fit_transform(["A cat sat."]).shape)
folder.cleanup()
