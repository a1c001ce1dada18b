"""`tandem account …`: accounts, their money, limits and locks, for operators; command.py mounts the rest."""
