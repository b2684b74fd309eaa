"""What an operator edits: config profiles, endpoints and API keys."""

from endpoints.models.api_key import ApiKey
from endpoints.models.endpoint import Endpoint
from endpoints.models.profile import ConfigProfile

__all__ = ["ApiKey", "ConfigProfile", "Endpoint"]
