"""How the database got its shape, one step a file."""
