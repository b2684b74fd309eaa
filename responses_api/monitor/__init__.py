"""The researcher's page: how many answers came back empty, for which model and cause, since when."""
