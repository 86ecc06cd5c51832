"""What each pass brought, measured: ledger, profile, divergence, gate, and their formats."""
