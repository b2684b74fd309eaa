"""A database backend for Django: its own for PostgreSQL, which waits for no server that is silent."""
