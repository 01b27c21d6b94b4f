"""Commands that a person types: chat and keys; and what all commands have in common."""
