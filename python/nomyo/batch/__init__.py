"""A file of requests to a file of answers, in OpenAI's batch format; what was done already is not done again.

>>> import nomyo.batch
>>> nomyo.batch.run("requests.jsonl", "answers.jsonl")  # doctest: +SKIP
"""

from nomyo.batch.governor import Governor, Limits
from nomyo.batch.progress import Progress
from nomyo.batch.runner import Stop, Summary, run, run_async

__all__ = ["Governor", "Limits", "Progress", "Stop", "Summary", "run", "run_async"]
