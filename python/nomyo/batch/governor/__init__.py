"""When a request may go, by the service's rules, for all processes of a user that use one API key."""

from .governor import Governor
from .limits import Limits

__all__ = ["Governor", "Limits"]
