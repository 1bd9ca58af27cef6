"""Never edited once released; the newest one equals `store_schema`."""
