"""Who may do what: keys, scopes, rate limits, safe headers, and the log of writes."""
