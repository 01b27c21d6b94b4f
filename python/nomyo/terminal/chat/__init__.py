"""`nomyo chat`: one prompt, or a conversation in the terminal."""
