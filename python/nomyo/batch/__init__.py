"""A file of requests to a file of answers, in OpenAI's batch format; what was done already is not done again.

>>> import nomyo.batch
>>> nomyo.batch.run("requests.jsonl", "answers.jsonl")  # doctest: +SKIP

Answers that the holder of a private key alone can read:

>>> nomyo.batch.run("requests.jsonl", "answers.jsonl", encrypt_to="archive/public_key.pem")  # doctest: +SKIP
>>> for row in nomyo.batch.read("answers.jsonl", key_dir="archive"):  # doctest: +SKIP
...     print(row["custom_id"])
"""

from nomyo.batch.governor import Governor, Limits
from nomyo.batch.progress import PlainProgress, Progress
from nomyo.batch.reading import Damaged, read
from nomyo.batch.runner import Stop, Summary, run, run_async

__all__ = ["Damaged", "Governor", "Limits", "PlainProgress", "Progress", "Stop", "Summary", "read", "run", "run_async"]
