"""Endpoints, config profiles and API keys: what the launcher and the gateway both stand on."""
