"""What the gateway's page and the portal share: languages, looks, and how requests are guarded."""
