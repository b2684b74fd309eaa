"""The gateway: `/v1/*` for agents, with sessions, a durable ledger, and pages about empty answers."""
