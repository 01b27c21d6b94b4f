"""What examples of the JavaScript client's documents name."""

from __future__ import annotations

MODEL = "Qwen/Qwen3-0.6B"
