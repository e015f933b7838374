"""Official models offline: fetch once, or import files that came by another way.

AllenNLP's models are downloaded only when asked for. This example shows the calls and
imports a model from files, as on a machine without a network.
"""

# %%
# The names, and what is known of each. Nothing is downloaded.
import os
import subprocess
import sys
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
os.environ["SKLEARN_ELMO_HOME"] = folder.name  # where models would be kept

from sklearn_elmo import ElmoVectorizer, models  # noqa: E402

for name in models.list_models():
    known = models.describe(name)
    n_parameters = known.get("n_parameters") or 0
    where = "here" if known["source"] else "models.fetch"
    print(f"{name:14} {n_parameters / 1e6:6.1f} M parameters, {where}")

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
