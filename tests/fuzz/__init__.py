"""Whatever a client or an engine sends, the gateway answers lawfully: `law.py` says what that is."""
