"""What crosses from room to room: frozen records, no behaviour that needs a database or torch."""
