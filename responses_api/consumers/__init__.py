"""The ASGI face of /v1/*. Served by Channels and not by Django views, which cost ten times as much a request."""
