"""The researcher's pages: what was used, and what came back empty, for which model and cause, since when."""
