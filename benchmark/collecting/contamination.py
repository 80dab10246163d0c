"""Whether a method saw data in training on which a study tests it."""

from collections.abc import Mapping

from benchmark.adapter import Learner
from benchmark.catalogue import Dataset, overlap
from benchmark.methods.registry import find
from benchmark.specs import Run
from benchmark.weights import registry as weights


def contaminated(run: Run, dataset: Dataset, entries: Mapping[str, Dataset]) -> bool:
    """Return whether the method of ``run`` was trained on ``dataset`` or on related data.

    Its weights may have been (`benchmark.weights.registry.Weights.contaminates`). A method that
    learns in the study does not see the patients that `benchmark.learning.splits` holds back, but
    the split cannot recognise them in another dataset that holds the same scans under other ids.

    ``entries``: the datasets of the study by id.
    """
    if run.weights and weights.load(run.weights).contaminates(dataset, entries.values()):
        return True
    learner = find(run.adapter)(run.options)
    learnt = learner.options.learns_from if isinstance(learner, Learner) else ()
    return any(overlap(entries[name], dataset) for name in learnt if name != dataset.id)
