"""Fixtures for all tests: a tiny model, real sentences, the reference files."""

import os
import re
from collections.abc import Callable
from pathlib import Path

# Before anything imports torch or a BLAS: the tests' matrices are tiny, and
# many threads on few cores only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest
import reference_numpy

# The same examples on every run, and no deadline on a machine that is busy.
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None
)
hypothesis.settings.load_profile("repeatable")

REFERENCE_FILES = Path(__file__).parent / "data" / "allennlp"

MakeModel = Callable[..., Path]

# Sentences of our own, and of Austen, Carroll, Darwin, Dickens, Melville,
# Lincoln and Thoreau (public domain), split into tokens at the blanks;
# a line that begins with blanks continues the one before.
SENTENCES = """
Stop !
Yes
No .
Really ?
Thanks a lot .
The cat sat on the mat .
Call me Ishmael .
It was the best of times , it was the worst of times .
Alice was beginning to get very tired of sitting by her sister on the bank .
Down the rabbit-hole
The train to Lyon leaves at 7.45 from platform 3 .
She paid $ 1,250.50 for a second-hand bicycle , which was far too much .
Please do n't call me after ten o'clock .
I ate an apple for breakfast
I ate a carrot for breakfast
The bank raised its interest rates again on Tuesday .
They pulled the boat up the muddy bank and lit a fire .
WHY ARE YOU SHOUTING ???
Naïve café owners in Zürich rarely serve crème brûlée for 4 € .
« Bonjour » , she said — and left .
Temperature : 21.5 °C , humidity 40 % , wind from the north-east .
buffalo buffalo buffalo buffalo buffalo buffalo buffalo buffalo
No one had ever told him that the river froze so early in the year .
This film is a mess , but a glorious and often very funny mess .
The battery lasted two hours , so I sent the phone back the same week .
Great value , fast delivery , would buy again .
The soup was cold and the waiter did not care .
Free entry in 2 a weekly competition to win tickets , text WIN to 80085 !
Ok lor ... see u at 8 then :)
Can you pick up some milk on your way home ?
The committee will meet in room 12 , not in room 14 as announced .
A whale ship was my Yale College and my Harvard .
We saw her duck under the table .
Time flies like an arrow ; fruit flies like a banana .
The old man the boat .
The horse raced past the barn fell .
Colourless green ideas sleep furiously .
Two plus two is four .
Dr. Smith lives at 221b Baker St. , London NW1 6XE .
See https://example.org/a/very/long/path?with=arguments&and=more#fragment for
    details
supercalifragilisticexpialidocious-antidisestablishmentarianism
Rain is expected in the west , with snow on higher ground by the evening .
The patient was given 5 mg of warfarin daily and showed no adverse reaction .
Mice lacking the receptor gained less weight than their littermates did .
Her solicitor argued that the contract had been void from the beginning .
The striker scored twice in the last ten minutes and was carried off the field .
Prices rose by 0.3 per cent in March , slightly less than economists had expected .
Nobody noticed the small green door at the end of the corridor until Thursday .
Four score and seven years ago our fathers brought forth on this continent , a new
    nation , conceived in Liberty , and dedicated to the proposition that all men
    are created equal .
It is a truth universally acknowledged , that a single man in possession of a good
    fortune , must be in want of a wife .
I went to the woods because I wished to live deliberately , to front only the
    essential facts of life , and see if I could not learn what it had to teach ,
    and not , when I came to die , discover that I had not lived .
However little known the feelings or views of such a man may be on his first
    entering a neighbourhood , this truth is so well fixed in the minds of the
    surrounding families , that he is considered as the rightful property of some
    one or other of their daughters .
There is grandeur in this view of life , with its several powers , having been
    originally breathed into a few forms or into one ; and that , whilst this planet
    has gone cycling on according to the fixed law of gravity , from so simple a
    beginning endless forms most beautiful are being , evolved .
Once or twice she had peeped into the book her sister was reading , but it had no
    pictures or conversations in it .
There was nothing so very remarkable in that ; nor did Alice think it so very much
    out of the way to hear the Rabbit say to itself , “ Oh dear ! ”
Some years ago — never mind how long precisely — having little or no money in my
    purse , and nothing particular to interest me on shore , I thought I would sail
    about a little and see the watery part of the world .
My dear Mr. Bennet , said his lady to him one day , have you heard that Netherfield
    Park is let at last ?
The mass of men lead lives of quiet desperation .
What is the use of a book without pictures ?
The end
"""


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own, also for the processes that they start."""
    folder = tmp_path_factory.mktemp("home")
    os.environ["SKLEARN_ELMO_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Make a random model in a new folder; arguments as `reference_numpy` has them."""

    def make(**arguments: object) -> Path:
        return reference_numpy.make_model(tmp_path_factory.mktemp("model"), **arguments)

    return make


@pytest.fixture(scope="session")
def tiny_model(make_model: MakeModel) -> Path:
    """Folder of a seeded model: 2 layers of width 16, values about 0.5. Read only."""
    return make_model(seed=7)


@pytest.fixture(scope="session")
def reference_files() -> Path:
    """Folder of AllenNLP's and bilm-tf's own files and numbers; see its README."""
    return REFERENCE_FILES


@pytest.fixture(scope="session")
def real_sentences() -> list[list[str]]:
    """60 tokenised English sentences of 1 to 60 tokens, in no order of length."""
    return [sentence.split() for sentence in re.split(r"\n(?=\S)", SENTENCES.strip())]
