"""What the HTML page shows, as places in its charts and cells of its tables; no markup."""
