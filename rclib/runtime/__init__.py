"""Process plumbing every daemon needs; it knows no protocol."""
