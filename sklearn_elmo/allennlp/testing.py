"""Base classes of test cases that were written for AllenNLP's ELMo.

The fixtures are AllenNLP's: run the tests in a folder that has them under
``allennlp/tests/fixtures``.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from unittest import TestCase

from sklearn_elmo.allennlp.small_parts import OutOfScopeError

__all__ = ["AllenNlpTestCase", "ModelTestCase"]


class AllenNlpTestCase(TestCase):
    """A test case with a temporary folder and the paths of AllenNLP's checkout."""

    PROJECT_ROOT: ClassVar = Path.cwd()
    MODULE_ROOT: ClassVar = PROJECT_ROOT / "allennlp"
    TOOLS_ROOT: ClassVar = MODULE_ROOT / "tools"
    TESTS_ROOT: ClassVar = MODULE_ROOT / "tests"
    FIXTURES_ROOT: ClassVar = TESTS_ROOT / "fixtures"

    def setUp(self) -> None:
        """Create the temporary folder."""
        self.TEST_DIR = Path(tempfile.mkdtemp(prefix="allennlp_tests"))

    def tearDown(self) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(self.TEST_DIR)


class ModelTestCase(AllenNlpTestCase):
    """A test case of a model; what needs the model itself raises OutOfScopeError."""

    def set_up_model(self, param_file: Any, dataset_file: Any) -> None:
        """Note the configuration; the model is AllenNLP's and not built."""
        self.param_file = str(param_file)

    @property
    def model(self) -> NoReturn:
        """The model."""
        self._refuse("model")

    @property
    def vocab(self) -> NoReturn:
        """The vocabulary of the data set."""
        self._refuse("vocab")

    @property
    def instances(self) -> NoReturn:
        """The data set."""
        self._refuse("instances")

    def ensure_model_can_train_save_and_load(self, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        self._refuse("ensure_model_can_train_save_and_load")

    def _refuse(self, name: str) -> NoReturn:
        message = (
            f"ModelTestCase.{name} needs AllenNLP's models, readers and trainer, which "
            "are not part of sklearn_elmo."
        )
        raise OutOfScopeError(message)
