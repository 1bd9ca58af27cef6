"""Never edited once released; the newest one equals `controld.schema`."""
