"""Sessions: how they are opened, what each begins with, and what may be said of an error."""
